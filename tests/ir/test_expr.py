"""Nodes: interning, immutability, types, depth; and refusals that name the place."""

from __future__ import annotations

import gc
import hashlib
import subprocess
import sys

import pytest

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.ir import Expr, Graph, IllTyped, Parameter, constant
from lossearch.ir.core.primitive import primitive
from lossearch.ir.forms.json import dumps, graph_from_dict, graph_to_dict, loads
from lossearch.ir.forms.text import format_graph, parse_graph
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting.lowering import lower
from lossearch.ir.rewriting.ranges import out_of_range
from lossearch.ir.signatures import DENSE

NODES = DENSE.nodes()
LOGITS, TARGET = NODES["logits"], NODES["target"]


def test_equal_expressions_are_one_object():
    assert fn.exp(LOGITS) * 2 is fn.exp(LOGITS) * 2.0
    assert constant(0.0) is not constant(-0.0)
    with pytest.raises(AttributeError):
        LOGITS.op = "other"
    with pytest.raises(TypeError, match="truth value"):
        bool(LOGITS)


def test_nodes_die_when_nobody_holds_them():
    gc.collect()
    before = len(Expr._interned)
    for step in range(200):
        fn.exp(LOGITS * float(step + 1000)).key  # noqa: B018
    gc.collect()
    assert len(Expr._interned) <= before + 5


def test_keys_are_the_same_in_every_process():
    code = "from lossearch import zoo; print(zoo.get('tversky').graph.key)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == zoo.get("tversky").graph.key


def test_a_deep_graph_needs_no_recursion():
    node = LOGITS
    for _ in range(5000):
        node = fn.tanh(node + 1.0)
    graph = Graph(DENSE, node + TARGET)
    assert parse_graph(format_graph(graph)) == graph
    assert graph_from_dict(loads(dumps(graph_to_dict(graph)))) == graph
    assert graph.complexity == 10_001


def test_a_shared_graph_stays_small_in_text():
    node = LOGITS
    for _ in range(60):
        node = node * node * 1e-5 if node is LOGITS else fn.tanh(node * node)
    assert len(format_graph(Graph(DENSE, node + TARGET))) < 4000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fn.log(LOGITS), "log needs argument 1 in"),
        (lambda: fn.sqrt(-fn.exp(LOGITS)), "sqrt needs"),
        (lambda: 1.0 / LOGITS, "on one side of zero"),
        (lambda: LOGITS**0.5, "pow needs"),
        (lambda: fn.sum(fn.sum(LOGITS, "class"), "class"), "over axes of its argument"),
        (lambda: fn.where(LOGITS, LOGITS, LOGITS), "condition first"),
        (lambda: fn.exp(fn.less(LOGITS, 0.0)), "real numbers"),
        (lambda: fn.softmax(LOGITS, ("batch", "class")), "one axis"),
        (lambda: constant(float("inf")), "finite"),
        (lambda: Graph(DENSE, fn.less(LOGITS, TARGET)), "real"),
        (lambda: LOGITS / (TARGET * 0.0), "on one side of zero"),
        (lambda: LOGITS / (constant(1.0) - 1.0), "on one side of zero"),
        (lambda: constant(0.0) ** -100.5, "a value that a float can hold"),
        (lambda: constant(1e300) * 1e300, "a value that a float can hold"),
        (lambda: fn.clamp(LOGITS, float("-inf"), 1.0), "finite bounds"),
        (lambda: fn.clamp(LOGITS, lower=float("inf")), "finite bounds"),
        (lambda: fn.clamp(LOGITS, upper=float("nan")), "finite bounds"),
        (lambda: fn.gaussian_window(LOGITS, 257, 1.5), "window size from 1 to 255"),
        (lambda: fn.gaussian_window(LOGITS, 3, float("inf")), "finite window width"),
    ],
)
def test_ill_typed_expressions_cannot_be_made(make, message):
    with pytest.raises(IllTyped, match=message):
        make()


@pytest.mark.parametrize(
    "root",
    [
        LOGITS * 1e300 * 1e300,
        LOGITS * 1e300 / 1e-300,
        LOGITS / 1e300,
        LOGITS + 1e308 + 1e308 * TARGET,
        fn.relu(LOGITS) ** (TARGET * 1e300),
    ],
    ids=repr,
)
def test_extreme_constants_are_a_matter_of_the_range_check(root):
    assert lower(Graph(DENSE, root)).root.axes == root.axes
    assert "may reach" in str(out_of_range((root,)))


def test_intervals_know_that_a_weighted_average_stays_inside():
    p_true = fn.contract(TARGET, fn.softmax(LOGITS, "class"), "class")
    assert p_true.type.interval == (0.0, 1.0)
    assert fn.sum(TARGET * fn.softmax(LOGITS, "class"), "class").type.interval == (0.0, 1.0)
    assert (1.0 - p_true).type.interval == (0.0, 1.0)


def test_the_range_check_refuses_what_may_overflow():
    assert out_of_range((fn.exp(LOGITS) * fn.exp(LOGITS),)) is not None
    assert out_of_range((fn.log_softmax(LOGITS, "class"),)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dense: logits + foo", "unknown name 'foo'"),
        ("dense: (logits", "where '\\)' belongs"),
        ("dense: log(logits)", "log needs .* \\(character 8\\)"),
        ("dense: explode(logits)", "unknown operator or primitive 'explode'"),
        ("dense: gather(logits, target, over=class)", "unknown operator"),
        ("dense: softmax(logits)", "without its attribute 'over'"),
        ("dense: softmax(logits, over=clas)", "an axis among"),
        ("dense: softmax(logits, over=class, depth=3)", "unknown attribute 'depth'"),
        ("dens: logits", "a signature"),
        ("dense(a=3.0 in [0.0, 1.0]): a * logits", "a in \\[0, 1\\]"),
        ("dense(a=0.5 in [0.0, 1.0]): logits", "parameters that occur"),
        ("dense: logits $ 2", "the character"),
        ("dense: " + "(" * 200 + "logits", "nested levels"),
        ("dense: select(logits, over=class, index=1.5)", "whole number"),
        ("dense: local_mean(logits, size=1e999)", "no number that a float can hold"),
        ("dense: logits * 2.0 / 0.0", "one side of zero \\(character 21\\)"),
        ("", "a name belongs"),
    ],
)
def test_malformed_text_is_refused_with_the_place(text, message):
    with pytest.raises(UserError, match=message):
        parse_graph(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema="other/9"), "schema"),
        (lambda d: d.update(signature="dens"), "a signature"),
        (lambda d: d["nodes"][2].update(op="os.system"), "nodes\\[2\\]"),
        (lambda d: d["nodes"][2].update(args=[99]), "earlier nodes"),
        (lambda d: d["nodes"][2].update(args=[True]), "earlier nodes"),
        (lambda d: d.update(nodes="x"), "lists"),
        (lambda d: d.update(roots=[]), "lists"),
        (lambda d: d["nodes"][0]["attrs"].update(lower="low"), "finite number"),
        (lambda d: d["nodes"][0]["attrs"].update(lower=-5.0), "input"),
        (lambda d: d["parameters"].append({"name": "x y"}), "parameters"),
        (lambda d: d.update(expanded_key="0" * 64), "primitives as they were"),
    ],
)
def test_malformed_documents_are_refused(change, message):
    document = loads(dumps(graph_to_dict(zoo.get("focal").graph)))
    change(document)
    with pytest.raises(UserError, match=message):
        graph_from_dict(loads(dumps(document)) if document["schema"] == "lossearch/1" else loads(_plain(document)))


def _plain(document) -> str:
    import json

    return json.dumps(document)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"schema": 3}', "NaN"])
def test_what_is_no_document_is_refused(text):
    with pytest.raises(UserError, match="document"):
        loads(text)


def test_a_parameter_must_have_a_name_and_lie_in_its_bounds():
    with pytest.raises(UserError, match="identifier"):
        Parameter("a b", 0.0, 0.0, 1.0)
    with pytest.raises(UserError, match="a in"):
        Parameter("a", 2.0, 0.0, 1.0)
    with pytest.raises(UserError, match="log scale"):
        Parameter("a", 0.5, 0.0, 1.0, log=True)
    with pytest.raises(UserError, match="gamma"):
        zoo.get("focal").bind(gama=1.0)


@pytest.mark.parametrize("search", [(0.0, 11.0), (-1.0, 2.0), (3.0, 3.0), (4.0, 2.0)])
def test_a_range_to_search_lies_within_the_bounds(search):
    with pytest.raises(UserError, match=r"search of gamma within \[0, 10\]"):
        Parameter("gamma", 2.0, 0.0, 10.0, search=search)


def test_a_range_to_search_survives_both_forms_and_binding():
    graph = zoo.get("hinge").graph
    assert "margin=1.0 in [0.0, 100.0] search [0.0, 10.0] defined [0.0, inf] tunable" in format_graph(graph)
    assert parse_graph(format_graph(graph)) == graph
    document = graph_to_dict(graph)
    assert document["parameters"][0]["search"] == [0.0, 10.0]
    assert graph_from_dict(document) == graph
    (margin,) = graph.bind({"margin": 50.0}).parameters
    assert margin.search == (0.0, 10.0)
    assert margin.searched == (0.0, 50.0)


def test_a_document_without_ranges_to_search_is_as_it_was_before_there_were_any():
    graph = zoo.get("focal").graph
    gamma = "Parameter(name='gamma', default=2.0, lower=0.0, upper=10.0, tunable=True, learnable=False, log=False)"
    text = "|".join(("dense", graph.root.key, f"({gamma},)"))
    assert graph.key == hashlib.sha256(text.encode()).hexdigest()
    assert "search" not in graph_to_dict(graph)["parameters"][0]


@pytest.mark.parametrize("search", [3.0, [1.0], [0.0, True], ["0", 1.0], [0.0, 1.0, 2.0]])
def test_a_malformed_range_to_search_is_refused(search):
    document = graph_to_dict(zoo.get("hinge").graph)
    document["parameters"][0]["search"] = search
    with pytest.raises(UserError, match=r"parameters\[0\]"):
        graph_from_dict(document)


def test_a_primitive_takes_five_lines_and_a_name_only_once():
    @primitive(family="test")
    def doubled_for_this_test(x: Expr, factor: Expr) -> Expr:
        """Twice the product, for this test."""
        return 2 * x * factor

    graph = Graph(DENSE, doubled_for_this_test(fn.mean(LOGITS, "class"), constant(3.0)))
    assert format_graph(graph) == "dense: doubled_for_this_test(mean(logits, over=class), 3.0)"
    assert parse_graph(format_graph(graph)) == graph
    assert graph.expanded().root is 2 * fn.mean(LOGITS, "class") * 3.0
    with pytest.raises(UserError, match="a new name for an operator"):

        @primitive(family="test")
        def cross_entropy(x: Expr) -> Expr:
            """A name that is taken."""
            return x


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cross_entropy(logits, target) * 2.0 / 0.0", "on one side of zero"),
        ("cross_entropy(logits, target) * 0.0 ** (-1.0)", "on one side of zero"),
        ("cross_entropy(logits, target) * 2.0 ** 5000.0", "a value that a float can hold"),
        ("clamp(logits, lower=3.0, upper=1.0)", "lower ≤ upper"),
        ("local_mean(logits, size=999999999)", "window size from 1 to 255"),
        ("cross_entropyy(logits, target)", "cross_entropy"),
    ],
)
def test_what_no_number_can_be_is_ill_typed(text, message):
    with pytest.raises(UserError, match=message):
        parse_graph(f"dense: {text}")


def test_a_deep_graph_is_lowered_with_integer_labels():
    node = fn.log_softmax(DENSE["logits"].node, "class")
    for _ in range(3000):
        node = fn.tanh(node + 0.5)
    graph = Graph(DENSE, fn.contract(DENSE["target"].node, node, "class"))
    lowered = lower(graph, labels=True)
    assert sum(node.op == "tanh" for node in lowered.nodes) == 3000
    assert lowered.root.op == "tanh"
