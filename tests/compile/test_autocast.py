"""Autocast reaches neither a loss called under it nor its gradients of any order, wherever `backward` is called."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from compile.examples import ELEMENTARY, INTERNAL, buffers_of, example, flat_inputs, mean_of, prediction_and_targets
from torch import Tensor

from lossearch import zoo
from lossearch.compile import LossModule, build, compile_source
from lossearch.compile.door import least_extent
from lossearch.compile.one_step import full_precision
from lossearch.compile.source import emit_roots
from lossearch.ir.expr import map_nodes
from lossearch.ir.lowering import guard
from lossearch.loss import Loss

PRODUCTS = ["mahalanobis", "center", "nt_xent", "clip", "ssim", "style", "contextual"]


def made(loss: Loss, backend: str = "eager") -> LossModule:
    weight = torch.linspace(0.5, 1.5, 5) if loss.graph.uses("class_weight") else None
    buffers = {name: value.float() for name, value in buffers_of(loss.signature).items()}
    return build(loss.graph, backend, weight=weight, buffers=buffers)


def calls(loss: Loss) -> list[list[Tensor]]:
    least = least_extent(loss.graph)
    kinds = prediction_and_targets(loss.signature, (max(2, least), max(3, least)))
    return [[x.float() if x.is_floating_point() else x for x in given] for given in kinds]


def gradients(module: LossModule, given: list[Tensor], forward: bool, backward: bool, twice: bool) -> list[Tensor]:
    """Gradients by inputs and parameters, with autocast around the forward pass, the backward passes or neither."""
    leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in given]
    sources = [x for x in (*leaves, *module.parameters()) if x.requires_grad]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=forward):
        value = module(*leaves)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=backward):
        found = torch.autograd.grad(value, sources, create_graph=twice, allow_unused=True)
        if twice:
            size = sum(g.square().sum() for g in found if g is not None and g.requires_grad)
            found = torch.autograd.grad(size, sources, allow_unused=True) if isinstance(size, Tensor) else ()
    return [g for g in found if g is not None]


@pytest.mark.parametrize("name", zoo.names())
def test_gradients_of_every_loss_are_those_without_autocast(name: str) -> None:
    module = made(zoo.get(name))
    for given in calls(zoo.get(name)):
        expected = gradients(module, given, False, False, False)
        for backward in (True, False):
            found = gradients(module, given, True, backward, False)
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("backend", ["eager", "torchscript"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_second_derivatives_too(name: str, backend: str) -> None:
    module, given = made(zoo.get(name), backend), calls(zoo.get(name))[-1]
    expected = gradients(made(zoo.get(name)), given, False, False, True)
    for backward in (True, False):
        found = gradients(module, given, True, backward, True)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_backward_twice_and_halves() -> None:
    module = made(zoo.get("style"))
    given = calls(zoo.get("style"))[0]
    leaf = given[0].bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = module(leaf, *given[1:])
        found = [torch.autograd.grad(value, leaf, retain_graph=True)[0] for _ in range(2)]
    expected = torch.autograd.grad(module(leaf, *given[1:]), leaf)[0]
    assert all(torch.equal(one, expected) for one in found)


def test_a_compiled_step_that_contains_autocast() -> None:
    """The user's own torch.compile; called inside autocast, it is torch.compile that says how gradients are taken."""
    module, given = made(zoo.get("style")), calls(zoo.get("style"))[0]

    def step(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return module(x, y)

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    leaves = [x.clone().requires_grad_() for x in given]
    found = list(torch.autograd.grad(compiled(*leaves), leaves))
    torch.testing.assert_close(found, gradients(module, given, False, False, False), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ELEMENTARY)
def test_no_operator_lets_autocast_into_its_gradient(name: str) -> None:
    """Those that multiply matrices have to say so on their rows."""
    root = map_nodes([mean_of(example(name))], guard)[0]
    source = emit_roots([root], ["logits", "target", "class_weight"])
    values: dict[str, Any] = {**flat_inputs(0, dtype=torch.float32), "shape": [2, 3]}
    if name in INTERNAL:
        values["target"] = values["labels"]
    leaf = values["logits"] = values["logits"].requires_grad_()
    function = compile_source(source)
    value = (full_precision(function) if source.products else function)(
        *(values[argument.name] for argument in source.arguments)
    )
    (expected,) = torch.autograd.grad(value, leaf, retain_graph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = torch.autograd.grad(value, leaf)
    assert torch.equal(found, expected)
