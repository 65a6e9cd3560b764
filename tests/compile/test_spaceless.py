"""Without spatial axes, graphs that lost their `space` give what an axis of length one gives."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from compile.agreement import assert_agree, derivatives, has_norm_at_zero
from compile.examples import CLASS_WEIGHT, DENSE, LOG_P, LOGITS, TARGET, P, buffers_of, prediction_and_targets
from ir.random_graphs import random_graph
from torch import Tensor

from lossearch import zoo
from lossearch.compile import Reduction, build, compile_source
from lossearch.compile.input_checker import least_extent
from lossearch.compile.spaceless import without_space
from lossearch.compile.variant import Variant, source_of
from lossearch.ir import Expr, Graph, get_signature
from lossearch.ir.core.expr import postorder
from lossearch.ir.forms.text import format_graph
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting.lowering import lower

NEED_SPACE = {
    "difference": fn.difference(LOGITS, "width"),
    "gaussian_window": fn.gaussian_window(P, 3),
    "inside a mean": fn.mean(fn.square(fn.difference(P, "height")), ("batch", "class", "space")),
    "softmax": fn.softmax(LOGITS, "space"),
    "sort": fn.sort(LOGITS, "space"),
    "cumsum": fn.cumsum(LOGITS, "space"),
    "select": fn.select(LOGITS, "space", 0),
    "pairwise": fn.contract(LOGITS, fn.rename(LOGITS, "space", "space'"), "class"),
    "count": fn.size(LOGITS, "space") * 2.0,
}
"""Graphs that keep their axis."""

OVER_SPACE = {
    "sum": fn.sum(P, "space"),
    "mean": fn.mean(P, ("batch", "space")),
    "max": fn.max(LOGITS, "space"),
    "min": fn.min(LOGITS, "space"),
    "logsumexp": fn.logsumexp(LOGITS, "space"),
    "norm": fn.norm(LOGITS, "space"),
    "norm of more": fn.norm(LOGITS, ("class", "space")),
    "contract": fn.contract(P, TARGET, "space"),
    "contract more": fn.contract(P, TARGET, ("class", "space")),
    "size": P / fn.size(P, "space"),
    "size of more": P / fn.size(P, ("class", "space")),
    "weighted": fn.sum(CLASS_WEIGHT * fn.sum(TARGET * LOG_P, "space"), "class"),
}
"""Reductions over one entry."""


def reductions(graph: Graph) -> list[Reduction]:
    """Those that a graph has: a sum by batch needs a value for each element of the batch."""
    return [one for one in get_args(Reduction) if one != "batchmean" or "batch" in graph.root.axes]


def check(graph: Graph) -> int:
    """Compare the two forms for every kind of target and reduction; returns how many had no need of the axis."""
    spaceless = 0
    names = [declared.name for declared in graph.signature.forward_inputs]
    spatial = {declared.name for declared in graph.signature.inputs if "space" in declared.axes}
    for given in prediction_and_targets(graph.signature, shape=()):
        labels = any(not x.is_floating_point() for x in given)
        for reduction in reductions(graph):

            def run(
                space: bool, given=given, labels=labels, reduction: Reduction = reduction
            ) -> tuple[bool, list[Tensor]]:
                source = source_of(graph, Variant(labels, space=space), reduction)
                flat, function = space or source.flat, compile_source(source)

                def loss(*inputs: Tensor) -> Tensor:
                    values: dict[str, Any] = dict(zip(names, inputs, strict=True))
                    values = {k: x.unsqueeze(-1) if flat and k in spatial else x for k, x in values.items()}
                    values |= {"class_weight": torch.linspace(0.5, 1.5, 5, dtype=torch.float64), "shape": []}
                    return function(*[values[argument.name] for argument in source.arguments])

                value, *slopes = derivatives(loss, given)
                return flat, [value.flatten(), *slopes]  # unreduced, one form has an axis more

            (flat, found), (_, expected) = run(space=False), run(space=True)
            assert_agree(found, expected, f"{reduction} of {format_graph(graph)}")
            spaceless += not flat
    return spaceless


def takes_a_second_entry(node: Expr) -> bool:
    """Whether an axis of length one has no entry for it."""
    return node.op == "select" and node.attr("over") == ("space",) and node.attr("index") > 0


def has_both_forms(graph: Graph) -> bool:
    """Whether an axis of length one has all entries that a graph takes, and a second derivative exists there."""
    if any(map(takes_a_second_entry, graph.expanded().nodes)):
        return False
    if least_extent(graph) > 1:  # a module would refuse it without space
        return True
    weight = [0.5, 0.75, 1.0, 1.25, 1.5] if graph.uses("class_weight") else None
    kinds = prediction_and_targets(graph.signature, shape=())
    return not any(has_norm_at_zero(graph, given, {"weight": weight}) for given in kinds)


@pytest.mark.parametrize("signature", ["dense", "features"])
def test_random_graphs_need_no_axis_of_length_one(signature: str) -> None:
    graphs = [random_graph(seed, get_signature(signature)).frozen() for seed in range(60)]
    compared = [check(graph) for graph in graphs if has_both_forms(graph)]
    assert sum(map(bool, compared)) > 30


@pytest.mark.parametrize("name", OVER_SPACE)
def test_a_reduction_over_space_is_one_over_its_single_entry(name: str) -> None:
    graph = Graph(DENSE, OVER_SPACE[name])
    changed = without_space(graph.roots)
    assert changed is not None
    assert not any("space" in node.axes for node in postorder(changed))
    # Integer labels make some of them sums into classes, which keep the axis.
    assert check(graph) == (1 if name in ("contract", "weighted") else 2) * len(reductions(graph))


@pytest.mark.parametrize("name", NEED_SPACE)
def test_a_graph_that_needs_the_axis_keeps_it(name: str) -> None:
    graph = Graph(DENSE, NEED_SPACE[name])
    assert without_space(lower(graph).roots) is None
    assert check(graph) == 0


@pytest.mark.parametrize("name", zoo.names(signature="dense"))
def test_masked_and_weighted_calls_of_a_module(name: str) -> None:
    loss = zoo.get(name)
    logits, target = prediction_and_targets(DENSE, shape=())[1]
    target[0] = -100
    weights = torch.linspace(0.5, 1.5, len(logits), dtype=torch.float64)
    options: dict[str, Any] = {"sample_weight": weights} if "batch" in loss.graph.root.axes else {}
    weight = [0.5, 1.0, 1.5, 0.25, 2.0] if loss.graph.uses("class_weight") else None
    for reduction in reductions(loss.graph):
        module = build(loss.graph, reduction=reduction, weight=weight, buffers=buffers_of(loss.graph)).double()

        def run(axis: bool, module=module) -> list[Tensor]:
            """Derivatives of calls with an axis of length one, or without."""

            def call(*inputs: Tensor) -> Tensor:
                return module(*(x.unsqueeze(-1) if axis else x for x in inputs), **options)

            value, *slopes = derivatives(call, [logits, target])
            return [value.flatten(), *slopes]

        assert_agree(run(False), run(True), f"{reduction} of {name}")
