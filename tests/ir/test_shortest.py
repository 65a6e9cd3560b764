"""The shortest form of a loss: what README collected by hand, and that value and gradient stay as they are."""

from __future__ import annotations

import pytest
import torch
from ir.evaluation import inputs, value_and_gradient
from ir.random_graphs import random_graph
from ir.test_properties import agree_twice
from representative import first_of, thorough_unless
from torch import Tensor

from lossearch.errors import UserError
from lossearch.ir import Graph
from lossearch.ir.core.signature import SIGNATURES
from lossearch.ir.forms.text import format_graph, parse_graph
from lossearch.ir.rewriting.lowering import guard_only, lower
from lossearch.ir.rewriting.naming import cost
from lossearch.ir.rewriting.shortest import MOST_NODES, shortest

FOUND = (
    "(reverse_cross_entropy(logits, target, -5.62) + probability_margin(logits, target))"
    " + (cross_entropy(logits, target) * 0.77 + reverse_cross_entropy(logits, target, -10.4) * 0.525"
    " + probability_margin(logits, target) * 4.35) * 0.2"
)
"""As the demo's search found it, in terms that overlap."""

ALWAYS = (
    "1.87 * probability_margin(logits, target) + reverse_cross_entropy(logits, target, (-5.62))"
    " + 0.154 * cross_entropy(logits, target) + 0.105 * reverse_cross_entropy(logits, target, (-10.4))"
)
"""As README collected it by hand."""

ON_LABELS = (
    "6.712 * (1.0 - true_class_probability(logits, target)) + 1.87 * probability_margin(logits, target)"
    " + 0.154 * cross_entropy(logits, target)"
)

CE, P, LOG_P = "cross_entropy(logits, target)", "softmax(logits, over=class)", "log_softmax(logits, over=class)"
TRUE, LOG_TRUE = "true_class_probability(logits, target)", "true_class_log_probability(logits, target)"

# What is read, whether targets are labels, and the shortest form.
ROWS = [
    (FOUND, False, ALWAYS),
    (FOUND, True, ON_LABELS),
    (f"{CE} * 2.0 + 3.0 * {CE}", False, f"5.0 * {CE}"),
    (f"{CE} + {CE}", False, f"2.0 * {CE}"),
    ("2.0 * (0.5 * entropy(logits))", False, "entropy(logits)"),
    ("entropy(logits) / 3.0 + entropy(logits) / 3.0", False, "entropy(logits) / 1.5"),
    (f"-contract(target, {LOG_P}, over=class)", False, CE),
    (f"contract(target, 3.0 * {LOG_P}, over=class)", False, f"3.0 * {LOG_TRUE}"),
    (f"{LOG_TRUE} * 0.5 + {CE}", False, f"0.5 * {CE}"),
    (f"{TRUE} - runner_up_probability(logits, target)", False, "probability_margin(logits, target)"),
    (f"0.9 * {CE} + 0.1 * uniform_cross_entropy(logits)", False, "label_smoothed_cross_entropy(logits, target, 0.1)"),
    (f"contract(target, 1.0 - {P}, over=class)", False, f"1.0 - {TRUE}"),
    (f"log({TRUE}) - {CE}", True, f"2.0 * {LOG_TRUE}"),
    (f"contract(target, modulating_factor({P}, 1.5) * -{LOG_P}, over=class)", True, f"{CE} * (1.0 - {TRUE}) ** 1.5"),
]


def dense(text: str) -> Graph:
    return parse_graph(f"dense: {text}")


@pytest.mark.parametrize(
    ("text", "labels", "short"), [pytest.param(*row, marks=thorough_unless(row[0] != FOUND)) for row in ROWS]
)
def test_the_shortest_form(text: str, labels: bool, short: str) -> None:
    found = shortest(dense(text), labels)
    assert format_graph(found) == f"dense: {short}"
    assert shortest(found, labels) == found
    assert_equal(dense(text), found, given_to(dense(text), 1, soft=not labels))


@pytest.mark.parametrize("text", first_of([f"log({TRUE}) - {CE}", FOUND]))
def test_what_holds_on_labels_only_is_not_used_for_soft_targets(text: str) -> None:
    given = given_to(dense(text), 2, soft=True)
    assert_equal(dense(text), shortest(dense(text)), given)
    on_labels = shortest(dense(text), labels=True)
    before, after = (value_and_gradient(guard_only(graph), given) for graph in (dense(text), on_labels))
    assert not agree_twice(before, after)


def given_to(graph: Graph, seed: int, soft: bool) -> dict[str, Tensor]:
    """Random inputs in float64, with distributions instead of labels where a target is `soft`."""
    given = inputs(graph, seed)
    if soft and "target" in graph.signature and graph.signature["target"].labels:
        given["target"] = torch.softmax(2.0 * torch.randn_like(given["target"]), 1)
    return given


def assert_equal(graph: Graph, found: Graph, given: dict[str, Tensor]) -> None:
    """Value and gradient agree; where a guard holds a value in one form and not in the other, lowered."""
    if not agree_twice(value_and_gradient(guard_only(graph), given), value_and_gradient(guard_only(found), given)):
        before, after = value_and_gradient(lower(graph), given), value_and_gradient(lower(found), given)
        assert agree_twice(before, after), (format_graph(graph), format_graph(found))


@pytest.mark.parametrize("seed", first_of(range(20), 5))
def test_random_losses_keep_value_and_gradient_and_get_no_longer(seed: int) -> None:
    torch.manual_seed(seed)
    for signature, labels in ((None, False), (SIGNATURES["dense"], False), (SIGNATURES["dense"], True)):
        graph = random_graph(seed, signature)
        found = shortest(graph, labels)
        assert cost(found) <= cost(graph)
        assert parse_graph(format_graph(found)) == found
        assert found.root.axes == graph.root.axes
        assert_equal(graph, found, given_to(graph, seed, soft=not labels))


def test_a_weight_and_parameters_stay() -> None:
    graph = parse_graph(
        "dense(a=2.0 in [0.0, 4.0] tunable): cross_entropy(logits, target) * a + cross_entropy(logits, target) * a"
        " weighted by contract(target, target, over=class) * 1.0"
    )
    found = shortest(graph)
    assert found.weight is not None
    assert format_graph(found).startswith(
        "dense(a=2.0 in [0.0, 4.0] tunable): 2.0 * (a * cross_entropy(logits, target))"
    )


@pytest.mark.parametrize("text", ["logits - logits + 1.0", "0.0 * logits", "cross_entropy(logits, target) * 0.0"])
def test_a_loss_that_comes_to_a_number_still_reads_its_inputs(text: str) -> None:
    assert shortest(dense(text)).root.leaves


def test_a_bound_that_something_needs_is_kept() -> None:
    graph = dense("log(1.0 - softmax(logits, over=class) + 0.5 * softmax(logits, over=class))")
    assert_equal(graph, shortest(graph), given_to(graph, 3, soft=True))


def test_numbers_that_no_float_holds_are_left_as_they_are() -> None:
    graph = dense("logits * 1e300 * 1e-300 + logits * 1e200 / 1e200")
    assert shortest(graph).root.leaves


def test_a_loss_that_nobody_reads_is_refused() -> None:
    text = " + ".join(f"{number}.5 * square(logits + {number}.0)" for number in range(MOST_NODES))
    with pytest.raises(UserError, match=f"at most {MOST_NODES} nodes"):
        shortest(dense(text))


def test_labels_are_asked_for_only_where_there_are_any() -> None:
    with pytest.raises(UserError, match="whose target may be labels"):
        shortest(parse_graph("box: 1.0 - box_iou(boxes, target)"), labels=True)
