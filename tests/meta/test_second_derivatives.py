"""Every loss of the zoo can be differentiated twice, or is told apart from those that can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.operator import OPERATORS, Operator, register
from lossearch.ir.core.signature import get_signature
from lossearch.ir.core.types import Type
from lossearch.ir.rewriting.lowering import lower
from lossearch.meta.methods import make_method
from lossearch.meta.second_derivatives import SecondDerivatives, check_twice_differentiable, probes
from lossearch.search_spaces import load_space
from lossearch.tasks import build_task
from lossearch.zoo.named import graph_of

HELD_BACK = {"seesaw", "ciou", "wiou", "wiou_v2", "wiou_v3", "beta_nll", "circle", "curricularface", "focal_frequency"}
"""Losses whose gradient has a factor that is held back from it."""

TIED = {"lovasz_softmax"}
"""With a kink where probed predictions tie, which differences cross."""


def _flat(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.thorough
def test_both_modes_give_the_differences_of_gradients_for_every_loss() -> None:
    refused: set[str] = set()
    for entry in zoo.entries():
        graph = entry.build().graph.frozen()
        found = SecondDerivatives(lower(graph).roots, probes(graph))
        draw = torch.Generator().manual_seed(1)
        direction = [torch.randn(one.shape, generator=draw, dtype=one.dtype) for one in found.predictions]
        forward, reverse = _flat(found.forward(*direction)), _flat(found.reverse(*direction))
        size = float(forward.abs().max())

        def told(message: str, name: str = entry.name) -> str:
            return f"{name}: {message}"

        torch.testing.assert_close(forward, reverse, rtol=0.0, atol=1e-8 * size, msg=told)
        assert forward.isfinite().all(), entry.name
        try:
            check_twice_differentiable(graph)
        except UserError as error:
            refused.add(f"{entry.name}: {error.found}")
            continue
        if entry.name not in TIED:
            size = max(size, 1e-3 * float(_flat(found.gradient(*found.predictions)).abs().max()))
            torch.testing.assert_close(
                forward, _flat(found.differences(*direction)), rtol=0.0, atol=1e-3 * size, msg=told
            )
    assert refused == {f"{name}: stop_gradient without a second derivative" for name in HELD_BACK}


class _Once(torch.autograd.Function):
    """A square whose author has not thought of second derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return 2 * ctx.saved_tensors[0] * outer[0]


def test_an_operator_without_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "squared_once", _Once.apply, raising=False)

    def rule(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
        return arguments[0].type

    register(Operator("squared_once", 1, rule, "torch.squared_once({0})", "Square.", elementwise=True))
    try:
        nodes = get_signature("regression").nodes()
        residual = nodes["prediction"] - nodes["target"]
        graph = Graph(get_signature("regression"), 2.0 + Expr.make("squared_once", (residual,)))
        assert len(postorder(graph.roots)) == 6
        with pytest.raises(UserError, match="found: squared_once without a second derivative"):
            check_twice_differentiable(graph)
    finally:
        del OPERATORS["squared_once"]


def test_an_estimator_with_gradients_refuses_such_a_loss() -> None:
    structure = "dense: 1.5 * cross_entropy(logits, target) * stop_gradient(true_class_probability(logits, target))"
    for estimator, refused in (("es", False), ("unrolled", True)):
        method = make_method("hypergradient", load_space("dense"), 0, structure=structure, estimator=estimator)
        task, reference = build_task({"base": "digits", "train_size": 100, "steps": 5}), graph_of("cross_entropy")
        if refused:
            with pytest.raises(UserError, match='stop_gradient without a second derivative; set estimator = "es"'):
                method.use(task, reference, "cpu")
        else:
            method.use(task, reference, "cpu")
