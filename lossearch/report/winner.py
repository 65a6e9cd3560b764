"""The loss that a report is about, and the losses that it is drawn beside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.simplified import shorter_of
from lossearch.comparison.entries import hand_designed_in
from lossearch.errors import UserError
from lossearch.joint_loss import AnyLoss, JointLoss
from lossearch.loss import Loss
from lossearch.report.classes import classes_of
from lossearch.report.comparison_file import ComparisonRow
from lossearch.report.curves import LossCurves, loss_curves
from lossearch.report.run_summary import RunSummary, Scored, candidate_loss

BESIDE = 4
"""Baselines drawn beside the winner."""


@dataclass(frozen=True)
class Winner:
    """The loss a report is about.

    Attributes:
        loss: None where the run has none, or where it cannot be read; the losses of all slots where several were
            searched together.
        kind: "compared" (discovered, as tuned for the comparison), "found" (best on validation) or "none".
        row: Its row of the comparison.
        scored: Its place in the search, where it is the best one.
        notes: Why there is none.
        shorter: The shorter form that `lossearch simplify` kept of it, and how it is known to serve as well.
    """

    loss: AnyLoss | None
    kind: Literal["compared", "found", "none"]
    row: ComparisonRow | None = None
    scored: Scored | None = None
    notes: tuple[str, ...] = ()
    shorter: tuple[str, str] | None = None

    @property
    def parts(self) -> dict[str, Loss]:
        """The loss of each slot; under an empty name where it is one alone."""
        if self.loss is None:
            return {}
        return self.loss.losses if isinstance(self.loss, JointLoss) else {"": self.loss}


def winner_of(run: RunSummary) -> Winner:
    """The best discovered loss of the comparison; without one, the best candidate of the search."""
    row = None if run.comparison is None else run.comparison.discovered
    notes: list[str] = []
    if row is not None:
        try:
            shorter = _shorter(run, run.best, notes)
            return Winner(row.to_loss(), "compared", row, None, tuple(notes), shorter)
        except UserError as error:
            notes.append(f"The compared loss {row.loss} cannot be read. {error}.")
    if run.best is not None:
        try:
            shorter = _shorter(run, run.best, notes)
            return Winner(candidate_loss(run.name, run.best), "found", None, run.best, tuple(notes), shorter)
        except UserError as error:
            notes.append(f"The best candidate cannot be read. {error}.")
    return Winner(None, "none", notes=tuple(notes))


def _shorter(run: RunSummary, best: Scored | None, notes: list[str]) -> tuple[str, str] | None:
    """Text of the shorter form of the best candidate, and how it is known."""
    if best is None:
        return None
    try:
        found = shorter_of(RunDirectory(run.path), best.ranked.candidate.key)
        return None if found is None else (found.loss.to_text(), found.how)
    except UserError as error:
        notes.append(f"The shorter form of the best candidate cannot be read. {error}.")
        return None


def curves_beside(winner: Loss, slot: str, run: RunSummary) -> tuple[list[LossCurves], list[str]]:
    """Scaled curves of a winner's loss and of baselines along the natural variable, and why some are missing.

    Args:
        winner: the loss, or that of one of several slots.
        slot: this slot; empty where the search was over one alone.
        run: of the search.
    """
    curves: list[LossCurves] = []
    notes: list[str] = []
    classes = classes_of(RunDirectory(run.path), winner.signature, slot)
    for loss in (winner, *_baselines(winner, slot, run, notes)):
        try:
            curves.append(loss_curves(loss, classes)[0].scaled())
        except UserError as error:
            notes.append(f"{loss.name} has no curve. {error}.")
            if loss is winner:
                break
    return curves, notes


def _baselines(winner: Loss, slot: str, run: RunSummary, notes: list[str]) -> list[Loss]:
    """Cross-entropy, or what is first in its family, and the best others: as tuned for the comparison, else untuned.

    Beside a loss of single samples, those that reduce the batch themselves are left out: a slice of single samples says
    little about them.
    """
    family = zoo.names(signature=winner.signature.name)
    seeds = [one.seed for one in run.seeds if one.seed in family]
    untuned = [zoo.get(name) for name in [*filter(None, seeds), *family[:1]]]
    chosen: dict[str, Loss] = {}
    keys = {winner.key}
    for loss in (*_compared(slot, run, notes), *untuned):
        of_samples = "batch" in loss.root.axes or "batch" not in winner.root.axes
        if loss.signature is winner.signature and loss.key not in keys and of_samples:
            keys.add(loss.key)
            chosen.setdefault(loss.name, loss)
    return sorted(chosen.values(), key=lambda loss: loss.name not in family[:1])[:BESIDE]


def _compared(slot: str, run: RunSummary, notes: list[str]) -> Iterator[Loss]:
    for row in run.comparison.trained if run.comparison is not None else ():
        if row.source == "hand-designed":
            try:
                loss = row.to_loss()
                if isinstance(loss, JointLoss):
                    known = hand_designed_in(loss, slot) if loss.name == row.loss else None
                    yield replace(loss[slot], name=known or row.loss)
                else:
                    yield loss
            except UserError as error:
                notes.append(f"The compared loss {row.loss} cannot be read. {error}.")
