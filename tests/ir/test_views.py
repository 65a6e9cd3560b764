"""The SymPy and NetworkX views agree with the graph."""

from __future__ import annotations

import itertools
import math

import networkx as nx
import pytest
import sympy
from representative import each_loss

from lossearch import primitives, zoo
from lossearch.errors import UserError
from lossearch.ir import OPERATORS, Expr, IllTyped, Parameter, constant
from lossearch.ir.forms.networkx_view import below, common_subexpressions, label, replaced, roots, to_networkx, users
from lossearch.ir.forms.sympy_view import derivative, to_sympy
from lossearch.ir.forms.text import parse_expression
from lossearch.ir.operators import functions as fn
from lossearch.ir.signatures import DENSE
from lossearch.report.graph_layout import layers, layout

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


def test_a_subgraph_below_a_node_is_the_graph_of_that_expression():
    root = zoo.get("focal").graph.root
    graph = to_networkx((root,))
    (product,) = [node for node in root.postorder() if node.op == "mul"]
    part = below(graph, product)
    assert roots(part) == [product]
    assert nx.utils.graphs_equal(part, to_networkx((product,)))
    with pytest.raises(UserError, match="a node of the graph"):
        below(graph, NODES["logits"] * 17.0)


def test_a_node_is_replaced_wherever_it_was_used():
    root = parse_expression("softmax(logits, over=class) * softmax(logits, over=class) + logits", NODES)
    old, new = fn.softmax(NODES["logits"], "class"), fn.sigmoid(NODES["logits"])
    graph = replaced(to_networkx((root,)), old, new)
    assert roots(graph) == [new * new + NODES["logits"]]
    assert old not in graph
    with pytest.raises(IllTyped, match="log"):
        replaced(to_networkx((fn.log(old),)), old, NODES["logits"])
    with pytest.raises(UserError, match="a node of the graph"):
        replaced(graph, old, new)


def test_labels_name_operators_by_their_symbol_and_tell_attributes():
    logits = NODES["logits"]
    assert label(logits * 2.0) == "*"
    assert label(fn.softmax(logits, "class")) == "softmax\nclass"
    assert label(fn.clamp(logits, lower=0.5)) == "clamp_min\nlower=0.5"
    assert label(fn.mean(logits, ("class", "space"))) == "mean\nclass, space"
    assert [label(constant(2.0)), label(logits)] == ["2", "logits"]


@pytest.mark.parametrize("name", each_loss())
def test_a_layout_places_every_node_above_its_arguments_and_beside_its_neighbours(name):
    graph = zoo.get(name).graph.expanded()
    widths = {node: 0.5 + 0.1 * rank for rank, node in enumerate(graph.nodes)}
    placed, depth = layout(graph.roots, widths), layers(graph.roots)
    assert set(placed.nodes) == set(graph.nodes)
    assert all(depth[node] > depth[argument] for node in graph.nodes for argument in node.args)
    assert all(math.isfinite(x) and y == depth[node] for node, (x, y) in placed.nodes.items())
    rows = itertools.groupby(sorted(graph.nodes, key=lambda n: placed.nodes[n][::-1]), lambda n: placed.nodes[n][1])
    for _, row in rows:
        for left, right in itertools.pairwise(row):
            gap = placed.nodes[right][0] - placed.nodes[left][0] - (widths[left] + widths[right]) / 2
            assert gap > 0.0
    for (source, user), stops in placed.edges.items():
        assert [y for _, y in stops] == list(range(depth[source] + 1, depth[user]))
