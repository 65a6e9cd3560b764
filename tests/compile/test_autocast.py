"""Autocast reaches neither a loss called under it nor its gradients of any order, wherever `backward` is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from compile.examples import (
    ELEMENTARY,
    INTERNAL,
    buffers_of,
    calls_of,
    example,
    flat_inputs,
    mean_of,
    module_of,
)
from representative import each_loss, first_of
from torch import Tensor, nn

from lossearch import zoo
from lossearch.compile import compile_source
from lossearch.compile.export import export
from lossearch.compile.export.forms import ExportPlan
from lossearch.compile.export.standalone import class_name
from lossearch.compile.one_step import full_precision
from lossearch.compile.source import emit_roots
from lossearch.compile.torchscript import load_class
from lossearch.ir.core.expr import map_nodes
from lossearch.ir.rewriting.lowering import guard

PRODUCTS = [name for name in zoo.names() if ExportPlan(zoo.get(name).graph.frozen()).products]
"""The losses that multiply matrices, which is what autocast reaches."""

MULTIPLYING = pytest.mark.parametrize("name", each_loss(PRODUCTS, ["center", "style"]))


def gradients(
    module: Callable[..., Tensor],
    given: list[Tensor],
    forward: bool,
    backward: bool,
    twice: bool,
    parameters: list[Tensor] | None = None,
) -> list[Tensor]:
    """Gradients by inputs and parameters, with autocast around the forward pass, the backward passes or neither."""
    leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in given]
    if parameters is None:
        parameters = list(module.parameters()) if isinstance(module, nn.Module) else []
    sources = [x for x in (*leaves, *parameters) if x.requires_grad]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=forward):
        value = module(*leaves)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=backward):
        found = torch.autograd.grad(value, sources, create_graph=twice, allow_unused=True)
        if twice:
            size = sum(g.square().sum() for g in found if g is not None and g.requires_grad)
            found = torch.autograd.grad(size, sources, allow_unused=True) if isinstance(size, Tensor) else ()
    return [g for g in found if g is not None]


@pytest.mark.parametrize("name", each_loss())
def test_gradients_of_every_loss_are_those_without_autocast(name: str) -> None:
    module = module_of(zoo.get(name))
    for given in calls_of(zoo.get(name)):
        expected = gradients(module, given, False, False, False)
        for backward in (True, False):
            found = gradients(module, given, True, backward, False)
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("backend", ["eager", "torchscript"])
@MULTIPLYING
def test_second_derivatives_too(name: str, backend: str) -> None:
    module, given = module_of(zoo.get(name), backend), calls_of(zoo.get(name))[-1]
    expected = gradients(module_of(zoo.get(name)), given, False, False, True)
    for backward in (True, False):
        found = gradients(module, given, True, backward, True)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_backward_twice_and_halves() -> None:
    module = module_of(zoo.get("style"))
    given = calls_of(zoo.get("style"))[0]
    leaf = given[0].bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = module(leaf, *given[1:])
        found = [torch.autograd.grad(value, leaf, retain_graph=True)[0] for _ in range(2)]
    expected = torch.autograd.grad(module(leaf, *given[1:]), leaf)[0]
    assert all(torch.equal(one, expected) for one in found)


def under_autocast(module: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def step(*given: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return module(*given)

    return step


@pytest.mark.parametrize("inside", first_of([True, False]))
@MULTIPLYING
def test_a_compiled_step(name: str, inside: bool) -> None:
    """The user's own torch.compile, of a step that contains autocast or is called under it."""
    module, given = module_of(zoo.get(name)), calls_of(zoo.get(name))[-1]
    torch._dynamo.reset()
    compiled = torch.compile(under_autocast(module) if inside else module, fullgraph=True, backend="aot_eager")
    expected = gradients(module, given, False, False, False)
    found = gradients(compiled, given, not inside, not inside, False, list(module.parameters()))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", ["eager", "torchscript", "compile"])
@MULTIPLYING
def test_a_transform(name: str, backend: str) -> None:
    """torch.func takes gradients, and gradients of gradients, under autocast."""
    module, given = module_of(zoo.get(name), backend), calls_of(zoo.get(name))[-1]
    first = given[0]

    def value(x: Tensor) -> Tensor:
        return module(x, *given[1:])

    def twice(x: Tensor) -> Tensor:
        return torch.func.vjp(torch.func.grad(value), x)[1](torch.ones_like(x))[0]

    for taken in (torch.func.grad(value), twice):
        expected = taken(first)
        # float32's share of entries that are differences
        nearly = max(1e-6, 2e-5 * float(expected.detach().abs().max()))
        torch.testing.assert_close(under_autocast(taken)(first), expected, rtol=1e-4, atol=nearly)


@MULTIPLYING
def test_a_traced_model(name: str) -> None:
    module, given = module_of(zoo.get(name)), calls_of(zoo.get(name))[-1]
    expected = gradients(module, given, False, False, False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        traced = torch.export.export(module, tuple(given)).module()
    found = gradients(traced, given, True, True, False)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", [".py", ".pt"])
@MULTIPLYING
def test_exported_files(name: str, suffix: str, tmp_path: Path) -> None:
    loss = zoo.get(name)
    buffers = {key: value.float() for key, value in buffers_of(loss.graph).items() if loss.graph.uses(key)}
    path = tmp_path / f"{name}{suffix}"
    export(loss, path, **({} if suffix == ".py" else {"buffers": buffers}))
    module = torch.jit.load(str(path)) if suffix == ".pt" else load_class(path.read_text(), class_name(name))(**buffers)
    for given in calls_of(loss):
        for _ in range(3):  # TorchScript optimises a function over its first calls
            expected = gradients(module, given, False, False, False)
            for backward in (True, False):
                found = gradients(module, given, True, backward, False)
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
                assert all(g.dtype == torch.float32 for g in found)


def test_a_program_of_its_own_keeps_values_and_what_is_called_back_outside(tmp_path: Path) -> None:
    """A traced program does not know whether it is called under autocast; its gradients are taken outside of it."""
    given = calls_of(zoo.get("clip"))[-1]
    export(zoo.get("clip"), tmp_path / "clip.pt2")
    program = torch.export.load(tmp_path / "clip.pt2").module()
    assert torch.equal(under_autocast(program)(*given), program(*given))
    expected = gradients(program, given, False, False, False)
    torch.testing.assert_close(gradients(program, given, True, False, False), expected)


def test_called_outside_it_is_as_other_functions_are() -> None:
    """What is called outside of autocast is not slowed by it: its gradients under autocast are as autograd has them."""
    module, (first, second) = module_of(zoo.get("clip")), calls_of(zoo.get("clip"))[-1]

    def by_hand(x: Tensor, y: Tensor) -> Tensor:
        ratio = torch.mm(F.normalize(x, dim=1), F.normalize(y, dim=1).T) / 0.07
        labels = torch.arange(len(x))
        return (F.cross_entropy(ratio, labels) + F.cross_entropy(ratio.T, labels)) / 2

    for backward in (False, True):
        expected = gradients(by_hand, [first, second], False, backward, False)
        torch.testing.assert_close(gradients(module, [first, second], False, backward, False), expected)


@pytest.mark.parametrize("name", ELEMENTARY)
def test_no_operator_lets_autocast_into_its_value_or_gradient(name: str) -> None:
    """Those that multiply matrices have to say so on their rows."""
    root = map_nodes([mean_of(example(name))], guard)[0]
    source = emit_roots([root], ["logits", "target", "class_weight"])
    values: dict[str, Any] = {**flat_inputs(0, dtype=torch.float32), "shape": [2, 3]}
    if name in INTERNAL:
        values["target"] = values["labels"]
    leaf = values["logits"] = values["logits"].requires_grad_()
    function = compile_source(source)
    given = [values[argument.name] for argument in source.arguments]
    value = (full_precision(function) if source.products else function)(*given)
    if not source.products:
        assert torch.equal(under_autocast(function)(*given), value)
    (expected,) = torch.autograd.grad(value, leaf, retain_graph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = torch.autograd.grad(value, leaf)
    assert torch.equal(found, expected)
