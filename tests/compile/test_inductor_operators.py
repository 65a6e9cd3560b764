"""Values and gradients of every operator under torch.compile, at odd, even and tiny lengths and at one element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from compile.agreement import assert_agree
from compile.examples import ELEMENTARY, INTERNAL, example, flat_inputs, mean_of
from torch import Tensor

from lossearch.compile import compile_source
from lossearch.compile.source import Source, emit_roots
from lossearch.ir.expr import map_nodes
from lossearch.ir.lowering import guard

pytestmark = [
    pytest.mark.slow,
    # torch's own: inductor calls what torch has deprecated.
    pytest.mark.filterwarnings("ignore:.torch._prims_common.check. is deprecated:FutureWarning"),
]


def source_of(names: Sequence[str]) -> Source:
    """One function with an example of each operator."""
    return emit_roots(map_nodes([mean_of(*map(example, names))], guard), ["logits", "target", "class_weight"])


SORTS = {name for name in ELEMENTARY if "torch.sort(" in source_of([name]).text}
"""Operators with which nothing is fused, so that they stand in functions of their own."""

OPEN = [name for name in ELEMENTARY if name not in INTERNAL and name not in SORTS]
PARTS = {
    "first": OPEN[: len(OPEN) // 2],
    "second": OPEN[len(OPEN) // 2 :],
    "labels": [name for name in INTERNAL if name not in SORTS],
    "sorts": [name for name in ELEMENTARY if name in SORTS and name not in INTERNAL],
    "orders": [name for name in INTERNAL if name in SORTS],
}
"""All operators in few functions, since each takes seconds to compile."""

# Batch and spatial shape. With the second length along one axis torch.compile leaves it open.
EXTENTS = {"one": [(1, (1,))], "line": [(3, (5,)), (2, (8,)), (2, (161,))]}


def test_every_operator_is_in_one_part() -> None:
    assert sorted(name for part in PARTS.values() for name in part) == sorted({*ELEMENTARY, *INTERNAL})


def value_and_gradients(function: Callable[..., Tensor], given: Sequence[Any], by: Sequence[int]) -> list[Tensor]:
    given = [x.clone().requires_grad_() if place in by else x for place, x in enumerate(given)]
    value = function(*given)
    return [value.detach(), *torch.autograd.grad(value, [given[place] for place in by])]


@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("part", PARTS)
def test_torch_compile_agrees_with_eager(part: str, extent: str, caplog: pytest.LogCaptureFixture) -> None:
    torch._dynamo.reset()
    source, labels = source_of(PARTS[part]), part in ("labels", "orders")
    compiled, eager = compile_source(source, "compile"), compile_source(source, "eager")
    for batch, shape in EXTENTS[extent]:
        values: dict[str, Any] = {**flat_inputs(0, shape), "shape": list(shape)}
        values = {name: x[:batch] if name in ("logits", "target", "labels") else x for name, x in values.items()}
        if labels:
            values["target"] = values["labels"]
        given = [values[argument.name] for argument in source.arguments]
        # Kernels over labels have no gradient for class weights.
        by = [0] if labels else [n for n, a in enumerate(source.arguments) if a.name != "shape"]
        found, expected = (value_and_gradients(function, given, by) for function in (compiled, eager))
        assert_agree(found, expected, f"{part} at {batch} x {shape}")
    assert not [record for record in caplog.records if record.name == "lossearch.compile.inductor"], "it ran uncompiled"
