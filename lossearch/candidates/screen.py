"""Screening: filters in order of cost, each counted and timed, that a candidate passes before it is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from lossearch.archive.records import ACCEPTED, DUPLICATE_FINGERPRINT, DUPLICATE_KEY
from lossearch.candidates.probes import Probe, Probes
from lossearch.candidates.rejection import rejection_test
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import AnyGraph
from lossearch.ir.rewriting.ranges import graph_out_of_range
from lossearch.ir.rewriting.simplification import CANONICAL
from lossearch.search_spaces import SearchSpace
from lossearch.tasks.base import only_slot
from lossearch.tasks.user.first_call import FirstCall
from lossearch.tasks.user.judging import NotJudged
from lossearch.training.confident import when_wrong
from lossearch.training.first_inputs import first_inputs
from lossearch.training.first_lengths import lengths_in
from lossearch.training.untrained import AnyTask, untrained_inputs
from lossearch.zoo import get, names
from lossearch.zoo.named import graph_of

FILTERS = (
    "type",
    "range",
    DUPLICATE_KEY,
    "probe",
    "known",
    DUPLICATE_FINGERPRINT,
    "float32",
    "confident",
    "rejection",
)
"""Every filter, cheapest first."""


class ScreeningConfig(BaseModel):
    """Settings of the filters.

    Attributes:
        confident_gradient: share of its gradient at undecided predictions that a loss of class scores must have left
            where a wrong class is ahead by 10, as 0.05; 0, the default, rejects none. Losses that have none left there
            may not begin to learn on another task, or collapse with some seeds. It misleads under label noise, where
            such losses are just what leaves wrong labels alone; `audit` tells how many good ones it costs.
        rejection_steps: steps of the rejection test, which descends predictions of an untrained network along the
            candidate's gradient; 0 switches it off.
        rejection_samples: predictions that it descends.
        rejection_gain: share of the possible improvement of the metric that a candidate must reach there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    confident_gradient: float = Field(default=0.0, ge=0.0, le=1.0)
    rejection_steps: int = Field(default=40, ge=0)
    rejection_samples: int = Field(default=64, ge=8)
    rejection_gain: float = Field(default=0.3, gt=0.0, le=1.0)


@dataclass(frozen=True)
class Verdict:
    """What screening found.

    Attributes:
        accepted: whether the candidate may be trained.
        filter: the filter that rejected it, or "accepted".
        reason: in words.
        key: structural SHA-256 of the canonical graph.
        fingerprint: of its behaviour, once that was computed.
        complexity: distinct operators of the expanded graph, each counted as the space says.
        graph: the canonical graph, or that of each slot; its sign is flipped where it led away from the target.
        numbers: what the filters measured.
    """

    accepted: bool
    filter: str
    reason: str
    key: str
    fingerprint: str | None
    complexity: int
    graph: AnyGraph
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass
class FilterTotals:
    """How many candidates a filter saw and rejected, and the seconds it took."""

    considered: int = 0
    rejected: int = 0
    seconds: float = 0.0


class Rejected(Exception):
    """A candidate ends at a filter."""


class Screen:
    """The filters of one task's slot and its search space. Deterministic; `check` changes nothing but the counts.

    Where the task's metric does not follow from what its losses are given, there is no filter `rejection`, which
    `unapplied` says.

    Args:
        task: gives untrained predictions and judges others.
        space: gives the signature, size limit, and hand-designed losses that count as known.
        reference: the loss whose step size candidates are compared at.
        settings: of the filters.
        lengths: of axes, as a user's function gives them to its loss.
        clock: what filters are timed with, in seconds.
        slot: of the candidates; None for the one that the task names.
        first_call: of a user's function, whose inputs are judged where its class judges.

    Attributes:
        unapplied: filters that are left out, with the reason.
    """

    def __init__(
        self,
        task: AnyTask,
        space: SearchSpace,
        reference: Graph,
        settings: ScreeningConfig,
        lengths: Mapping[str, int] = MappingProxyType({}),
        clock: Callable[[], float] = time.perf_counter,
        slot: str | None = None,
        first_call: FirstCall | None = None,
    ) -> None:
        check_signature(space, reference)
        slot = only_slot(task) if slot is None else slot
        wanted = task.slots[slot].signature
        if space.signature != wanted:
            hint = "choose a space of that signature, or search with a training function of your own"
            raise UserError(f"a space of signature {wanted} for {task.name}", space.signature, hint)
        self.space = space
        self.settings = settings
        self.clock = clock
        if first_call is not None and first_call.judged:
            inputs = first_inputs(first_call, reference.signature, settings.rejection_samples)
        else:
            inputs = untrained_inputs(task, slot, settings.rejection_samples, lengths)
        self.rejection = rejection_test(task, slot, reference, inputs, settings.rejection_steps)
        self.unapplied: dict[str, str] = {}
        if self.rejection is None:
            self.unapplied["rejection"] = f"{task.metric.name} does not follow from what the loss is given"
        if inputs is not None:
            lengths = {**lengths_in(inputs.tensors, reference.signature), **lengths}
        self.probes = Probes(reference.signature, lengths)
        known = {name: canonical(get(name).graph) for name in names(signature=space.signature)}
        seeds = {name: canonical(graph_of(name)) for name in space.seeds}
        # What is excluded is not found either: neither as it is, nor times a constant.
        allowed = {name: graph for name, graph in known.items() if name not in space.exclude_losses}
        self._known_keys = {graph.key for graph in (*seeds.values(), *allowed.values())}
        self._known: dict[str, str] = {}
        # Of losses that are alike, one that the search begins with gives its name.
        for name, graph in (*seeds.items(), *known.items()):
            self._known.setdefault(self.probes.measure(graph).fingerprint, name)
        off = set(self.unapplied) | ({"confident"} if settings.confident_gradient == 0.0 else set())
        self.filters = tuple(name for name in FILTERS if name not in off)
        self._counts = {name: FilterTotals() for name in FILTERS}

    def counts(self) -> dict[str, FilterTotals]:
        """Cumulative counts per filter; of one that is not applied zeros."""
        return self._counts

    def reset_counts(self) -> None:
        """Start counting anew."""
        self._counts = {name: FilterTotals() for name in FILTERS}

    def check(self, graph: Graph, seen: Container[str]) -> Verdict:
        """Run the filters in order until one rejects.

        Args:
            graph: a candidate.
            seen: keys and fingerprints of earlier candidates.
        """
        return passed_through(self.filters, self.begin(graph, seen), self._counts, self.clock)

    def fingerprint(self, graph: Graph) -> str | None:
        """Of the behaviour of a loss; None where it has none, as one without a gradient."""
        return self.probes.measure(graph).fingerprint or None

    def begin(self, graph: Graph, seen: Container[str]) -> Screened:
        """A candidate before the first filter."""
        return Screened(self, graph, seen)


class Filtered(Protocol):
    """A candidate on its way through the filters."""

    def apply(self, name: str) -> None:
        """Apply a filter; raises `Rejected` where the candidate ends there."""
        ...

    def verdict(self, name: str, reason: str) -> Verdict:
        """What is known of it by now."""
        ...


def passed_through(
    filters: Sequence[str], run: Filtered, counts: Mapping[str, FilterTotals], clock: Callable[[], float]
) -> Verdict:
    """Run filters in order until one rejects, and count and time them."""
    for name in filters:
        count = counts[name]
        start = clock()
        count.considered += 1
        try:
            run.apply(name)
        except Rejected as rejected:
            count.rejected += 1
            return run.verdict(name, str(rejected))
        finally:
            count.seconds += clock() - start
    return run.verdict(ACCEPTED, "")


def check_signature(space: SearchSpace, reference: Graph) -> None:
    """Raise `UserError` where the reference loss is not of the space's signature."""
    if reference.signature.name != space.signature:
        raise UserError(
            f"a reference loss of signature {space.signature}", reference.signature.name, "choose another reference"
        )


class Screened:
    """A candidate for one slot on its way through the filters; each method is a filter."""

    def __init__(self, screen: Screen, graph: Graph, seen: Container[str]) -> None:
        self.screen = screen
        self.graph = graph
        self.seen = seen
        self.complexity = 0
        self.measured: Probe | None = None
        self.numbers: dict[str, float] = {}

    def apply(self, name: str) -> None:
        """Apply a filter, which is the method of that name."""
        getattr(self, name)()

    def verdict(self, name: str, reason: str) -> Verdict:
        """What is known of the candidate by now."""
        fingerprint = None if self.measured is None else self.measured.fingerprint
        return Verdict(
            name == ACCEPTED,
            name,
            reason,
            self.graph.key,
            fingerprint,
            self.complexity,
            self.graph,
            self.numbers,
        )

    def type(self) -> None:
        """Simplify; both prediction and target must remain, within the size limit, and nothing that is excluded."""
        self.graph = canonical(self.graph)
        for name in self.graph.signature.needed:
            if not self.graph.uses(name):
                raise Rejected(f"does not depend on {name}")
        self._check_excluded()
        self.complexity = self.screen.space.complexity_of(self.graph)
        if self.graph.complexity > self.screen.space.max_nodes:
            raise Rejected(f"{self.graph.complexity} operators, more than {self.screen.space.max_nodes}")

    def _check_excluded(self) -> None:
        if self.screen.space.exclude:
            used = {node.op for node in self.graph.nodes}.intersection(self.screen.space.exclude)
            if used:
                raise Rejected(f"uses what is excluded: {', '.join(sorted(used))}")

    def range(self) -> None:
        """Value and gradient must be proven finite over the declared domain."""
        reason = graph_out_of_range(self.graph)
        if reason is not None:
            raise Rejected(reason)

    def duplicate_key(self) -> None:
        """The same expression as an earlier one."""
        if self.graph.key in self.seen:
            raise Rejected("the same expression as an earlier candidate")

    def probe(self) -> None:
        """One forward and backward pass: finite, with a gradient that depends on prediction and target."""
        measured = self.screen.probes.measure(self.graph)
        if measured.reason is not None:
            raise Rejected(measured.reason)
        if measured.inverted:
            self.graph = canonical(self.graph.with_roots([-self.graph.root, *self.graph.roots[1:]]))
            self._check_excluded()
        self.measured = measured
        self.numbers["gradient_rms"] = measured.gradient_rms

    def known(self) -> None:
        """A positive multiple of a hand-designed loss, other than one of them: some differ by a constant alone."""
        name = self.alike()
        if name is not None and self.graph.key not in self.screen._known_keys:
            raise Rejected(f"a constant multiple of {name}")

    def alike(self) -> str | None:
        """The hand-designed loss of which this is a positive multiple; None where it is of none."""
        assert self.measured is not None
        return self.screen._known.get(self.measured.fingerprint)

    def duplicate_fingerprint(self) -> None:
        """The same behaviour as an earlier one."""
        assert self.measured is not None
        if self.measured.fingerprint in self.seen:
            raise Rejected("the same behaviour as an earlier candidate")

    def float32(self) -> None:
        """Value and gradient in float32 at the ends of the declared domain."""
        if not self.screen.probes.finite_in_float32(self.graph):
            raise Rejected("not finite in float32 at the ends of the domain")

    def confident(self) -> None:
        """A gradient must be left where predictions are confident and wrong; of other than class scores all pass."""
        found = when_wrong(self.graph)
        if found is None:
            return
        self.numbers["confident_gradient"] = found.share
        if not found.share >= self.screen.settings.confident_gradient:
            raise Rejected(f"{found.share:.2g} of its gradient left where predictions are confident and wrong")

    def rejection(self) -> None:
        """Optimising the predictions themselves must improve the metric."""
        assert self.screen.rejection is not None
        try:
            gain = self.screen.rejection.gain(self.graph)
        except NotJudged as error:  # the user's own code fails at this candidate's predictions
            raise Rejected(str(error)) from error
        self.numbers["rejection_gain"] = gain
        if not gain >= self.screen.settings.rejection_gain:
            raise Rejected(f"optimising predictions gains {gain:.2f} of what is possible")


def canonical(graph: Graph) -> Graph:
    """Parameters at their defaults as constants, simplified, commutative arguments in order."""
    frozen = graph.frozen()
    return frozen.with_roots(CANONICAL.rewrite(frozen.roots))
