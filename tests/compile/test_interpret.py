"""The interpreter for screening, and constants as inputs of one structure."""

from __future__ import annotations

import pytest
import torch
from compile.examples import DENSE, LOGITS, TRUE_P, P, flat_inputs
from ir.random_graphs import group_of, random_graph

from lossearch import zoo
from lossearch.compile import compile_source, emit, evaluate, structure
from lossearch.errors import UserError
from lossearch.ir import Graph, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting.lowering import lower


def test_parameters_take_their_defaults_or_what_is_given() -> None:
    gamma = Parameter("gamma", 2.0, 0.0, 10.0)
    graph = lower(Graph(DENSE, (1.0 - TRUE_P) ** gamma.node, (gamma,)))
    inputs = flat_inputs(0)
    base = 1.0 - (inputs["target"] * torch.softmax(inputs["logits"], 1)).sum(1)
    torch.testing.assert_close(evaluate(graph, inputs)[0], base**2.0)
    torch.testing.assert_close(evaluate(graph, inputs, {"gamma": 3.0})[0], base**3.0)
    tensor = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    value, _ = evaluate(graph, inputs, {"gamma": tensor})
    (gradient,) = torch.autograd.grad(value.sum(), tensor)
    torch.testing.assert_close(gradient, (base**3.0 * base.log()).sum())


def test_the_weight_comes_with_the_root() -> None:
    graph = lower(zoo.get("weighted_cross_entropy").graph)
    root, weight = evaluate(graph, flat_inputs(0))
    assert weight is not None
    assert root.shape == weight.shape


def test_a_missing_input_is_named() -> None:
    with pytest.raises(UserError, match="input 'target'"):
        evaluate(lower(Graph(DENSE, TRUE_P)), {"logits": torch.randn(2, 3, 1)})


def test_a_number_as_root_is_a_tensor() -> None:
    value, _ = evaluate(Graph(DENSE, fn.size(LOGITS, "class")), flat_inputs(0))
    torch.testing.assert_close(value, torch.tensor(5.0, dtype=torch.float64))


def test_structures_differ_by_numbers_only_where_numbers_are_structure() -> None:
    def key(a: float, b: float) -> str:
        return structure(lower(Graph(DENSE, fn.exp(P * a) + (1.0 - TRUE_P) ** b)))[0].key

    assert key(2.0, 0.3) == key(3.5, 0.7)
    assert key(2.0, 0.3) != key(0.2, 0.3)  # another class of size
    assert key(2.0, 0.3) != key(-2.0, 0.3)
    assert key(2.0, 3.0) != key(2.0, 4.0)  # whole exponents


@pytest.mark.xdist_group(group_of(0))
def test_a_structure_with_its_values_is_the_graph() -> None:
    replaced = 0
    for seed in range(60):
        graph = lower(random_graph(seed, DENSE).frozen())
        made, values = structure(graph)
        inputs = flat_inputs(seed)
        expected, _ = evaluate(graph, inputs, shape=(2, 3))
        found, _ = evaluate(made, inputs, values, shape=(2, 3))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12, equal_nan=True)
        replaced += len(values)
        assert [p.name for p in made.parameters] == list(values)
    assert replaced > 10


def test_one_compiled_structure_serves_many_constants() -> None:
    functions = set()
    for scale in (2.0, 3.0):
        graph = lower(Graph(DENSE, fn.exp(P * scale) * 0.25))
        made, values = structure(graph)
        function = compile_source(emit(made), "torchscript")
        functions.add(function)
        logits = flat_inputs(0)["logits"]
        torch.testing.assert_close(function(logits, *values.values()), evaluate(graph, {"logits": logits})[0])
    assert len(functions) == 1


def test_constants_can_be_learnt() -> None:
    made, values = structure(lower(Graph(DENSE, fn.exp(P * 2.5))), learnable=True)
    source = emit(made)
    assert "c0: Tensor" in source.text
    leaf = torch.tensor(values["c0"], dtype=torch.float64, requires_grad=True)
    compile_source(source)(flat_inputs(0)["logits"], leaf).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.item() > 0.0
