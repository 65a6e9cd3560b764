"""Every hand-designed loss against its oracle, through the public module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
from torch import Tensor

from lossearch import zoo

from .cases import CASES
from .harness import BACKENDS, Case, check_derivatives, check_empty, check_finite, check_ignored, check_oracle
from .samples import EMPTY, EXTREME, ORDINARY, Sample

SEPARATE = {"weighted_cross_entropy"}
"""Losses with a test file of their own, because they take more than prediction and target."""


def rows(
    kind: Mapping[str, Callable[[], list[Sample]]],
    fits: Callable[[Sample], bool] = lambda sample: True,
    cases: Sequence[Case] = CASES,
) -> pytest.MarkDecorator:
    """One test per case and fitting sample."""
    found = [
        pytest.param(case, sample, id=f"{case.id}-{sample.name}")
        for case in cases
        for sample in case.samples(kind)
        if fits(sample)
    ]
    return pytest.mark.parametrize(("case", "sample"), found)


def unused(*inputs: Tensor) -> Tensor:
    raise AssertionError("these cases are not compared with an oracle")


def test_every_loss_has_a_row() -> None:
    assert {case.name for case in CASES} | SEPARATE == set(zoo.names())


@pytest.mark.parametrize("backend", BACKENDS)
@rows(ORDINARY)
def test_equals_oracle(case: Case, sample: Sample, backend: str) -> None:
    check_oracle(case, sample, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@rows(EXTREME)
def test_finite_in_float32(case: Case, sample: Sample, backend: str) -> None:
    check_finite(case, sample, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@rows(EMPTY)
def test_empty_batch(case: Case, sample: Sample, backend: str) -> None:
    check_empty(case, sample, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@rows(ORDINARY, lambda sample: sample.labels is not None)
def test_ignore_index(case: Case, sample: Sample, backend: str) -> None:
    check_ignored(case, sample, backend)


@rows(
    ORDINARY,
    lambda sample: sample.differentiable and sum(x.numel() for x in sample.inputs) <= 48,
    [case for case in CASES if case.has_true_gradient],
)
def test_derivatives(case: Case, sample: Sample) -> None:
    check_derivatives(case, sample, "torchscript")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(entry.name, unused, {p.name: bound}), id=f"{entry.name}({p.name}={bound:g})")
        for entry in zoo.entries()
        if entry.name not in SEPARATE
        for p in entry.parameters
        for bound in (p.lower, p.upper)
    ],
)
def test_finite_at_the_bounds_of_parameters(case: Case) -> None:
    for sample in case.samples(EXTREME):
        check_finite(case, sample, "eager")
