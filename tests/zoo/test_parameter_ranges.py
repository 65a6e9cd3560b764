"""Two ranges of every parameter: what a search tries, and the values for which the loss is defined."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from representative import representatives, thorough_unless
from torch import Tensor

from lossearch import load, zoo
from lossearch.comparison.tuning_space import TuningSpace
from lossearch.errors import UserError
from lossearch.ir.core.interval import EPSILON
from lossearch.ir.core.parameter import Parameter
from lossearch.loss import Loss

from .cases import CASES
from .harness import Case, Modules, check_oracle, close, value_and_gradient

BEYOND = [
    ("binary_focal", {"gamma": 40.0, "alpha": 1.0}),
    ("binary_hinge", {"margin": -3.0}),
    ("charbonnier", {"eps": 300.0}),
    ("contrastive", {"margin": 1e5}),
    ("cosface", {"margin": 3.0, "scale": 1e3}),
    ("cross_entropy_dice", {"smooth": 0.0, "ce_weight": 0.0, "dice_weight": 1e4}),
    ("dice", {"smooth": 0.0}),
    ("focal", {"gamma": 30.0}),
    ("generalized_cross_entropy", {"q": 3.0}),
    ("hinge", {"margin": 1e4}),
    ("huber", {"delta": 1e4}),
    ("info_nce", {"temperature": 1e-4}),
    ("jaccard", {"smooth": 0.0}),
    ("label_smoothing_cross_entropy", {"smoothing": 1.0}),
    ("margin_ranking", {"margin": -5.0}),
    ("nt_xent", {"temperature": 8e-3}),
    ("pinball", {"quantile": 1.0}),
    ("poly1", {"epsilon": -20.0}),
    ("ssim", {"data_range": 0.01}),
    ("ssim", {"data_range": 65535.0}),
    ("triplet", {"margin": 1e3}),
    ("vae", {"beta": 1e5}),
]
"""Values that no search tries, and that people use."""


@pytest.mark.parametrize(("name", "values"), BEYOND, ids=lambda row: str(row))
def test_values_that_no_search_tries_give_what_the_oracle_gives(name: str, values: dict[str, float]) -> None:
    like = next(case for case in CASES if case.name == name)
    case = Case(name, like.oracle, {**like.arguments, **values}, like.weight)
    modules = [Modules(case, "eager")]
    for sample in case.samples()[:3]:
        check_oracle(modules, sample)


def ends(parameter: Parameter) -> list[float]:
    """The ends of what is defined; a far number for an infinite one, a small one where zero itself is not defined."""
    assert parameter.defined is not None
    low, high = parameter.defined
    return [
        -10.0 if math.isinf(low) else max(low, parameter.lower / 100) if low == EPSILON else low,
        10 * max(1.0, parameter.upper) if math.isinf(high) else high,
    ]


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=entry.name, marks=thorough_unless(entry.name in representatives()))
        for entry in zoo.entries()
        if entry.parameters
    ],
)
def test_every_loss_can_be_used_at_the_ends_of_what_is_defined(entry: zoo.Entry) -> None:
    sample = Case(entry.name, torch.zeros).samples()[0]
    for parameter in entry.parameters:
        for value in ends(parameter):
            loss = entry.build(**{parameter.name: value})
            assert [p.default for p in loss.parameters if p.name == parameter.name] == [value]
            assert Loss.from_json(loss.to_json()) == loss
            assert Loss.from_text(loss.to_text()).graph == loss.graph
            module = loss.to_module(reduction="none", buffers=sample.buffers).double()
            found, gradients = value_and_gradient(module, sample.inputs)
            assert found.isfinite().all(), value
            assert gradients[0].isfinite().all(), value


def test_what_a_search_tries_stays_within_the_bounds() -> None:
    space = TuningSpace.of(zoo.get("dice").parameters, 0.1)
    low, high = space.limits[1]
    assert space.setting((0.5, low)).parameters["smooth"] == 1e-6
    assert space.setting((0.5, high)).parameters["smooth"] == 1e3


def test_a_value_of_zero_leaves_the_logarithmic_scale() -> None:
    (smooth,) = zoo.get("dice", smooth=0).parameters
    assert (smooth.lower, smooth.log) == (0.0, False)
    assert TuningSpace.of([smooth], 0.1).setting(TuningSpace.of([smooth], 0.1).default).parameters["smooth"] == 0.0


@pytest.mark.parametrize(
    ("loss", "reference"),
    [("smooth_l1(beta=0)", F.l1_loss), ("huber(delta=0)", lambda x, y: 0 * F.l1_loss(x, y))],
    ids=["smooth_l1", "huber"],
)
def test_a_limit_where_the_formula_has_no_value(loss: str, reference: Callable[..., Tensor]) -> None:
    inputs = tuple(torch.randn(2, 6, dtype=torch.float64))
    expected, found = (value_and_gradient(function, inputs) for function in (reference, load(loss).to_module()))
    close(found[0], expected[0])
    close(found[1][0], expected[1][0])


def test_generalized_cross_entropy_tends_to_cross_entropy() -> None:
    assert zoo.get("generalized_cross_entropy", q=0).root is zoo.get("cross_entropy").root


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("huber(delta=-1)", "delta ≥ 0; found: -1"),
        ("arcface(margin=4)", "margin in \\[0, 3.14159\\]; found: 4"),
        ("nt_xent(temperature=0.0001)", "temperature ≥ 0.001; found: 0.0001"),
        ("symmetric_cross_entropy(log_zero=1)", "log_zero in \\[-27, 0\\]; found: 1"),
    ],
)
def test_what_is_not_defined_is_refused(loss: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(loss)


def test_what_is_defined_must_hold_what_a_search_tries() -> None:
    with pytest.raises(UserError, match="enclose"):
        Parameter("margin", 1.0, 0.0, 2.0, defined=(0.5, math.inf))
