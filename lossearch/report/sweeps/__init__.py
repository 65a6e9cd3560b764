"""The sweeps of every signature: its natural variables, and the inputs at every value of them."""

from __future__ import annotations

from lossearch.compile.input_checker import least_extent, numbers_given
from lossearch.errors import UserError
from lossearch.loss import Loss
from lossearch.report.sweep import SWEEPS, Sweep, SweepSizes
from lossearch.report.sweeps import class_scores, components, embeddings, generative, images, numbers  # noqa: F401
from lossearch.report.sweeps.common import SIDE

CLASSES = 10


def sweeps_of(loss: Loss, classes: int = CLASSES) -> tuple[Sweep, ...]:
    """The sweeps of a loss's signature that move an input which the loss has.

    A loss with numbers of its own for each class has as many classes as these are.

    Raises `UserError` for fewer than two classes, a signature without sweeps and a loss that none of them moves.
    """
    lengths = numbers_given(loss.graph)
    classes = lengths.get("class", classes)
    if classes < 2:
        raise UserError("at least two classes", str(classes), "give a larger number")
    name = loss.signature.name
    if name not in SWEEPS:
        raise UserError("a signature whose losses can be drawn", name, f"such are {', '.join(SWEEPS)}")
    declared = SWEEPS[name](SweepSizes(classes, max(SIDE, least_extent(loss.graph)), lengths))
    found = tuple(sweep for sweep in declared if any(loss.graph.uses(moved) for moved in sweep.moves))
    if not found:
        moved = ", ".join(dict.fromkeys(moved for sweep in declared for moved in sweep.moves))
        raise UserError(f"a loss of {moved}", loss.to_text(), "nothing that is drawn moves this loss")
    return found
