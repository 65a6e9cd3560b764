"""Values and gradients of every operator under torch.compile, at odd, even and tiny lengths and at one element."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from compile.agreement import assert_agree
from compile.examples import ELEMENTARY, INTERNAL, example, flat_inputs, mean_of
from representative import thorough_unless
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch._inductor.decomposition import select_decomp_table

from lossearch.compile import compile_source
from lossearch.compile.inductor import compile_function
from lossearch.compile.source import Source, emit_roots
from lossearch.ir.core.expr import map_nodes
from lossearch.ir.rewriting.lowering import guard

pytestmark = [
    pytest.mark.xdist_group("inductor"),  # its first kernel takes a process seconds longer than others
    # torch's own: inductor calls what torch has deprecated.
    pytest.mark.filterwarnings("ignore:.torch._prims_common.check. is deprecated:FutureWarning"),
]

EVERY = sorted({*ELEMENTARY, *INTERNAL})


def source_of(names: Sequence[str]) -> Source:
    """One function with an example of each operator."""
    return emit_roots(map_nodes([mean_of(*map(example, names))], guard), ["logits", "target", "class_weight"])


def groups(kind: str, names: Sequence[str], size: int) -> dict[str, list[str]]:
    return {f"{kind} {n // size + 1}": list(names[n : n + size]) for n in range(0, len(names), size)}


SIZE = 60
"""Operators in one function: compiling it costs seconds whatever it holds, and errors show among many neighbours."""

# An operator that scatters keeps its whole function from being fused, so it stands apart from those that do not.
SCATTERS = [name for name in EVERY if source_of([name]).scatters]
FUSED = [name for name in EVERY if name not in SCATTERS]
PARTS = {
    **groups("fused", [name for name in FUSED if name not in INTERNAL], SIZE),
    **groups("fused labels", [name for name in FUSED if name in INTERNAL], SIZE),
    **groups("scatters", [name for name in SCATTERS if name not in INTERNAL], SIZE),
    **groups("scatters labels", [name for name in SCATTERS if name in INTERNAL], SIZE),
    # The smallest set that was wrong while `pick` was a gather, see `reads_what_is_scattered`.
    "around pick": ["min", "minimum", "mul", "pick", "sin", "softplus", "sqrt", "where"],
}
EXTENTS = [
    pytest.param((1, (1,)), id="one element", marks=pytest.mark.thorough),
    pytest.param((3, (5,)), id="odd", marks=pytest.mark.thorough),
    pytest.param((2, (4, 7)), id="even and odd"),
]
"""Batch and spatial shape."""

QUICK = ("fused 2",)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """With more threads torch.compile takes PyTorch's own scatter_add, and does not order it wrongly."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch.set_num_threads(threads)


def arguments(source: Source, batch: int, shape: tuple[int, ...], labels: bool) -> tuple[list[Any], list[int]]:
    """Arguments of a function, and the places of those that have a gradient."""
    values: dict[str, Any] = {**flat_inputs(0, shape), "shape": list(shape)}
    values = {name: x[:batch] if name in ("logits", "target", "labels") else x for name, x in values.items()}
    if labels:
        values["target"] = values["labels"]
    # Kernels over labels have no gradient for class weights.
    by = [n for n, a in enumerate(source.arguments) if a.name not in (("target", "class_weight") if labels else ())]
    return [values[a.name] for a in source.arguments], [n for n in by if source.arguments[n].name != "shape"]


def value_and_gradients(function: Callable[..., Tensor], given: Sequence[Any], by: Sequence[int]) -> list[Tensor]:
    given = [x.clone().requires_grad_() if place in by else x for place, x in enumerate(given)]
    value = function(*given)
    wanted = [given[place] for place in by]
    # An operator may have no gradient by an input, as a comparison.
    gradients = torch.autograd.grad(value, wanted, allow_unused=True)
    return [value.detach(), *[torch.zeros_like(x) if g is None else g for x, g in zip(wanted, gradients, strict=True)]]


@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("part", [pytest.param(part, marks=thorough_unless(part in QUICK)) for part in PARTS])
def test_torch_compile_agrees_with_eager(
    part: str, extent: tuple[int, tuple[int, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    source = source_of(PARTS[part])
    given, by = arguments(source, *extent, labels="labels" in part)
    compiled, eager = compile_source(source, "compile"), compile_source(source, "eager")
    found, expected = (value_and_gradients(function, given, by) for function in (compiled, eager))
    assert_agree(found, expected, f"{part} at {extent}")
    assert not [record for record in caplog.records if record.name == "lossearch.compile.inductor"], "it ran uncompiled"
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def writes_of(names: Sequence[str], labels: bool) -> set[str]:
    """What scatters in a function of operators, read from what torch.compile is given to fuse, forward and backward."""
    seen: set[str] = set()

    def read(graph: torch.fx.GraphModule, _: Sequence[Any]) -> Callable[..., Any]:
        seen.update(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return make_boxed_func(graph.forward)

    source = source_of(names)
    given, by = arguments(source, 3, (5,), labels)
    backend = aot_autograd(fw_compiler=read, bw_compiler=read, decompositions=select_decomp_table())
    traced = torch.compile(compile_source(source, "eager"), backend=backend, fullgraph=True)
    value_and_gradients(traced, given, by)
    assert seen
    # A number that is scattered into a constant, slices and selected entries become masks.
    harmless = ("aten.scatter.value", "aten.slice_scatter", "aten.select_scatter")
    writes = {one for one in seen if any(word in one for word in ("scatter", "index_put", "index_add", "masked_put"))}
    return {one for one in writes if not one.startswith(harmless)}


SORTS = {"ordered", "ordered_values", "ordered_places"}
"""A pair and its halves, of which one is not scattered."""


@pytest.mark.parametrize("name", [name for name in SCATTERS if name not in SORTS])
def test_an_operator_that_says_so_scatters(name: str) -> None:
    assert writes_of([name], name in INTERNAL)


@pytest.mark.parametrize("part", [part for part in PARTS if part.startswith("fused")])
def test_no_other_operator_scatters(part: str) -> None:
    assert writes_of(PARTS[part], "labels" in part) == set()


def test_sorts_count_as_operators_that_scatter() -> None:
    assert set(SCATTERS) >= SORTS


def reads_what_is_scattered(logits: Tensor, target: Tensor) -> Tensor:
    """The smallest function found of which torch.compile has a wrong gradient, in just this order: of the gather's."""
    probability = torch.softmax(logits, 1)
    product = torch.einsum("abd,acd->abc", probability, logits)
    true_probability = (target * probability).sum(1)
    minimum = torch.minimum(true_probability.unsqueeze(1), probability)
    total = torch.square(logits).mean() * 0.1 + product.amin(1).mean()
    log_probability = torch.log_softmax(logits, 1)
    total = total + minimum.mean() + (probability * log_probability).mean()
    total = total + torch.gather(log_probability, 1, logits.argmax(1, keepdim=True)).squeeze(1).mean()
    total = total + torch.sin(log_probability).mean() + F.softplus(logits).mean()
    below = probability < true_probability.unsqueeze(1)
    chosen = torch.where(below.unsqueeze(2), product.unsqueeze(3), log_probability.unsqueeze(2))
    return total + torch.sqrt(torch.clamp_min(probability, 1e-12)).mean() + chosen.mean()


@pytest.mark.thorough
def test_what_is_scattered_is_read_after_it() -> None:
    values = flat_inputs(0, (5,))
    given = [values["logits"][:3], values["target"][:3]]
    compiled = compile_function(reads_what_is_scattered, scatters=True)
    assert_agree(
        value_and_gradients(compiled, given, [0, 1]), value_and_gradients(reads_what_is_scattered, given, [0, 1])
    )
