"""A loss as a curve: its value and its gradient along one line through the space of predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.ir.signature import Signature
from lossearch.loss import Loss
from lossearch.report.figure_file import figure_path, save_figure

CLASSES = 10
POINTS = 161
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Told apart with every kind of colour vision (Okabe and Ito 2008)."""

_LOGIT_RANGE = 6.0
_LENGTHS = {"coord": 4, "channel": 3, "class": CLASSES, "feature": 4, "space": 4}
_DASHES = ("solid", "dashed", "dashdot", "dotted")


@dataclass(frozen=True)
class Slice:
    """A line through the space of predictions of one signature, in float64.

    Attributes:
        axis: What runs along the line.
        slope: What the gradient is taken of.
        x: Place along the line, `[point]`.
        predictions: A batch of one at each point, `[point, 1, …]`.
        untrained: The prediction at which gradients are brought to one size.
        direction: What the gradient is multiplied with and summed over, of a prediction's shape.
        target: The one target, `[1, …]`.
        unit: RMS gradient at `untrained` that curves are scaled to.
    """

    axis: str
    slope: str
    x: npt.NDArray[np.float64]
    predictions: Tensor
    untrained: Tensor
    direction: Tensor
    target: Tensor
    unit: float


@dataclass(frozen=True)
class LossCurves:
    """Value and gradient of a loss along a slice.

    Attributes:
        loss: Name.
        axis: What runs along `x`.
        slope: What `gradient` is the derivative of.
        x: `[point]`.
        value: Loss times `scale`, less its value at the last point for class slices (zero error otherwise).
        gradient: Derivative times `scale`.
        scale: Factor that gives every loss the same RMS gradient at an untrained prediction; None where the gradient
            vanishes there: value and gradient are then as they are.
    """

    loss: str
    axis: str
    slope: str
    x: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]
    gradient: npt.NDArray[np.float64]
    scale: float | None


def slice_of(signature: Signature, classes: int = CLASSES) -> Slice:
    """The line along which losses of a signature are drawn.

    Where the target is a distribution over classes, the true class's probability (for bounded predictions, the
    prediction itself) runs and the others share the rest evenly; elsewhere the same error is added to every entry of
    a fixed target. Raises `UserError` for a signature with more than one prediction.
    """
    if classes < 2:
        raise UserError("at least two classes", str(classes), "give a larger number")
    inputs = signature.forward_inputs
    if [declared.role for declared in inputs] != ["prediction", "target"]:
        found = ", ".join(f"{declared.name} ({declared.role})" for declared in inputs)
        raise UserError("a loss of one prediction and one target", found, "such losses have no one-dimensional curve")
    prediction, target = inputs
    if target.labels is None:
        return _error_slice(prediction.axes)
    if prediction.domain.upper <= 1.0:
        return _cosine_slice(prediction.name, classes)
    return _probability_slice(classes)


def _probability_slice(classes: int) -> Slice:
    margins = torch.linspace(-_LOGIT_RANGE, _LOGIT_RANGE, POINTS, dtype=torch.float64)
    predictions = torch.zeros(POINTS, 1, classes, dtype=torch.float64)
    predictions[:, 0, 0] = margins + math.log(classes - 1)
    direction = _one_hot(classes)
    # RMS gradient of cross-entropy, p - t, at p = 1/C: values of cross-entropy are then as they are.
    unit = float((1.0 / classes - direction).square().mean().sqrt())
    x = torch.sigmoid(margins).numpy()
    axis = f"probability of the true class, of {classes}"
    untrained = torch.zeros(1, classes, dtype=torch.float64)
    return Slice(axis, "-dL/d(true logit)", x, predictions, untrained, -direction, direction, unit)


def _cosine_slice(name: str, classes: int) -> Slice:
    x = torch.linspace(-1.0, 1.0, POINTS, dtype=torch.float64)
    predictions = torch.zeros(POINTS, 1, classes, dtype=torch.float64)
    predictions[:, 0, 0] = x
    direction = _one_hot(classes)
    untrained = torch.zeros(1, classes, dtype=torch.float64)
    slope = f"-dL/d(true {name})"
    axis = f"{name} of the true class, of {classes}; 0 for the others"
    return Slice(axis, slope, x.numpy(), predictions, untrained, -direction, direction, 1.0)


def _error_slice(axes: Sequence[str]) -> Slice:
    shape = [1] + [_LENGTHS.get(axis.rstrip("'"), 4) for axis in axes if axis != "batch"]
    target = torch.linspace(0.0, 1.0, math.prod(shape), dtype=torch.float64).reshape(shape)
    x = torch.linspace(-1.0, 1.0, POINTS, dtype=torch.float64)
    predictions = target + x.reshape(-1, *[1] * target.dim())
    axis = "error added to every entry of the target"
    return Slice(axis, "dL/d(error)", x.numpy(), predictions, target + 1.0, torch.ones_like(target), target, 1.0)


def _one_hot(classes: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor([0]), classes).to(torch.float64)


def loss_curves(loss: Loss, classes: int = CLASSES) -> LossCurves:
    """Value and gradient of a loss along its signature's slice, each point being a batch of one.

    All curves of one signature are scaled to one RMS gradient at an untrained prediction, as a search trains them.
    Raises `UserError` for a signature that has no such slice.
    """
    line = slice_of(loss.signature, classes)
    options: dict[str, Any] = {"weight": torch.ones(classes)} if loss.graph.uses("class_weight") else {}
    module = loss.to_module(backend="eager", ignore_index=None, **options).to(torch.float64)

    def at(prediction: Tensor) -> tuple[float, Tensor]:
        prediction = prediction.clone().requires_grad_(True)
        value = module(prediction, line.target)
        if not value.requires_grad:
            return float(value), torch.zeros_like(prediction)
        (gradient,) = torch.autograd.grad(value, prediction)
        return float(value.detach()), gradient

    size = float(at(line.untrained)[1].square().mean().sqrt())
    scale = line.unit / size if size > 1e-12 else None
    found = [at(prediction) for prediction in line.predictions]
    value = np.array([one for one, _ in found])
    gradient = np.array([float((one * line.direction).sum()) for _, one in found])
    factor = 1.0 if scale is None else scale
    base = value[-1] if loss.signature.forward_inputs[1].labels else value[POINTS // 2]
    return LossCurves(loss.name, line.axis, line.slope, line.x, factor * (value - base), factor * gradient, scale)


def plot_loss(losses: Sequence[Loss], path: str | Path, classes: int = CLASSES) -> None:
    """Draw value and gradient of losses of one signature into a .png, .svg or .pdf file.

    A single loss is drawn beside the first hand-designed one of its signature. Raises `UserError` for another suffix,
    losses of several signatures, and a place that cannot be written.
    """
    path = figure_path(path)
    names = sorted({loss.signature.name for loss in losses})
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise UserError("losses of one signature", found, "draw the losses of each signature by themselves")
    curves = [loss_curves(loss, classes) for loss in with_reference(losses)]
    save_figure(_draw(curves), path)


def with_reference(losses: Sequence[Loss]) -> list[Loss]:
    """A single loss together with the first hand-designed one of its signature; several as they are."""
    if len(losses) > 1:
        return list(losses)
    known = [zoo.get(name) for name in zoo.names(signature=losses[0].signature.name)]
    return [*losses, *[loss for loss in known[:1] if loss.key != losses[0].key]]


def _draw(curves: Sequence[LossCurves]) -> Any:
    from matplotlib.figure import Figure  # half a second that only drawing should cost

    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    panels = figure.subplots(1, 2)
    for rank, curve in enumerate(curves):
        name = curve.loss if curve.scale is not None else f"{curve.loss} (not scaled)"
        style: dict[str, Any] = {"label": name, "color": COLOURS[rank % len(COLOURS)]}
        style |= {"linestyle": _DASHES[rank % len(_DASHES)], "linewidth": 2.2 if rank == 0 else 1.5}
        panels[0].plot(curve.x, curve.value, **style)
        panels[1].plot(curve.x, curve.gradient, **style)
    for panel, title in zip(panels, ("loss, scaled", f"{curves[0].slope}, scaled"), strict=True):
        panel.set_title(title, fontsize=10)
        panel.set_xlabel(curves[0].axis)
        panel.grid(alpha=0.3, linewidth=0.6)
        panel.axhline(0.0, color="0.5", linewidth=0.8)
    panels[0].legend(frameon=False, fontsize=9)
    return figure
