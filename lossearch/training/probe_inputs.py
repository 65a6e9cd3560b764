"""Fixed inputs of any signature, drawn from what it declares, on which candidates are judged before any training.

They come from a counter-based generator of their own, so that they are the same in every process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossearch.ir.core.signature import DOMAIN, PROGRESS, Input, Signature
from lossearch.ir.signatures import CLASS_COUNT_INPUT, CLASS_WEIGHT_INPUT, NOISE_RATE_INPUT

SAMPLES = 16
POSITIONS = 2
EXTENT = 8
"""Length of each of the two spatial axes where windows may pass over them."""

LARGE_EXTENT = 32
"""From here on a few samples are enough, which hold many windows."""

ENDS = (1.0, 30.0, 300.0, DOMAIN.upper)
LENGTHS = {"class": 5, "feature": 6, "coord": 4, "channel": 2, "component": 4}
SCALES = (0.1, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 8.0)
"""How far predictions spread, sample by sample: from undecided to certain."""

RATIO_SPREAD = 3.0
"""Standard deviation of the logarithm of what spans more than other inputs, such as signal-to-noise ratios."""

PROBED_PROGRESS = 0.37
"""No share that a formula is likely to have as a constant, so that a schedule is not taken for a fixed mixture."""

PROBED_NOISE = 0.29
"""Likewise no constant that formulas have."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ProbeInputs:
    """Inputs in float64, laid out as interpreted graphs take them: spatial axes as one.

    Attributes:
        values: every input of the signature by name; predictions require gradients.
        predictions: their names.
        shape: lengths of the spatial axes.
        paired: whether sample i + half has the predictions of sample i and another target.
        others: the same predictions, as the same tensors, with other targets; None where there are no targets, or
            pairs show the same.
        ends: in float32, predictions at the ends of their domain.
    """

    values: dict[str, Tensor]
    predictions: tuple[str, ...]
    shape: tuple[int, ...]
    paired: bool
    others: dict[str, Tensor] | None
    ends: tuple[dict[str, Tensor], ...]

    @property
    def leaves(self) -> list[Tensor]:
        """The predictions."""
        return [self.values[name] for name in self.predictions]

    def scaled(self, factor: float) -> Self:
        """Predictions times a factor of at most one, with which they stay in their domains."""
        changed = {
            name: (value.detach() * factor).requires_grad_() if name in self.predictions else value
            for name, value in self.values.items()
        }
        return type(self)(changed, self.predictions, self.shape, False, None, ())


def labelled_inputs(signature: Signature, classes: int) -> ProbeInputs:
    """Class scores from undecided to certain, in pairs with different labels.

    Args:
        signature: with `labelled_scores`.
        classes: how many.
    """
    assert signature.labelled_scores is not None
    scores, labelled = signature.labelled_scores
    half = np.random.Generator(np.random.Philox(key=20201)).normal(size=(SAMPLES // 2, classes, POSITIONS))
    logits = np.tile(half * np.array(SCALES)[:, None, None], (2, 1, 1))
    stride = next(prime for prime in (7, 11, 13, 17) if classes % prime)  # so that every class has its turn
    labels = (np.arange(SAMPLES * POSITIONS).reshape(SAMPLES, POSITIONS) * stride + 3) % classes
    labels[SAMPLES // 2 :] = (labels[: SAMPLES // 2] + 1 + np.arange(POSITIONS) % (classes - 1)) % classes
    target = torch.nn.functional.one_hot(torch.from_numpy(labels), classes).movedim(-1, 1).double()
    if "space" not in scores.axes:
        logits, target = np.ascontiguousarray(logits[..., 0]), target[..., 0].contiguous()
    predicted = torch.from_numpy(logits)
    buffers = _buffers(signature, classes)
    signs = predicted[:4].sign()
    ends = torch.cat([signs * end for end in (*ENDS, 0.0)]).float()
    end = {
        scores.name: ends.requires_grad_(),
        labelled.name: torch.cat((target, target))[: len(ends)].float(),
        **{name: value.float() if value.is_floating_point() else value for name, value in buffers.items()},
    }
    values = {scores.name: predicted.requires_grad_(), labelled.name: target, **buffers}
    return ProbeInputs(values, (scores.name,), (POSITIONS,), True, None, (end,))


def _buffers(signature: Signature, classes: int) -> dict[str, Tensor]:
    """What losses of class scores are made with; of other than the usual buffers a draw from their domain."""
    known = {
        CLASS_WEIGHT_INPUT: torch.linspace(0.5, 1.5, classes, dtype=torch.float64),
        CLASS_COUNT_INPUT: torch.linspace(1000.0, 10.0, classes, dtype=torch.float64),
        NOISE_RATE_INPUT: torch.tensor(PROBED_NOISE, dtype=torch.float64),
        PROGRESS: torch.tensor(PROBED_PROGRESS, dtype=torch.float64),
    }
    draw = _Draw((POSITIONS,), SAMPLES, {**LENGTHS, "class": classes})
    return {
        one.name: known[one] if one in known else torch.from_numpy(np.asarray(draw.of(one)))
        for one in signature.buffers
    }


def declared_inputs(signature: Signature, extent: int = 0, lengths: Mapping[str, int] = LENGTHS) -> ProbeInputs:
    """Inputs of any signature, within the domains that it declares.

    Args:
        signature: whose inputs to draw.
        extent: how long each spatial axis must be at least, for windows to fit.
        lengths: of the other axes, without the batch.
    """
    windows = any({"channel", "space"} <= set(declared.axes) for declared in signature.inputs)
    shape = (max(EXTENT, extent),) * 2 if windows or extent else (POSITIONS,)
    draw = _Draw(shape, SAMPLES if max(shape) < LARGE_EXTENT else 4, lengths)
    predicted = [declared for declared in signature.inputs if declared.role == "prediction"]
    targets = [declared for declared in signature.inputs if declared.role == "target"]
    others = [declared for declared in signature.inputs if declared not in targets and declared is not PROGRESS]
    arrays = {declared.name: draw.of(declared) for declared in others}
    arrays[PROGRESS.name] = np.array(PROBED_PROGRESS)

    def drawn(target: Input) -> Array:
        """A target; images are near those predicted, since unrelated ones have no structure in common."""
        near = [arrays[declared.name] for declared in predicted if windows and declared.axes == target.axes]
        return draw.of(target) + near[0] if near else draw.of(target)

    arrays.update({declared.name: drawn(declared) for declared in targets})
    redrawn = {declared.name: torch.from_numpy(drawn(declared)) for declared in targets}
    predictions = tuple(declared.name for declared in predicted)
    values = {name: torch.from_numpy(array).requires_grad_(name in predictions) for name, array in arrays.items()}
    ends = tuple(_end(signature, arrays, size) for size in (*ENDS, 0.0))
    return ProbeInputs(values, predictions, shape, False, {**values, **redrawn} if targets else None, ends)


def _end(signature: Signature, arrays: dict[str, Array], size: float) -> dict[str, Tensor]:
    """Predictions of this size, or as near to it as their domains allow; boxes are enlarged as a whole."""
    found: dict[str, Tensor] = {}
    for declared in signature.inputs:
        array, prediction = arrays[declared.name], declared.role == "prediction"
        if prediction:
            unit = array / np.abs(array).max() if "coord" in declared.axes else np.sign(array)
            array = np.clip(size * unit, *declared.domain)
        value = torch.from_numpy(array)
        found[declared.name] = value.float().requires_grad_(prediction) if value.is_floating_point() else value
    return found


class _Draw:
    """Draws inputs one after the other, each with numbers of its own."""

    def __init__(self, shape: tuple[int, ...], samples: int, lengths: Mapping[str, int]) -> None:
        self._random = np.random.Generator(np.random.Philox(key=20203))
        self._lengths = {**lengths, "batch": samples, "space": int(np.prod(shape))}

    def of(self, declared: Input) -> Array:
        """An input by its domain."""
        if "coord" in declared.axes:
            return self._boxes()
        size = self._size(declared.axes)
        lower, upper = declared.domain
        if declared.kind == "index":
            return self._random.permutation(size[0]) // 2  # in pairs
        if declared.labels:
            labels = self._random.integers(size[1], size=(size[0], *size[2:]))
            return np.moveaxis(np.eye(size[1])[labels], -1, 1)
        if len(declared.axes) == 2 and declared.axes[1] == f"{declared.axes[0]}'":
            factor = self._random.normal(size=size)
            return factor @ factor.T / size[0] + np.eye(size[0])
        if declared.role == "prediction" and lower < 0.0 and upper > 1.0:
            scales = np.resize(SCALES, size[0]).reshape(-1, *[1] * (len(size) - 1))
            return self._random.normal(size=size) * scales
        if upper <= 1.0:  # shares, indicators and cosines
            uniform = self._random.uniform(lower, upper, size=size)
            return uniform if declared.role != "target" else np.where(uniform < (lower + upper) / 2.0, lower, upper)
        normal = self._random.normal(size=size)
        if lower < 0.0:
            return normal
        return lower + np.exp(normal if upper <= DOMAIN.upper else RATIO_SPREAD * normal)

    def _boxes(self) -> Array:
        """Boxes as x1, y1, x2, y2 near the origin, where most overlap some other."""
        corner = self._random.uniform(-2.0, 2.0, size=(self._lengths["batch"], 2))
        return np.concatenate([corner, corner + self._random.uniform(1.0, 5.0, size=corner.shape)], 1)

    def _size(self, axes: Iterable[str]) -> tuple[int, ...]:
        return tuple(self._lengths[axis.rstrip("'")] for axis in axes)
