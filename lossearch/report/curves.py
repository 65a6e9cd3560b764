"""A loss as curves: its value and its gradient along the sweeps of its signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.ir.core.signature import PROGRESS
from lossearch.loss import Loss
from lossearch.report.figure_file import figure_path, save_figure
from lossearch.report.sweep import Sweep
from lossearch.report.sweeps import CLASSES, sweeps_of
from lossearch.training.confident import NOISE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Told apart with every kind of colour vision (Okabe and Ito 2008)."""

REFERENCES: dict[str, tuple[tuple[str, Mapping[str, str]], ...]] = {
    "dense": (("cross_entropy", {}), ("brier", {})),
    "box": (("iou", {}), ("giou", {})),
    "margin": (("normalized_softmax", {}), ("arcface", {})),
    "embedding": (("supervised_contrastive", {}), ("triplet_batch_hard", {})),
    "positives": (("info_nce", {}), ("nt_xent", {})),
    "features": (("perceptual", {}), ("feature_matching", {})),
    "adversarial": (
        ("gan_minimax", {}),
        ("lsgan", {}),
        ("gan_minimax", {"side": "generator"}),
        ("lsgan", {"side": "generator"}),
    ),
}
"""What losses of a signature are drawn beside, best first, as names and options; elsewhere the zoo's order."""

_DASHES = ("solid", "dashed", "dashdot", "dotted")


@dataclass(frozen=True)
class LossCurves:
    """Value and gradient of a loss along a sweep.

    Attributes:
        loss: Name.
        axis: What runs along `x`.
        slope: What `gradient` is.
        x: `[point]`.
        value: The loss, `[point]`.
        gradient: Its derivative, `[point]`.
        ideal: Index of the point at which the prediction is right.
        scale: Factor that gives every loss of the signature the same gradient at an untrained prediction; None where
            the gradient vanishes there.
    """

    loss: str
    axis: str
    slope: str
    x: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]
    gradient: npt.NDArray[np.float64]
    ideal: int
    scale: float | None

    def scaled(self) -> LossCurves:
        """As a search sees the loss: times `scale`, where there is one, and less its value at the right prediction."""
        factor = 1.0 if self.scale is None else self.scale
        value = factor * (self.value - self.value[self.ideal])
        return replace(self, value=value, gradient=factor * self.gradient)


MIDDLE = 0.5
"""The progress at which losses that change over a training are drawn."""


def loss_curves(loss: Loss, classes: int = CLASSES) -> list[LossCurves]:
    """Value and gradient of a loss along every sweep of its signature that moves it, the natural variable first.

    Raises `UserError` for fewer than two classes and a loss that no sweep moves.
    """
    return [_along(loss, sweep, classes) for sweep in sweeps_of(loss, classes)]


def swept_module(loss: Loss, sweep: Sweep, classes: int = CLASSES) -> nn.Module:
    """The module that takes a sweep's inputs, in float64."""
    options: dict[str, Any] = {"weight": torch.ones(classes)} if loss.graph.uses("class_weight") else {}
    # Where the sweep says nothing else: the middle of a training, equally frequent classes, and some wrong labels.
    neutral = {
        PROGRESS.name: torch.tensor(MIDDLE),
        "class_count": torch.ones(classes),
        "noise_rate": torch.tensor(NOISE),
    }
    buffers = {name: value for name, value in {**neutral, **sweep.buffers}.items() if loss.graph.uses(name)}
    return loss.to_module(backend="eager", ignore_index=None, buffers=buffers, **options).to(torch.float64)


def _along(loss: Loss, sweep: Sweep, classes: int) -> LossCurves:
    module = swept_module(loss, sweep, classes)
    points = [_at(module, sweep, x) for x in sweep.grid]
    size = abs(_at(module, sweep, torch.tensor(sweep.untrained, dtype=torch.float64))[1])
    return LossCurves(
        loss.name,
        sweep.axis,
        sweep.slope,
        sweep.grid.numpy(),
        np.array([value for value, _ in points]),
        np.array([gradient for _, gradient in points]),
        int((sweep.grid - sweep.ideal).abs().argmin()),
        sweep.unit / size if size > 1e-12 else None,
    )


def _at(module: nn.Module, sweep: Sweep, x: Tensor) -> tuple[float, float]:
    """Value and gradient at one place."""
    x = x.clone().requires_grad_(True)
    value = module(*sweep.inputs(x))
    gradient = torch.autograd.grad(value, x, allow_unused=True)[0] if value.requires_grad else None
    if gradient is None:
        return float(value.detach()), 0.0
    factor = 1.0 if sweep.rate is None else float(sweep.rate(x.detach()))
    return float(value.detach()), factor * float(gradient)


def plot_loss(losses: Sequence[Loss], path: str | Path, classes: int = CLASSES) -> None:
    """Draw value and gradient of losses of one signature into a .png, .svg or .pdf file, a row a variable.

    A single loss is drawn beside its reference. Losses ten or more times as steep as the first are drawn times the
    power of ten that their names say, and so are those as much flatter. Raises `UserError` for another suffix, losses
    of several signatures, a loss that no sweep moves, and a place that cannot be written.
    """
    path = figure_path(path)
    names = sorted({loss.signature.name for loss in losses})
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise UserError("losses of one signature", found, "draw the losses of each signature by themselves")
    curves = [loss_curves(loss, classes) for loss in with_reference(losses)]
    save_figure(_draw(curves), path)


def with_reference(losses: Sequence[Loss]) -> list[Loss]:
    """A single loss together with a hand-designed one of the same inputs, if there is another; several as they are."""
    if len(losses) != 1:
        return list(losses)
    own = losses[0]
    signature = own.signature.name
    declared = REFERENCES.get(signature) or [(name, {}) for name in zoo.names(signature=signature)]
    for name, options in declared:
        other = zoo.get(name, **options)
        if other.key != own.key and _inputs(other) == _inputs(own):
            return [own, other]
    return [own]


def _inputs(loss: Loss) -> list[str]:
    return [declared.name for declared in loss.signature.forward_inputs if loss.graph.uses(declared.name)]


def _draw(losses: Sequence[Sequence[LossCurves]]) -> Any:
    from matplotlib.figure import Figure  # half a second that only drawing should cost

    axes = list(dict.fromkeys(curve.axis for curves in losses for curve in curves))
    figure = Figure(figsize=(8.0, 0.4 + 3.0 * len(axes)), layout="constrained")
    panels = figure.subplots(len(axes), 2, squeeze=False)
    magnitudes = [_magnitude(curves) for curves in losses]
    for rank, curves in enumerate(losses):
        exponent = int(magnitudes[0] - magnitudes[rank])  # towards zero: what is close stays as it is
        label = curves[0].loss + (f" × 1e{exponent}" if exponent else "")
        style: dict[str, Any] = {"label": label, "color": COLOURS[rank % len(COLOURS)]}
        style |= {"linestyle": _DASHES[rank % len(_DASHES)], "linewidth": 2.2 if rank == 0 else 1.5}
        for curve in curves:
            row = panels[axes.index(curve.axis)]
            row[0].plot(curve.x, 10.0**exponent * curve.value, **style)
            row[1].plot(curve.x, 10.0**exponent * curve.gradient, **style)
            row[1].set_title(curve.slope, fontsize=10)
    for row, axis in zip(panels, axes, strict=True):
        row[0].set_title("loss L", fontsize=10)
        row[0].legend(frameon=False, fontsize=9)
        for panel in row:
            _dress(panel, axis)
    return figure


def _magnitude(curves: Sequence[LossCurves]) -> float:
    """Decimal logarithm of the RMS gradient, or 0 where there is none."""
    size = float(np.sqrt(np.mean(np.concatenate([curve.gradient for curve in curves]) ** 2)))
    return float(np.log10(size)) if size > 0.0 else 0.0


def _dress(panel: Axes, axis: str) -> None:
    panel.set_xlabel(axis, fontsize=9)
    panel.grid(alpha=0.3, linewidth=0.6)
    panel.axhline(0.0, color="0.5", linewidth=0.8)
