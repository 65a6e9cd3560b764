"""Class weights of cross-entropy, against PyTorch's own for every reduction and form of target."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch import zoo

from .harness import BACKENDS, close, value_and_gradient
from .samples import Sample, dense, extreme_dense

REDUCTIONS = ("none", "mean", "sum")


def weights(classes: int, smallest: float = 0.2) -> Tensor:
    return torch.linspace(smallest, 3.0, classes, dtype=torch.float64)


WEIGHTED = [
    pytest.param(sample, smallest, id=f"{sample.name}, {smallest}")
    for sample in dense()
    for smallest in (0.2, 0.0)
    if (sample.target.movedim(1, -1) @ weights(sample.prediction.shape[1], smallest)).any()
]
"""A batch in which no weight is left has a test of its own."""


def module(backend: str, reduction: str, weight: Tensor, **options: int) -> torch.nn.Module:
    built = zoo.get("weighted_cross_entropy").to_module(backend, reduction=reduction, weight=weight, **options)
    return built.double()


def reference(logits: Tensor, target: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """PyTorch's; but the mean over soft targets divides by the elements' weights, as its mean over labels does."""
    if reduction == "mean" and target.is_floating_point():
        total = F.cross_entropy(logits, target, weight=weight, reduction="sum")
        return total / (target.movedim(1, -1) @ weight).sum()
    return F.cross_entropy(logits, target, weight=weight, reduction=reduction)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("sample", "smallest"), WEIGHTED)
def test_equals_pytorch(sample: Sample, smallest: float, reduction: str, backend: str) -> None:
    weight = weights(sample.prediction.shape[1], smallest)
    own = module(backend, reduction, weight)
    target = sample.target if sample.labels is None else sample.labels
    expected = value_and_gradient(lambda x, t: reference(x, t, weight, reduction), (sample.prediction, target))
    found = value_and_gradient(own, (sample.prediction, target))
    close(found[0], expected[0])
    close(found[1][0], expected[1][0])
    if sample.labels is not None:
        one_hot = value_and_gradient(own, sample.inputs)
        close(one_hot[0], expected[0])
        close(one_hot[1][0], expected[1][0])


def test_weights_may_be_of_any_size() -> None:
    sample = next(sample for sample in dense() if sample.name == "labels 2-D")
    assert sample.labels is not None
    for scale in (1e-9, 1e6):
        weight = scale * weights(sample.prediction.shape[1])
        for name in ("cross_entropy", "weighted_cross_entropy"):
            own = zoo.get(name).to_module(weight=weight).double()
            close(own(sample.prediction, sample.labels), F.cross_entropy(sample.prediction, sample.labels, weight))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ignored_labels_leave_the_mean(reduction: str) -> None:
    sample = next(sample for sample in dense() if sample.name == "labels 2-D")
    assert sample.labels is not None
    labels = torch.where(
        torch.rand(sample.labels.shape, generator=torch.Generator().manual_seed(5)) < 0.3, 255, sample.labels
    )
    weight = weights(sample.prediction.shape[1])
    own = module("eager", reduction, weight, ignore_index=255)
    expected = F.cross_entropy(sample.prediction, labels, weight=weight, reduction=reduction, ignore_index=255)
    close(own(sample.prediction, labels), expected)


def test_a_batch_without_weight_has_loss_zero_and_no_gradient() -> None:
    logits = torch.randn(4, 3, requires_grad=True, generator=torch.Generator().manual_seed(6))
    loss = module("eager", "mean", weights(3, 0.0))(logits, torch.zeros(4, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("sample", extreme_dense(), ids=lambda sample: sample.name)
def test_finite_in_float32(sample: Sample) -> None:
    for smallest in (0.0, 1e-20, 0.2):
        own = module("torchscript", "none", weights(4, smallest)).float()
        target = sample.target.float() if sample.labels is None else sample.labels
        value, gradient = value_and_gradient(own, (sample.prediction.float(), target))
        assert value.isfinite().all()
        assert gradient[0].isfinite().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_boundary_weighted_cross_entropy_takes_them_as_pytorch_or_as_the_paper(backend: str) -> None:
    """Equation 2 of Ronneberger et al. adds the class's weight; `weight` alone is the weight of each element."""
    sample = next(sample for sample in dense() if sample.name == "labels 2-D")
    assert sample.labels is not None
    weight = weights(sample.prediction.shape[1])
    distance = 9.0 * torch.rand(sample.labels.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    near, of_class = 10.0 * torch.exp(-(distance**2) / 50.0), weight[sample.labels]
    for balance, target in ((False, sample.labels), (True, sample.labels), (True, sample.target)):
        loss = zoo.get("boundary_weighted_cross_entropy", class_balance=balance)
        own = loss.to_module(backend, weight=weight).double()

        def expected(logits: Tensor, balance: bool = balance) -> Tensor:
            elements = F.cross_entropy(logits, sample.target, reduction="none")
            if balance:
                return ((of_class + near) * elements).mean()
            return (of_class * (1 + near) * elements).sum() / of_class.sum()

        value, gradient = value_and_gradient(expected, (sample.prediction,))
        found = value_and_gradient(own, (sample.prediction, target, distance))
        close(found[0], value)
        close(found[1][0], gradient[0])
