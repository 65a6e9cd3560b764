"""Formulas in LaTeX: brackets, names for shared parts, definitions, and that every graph has one."""

from __future__ import annotations

import pytest
from ir.random_graphs import random_graph
from latex2mathml.converter import convert
from representative import each_loss

from lossearch import zoo
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.forms.latex import definitions, equations, format_expression, format_graph, number, symbol
from lossearch.ir.forms.text import parse_graph
from lossearch.ir.operators import functions as fn
from lossearch.ir.signatures import DENSE


def of(text: str) -> str:
    return format_expression(parse_graph(f"dense: {text}").root)


def plain(latex: str) -> str:
    for old, new in (("\\left", ""), ("\\right", ""), ("\\mathrm", ""), ("\\operatorname*", ""), (" ", "")):
        latex = latex.replace(old, new)
    return latex


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("logits + target + 1.0", "z+y+1"),
        ("logits + (target + 1.0)", "z+y+1"),
        ("logits - (target + 1.0)", "z-(y+1)"),
        ("logits - target + 1.0", "z-y+1"),
        ("(logits + 1.0) * target", r"(z+1)\,y"),
        ("logits * (target + 1.0)", r"z\cdot(y+1)"),
        ("logits * 2.0", r"z\cdot2"),
        ("2.0 * logits", r"2\,z"),
        ("logits * -target", r"z\cdot(-y)"),
        ("logits + -target", "z+(-y)"),
        ("-(logits + target)", "-(z+y)"),
        ("-logits * target", r"(-z)\,y"),
        ("-(logits * target)", r"-z\,y"),
        ("square(logits + 1.0)", "{(z+1)}^2"),
        ("square(exp(logits))", "{(e^{z})}^2"),
        ("square(abs(logits))", "{|z|}^2"),
        ("sigmoid(logits) ** 2.0", r"{(\sigma(z))}^{2}"),
        ("(target ** 2.0) ** 0.5", "{({y}^{2})}^{0.5}"),
        ("(logits + 1.0) / (target + 2.0)", r"\frac{z+1}{y+2}"),
        ("logits ** 2.0 * target", r"{z}^{2}\,y"),
        ("log(target) * logits", r"\log(y)\,z"),
        ("sum(logits * target, over=class)", r"\sum_{{class}}z\,y"),
        ("sum(logits + target, over=class)", r"\sum_{{class}}(z+y)"),
        ("sum(logits, over=class) + 1.0", r"(\sum_{{class}}z)+1"),
        ("1.0 + sum(logits, over=class)", r"1+\sum_{{class}}z"),
        ("1.0 - sum(logits, over=class) * 2.0", r"1-(\sum_{{class}}z)\cdot2"),
        ("-sum(logits, over=class) + 1.0", r"(-\sum_{{class}}z)+1"),
        ("softmax(logits, over=class) * target", r"{softmax}_{{class}}(z)\,y"),
        (
            "sum(rename(rename(logits, source=class, target=class'), source=batch, target=batch'), over=batch')",
            r"\sum_{{batch'}}{({z}_{{class}\to{class'}})}_{{batch}\to{batch'}}",
        ),
        ("contract(target, logits - 1.0, over=class)", r"\langley,z-1\rangle_{{class}}"),
        ("clamp(logits - 1.0, lower=-1.0, upper=2.5)", r"\operatorname{clamp}(z-1,-1,2.5)"),
        ("1e-05 * logits", r"10^{-5}\,z"),
        ("logits + 2.5e+20", r"z+2.5\cdot10^{20}"),
        ("square(logits * 1.5e-07)", r"{(z\cdot1.5\cdot10^{-7})}^2"),
    ],
)
def test_brackets_say_what_the_graph_computes(text: str, expected: str) -> None:
    assert plain(of(text)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("logits", "z"),
        ("target", "y"),
        ("gamma", "\\gamma"),
        ("alpha2", "\\alpha_{2}"),
        ("q", "q"),
        ("log_zero", "\\text{log-zero}"),
        ("élan_vital", "\\text{élan-vital}"),
        ("x_1", "x_{1}"),
    ],
)
def test_symbols(name: str, expected: str) -> None:
    assert symbol(name) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(1.0, "1"), (-0.25, "-0.25"), (1e-5, "10^{-5}"), (-2e30, "-2 \\cdot 10^{30}")]
)
def test_numbers(value: float, expected: str) -> None:
    assert number(value) == expected


def test_a_shared_part_gets_a_line_of_its_own() -> None:
    graph = parse_graph("dense: p := cross_entropy(logits, target); p * exp(-p)")
    first, last = equations(graph)
    assert first.name == "t_{1}"
    assert last == ("\\ell", "t_{1} \\, e^{-t_{1}}")
    assert format_graph(graph).splitlines()[0] == "\\begin{split}"


def test_a_minus_in_front_of_all_needs_no_second_line() -> None:
    product = "log_softmax(logits, over=class) * modulating_factor(softmax(logits, over=class), 3.2)"
    (only,) = equations(parse_graph(f"dense: -contract({product}, target, over=class)"))
    assert only.formula.startswith("-\\left\\langle")


def test_a_name_that_a_parameter_has_is_not_taken_again() -> None:
    graph = parse_graph("dense(t1=2.0 in [1.0, 3.0]): p := cross_entropy(logits, target); t1 * p * exp(-p)")
    assert [line.name for line in equations(graph)] == ["t_{2}", "\\ell"]


def test_a_weight_is_shown() -> None:
    lines = equations(zoo.get("weighted_cross_entropy").graph)
    assert [line.name for line in lines] == ["\\ell", "\\text{weight}"]


def test_definitions_write_primitives_out_down_to_operators() -> None:
    heads = [line.name for line in definitions(zoo.get("tversky").graph)]
    wanted = ("tversky-index", "soft-intersection", "soft-false-positives", "soft-false-negatives")
    assert all(any(word in head for head in heads) for word in wanted)
    (only,) = definitions(zoo.get("cross_entropy").graph)
    assert plain(only.formula) == r"-\langley,\log{softmax}_{{class}}(z)\rangle_{{class}}"


def test_a_primitives_axes_are_shown() -> None:
    assert "_{\\text{batch, space}}" in format_graph(zoo.get("dice").graph)
    assert "_{\\text{space}}" in format_graph(zoo.get("dice", per="image").graph)


def doubling(count: int) -> Graph:
    x = fn.softmax(DENSE.nodes()["logits"], "class")
    for _ in range(count):
        x = x * x + x
    return Graph(DENSE, fn.sum(x, "class"))


def test_the_text_is_as_small_as_the_graph() -> None:
    assert len(format_graph(doubling(80))) < 2.1 * len(format_graph(doubling(40)))


def test_deep_graphs_have_a_formula() -> None:
    x: Expr = DENSE.nodes()["logits"]
    for _ in range(5000):
        x = fn.tanh(x)
    assert format_graph(Graph(DENSE, x)).count("\\tanh") == 5000


@pytest.mark.parametrize("name", each_loss())
def test_every_hand_designed_loss_has_a_formula(name: str) -> None:
    graph = zoo.get(name).graph
    for latex in (format_graph(graph), *map(str, definitions(graph))):
        assert convert(latex).startswith("<math")


def test_every_operator_has_a_formula() -> None:
    for seed in range(300):
        graph = random_graph(seed, steps=12)
        for latex in (format_graph(graph), format_graph(graph.expanded())):
            assert latex.count("{") == latex.count("}")
            assert latex.count("\\left") == latex.count("\\right")
            assert convert(latex).startswith("<math")
