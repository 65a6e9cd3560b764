"""Every hand-designed loss against its oracle, through the public module."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import pytest
from representative import representatives, thorough_unless
from torch import Tensor

from lossearch import zoo

from .cases import CASES
from .harness import (
    BACKENDS,
    Case,
    Modules,
    check_autocast,
    check_derivatives,
    check_empty,
    check_finite,
    check_ignored,
    check_oracle,
)
from .samples import EMPTY, EXTREME, ORDINARY, Sample

SEPARATE = {"weighted_cross_entropy"}
"""Losses with a test file of their own, because they take more than prediction and target."""


BACKEND = pytest.mark.parametrize("backend", BACKENDS)
FIRST = {case.name: case.id for case in reversed(CASES)}
"""The first row of every loss."""
QUICK = {FIRST[name] for name in representatives() if name in FIRST}
SMALL = 48
"""Numbers in all inputs up to which finite differences take little time."""


def rows(
    kind: Mapping[str, Callable[[], list[Sample]]],
    fits: Callable[[Sample], bool] = lambda sample: True,
    cases: Sequence[Case] = CASES,
    quick: Collection[str] = QUICK,
) -> pytest.MarkDecorator:
    """One test per case with its fitting samples; a test per sample would cost more than what it checks.

    All tests of a case run in one process, one after another, so that what is compiled for one serves the others.
    All but those of the `quick` rows are thorough.
    """
    found = [(case, [sample for sample in case.samples(kind) if fits(sample)]) for case in cases]
    return pytest.mark.parametrize(
        ("case", "samples"),
        [
            pytest.param(
                case,
                samples,
                id=case.id,
                marks=[pytest.mark.xdist_group(case.id), *thorough_unless(case.id in quick)],
            )
            for case, samples in found
            if samples
        ],
    )


def on_each(samples: Sequence[Sample], check: Callable[[Sample], None]) -> None:
    """Check one sample after another; a failure says which it was."""
    for sample in samples:
        try:
            check(sample)
        except Exception as error:
            error.add_note(f"sample {sample.name!r}")
            raise


def unused(*inputs: Tensor) -> Tensor:
    raise AssertionError("these cases are not compared with an oracle")


def test_every_loss_has_a_row() -> None:
    assert {case.name for case in CASES} | SEPARATE == set(zoo.names())


@rows(ORDINARY, quick=[row for name, row in FIRST.items() if name != "ms_ssim"])
def test_equals_oracle(case: Case, samples: list[Sample]) -> None:
    modules = [Modules(case, "eager")]
    on_each(samples, lambda sample: check_oracle(modules, sample))


@rows(ORDINARY)
def test_equals_oracle_when_scripted(case: Case, samples: list[Sample]) -> None:
    modules = [Modules(case, "torchscript")]
    on_each(samples, lambda sample: check_oracle(modules, sample))


@BACKEND
@rows(EXTREME)
def test_finite_in_float32(case: Case, samples: list[Sample], backend: str) -> None:
    modules = Modules(case, backend)
    on_each(samples, lambda sample: check_finite(modules, sample))


@rows(EXTREME)
def test_finite_under_autocast(case: Case, samples: list[Sample]) -> None:
    modules = Modules(case, "eager")
    on_each(samples, lambda sample: check_autocast(modules, sample))


@BACKEND
@rows(EMPTY)
def test_empty_batch(case: Case, samples: list[Sample], backend: str) -> None:
    modules = Modules(case, backend)
    on_each(samples, lambda sample: check_empty(modules, sample))


@rows(ORDINARY, lambda sample: sample.labels is not None)
def test_ignore_index(case: Case, samples: list[Sample]) -> None:
    modules = [Modules(case, backend) for backend in BACKENDS]
    on_each(samples, lambda sample: check_ignored(modules, sample))


@rows(
    ORDINARY,
    lambda sample: sample.differentiable and sum(x.numel() for x in sample.inputs) <= SMALL,
    [case for case in CASES if case.has_true_gradient],
)
def test_derivatives(case: Case, samples: list[Sample]) -> None:
    modules = Modules(case, "torchscript")
    on_each(samples, lambda sample: check_derivatives(modules, sample))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            Case(entry.name, unused, {p.name: bound}),
            id=f"{entry.name}({p.name}={bound:g})",
            marks=thorough_unless(entry.name in representatives()),
        )
        for entry in zoo.entries()
        if entry.name not in SEPARATE
        for p in entry.parameters
        for bound in (p.lower, p.upper)
    ],
)
def test_finite_at_the_bounds_of_parameters(case: Case) -> None:
    modules = Modules(case, "eager")
    on_each(case.samples(EXTREME), lambda sample: check_finite(modules, sample))
