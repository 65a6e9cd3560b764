"""Class weights as PyTorch's losses of classes have them, against PyTorch's own value and gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch import load
from lossearch.compile.export.standalone import class_name, standalone
from lossearch.compile.torchscript import load_class

from .harness import close, value_and_gradient
from .test_torch_options import IGNORED, IMAGE_LABELS, IMAGES, LABELS, LOGITS, SOFT, drawn

WEIGHTS = (0.2, 3.0, 0.0, 2e4)
SOFT_IMAGES = drawn(2, 4, 3, 2, seed=8).softmax(1)
SOME_IGNORED = IMAGE_LABELS.masked_fill(IMAGE_LABELS == 1, -100)

Torch = Callable[..., Tensor]


def _focal(logits: Tensor, target: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """The expectation of the weighted loss over labels that are drawn from the target."""
    log_p = F.log_softmax(logits, 1)
    loss = (target * weight * (1 - log_p.exp()) ** 2 * -log_p).sum(1)
    return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]


def _brier(logits: Tensor, target: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """Each element times the mean weight of its labels."""
    loss = (target * weight).sum(1) * (logits.softmax(1) - target).square().sum(1)
    return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]


def _smoothed(x: Tensor, y: Tensor, weight: Tensor, reduction: str) -> Tensor:
    return F.cross_entropy(x, y, weight, reduction=reduction, label_smoothing=0.3)


def _hinge(x: Tensor, y: Tensor, weight: Tensor, reduction: str) -> Tensor:
    return F.multi_margin_loss(x, y, weight=weight, reduction=reduction)


def _squared_hinge(x: Tensor, y: Tensor, weight: Tensor, reduction: str) -> Tensor:
    return F.multi_margin_loss(x, y, p=2, margin=0.7, weight=weight, reduction=reduction)


ROWS: dict[str, tuple[str, Torch, tuple[Tensor, Tensor]]] = {
    "labels": ("cross_entropy", F.cross_entropy, (LOGITS, LABELS)),
    "labels ignored": ("cross_entropy", F.cross_entropy, (LOGITS, IGNORED)),
    "soft targets": ("cross_entropy", F.cross_entropy, (LOGITS, SOFT)),
    "soft images": ("cross_entropy", F.cross_entropy, (IMAGES, SOFT_IMAGES)),
    "one element": ("cross_entropy", F.cross_entropy, (LOGITS[0], LABELS[0])),
    "smoothed labels": ("label_smoothing_cross_entropy(smoothing=0.3)", _smoothed, (LOGITS, LABELS)),
    "smoothed labels ignored": ("label_smoothing_cross_entropy(smoothing=0.3)", _smoothed, (LOGITS, IGNORED)),
    "smoothed images ignored": ("cross_entropy(label_smoothing=0.3)", _smoothed, (IMAGES, SOME_IGNORED)),
    "smoothed soft targets": ("cross_entropy(label_smoothing=0.3)", _smoothed, (LOGITS, SOFT)),
    "hinge": ("hinge", _hinge, (LOGITS, LABELS)),
    "squared hinge": ("hinge(margin=0.7, p=2)", _squared_hinge, (LOGITS, LABELS)),
    "focal loss of soft targets": ("focal", _focal, (LOGITS, SOFT)),
    "Brier score of soft targets": ("brier", _brier, (LOGITS, SOFT)),
}


def test_the_key_is_that_of_pytorch() -> None:
    weight = torch.tensor(WEIGHTS)
    own = load("cross_entropy").to_module(weight=torch.ones(4))
    own.load_state_dict(torch.nn.CrossEntropyLoss(weight).state_dict())
    close(own.state_dict()["weight"], weight)
    assert set(own.state_dict()) == {"weight"}
    made = load_class(standalone(load("focal")), "FocalLoss")(weight=weight)
    assert set(made.state_dict()) == {"weight"}
    own.load_state_dict({"class_weight": 2 * weight})  # as it was called before
    close(own.state_dict()["weight"], 2 * weight)


@pytest.mark.parametrize(("loss", "reference", "inputs"), ROWS.values(), ids=ROWS.keys())
def test_as_pytorch(loss: str, reference: Torch, inputs: tuple[Tensor, Tensor]) -> None:
    weight = torch.tensor(WEIGHTS, dtype=torch.float64)
    ours = load(loss)
    made = load_class(standalone(ours), class_name(ours.name))
    for reduction in ("none", "mean", "sum"):
        expected, (gradient,) = value_and_gradient(
            lambda x, y, r=reduction: reference(x, y, weight, reduction=r), inputs
        )
        for module in (ours.to_module(weight=weight, reduction=reduction), made(weight=weight, reduction=reduction)):
            found, (own,) = value_and_gradient(module, inputs)
            close(found, expected)
            close(own, gradient)
