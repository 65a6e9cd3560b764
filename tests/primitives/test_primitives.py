"""Every primitive against its definition in plain torch: value and gradient, in float64, on every backend."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch import primitives as pr
from lossearch.ir import OPERATORS, PRIMITIVES, Graph, get_signature
from lossearch.loss import Loss

from .newer_rows import BOXES, ROBUST
from .rows import MARGIN, Row
from .rows import ROWS as OLDER

ROWS = OLDER + ROBUST + BOXES


def inputs(signature: str) -> list[tuple[Tensor, Tensor]]:
    """A prediction and a target or several, float64, away from kinks."""
    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    if signature == "dense":
        shapes = ((5, 3), (2, 4, 3), (2, 3, 2, 4), (1, 2, 2, 1, 3))
        soft = [(2 * normal(*s), torch.softmax(normal(*s), 1)) for s in shapes]
        hard = [(x, F.one_hot(t.argmax(1), x.shape[1]).movedim(-1, 1).double()) for x, t in soft]
        return soft + hard
    if signature == "box":
        corner, sides = normal(12, 2), 1 + normal(12, 2).abs()
        shifted = corner + 0.7 * normal(12, 2)
        return [(torch.cat([corner, corner + sides], 1), torch.cat([shifted, shifted + 1.5], 1))]
    if signature == "margin":
        labels = torch.randint(5, (20,), generator=generator)
        return [(0.97 * torch.tanh(2 * normal(20, 5)), F.one_hot(labels, 5).double())]
    if signature in ("positives", "views"):
        return [(normal(*s), normal(*s)) for s in ((5, 3), (4, 6))]
    spatial = ((2, 3, 4), (1, 2, 3, 4 if signature == "image" else 2))
    fixed = [(5, 3)]  # where each axis is one dimension
    shapes = spatial if "space" in get_signature(signature).inputs[0].axes else fixed
    return [(normal(*s), normal(*s)) for s in shapes]


def module_of(row: Row, backend: str) -> Callable[[Tensor, Tensor], Tensor]:
    signature = get_signature(row.signature)
    prediction, target, *_ = signature.nodes().values()
    return Loss(row.name, Graph(signature, row.build(prediction, target))).to_module(backend, reduction="none")


@pytest.mark.parametrize("backend", ["eager", "torchscript"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_value_and_gradient(row: Row, backend: str) -> None:
    module = module_of(row, backend)
    for prediction, target in inputs(row.signature):
        leaf = prediction.requires_grad_()
        found, expected = module(leaf, target), row.formula(leaf, target)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)
        weights = torch.linspace(0.5, 1.5, found.numel(), dtype=torch.float64).reshape(found.shape)
        gradients = [torch.autograd.grad((value * weights).sum(), leaf)[0] for value in (found, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-9)


def test_every_primitive_has_a_formula() -> None:
    assert {row.name for row in ROWS} == set(pr.__all__) <= set(PRIMITIVES)


def test_each_family_is_the_file_it_is_in() -> None:
    for name in pr.__all__:
        body = OPERATORS[name].expand
        assert body is not None
        assert body.__module__ == f"lossearch.primitives.{OPERATORS[name].family}"


PROBABILITY = ("true_class_probability", "confidence", "runner_up_probability")


@pytest.mark.parametrize(
    ("name", "lower", "upper"),
    [
        *((name, 0.0, 1.0) for name in PROBABILITY),
        ("probability_margin", -1.0, 1.0),
        ("true_class_log_probability", -math.inf, 0.0),
        ("cross_entropy", 0.0, math.inf),
        ("entropy", 0.0, math.inf),
        ("generalized_cross_entropy", 0.0, 1 / 0.3),
        ("modulating_factor", 0.0, 1.0),
        ("soft_gate", 0.0, 1.0),
        ("soft_false_positives", 0.0, math.inf),
        ("soft_false_negatives", 0.0, math.inf),
        ("dice_coefficient", 0.0, math.inf),
        ("jaccard_index", 0.0, math.inf),
        ("box_union", 0.0, math.inf),
        ("box_iou", 0.0, math.inf),
        ("gram_difference", 0.0, math.inf),
        ("cosine_similarity", -1.0, 1.0),
        ("pairwise_cosine", -1.0, 1.0),
        ("pairwise_squared_distance", 0.0, math.inf),
        ("matching_cross_entropy", 0.0, math.inf),
        ("cross_correlation", -1.0, 1.0),
        ("map_divergence", 0.0, math.inf),
    ],
)
def test_the_type_bounds_the_value(name: str, lower: float, upper: float) -> None:
    row = next(row for row in ROWS if row.name == name)
    prediction, target, *_ = get_signature(row.signature).nodes().values()
    found = row.build(prediction, target).type.interval
    assert lower <= found.lower
    assert found.upper <= upper


def test_true_class_margins_only_lower_the_true_class() -> None:
    cosine = torch.linspace(-1, 1, 201, dtype=torch.float64)[:, None].expand(-1, 3)
    target = F.one_hot(torch.ones(201, dtype=torch.int64), 3).double()
    for row in MARGIN:
        found = module_of(row, "eager")(cosine, target)
        torch.testing.assert_close(found[:, [0, 2]], cosine[:, [0, 2]])
        assert (found[:, 1] <= cosine[:, 1] + 1e-6).all()
        assert (found[:, 1].diff() >= -1e-6).all(), "monotone in the cosine"
