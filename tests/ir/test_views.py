"""The SymPy and NetworkX views agree with the graph."""

from __future__ import annotations

import math

import networkx as nx
import pytest
import sympy

from lossearch import primitives, zoo
from lossearch.errors import UserError
from lossearch.ir import OPERATORS, Expr, Parameter
from lossearch.ir import functions as fn
from lossearch.ir.networkx_view import common_subexpressions, layers, layout, to_networkx, users
from lossearch.ir.signatures import DENSE
from lossearch.ir.sympy_view import derivative, to_sympy
from lossearch.ir.text_form import parse_expression

NODES = DENSE.nodes()
P_TRUE = primitives.true_class_probability(NODES["logits"], NODES["target"])


@pytest.mark.parametrize("name", sorted(n for n, op in OPERATORS.items() if op.elementwise and op.value is not None))
def test_the_sympy_form_of_every_elementwise_operator_has_its_value(name):
    operator = OPERATORS[name]
    values = [0.37, 0.62, 0.81][: operator.arity]
    attributes = {key: {"lower": 0.1, "upper": 0.9}[key] for key, _ in operator.attributes}
    nodes = [Parameter(f"x{rank}", value, 0.1, 0.9).node for rank, value in enumerate(values)]
    form = to_sympy(Expr.make(name, nodes, **attributes))
    assert operator.value is not None
    expected = operator.value(*values, **attributes)
    found = form.subs({sympy.Symbol(f"x{rank}", real=True): value for rank, value in enumerate(values)})
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_the_derivative_of_focal_by_the_true_class_probability():
    p = sympy.Symbol("p", positive=True)
    loss = (1.0 - P_TRUE) ** 2 * -fn.log(P_TRUE)
    found = derivative(loss, P_TRUE, {P_TRUE: p})
    expected = sympy.diff(-((1 - p) ** 2) * sympy.log(p), p)
    for value in (0.1, 0.5, 0.9):
        assert float(found.subs(p, value)) == pytest.approx(float(expected.subs(p, value)), rel=1e-9)


def test_a_reduction_needs_a_symbol():
    with pytest.raises(UserError, match="elementwise"):
        to_sympy(fn.log(fn.softmax(NODES["logits"], "class")))


def test_networkx_has_the_nodes_edges_and_sharing_of_the_graph():
    root = parse_expression("softmax(logits, over=class) * softmax(logits, over=class) + logits", NODES)
    graph = to_networkx((root,))
    assert set(graph.nodes) == set(root.postorder())
    assert graph.number_of_edges() == sum(len(node.args) for node in root.postorder())
    assert nx.is_directed_acyclic_graph(graph)
    assert users(root)[fn.softmax(NODES["logits"], "class")] == 2


def test_common_subexpressions_are_the_largest_ones():
    shared = fn.exp(P_TRUE) * 2.0
    assert common_subexpressions(fn.tanh(shared), shared + 1.0) == [shared]
    assert common_subexpressions(fn.tanh(P_TRUE), fn.exp(NODES["logits"])) == []


def test_a_layout_places_every_node_above_its_arguments():
    root = zoo.get("focal").graph.expanded().root
    places, depth = layout(root), layers(root)
    assert set(places) == set(root.postorder())
    assert all(depth[node] > depth[argument] for node in root.postorder() for argument in node.args)
    assert all(math.isfinite(x) and math.isfinite(y) for x, y in places.values())
