"""Every backend computes the same value, gradient and Hessian-vector product."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from compile.agreement import assert_agree, derivatives, has_norm_at_zero
from compile.examples import (
    ELEMENTARY,
    INTERNAL,
    LOGITS,
    P,
    buffers_of,
    example,
    flat_inputs,
    mean_of,
    prediction_and_targets,
)
from ir.random_graphs import from_seeds, random_graph
from representative import first_of, thorough_unless
from torch.func import grad, vjp, vmap

from lossearch import zoo
from lossearch.compile import build, compile_source, evaluate, inductor
from lossearch.compile.input_checker import least_extent
from lossearch.compile.source import Source, emit, emit_roots
from lossearch.compile.torchscript import quick_start
from lossearch.errors import UserError
from lossearch.ir import OPERATORS, Expr, IllTyped
from lossearch.ir.core.expr import map_nodes
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting.lowering import guard

SHAPE = [2, 3]

# torch's own: functorch scripts functions when it is first used, inductor calls what torch has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.torch._prims_common.check. is deprecated:FutureWarning"),
]


INDUCTOR = pytest.mark.xdist_group("inductor")  # its first kernel takes a process seconds longer than others


def source_for(*roots: Expr) -> Source:
    """The function of guarded expressions over the dense signature."""
    return emit_roots(map_nodes(roots, guard), ["logits", "target", "class_weight"])


def arguments(source: Source, labels: bool = False) -> list[Any]:
    """Arguments of a function of flattened dense inputs."""
    values: dict[str, Any] = {**flat_inputs(0), "shape": SHAPE}
    if labels:
        values["target"] = values["labels"]
    return [values[argument.name] for argument in source.arguments]


def test_every_operator_has_an_example() -> None:
    assert {name for name, op in OPERATORS.items() if op.internal} == set(INTERNAL) - {"equal", "along"}
    assert {example(name).op for name in ELEMENTARY} >= {n for n in ELEMENTARY if OPERATORS[n].internal is False} - {
        "less",
        "greater",
        "equal",
        "along",
    }


@pytest.mark.parametrize("name", ELEMENTARY)
def test_torchscript_and_the_interpreter_agree_with_eager_on_each_operator(name: str) -> None:
    source = source_for(mean_of(example(name)))
    given = arguments(source, name in INTERNAL)
    expected = derivatives(compile_source(source, "eager"), given)
    scripted = compile_source(source, "torchscript")
    for _ in range(4):  # TorchScript runs other code once it has profiled
        assert_agree(derivatives(scripted, given), expected)
    inputs = {a.name: value for a, value in zip(source.arguments, given, strict=True)}
    graph_root = map_nodes([mean_of(example(name))], guard)[0]
    shape = inputs.pop("shape", [])
    root = zoo.get("cross_entropy").graph.with_roots([graph_root])
    value, weight = evaluate(root, inputs, shape=shape)
    assert weight is None
    torch.testing.assert_close(value, expected[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("start", from_seeds(range(0, 2000, 100)))
def test_backends_agree_on_random_graphs(start: int) -> None:
    """Whole modules: unflattened inputs, every kind of target, up to the second derivative."""
    numbers: list[int] = []
    kinks: list[int] = []
    for seed in range(start, start + 100):
        try:
            graph = random_graph(seed).frozen()
        except IllTyped as error:  # its parameter's value makes a denominator zero
            if "one side of zero" not in error.required:
                raise
            numbers.append(seed)
            continue
        weight = torch.linspace(0.5, 1.5, 5).tolist() if graph.uses("class_weight") else None
        options = {"weight": weight, "buffers": buffers_of(graph)}
        least = least_extent(graph)
        kinds = prediction_and_targets(graph.signature, (max(2, least), max(3, least)), seed=seed)
        given = kinds[seed % len(kinds)]
        modules = [build(graph, backend, **options).double() for backend in ("eager", "torchscript")]
        try:
            with quick_start():
                eager, scripted = (derivatives(module, given) for module in modules)
        except IllTyped as error:  # simplified, it turned out to be a number: a few among thousands are
            if "numbers only" not in error.found:
                raise
            numbers.append(seed)
            continue
        if not eager[2].isfinite().all():
            assert has_norm_at_zero(graph, given, options), seed
            eager, scripted = eager[:2], scripted[:2]
            kinks.append(seed)
        assert_agree(scripted, eager, f"graph {seed}")
    assert len(numbers) <= 3, numbers
    assert len(kinks) <= 2, kinks


@INDUCTOR
@pytest.mark.parametrize("name", first_of(["giou", "dice", "focal", "style"]))
@pytest.mark.parametrize("backend", first_of(["torchscript", "compile"]))
def test_hand_designed_losses_agree_up_to_the_second_derivative(name: str, backend: str) -> None:
    torch._dynamo.reset()
    loss = zoo.get(name)
    for given in prediction_and_targets(loss.signature):
        expected = derivatives(build(loss.graph), given)
        for _ in range(2):
            assert_agree(derivatives(build(loss.graph, backend), given), expected)


@INDUCTOR
@pytest.mark.parametrize(
    ("classes", "space"),
    [pytest.param(n, space, marks=thorough_unless((n, space) == (10, (6,)))) for n in (5, 10) for space in ((), (6,))],
)
def test_torch_compile_sorts_a_softmax_along_another_axis(classes: int, space: tuple[int, ...]) -> None:
    """Fused kernels gave another gradient: in float32, from eight classes on or with several threads."""
    torch._dynamo.reset()
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(64, classes, *space, generator=generator, requires_grad=True)
    labels = torch.randint(classes, (64, *space), generator=generator)
    eager, fused = (zoo.get("lovasz_softmax").to_module(backend)(logits, labels) for backend in ("eager", "compile"))
    expected, found = (torch.autograd.grad(value, logits)[0] for value in (eager, fused))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("backend", ["eager", "torchscript"])
@pytest.mark.parametrize("name", ["cross_entropy", "focal", "tversky", "style"])
def test_derivatives_are_those_of_finite_differences(name: str, backend: str) -> None:
    module = build(zoo.get(name).graph, backend)
    for given in prediction_and_targets(zoo.get(name).signature, shape=(2,)):
        leaf = given[0][:2].clone().requires_grad_()
        rest = [x[:2] for x in given[1:]]
        assert torch.autograd.gradcheck(lambda x, rest=rest: module(x, *rest), leaf, atol=1e-6)
        assert torch.autograd.gradgradcheck(lambda x, rest=rest: module(x, *rest), leaf, atol=1e-6)


@INDUCTOR
@pytest.mark.parametrize("backend", ["eager", "torchscript", "compile"])
def test_functorch_transforms_pass_through(backend: str) -> None:
    module = build(zoo.get("dice").graph, backend)
    logits, labels = torch.randn(3, 4, 5, 2), torch.randint(5, (3, 4, 2))
    expected = torch.stack([grad(module)(x, y) for x, y in zip(logits, labels, strict=True)])
    torch.testing.assert_close(vmap(grad(module))(logits, labels), expected)
    shared = vmap(module, (None, 0))(logits[0], labels)
    torch.testing.assert_close(shared, torch.stack([module(logits[0], y) for y in labels]))


@pytest.mark.parametrize("backend", ["torchscript", "compile"])
@pytest.mark.parametrize("name", ["cross_entropy", "dice", "clip", "ssim", "mse"])
def test_functorch_takes_second_derivatives_on_every_backend(name: str, backend: str) -> None:
    modules = [build(zoo.get(name).graph, kind) for kind in ("eager", backend)]
    given = prediction_and_targets(zoo.get(name).signature, (12, 12), seed=1)[0]
    first, *rest = [x.float() if x.is_floating_point() else x for x in given]
    for _ in range(3):  # TorchScript optimises a function over its first calls
        eager, other = (vjp(grad(lambda x, f=f: f(x, *rest)), first)[1](torch.ones_like(first))[0] for f in modules)
        torch.testing.assert_close(other, eager, rtol=1e-4, atol=1e-6)


@INDUCTOR
@pytest.mark.thorough
def test_torch_compile_can_be_differentiated_twice_and_backward_again() -> None:
    torch._dynamo.reset()
    source = source_for(mean_of(P), fn.mean(fn.square(LOGITS), LOGITS.axes))
    given = arguments(source)
    compiled, eager = compile_source(source, "compile"), compile_source(source, "eager")
    leaves = [given[0].clone().requires_grad_() for _ in range(2)]
    for leaf, function in zip(leaves, (compiled, eager), strict=True):
        first, second = function(leaf, *given[1:])
        for _ in range(2):
            (first * second).backward(retain_graph=True)
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)


def test_equal_sources_share_one_function() -> None:
    first, second = (emit(zoo.get("focal").graph.frozen().expanded()) for _ in range(2))
    assert compile_source(first) is compile_source(second)
    assert compile_source(first) is not compile_source(first, "torchscript")


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(UserError, match="eager, torchscript, compile"):
        build(zoo.get("focal").graph, "cuda")


def test_torch_compile_without_a_compiler_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inductor.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match=r"C\+\+ compiler .* install g\+\+"):
        # Of a loss that no other test has compiled.
        build(zoo.get("focal", gamma=2.34).graph, "compile")(torch.randn(4, 5), torch.randint(5, (4,)))
