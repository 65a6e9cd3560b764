"""Inputs for the oracle tests, by signature: float64, from fixed seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """One batch: every input in the order of `forward`, and the target as labels where it has that form.

    `differentiable` is false at a kink, where an oracle may choose another subgradient. `buffers` are what the module
    takes at construction.
    """

    name: str
    inputs: tuple[Tensor, ...]
    labels: Tensor | None = None
    differentiable: bool = True
    buffers: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def prediction(self) -> Tensor:
        return self.inputs[0]

    @property
    def target(self) -> Tensor:
        return self.inputs[1]


def _pair(
    name: str, prediction: Tensor, target: Tensor, labels: Tensor | None = None, differentiable: bool = True
) -> Sample:
    return Sample(name, (prediction, target), labels, differentiable)


DENSE_SHAPES = {
    "0-D": (7, 5),
    "one element": (1, 3),
    "two classes": (6, 2),
    "1-D": (3, 4, 6),
    "2-D": (2, 3, 4, 5),
    "3-D": (2, 4, 2, 3, 2),
}


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    return F.one_hot(labels, classes).movedim(-1, 1).double()


def _labelled(name: str, logits: Tensor, labels: Tensor, differentiable: bool = True) -> Sample:
    return _pair(name, logits, _one_hot(labels, logits.shape[1]), labels, differentiable)


def _counted(sample: Sample) -> Sample:
    """With how many elements each class has: from many to one."""
    counts = torch.logspace(3.0, 0.0, sample.prediction.shape[1], dtype=torch.float64).round()
    return replace(sample, buffers={"class_count": counts})


def dense() -> list[Sample]:
    """Labels and soft targets over every rank, confident predictions, masks of one class, empty batches."""
    generator = torch.Generator().manual_seed(0)

    def logits(*shape: int) -> Tensor:
        return 3.0 * torch.randn(shape, generator=generator, dtype=torch.float64)

    def labels(batch: int, classes: int, *space: int) -> Tensor:
        return torch.randint(classes, (batch, *space), generator=generator)

    samples = [_labelled(f"labels {name}", logits(*shape), labels(*shape)) for name, shape in DENSE_SHAPES.items()]
    samples += [
        _pair(f"soft {name}", logits(*shape), torch.softmax(logits(*shape), 1)) for name, shape in DENSE_SHAPES.items()
    ]
    confident = 5.0 * _one_hot(labels(8, 4), 4)
    samples += [
        _labelled("right", confident + 0.3 * logits(8, 4), confident.argmax(1)),
        _labelled("wrong", confident + 0.3 * logits(8, 4), (confident.argmax(1) + 1) % 4),
        _labelled("all background", logits(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64)),
        _labelled("all foreground", logits(2, 3, 4, 4), torch.full((2, 4, 4), 2)),
    ]
    return [_counted(sample) for sample in samples]


def empty_dense() -> list[Sample]:
    """Batches without elements."""
    shapes = ((0, 5), (0, 3, 4, 4))
    return [
        _counted(_labelled(f"empty {len(s) - 2}-D", torch.zeros(s).double(), torch.zeros(s[0], *s[2:]).long()))
        for s in shapes
    ]


def extreme_dense() -> list[Sample]:
    """Logits up to ±1e4, right and wrong, tied, and zero."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(4, (6, 5), generator=generator)
    spread = torch.randn(6, 4, 5, generator=generator, dtype=torch.float64)
    predictions = {
        "signs": 1e4 * spread.sign(),
        "spread": (1e4 * spread).clamp(-1e4, 1e4),
        "right": 1e4 * (2.0 * _one_hot(labels, 4) - 1.0),
        "wrong": 1e4 * (1.0 - 2.0 * _one_hot(labels, 4)),
        "high ties": torch.full((6, 4, 5), 1e4).double(),
        "low ties": torch.full((6, 4, 5), -1e4).double(),
        "zero": torch.zeros(6, 4, 5).double(),
        "nearly right": 17.0 * _one_hot(labels, 4),
    }
    samples = [_counted(_labelled(name, logits, labels)) for name, logits in predictions.items()]
    return samples + [_counted(_pair(f"{s.name}, soft", s.prediction, torch.softmax(spread, 1))) for s in samples]


def box() -> list[Sample]:
    """Overlapping, disjoint, nested, identical, touching and zero-area boxes as x1, y1, x2, y2."""
    generator = torch.Generator().manual_seed(2)

    def boxes(count: int, at: float = 0.0) -> Tensor:
        corner = 4.0 * torch.rand(count, 2, generator=generator, dtype=torch.float64) + at
        sides = 1.0 + 4.0 * torch.rand(count, 2, generator=generator, dtype=torch.float64)
        return torch.cat([corner, corner + sides], 1)

    def fixed(*rows: list[float]) -> Tensor:
        return torch.tensor(rows, dtype=torch.float64)

    some, inside = boxes(5), torch.tensor([0.25, 0.25, -0.25, -0.25], dtype=torch.float64)
    return [
        _pair("random", boxes(16), boxes(16)),
        _pair("one element", boxes(1), boxes(1)),
        _pair("disjoint", boxes(8), boxes(8, at=50.0)),
        _pair("nested", some + inside, some),
        _pair("far from the origin", some + 5000.0, some + 5000.5),
        _pair("small", 1e-4 * boxes(4), 1e-4 * boxes(4), differentiable=False),
        _pair("identical", some, some.clone(), differentiable=False),
        _pair("touching", fixed([0, 0, 1, 1]), fixed([1, 0, 2, 1]), differentiable=False),
        _pair("zero area", fixed([1, 1, 1, 1], [0, 0, 0, 2]), fixed([0, 0, 2, 2], [0, 0, 2, 2]), differentiable=False),
        _pair("both zero area", fixed([1, 1, 1, 1]), fixed([1, 1, 1, 1]), differentiable=False),
        _pair("two zero areas apart", fixed([1, 1, 1, 1]), fixed([3, 2, 3, 2]), differentiable=False),
    ]


def empty_box() -> list[Sample]:
    """A batch without boxes."""
    return [_pair("empty", torch.zeros(0, 4).double(), torch.zeros(0, 4).double())]


def extreme_box() -> list[Sample]:
    """Corners at ±1e4, empty and inverted predictions, slivers, and every kink."""
    whole = torch.tensor([[-1e4, -1e4, 1e4, 1e4]], dtype=torch.float64)
    point = torch.tensor([[1e4, -1e4, 1e4, -1e4]], dtype=torch.float64)
    sliver = torch.tensor([[0.0, -1e4, 1e-30, 1e4]], dtype=torch.float64)
    inverted = torch.tensor([[1e4, 1e4, -1e4, -1e4]], dtype=torch.float64)
    named = {"whole": whole, "point": point, "sliver": sliver, "inverted": inverted}
    pairs = [_pair(f"{a}, {b}", x, y) for a, x in named.items() for b, y in named.items() if b != "inverted"]
    return pairs + box()


def margin() -> list[Sample]:
    """Cosines over the whole range, the far side of π - m included."""
    generator = torch.Generator().manual_seed(3)

    def cosines(*shape: int) -> Tensor:
        return 1.9 * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.95

    labels = torch.randint(5, (9,), generator=generator)
    opposite = torch.where(_one_hot(labels, 5) > 0, -0.99 * torch.ones(9, 5, dtype=torch.float64), cosines(9, 5))
    return [
        _labelled("random", cosines(9, 5), labels),
        _labelled("one element", cosines(1, 3), torch.tensor([2])),
        _labelled("opposite", opposite, labels),
        _labelled("aligned", -opposite, labels),
    ]


def empty_margin() -> list[Sample]:
    """A batch without elements."""
    return [_labelled("empty", torch.zeros(0, 5).double(), torch.zeros(0, dtype=torch.int64))]


def extreme_margin() -> list[Sample]:
    """Cosines at and just inside ±1."""
    labels = torch.arange(4)
    ones = torch.ones(4, 4, dtype=torch.float64)
    values = {"one": 1.0, "minus one": -1.0, "zero": 0.0, "nearly one": 1.0 - 6e-8, "nearly minus one": -1.0 + 6e-8}
    return [_labelled(name, value * ones, labels) for name, value in values.items()]


FEATURE_SHAPES = {"0-D": (3, 4), "one element": (1, 2, 3), "2-D": (2, 5, 4, 3), "3-D": (2, 3, 2, 3, 2)}


def features() -> list[Sample]:
    """Feature maps of every rank, and equal ones."""
    generator = torch.Generator().manual_seed(4)

    def maps(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    same = maps(2, 3, 4, 4)
    pairs = [_pair(name, maps(*shape), maps(*shape)) for name, shape in FEATURE_SHAPES.items()]
    return [*pairs, _pair("equal", same, same.clone())]


def empty_features() -> list[Sample]:
    """A batch without images."""
    return [_pair("empty", torch.zeros(0, 3, 4, 4).double(), torch.zeros(0, 3, 4, 4).double())]


def extreme_features() -> list[Sample]:
    """Feature maps at ±1e4 and zero."""
    ones = torch.ones(2, 3, 4, 4, dtype=torch.float64)
    levels = {"high": 1e4, "low": -1e4, "zero": 0.0}
    return [_pair(f"{a}, {b}", x * ones, y * ones) for a, x in levels.items() for b, y in levels.items()]


Samples = Callable[[], list[Sample]]
ORDINARY: dict[str, Samples] = {"dense": dense, "box": box, "margin": margin, "features": features}
EMPTY: dict[str, Samples] = {
    "dense": empty_dense,
    "box": empty_box,
    "margin": empty_margin,
    "features": empty_features,
}
EXTREME: dict[str, Samples] = {
    "dense": extreme_dense,
    "box": extreme_box,
    "margin": extreme_margin,
    "features": extreme_features,
}
