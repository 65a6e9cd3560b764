"""Calls as PyTorch's losses take them, against PyTorch's own value and gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossearch import load
from lossearch.compile.export.standalone import class_name, standalone
from lossearch.compile.torchscript import load_class
from lossearch.errors import UserError

from .harness import close, value_and_gradient
from .test_torch_options import drawn


@dataclass(frozen=True)
class Row:
    """A loss of ours, PyTorch's, and what both are given."""

    loss: str
    torch: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]

    def modules(self, reduction: str) -> list[nn.Module]:
        """The module, and the one of an exported file, which leaves integers of one class to its reader."""
        loss = load(self.loss)
        own = loss.to_module(reduction=reduction)
        if self.loss.startswith("binary") and not self.inputs[1].is_floating_point():
            return [own]
        return [own, load_class(standalone(loss, reduction), class_name(loss.name))()]


def box_giou(boxes: Tensor, target: Tensor, reduction: str) -> Tensor:
    """torchvision's, written out."""
    a, b = boxes, target.to(boxes.dtype) if boxes.is_floating_point() else target.double()
    area = [(x[..., 2] - x[..., 0]) * (x[..., 3] - x[..., 1]) for x in (a, b)]
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0)
    outer = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    common, around = inner.prod(-1), outer.prod(-1)
    union = area[0] + area[1] - common
    loss = 1 - (common / union - (around - union) / around)
    return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]


CORNERS = drawn(2, 3, 2, seed=1).abs()
BOXES = torch.cat([CORNERS, CORNERS + 0.5 + drawn(2, 3, 2, seed=2).abs()], -1)
WHOLE = torch.tensor([[[0, 0, 2, 3], [1, 1, 4, 2], [0, 1, 1, 3]]] * 2)
SIGNS = torch.tensor([[1, -1, 1], [-1, -1, 1]])
MASK = torch.tensor([True, False, True, True])

CALLS = {
    "one element of scores and a label": Row("cross_entropy", F.cross_entropy, (drawn(5), torch.tensor(3))),
    "one element of scores and probabilities": Row("cross_entropy", F.cross_entropy, (drawn(5), drawn(5).softmax(0))),
    "one element, hinge": Row("hinge", F.multi_margin_loss, (drawn(5), torch.tensor(1))),
    "squared hinge": Row("hinge(p=2)", partial(F.multi_margin_loss, p=2), (drawn(4, 5), torch.tensor([1, 0, 4, 1]))),
    "largest difference": Row(
        "triplet(p=inf)",
        partial(F.triplet_margin_loss, p=math.inf, eps=0.0),
        (drawn(4, 5), drawn(4, 5, seed=1), drawn(4, 5, seed=2)),
    ),
    "scores of one class": Row(
        "binary_cross_entropy", F.binary_cross_entropy_with_logits, (drawn(6), drawn(6).sigmoid())
    ),
    "scores of one class, weighed": Row(
        "binary_cross_entropy(pos_weight=3)",
        lambda x, y, reduction: F.binary_cross_entropy_with_logits(
            x, y, pos_weight=torch.tensor(3.0), reduction=reduction
        ),
        (drawn(6), drawn(6).sigmoid()),
    ),
    "a mask of one class": Row(
        "binary_cross_entropy",
        lambda x, y, reduction: F.binary_cross_entropy_with_logits(x, y.double(), reduction=reduction),
        (drawn(4), MASK),
    ),
    "integers of one class": Row(
        "binary_cross_entropy",
        lambda x, y, reduction: F.binary_cross_entropy_with_logits(x, y.double(), reduction=reduction),
        (drawn(4), MASK.to(torch.uint8)),
    ),
    "boxes with two axes in front": Row("giou", box_giou, (BOXES, BOXES.flip(1))),
    "one box": Row("giou", box_giou, (BOXES[0, 0], BOXES[1, 2])),
    "boxes and integer boxes": Row("giou", box_giou, (BOXES, WHOLE)),
    "ranking with two axes": Row(
        "margin_ranking(margin=0)", F.margin_ranking_loss, (drawn(2, 3), drawn(2, 3, seed=1), SIGNS)
    ),
    "ranking of one pair": Row(
        "margin_ranking(margin=0)", F.margin_ranking_loss, (drawn(), drawn(seed=1), torch.tensor(1))
    ),
    "integer targets of squares": Row("mse", F.mse_loss, (drawn(2, 3), SIGNS)),
    "a mask as target of absolutes": Row(
        "mae", lambda x, y, reduction: F.l1_loss(x, y.double(), reduction=reduction), (drawn(4), MASK)
    ),
    "one number": Row("huber", F.huber_loss, (drawn(), drawn(seed=1))),
    "one triplet": Row(
        "triplet", lambda *x, reduction: F.triplet_margin_loss(*x, eps=0.0, reduction=reduction), tuple(drawn(3, 7))
    ),
    "triplets with two axes": Row(
        "triplet",
        lambda *x, reduction: F.triplet_margin_loss(*x, eps=0.0, reduction=reduction),
        tuple(drawn(3, 2, 4, 7)),
    ),
}


@pytest.mark.parametrize("row", CALLS.values(), ids=CALLS.keys())
def test_as_pytorch(row: Row) -> None:
    for reduction in ("none", "mean", "sum"):
        expected, (gradient,) = value_and_gradient(
            lambda *x, reduction=reduction: row.torch(*x, reduction=reduction), row.inputs
        )
        for module in row.modules(reduction):
            for _ in range(2):  # the second call finds what the first one has made
                found, (own,) = value_and_gradient(module, row.inputs)
                assert found.shape == expected.shape
                close(found, expected)
                close(own, gradient)


def test_check_takes_the_same_calls() -> None:
    for row in CALLS.values():
        load(row.loss).to_module().check(*row.inputs)


def test_files_refuse_axes_in_front_that_do_not_agree() -> None:
    giou = load_class(standalone(load("giou")), "GiouLoss")()
    with pytest.raises(ValueError, match=r"target must have shape .* in front, not"):
        giou(BOXES, BOXES[0])
    ranking = load_class(standalone(load("margin_ranking")), "MarginRankingLoss")()
    with pytest.raises(ValueError, match="target must be of numbers, not a mask"):
        ranking(drawn(3), drawn(3), MASK[:3])


def test_inputs_by_name() -> None:
    x, y = drawn(4, 3), torch.tensor([0, 2, 1, 1])
    module = load("cross_entropy").to_module()
    expected = F.cross_entropy(x, y)
    close(module(x, target=y), expected)
    close(module(input=x, target=y), expected)
    close(module(target=y, logits=x), expected)
    module.check(x, target=y)
    a, b, t = drawn(4), drawn(4, seed=1), torch.tensor([1, -1, 1, 1])
    close(load("margin_ranking(margin=0)").to_module()(input1=a, input2=b, target=t), F.margin_ranking_loss(a, b, t))
    close(
        load("gaussian_nll").to_module()(a, target=b, var=b.square()),
        F.gaussian_nll_loss(a, b, b.square()),
    )


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"labels": 0}, "inputs among logits, target; found: labels"),
        ({"input": 0}, "logits once; found: twice"),
        ({}, "2 inputs"),
    ],
)
def test_a_wrong_name_is_named(named: dict[str, int], message: str) -> None:
    x, y = drawn(4, 3), torch.tensor([0, 2, 1, 1])
    with pytest.raises(UserError, match=message):
        load("cross_entropy").to_module()(x, **dict.fromkeys(named, y))


def test_weights_of_elements_with_several_axes() -> None:
    weight = torch.rand(2, 3, dtype=torch.float64)
    expected = (weight * box_giou(BOXES, WHOLE, "none")).sum() / weight.sum()
    close(load("giou").to_module()(BOXES, WHOLE, sample_weight=weight), expected)


@pytest.mark.parametrize(
    ("loss", "inputs", "message"),
    [
        ("giou", (BOXES, BOXES[0]), "required: boxes"),
        ("margin_ranking", (drawn(3), drawn(3), MASK[:3]), "give 1 and -1"),
        ("mse", (torch.arange(3), drawn(3)), "prediction of a floating dtype; found: torch.int64"),
        ("cross_entropy", (drawn(3), drawn(2).softmax(0)), "logits"),
        ("nt_xent", (drawn(3), drawn(3)), "anchor"),
    ],
)
def test_what_has_no_meaning_is_refused(loss: str, inputs: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(loss).to_module()(*inputs)
