"""Training with a user's own function, at the reference loss's step size."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossearch import zoo
from lossearch.compile.module import LossModule
from lossearch.errors import UserError
from lossearch.failure_text import headline, raised_at
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import AnyGraph, JointGraph, by_slot
from lossearch.loss import Loss
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.user.first_calls import FirstCalls
from lossearch.tasks.user.server import OnMetric
from lossearch.tasks.user.task import UserTask
from lossearch.training import seeds
from lossearch.training.device import device_of_first_call
from lossearch.training.scaled_graph import scaled_to
from lossearch.training.step_size import FirstPredictions


@dataclass(frozen=True)
class Scaled:
    """A candidate at the reference's step size.

    Attributes:
        graph: each loss times a factor, so that what is exported trains as what was scored.
        scale: by how much the loss differs from that as it was given; 1 for the losses of several slots, of which each
            has a factor of its own.
    """

    graph: AnyGraph
    scale: float


class FunctionTrainer:
    """Calls a user's function with losses that are scaled to the reference's RMS gradient at its first call.

    Args:
        task: the function.
        reference: the loss at whose step size others are trained; where the function takes several, that of each.
        budget: that the function is called with.
        first_call: what the function gives its loss at its first call; None calls it to find out.
        device: where its trainings run, for that call; None where the function decides by itself.

    Raises:
        UserError: the function fails before it calls its loss, or the reference has no gradient there.
    """

    def __init__(
        self,
        task: UserTask,
        reference: AnyGraph,
        budget: int,
        first_call: FirstCalls | None = None,
        device: str | None = None,
    ) -> None:
        self.task = task
        self.budget = budget
        self.first_call = first_call or record_first_call(task, reference, budget, device)
        task.judges = self.first_call.judged
        self._slot = task.searched[0]
        graphs = by_slot(reference, self._slot)
        self._predictions = {slot: FirstPredictions(self.first_call[slot], g.signature) for slot, g in graphs.items()}
        self._wanted = {slot: self._reference_size(slot, one) for slot, one in graphs.items()}

    def scaled(self, graph: AnyGraph) -> Scaled | None:
        """A candidate at the reference's step size; None where a loss has no finite gradient at the first call.

        Losses that differ in a constant factor become the same loss.

        Raises:
            UserError: a loss refuses the inputs of the first call.
        """
        found: dict[str, Graph] = {}
        scales: dict[str, float] = {}
        for slot, one in by_slot(graph, self._slot).items():
            scaled = scaled_to(self._wanted[slot], one, self._predictions[slot].gradient_rms)
            if scaled is None:
                return None
            found[slot], scales[slot] = scaled
        if isinstance(graph, JointGraph):
            return Scaled(JointGraph.of(found), 1.0)
        return Scaled(found[self._slot], scales[self._slot])

    def train(
        self, graph: AnyGraph, training_seeds: Sequence[int], watch: OnMetric | None = None, **keywords: Any
    ) -> list[Outcome]:
        """One call for each seed, up to the first that fails: the loss has failed then, whatever others would give.

        Args:
            graph: as `scaled` gives it.
            training_seeds: passed to the function.
            watch: is told the metrics of the first call; where it returns False, that call is stopped, and no other is
                made.
            keywords: `learning_rate`, `split` and `device`, for functions that take them.
        """
        factory = loss_factory(graph)
        outcomes: list[Outcome] = []
        stopped = False

        def on_metric(count: int, value: float) -> bool:
            nonlocal stopped
            stopped = watch is not None and not watch(count, value)
            return not stopped

        for seed in training_seeds:
            first = on_metric if not outcomes and watch is not None else None
            outcomes.append(self.task.evaluate(factory, self.budget, seed, first, **keywords))
            if stopped or outcomes[-1].status is not Status.OK:
                break
        return outcomes

    def _reference_size(self, slot: str, reference: Graph) -> float:
        call = self.first_call[slot]
        if call.described:
            shapes = f"at what your class's describe() gives, {call.describe()}"
            hint = "correct what describe() gives; labels, unlike predictions, are given as tensors"
        else:
            shapes = f"at the inputs of your function's first call of its loss, {call.describe()}"
            hint = "name another reference in the configuration, or correct how the function calls its loss"
        try:
            size = self._predictions[slot].gradient_rms(reference)
        except UserError as error:
            raise UserError(f"a reference that is defined {shapes}", str(error), hint) from error
        if not (math.isfinite(size) and size > 0.0):
            raise UserError(f"a reference with a gradient {shapes}", f"a gradient of size {size:g}", hint)
        return size


def default_losses(task: UserTask) -> AnyGraph:
    """The losses at whose step size others are trained with a function."""
    graphs = {slot: zoo.get(one.default).graph for slot, one in task.slots.items()}
    return JointGraph.of(graphs) if task.several else next(iter(graphs.values()))


def loss_factory(graph: AnyGraph) -> Callable[[], LossModule | dict[str, LossModule]]:
    """What makes a loss's module in the process of a user's function, which knows no primitives: it is expanded.

    Of a candidate for several slots it makes a mapping from slots to modules.
    """
    if isinstance(graph, JointGraph):
        return functools.partial(_modules, {slot: Loss("candidate", one.expanded()) for slot, one in graph.items()})
    return functools.partial(Loss("candidate", graph.expanded()).to_module)


def _modules(losses: Mapping[str, Loss]) -> dict[str, LossModule]:
    return {slot: loss.to_module() for slot, loss in losses.items()}


def record_first_call(task: UserTask, reference: AnyGraph, budget: int, device: str | None = None) -> FirstCalls:
    """What a user's function gives its losses at their first calls, from calling it until it gets there.

    It is called as a training is, with the first seed that scores, so that the predictions are those of a training, and
    on the device where trainings run, `device`, or on the CPU where this process has no GPU.

    Raises:
        UserError: the function fails before, or never calls its loss.
    """
    factory = loss_factory(reference)
    (seed,) = seeds.first("scoring", 1)
    found = task.first_call(factory, budget, seed, device_of_first_call(device))
    if isinstance(found, FirstCalls):
        return found
    required = f"a training function that calls its loss, with budget {budget} and seed {seed}"
    if found.status is Status.OK:
        hint = "call the losses that it is given; a larger evaluation.steps may be needed"
        raise UserError(required, f"{task.function} ended without {found.message or 'a call'}", hint)
    given = f"a mapping of losses for {', '.join(task.searched)}" if task.several else "one loss"
    other = "one loss where `space` is text" if task.several else 'a mapping where `space = { slot = "signature", … }`'
    hint = (
        "mend it: before a search it is called until it calls its loss, to see at which predictions it begins; it is"
        f" given {given}, and {other}"
    )
    place = raised_at(found.message)
    raise UserError(required, f"{headline(found.message)}{'' if place is None else f' ({place})'}", hint)
