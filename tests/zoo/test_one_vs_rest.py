"""Losses of each class against the rest: targets that are no distribution, one channel, and class weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from representative import representatives, thorough_unless
from torch import Tensor

from lossearch import zoo
from lossearch.compile.targets import class_by_class

from .cases import CASES
from .harness import BACKENDS, Case, Modules, check_derivatives, check_finite, check_oracle, close, value_and_gradient
from .samples import Sample, dense, extreme_dense

ROWS = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.id, marks=thorough_unless(case.name in representatives()))
        for case in CASES
        if class_by_class(case.loss.graph)
    ],
)


def multi_label() -> list[Sample]:
    """Several classes or none at each element, certain or not; one channel; nothing, or everything, there."""
    generator = torch.Generator().manual_seed(11)
    samples: list[Sample] = []
    for shape in ((5, 4), (6, 1), (1, 1), (2, 3, 4), (2, 1, 3, 2), (1, 2, 2, 2, 2)):
        logits = 3.0 * torch.randn(shape, generator=generator, dtype=torch.float64)
        share = torch.rand(shape, generator=generator, dtype=torch.float64)
        targets = {"labels": share.round(), "shares": share, "none": torch.zeros_like(share), "all": share * 0 + 1}
        samples += [Sample(f"{name} {shape}", (logits, target)) for name, target in targets.items()]
    return samples


@ROWS
def test_equals_oracle(case: Case) -> None:
    modules = [Modules(case, backend) for backend in BACKENDS]
    for sample in multi_label():
        check_oracle(modules, sample)


@ROWS
def test_derivatives(case: Case) -> None:
    modules = Modules(case, "torchscript")
    for sample in multi_label():
        if sample.prediction.numel() <= 8:
            check_derivatives(modules, sample)


@ROWS
def test_finite_in_float32(case: Case) -> None:
    modules = Modules(case, "torchscript")
    for sample in extreme_dense():
        for target in (torch.zeros_like(sample.target), torch.ones_like(sample.target)):
            check_finite(modules, Sample(sample.name, (sample.prediction, target)))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_class_weights_are_those_of_binary_cross_entropy(backend: str, reduction: str) -> None:
    for sample in multi_label() + dense():
        classes = sample.prediction.shape[1]
        weight = torch.linspace(0.2, 3.0, classes, dtype=torch.float64)
        along = weight.reshape(-1, *[1] * (sample.prediction.dim() - 2))

        def expected(x: Tensor, t: Tensor, along: Tensor = along) -> Tensor:
            return F.binary_cross_entropy_with_logits(x, t, weight=along, reduction=reduction)

        module = zoo.get("binary_cross_entropy").to_module(backend, reduction=reduction, weight=weight).double()
        (value, gradient), (wanted, wanted_gradient) = (
            value_and_gradient(function, sample.inputs) for function in (module, expected)
        )
        close(value, wanted)
        close(gradient[0], wanted_gradient[0])


def test_ignored_elements_leave_the_weighted_mean() -> None:
    sample = next(sample for sample in dense() if sample.name == "labels 2-D")
    assert sample.labels is not None
    kept = torch.rand(sample.labels.shape, generator=torch.Generator().manual_seed(12)) < 0.6
    weight = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    module = zoo.get("binary_cross_entropy").to_module("eager", weight=weight)
    rows = [x.movedim(1, -1)[kept] for x in sample.inputs]
    found = module(sample.prediction, sample.labels.masked_fill(~kept, -100))
    close(found, F.binary_cross_entropy_with_logits(rows[0], rows[1], weight=weight))


def test_labels_become_one_hot() -> None:
    sample = next(sample for sample in dense() if sample.name == "labels 2-D")
    assert sample.labels is not None
    module = zoo.get("binary_cross_entropy").to_module("eager", reduction="none")
    close(module(sample.prediction, sample.labels), module(*sample.inputs))
