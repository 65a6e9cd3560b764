"""One matrix of edge cases: a module and every file exported from it give the same numbers, or refuse the same."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from compile.examples import DENSE, TRUE_P, buffers_of, prediction_and_targets
from representative import representatives, thorough_unless
from torch import Tensor, nn

from lossearch import zoo
from lossearch.compile import torchscript
from lossearch.compile.export import export, standalone
from lossearch.compile.export.standalone import class_name
from lossearch.compile.input_checker import least_extent
from lossearch.compile.targets import class_by_class
from lossearch.errors import UserError
from lossearch.ir import Graph, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting.lowering import label_input
from lossearch.loss import Loss

GAMMA = Parameter("gamma", 2.0, 0.5, 5.0, learnable=True)
LEARNABLE = Loss("learnable_focal", Graph(DENSE, (1.0 - TRUE_P) ** GAMMA.node, (GAMMA,)))
HARDEST = Loss("hardest", Graph(DENSE, fn.max(1.0 - TRUE_P, ("batch",)) ** GAMMA.node, (GAMMA,)))
LOSSES = {**{name: zoo.get(name) for name in zoo.names()}, "learnable_focal": LEARNABLE, "hardest": HARDEST}
LABELLED = [name for name in LOSSES if label_input(LOSSES[name].graph)]
BY_CLASS = [name for name in LOSSES if class_by_class(LOSSES[name].graph)]

# One of each way of reducing a batch, for files that take long to compile.
SCRIPTED = ["cross_entropy", "dice", "lovasz_softmax", "weighted_cross_entropy", "learnable_focal", "center", "mse"]
SCRIPTED += ["supervised_contrastive", "barlow_twins", "giou", "ssim", "style", "gradnorm"]
SCRIPTED += ["binary_cross_entropy", "binary_focal", "binary_hinge", "logistic", "lovasz_hinge", "binary_dice"]

QUICK = {*representatives(), "learnable_focal"}
TRACED = {"cross_entropy", "weighted_cross_entropy", "learnable_focal", "dice", "binary_cross_entropy", "mse", "giou"}
"""Those that are quick as traced programs: tracing takes a second, of windows up to a minute."""

REFUSALS = (UserError, torch.jit.Error, ValueError, IndexError, RuntimeError, AssertionError)


def options_of(loss: Loss) -> dict[str, Any]:
    weight = {"weight": torch.tensor([0.5, 2.0, 1.0, 0.1, 1.5])} if loss.graph.uses("class_weight") else {}
    buffers = {name: value.float() for name, value in buffers_of(loss.graph).items()}
    return {**weight, **({"buffers": buffers} if buffers else {})}


def inputs_of(loss: Loss) -> list[Tensor]:
    """Sound inputs in float32, the target as labels where it may be."""
    least, rank = least_extent(loss.graph), 0 if label_input(loss.graph) else loss.signature.rank
    shape = (least, least + 1) if least > 1 else (3, 4, 2)[:rank]
    given = prediction_and_targets(loss.signature, shape)[-1]
    return [x.float() if x.is_floating_point() else x for x in given]


@functools.cache  # every argument is given, as the cache takes one that is left out for another key
def file_of(name: str, suffix: str, folder: Path, reduction: str) -> nn.Module:
    loss, options = LOSSES[name], options_of(LOSSES[name])
    if suffix == ".py":
        buffers = options.pop("buffers", {})
        return torchscript.load_class(standalone(loss, reduction), class_name(name))(**options, **buffers)
    path = export(loss, folder / f"{name}_{reduction}{suffix}", reduction=reduction, **options)
    if suffix == ".pt":
        with torchscript.quiet():
            return torch.jit.load(path)
    return torch.export.load(path).module()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


def outcome(call: nn.Module, inputs: list[Tensor]) -> list[Tensor] | None:
    """Value, and gradients by floating inputs and by parameters, or None where the inputs are refused."""
    leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    wanted = [x for x in leaves if x.is_floating_point()]
    parameters = [one for _, one in sorted(call.named_parameters())]
    try:
        value = call(*leaves)
        gradients = torch.autograd.grad(value.sum(), [*wanted, *parameters], allow_unused=True)
    except REFUSALS:
        return None
    # An input may have no gradient, as where a loss stops it; every parameter has one.
    found = [torch.zeros_like(x) if g is None else g for x, g in zip(wanted, gradients, strict=False)]
    by_parameters = [g for g in gradients[len(wanted) :] if g is not None]
    assert len(by_parameters) == len(parameters)
    return [value.detach(), *found, *by_parameters]


def agree(name: str, suffix: str, folder: Path, inputs: list[Tensor], reduction: str = "mean") -> list[Tensor] | None:
    """What the module and the file both make of inputs."""
    module = LOSSES[name].to_module(reduction=reduction, **options_of(LOSSES[name]))
    wanted, found = outcome(module, inputs), outcome(file_of(name, suffix, folder, reduction), inputs)
    assert (wanted is None) == (found is None), (name, suffix, wanted, found)
    for one, other in zip(found or (), wanted or (), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, msg=lambda m: f"{name}{suffix}: {m}")
    return wanted


def emptied(loss: Loss, inputs: list[Tensor], axis: str) -> list[Tensor]:
    """Inputs of which an axis has length zero."""
    found = []
    for declared, x in zip(loss.signature.forward_inputs, inputs, strict=True):
        labels = not x.is_floating_point() and declared.labels
        axes = [one for one in declared.axes if not (labels and one == declared.labels)]
        found.append(x.narrow(axes.index(axis), 0, 0) if axis in axes and x.dim() > axes.index(axis) else x)
    return found


FILES = [(name, suffix) for suffix in (".py", ".pt", ".pt2") for name in (SCRIPTED if suffix == ".pt" else LOSSES)]


def each(files: list[tuple[str, str]]) -> pytest.MarkDecorator:
    """A test for each of the files; those of one file run in one process, which makes it once."""
    cases = []
    for name, suffix in files:
        marks = thorough_unless(name in (TRACED if suffix == ".pt2" else QUICK))
        cases.append(pytest.param(name, suffix, marks=[pytest.mark.xdist_group(f"{name}{suffix}"), *marks]))
    return pytest.mark.parametrize(("name", "suffix"), cases)


EVERY = each(FILES)
WITH_LABELS = each([(name, suffix) for name, suffix in FILES if name in LABELLED])


@EVERY
def test_an_ordinary_batch(name: str, suffix: str, folder: Path) -> None:
    """Value and gradients, and the second derivative by the first input."""
    inputs = inputs_of(LOSSES[name])
    assert agree(name, suffix, folder, inputs) is not None
    module = LOSSES[name].to_module(**options_of(LOSSES[name]))
    found, wanted = (second_derivative(call, inputs) for call in (file_of(name, suffix, folder, "mean"), module))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(file_of(name, suffix, folder, "mean")(*inputs), module(*inputs))


def second_derivative(call: nn.Module, inputs: list[Tensor]) -> Tensor:
    """The Hessian's product with ones; zeros where the gradient does not depend on the input."""
    leaf = inputs[0].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(call(leaf, *inputs[1:]).sum(), leaf, create_graph=True)
    (product,) = torch.autograd.grad(gradient.sum(), leaf, allow_unused=True) if gradient.requires_grad else (None,)
    return torch.zeros_like(leaf) if product is None else product


@EVERY
def test_an_empty_batch_has_loss_zero(name: str, suffix: str, folder: Path) -> None:
    loss, inputs = LOSSES[name], inputs_of(LOSSES[name])
    if "batch" not in loss.signature.forward_inputs[0].axes:
        agree(name, suffix, folder, emptied(loss, inputs, "component"))
        return
    found = agree(name, suffix, folder, emptied(loss, inputs, "batch"))
    assert found is not None
    assert found[0].item() == 0.0
    if suffix == ".py":
        for reduction in ("sum", "none"):
            assert agree(name, suffix, folder, emptied(loss, inputs, "batch"), reduction) is not None
        if inputs[0].dim() > 2 and least_extent(loss.graph) == 0:
            assert agree(name, suffix, folder, emptied(loss, inputs, "space")) is not None


@EVERY
def test_one_element(name: str, suffix: str, folder: Path) -> None:
    loss, inputs = LOSSES[name], inputs_of(LOSSES[name])
    one = [x[:1] if "batch" in d.axes else x for d, x in zip(loss.signature.forward_inputs, inputs, strict=True)]
    agree(name, suffix, folder, one)


@WITH_LABELS
def test_labels(name: str, suffix: str, folder: Path) -> None:
    """Some or all ignored; outside the classes; of every integer dtype, where -100 wraps."""
    inputs = inputs_of(LOSSES[name])
    at = [bool(one.labels) for one in LOSSES[name].signature.forward_inputs].index(True)
    labels = inputs[at]

    def given(changed: Tensor) -> list[Tensor] | None:
        return agree(name, suffix, folder, [*inputs[:at], changed, *inputs[at + 1 :]])

    for ignored in (labels.index_fill(0, torch.tensor(1), -100), torch.full_like(labels, -100)):
        found = given(ignored)
        assert found is not None
    assert found[0].item() == 0.0
    assert all(bool((gradient == 0).all()) for gradient in found[1:])
    for outside in (labels + 5, labels - 7, labels - 101, labels * 0 + 2**40):
        assert given(outside) is None
    for dtype in (torch.uint8, torch.int16, torch.int32, torch.uint16) if suffix != ".pt2" else ():
        assert given(labels.to(dtype)) is not None
        assert (given(torch.full_like(labels, -100).to(dtype)) is None) == (not dtype.is_signed)


@each([(n, s) for n, s in FILES if s != ".pt2" and n in LABELLED])
def test_one_class(name: str, suffix: str, folder: Path) -> None:
    """Refused under a softmax; elsewhere a mask, with an axis for its class or without, in every kind of number."""
    loss = LOSSES[name]
    if loss.signature.name != "dense" or options_of(loss):
        return
    logits, mask = torch.randn(3, 1, 2, 4), torch.randint(2, (3, 2, 4))
    ignored = mask.index_fill(0, torch.tensor(0), -100)
    for target in (mask, mask.bool(), mask.byte(), mask.float(), ignored):
        for shaped in (target, target.unsqueeze(1)):
            assert (agree(name, suffix, folder, [logits, shaped]) is not None) == (name in BY_CLASS)
    for wrong in (mask + 1, mask * 255, mask[:, :1], mask.unsqueeze(-1)):
        assert agree(name, suffix, folder, [logits, wrong]) is None


@each([(n, s) for n, s in FILES if s != ".pt2" and n in BY_CLASS])
def test_indicators_and_signs(name: str, suffix: str, folder: Path) -> None:
    logits, present = torch.randn(3, 4, 2), torch.randint(2, (3, 4, 2))
    for target in (present, present.bool(), present.int(), present.float(), present.half()):
        assert agree(name, suffix, folder, [logits, target]) is not None
    signs = 2 * present - 1
    takes = name in ("binary_hinge", "logistic", "lovasz_hinge")
    assert (agree(name, suffix, folder, [logits, signs]) is not None) == takes
    if takes:
        agree(name, suffix, folder, [logits, signs.float()])
    for wrong in (present + 1, present - 2):
        assert agree(name, suffix, folder, [logits, wrong]) is None


@each([(n, s) for n, s in FILES if s != ".pt2"])
def test_dtypes_and_layouts(name: str, suffix: str, folder: Path) -> None:
    """The widest dtype is computed in, at least float32; strides do not matter."""
    inputs = inputs_of(LOSSES[name])
    widened = [
        [x.double() if x.is_floating_point() and n == place else x for n, x in enumerate(inputs)] for place in (0, 1)
    ]
    for given in widened[: len(inputs)]:
        found = agree(name, suffix, folder, given)
        assert found is not None
    strided = [torch.stack([x, x], -1)[..., 0] for x in inputs]
    assert agree(name, suffix, folder, strided) is not None
    assert agree(name, suffix, folder, [x.bfloat16() if x.is_floating_point() else x for x in inputs]) is not None
