"""Screening of candidates for several slots: each slot's loss passes its own filters, the whole those of duplicates."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Container, Mapping

from lossearch.archive.records import ACCEPTED, DUPLICATE_FINGERPRINT, DUPLICATE_KEY
from lossearch.candidates.screen import FILTERS, FilterTotals, Rejected, Screen, Screened, Verdict, passed_through
from lossearch.ir.core.joint import JointGraph

_REMEMBERED = 20_000  # losses that need not be looked at again


class JointScreen:
    """The filters of several slots. Deterministic; `check` changes nothing but the counts.

    A slot's loss may occur in many candidates, beside other losses in the other slots: that of a candidate that was
    accepted is not looked at again. A candidate is a duplicate where all its losses are. A hand-designed loss may stand
    in a slot, also times a constant, which the step size takes out anyway; one that is excluded may not.

    Args:
        screens: by slot.
        clock: what filters are timed with, in seconds.

    Attributes:
        unapplied: filters that are left out in a slot, with the reason.
    """

    def __init__(self, screens: Mapping[str, Screen], clock: Callable[[], float] = time.perf_counter) -> None:
        self.screens = screens
        self.clock = clock
        self.unapplied = {
            f"{name} in {slot}": reason for slot, screen in screens.items() for name, reason in screen.unapplied.items()
        }
        applied = {name for screen in screens.values() for name in screen.filters}
        self.filters = tuple(name for name in FILTERS if name in applied)
        self.passed: dict[tuple[str, str], Screened] = {}
        self._counts = {name: FilterTotals() for name in FILTERS}

    def counts(self) -> dict[str, FilterTotals]:
        """Cumulative counts per filter; of one that is not applied zeros."""
        return self._counts

    def reset_counts(self) -> None:
        """Start counting anew."""
        self._counts = {name: FilterTotals() for name in FILTERS}

    def check(self, graph: JointGraph, seen: Container[str]) -> Verdict:
        """Run the filters in order until one rejects.

        Args:
            graph: a candidate.
            seen: keys and fingerprints of earlier candidates.
        """
        run = _Joint(self, graph, seen)
        verdict = passed_through(self.filters, run, self._counts, self.clock)
        if verdict.accepted:
            run.remember()
        return verdict

    def fingerprint(self, graph: JointGraph) -> str | None:
        """Of the behaviour of a candidate's losses together; None where one has none."""
        return _together({slot: self.screens[slot].fingerprint(part) for slot, part in graph.items()})


def _together(fingerprints: Mapping[str, str | None]) -> str | None:
    """The fingerprint of losses by slot; None where one of them has none."""
    parts = [f"{slot}={one}" for slot, one in sorted(fingerprints.items()) if one is not None]
    return hashlib.sha256("|".join(parts).encode()).hexdigest() if len(parts) == len(fingerprints) else None


class _Joint:
    """A candidate on its way through the filters, with that of each slot."""

    def __init__(self, screen: JointScreen, graph: JointGraph, seen: Container[str]) -> None:
        self._screen, self._given, self._seen = screen, graph, seen
        known = screen.passed
        self._slots = {
            slot: known.get((slot, part.key)) or screen.screens[slot].begin(part, frozenset())
            for slot, part in graph.items()
        }
        self._done = {slot for slot, part in graph.items() if (slot, part.key) in known}

    def apply(self, name: str) -> None:
        """Apply a filter: one of duplicates to the whole, another to each slot's loss; raises `Rejected`."""
        if name == DUPLICATE_KEY:
            if self.graph.key in self._seen:
                raise Rejected("the same expressions as an earlier candidate")
        elif name == DUPLICATE_FINGERPRINT:
            if (self._fingerprint or "") in self._seen:
                raise Rejected("the same behaviour as an earlier candidate")
        else:
            for slot, run in self._slots.items():
                if slot not in self._done and name in self._screen.screens[slot].filters:
                    self._apply_to(slot, run, name)

    def _apply_to(self, slot: str, run: Screened, name: str) -> None:
        try:
            if name != "known":
                run.apply(name)
            elif (found := run.alike()) in self._screen.screens[slot].space.exclude_losses:
                raise Rejected(f"{found}, which is excluded")
        except Rejected as rejected:
            raise Rejected(f"{slot}: {rejected}") from None

    @property
    def graph(self) -> JointGraph:
        """As far as its parts are canonical."""
        return JointGraph.of({slot: run.graph for slot, run in self._slots.items()})

    @property
    def _fingerprint(self) -> str | None:
        measured = {slot: run.measured for slot, run in self._slots.items()}
        return _together({slot: None if one is None else one.fingerprint for slot, one in measured.items()})

    def verdict(self, name: str, reason: str) -> Verdict:
        """What is known of it by now."""
        graph = self.graph
        numbers = {
            f"{number} in {slot}": value for slot, run in self._slots.items() for number, value in run.numbers.items()
        }
        complexity = sum(run.complexity for run in self._slots.values())
        accepted = name == ACCEPTED
        return Verdict(accepted, name, reason, graph.key, self._fingerprint, complexity, graph, numbers)

    def remember(self) -> None:
        """Let the losses of the slots pass when they come again, by the keys with which they came."""
        if len(self._screen.passed) < _REMEMBERED:
            for slot, part in self._given.items():
                self._screen.passed[slot, part.key] = self._slots[slot]
                self._screen.passed[slot, self._slots[slot].graph.key] = self._slots[slot]
