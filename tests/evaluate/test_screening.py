"""Every filter of the screen, and that the hand-designed losses pass all of them."""

from __future__ import annotations

import pytest

from lossearch import zoo
from lossearch.evaluate.screening import FILTERS, Screen, ScreeningConfig, canonical
from lossearch.ir.range_check import graph_out_of_range
from lossearch.ir.text_form import parse_graph
from lossearch.search_spaces import load_space
from lossearch.tasks import Task


@pytest.fixture(scope="module")
def screen() -> Screen:
    return Screen(Task("digits_noise"), load_space("dense"), zoo.get("cross_entropy").graph, ScreeningConfig())


def check(screen: Screen, text: str, seen: set[str] | None = None):
    return screen.check(parse_graph(f"dense: {text}"), seen or set())


@pytest.mark.parametrize("name", zoo.names(signature="dense"))
def test_every_dense_loss_of_the_zoo_passes_every_filter(screen, name):
    verdict = screen.check(zoo.get(name).graph, set())
    assert verdict.accepted, (verdict.filter, verdict.reason)


@pytest.mark.parametrize("name", zoo.names())
def test_every_loss_of_the_zoo_has_its_inputs_and_a_proven_range(name):
    loss = zoo.get(name).graph
    for graph in (loss, canonical(loss)):  # with parameters anywhere in their bounds, and at their defaults
        assert all(graph.uses(declared.name) for declared in graph.signature.forward_inputs)
        assert graph_out_of_range(graph) is None


def test_a_loss_of_the_zoo_with_the_gradient_of_another_passes_but_no_multiple_of_it(screen):
    divergence, first = zoo.get("kl_divergence").graph, screen.check(zoo.get("cross_entropy").graph, set())
    passed = screen.check(divergence, set())
    assert passed.accepted
    assert passed.fingerprint == first.fingerprint
    assert screen.check(divergence, {first.fingerprint}).filter == "duplicate_fingerprint"
    multiple = screen.check(divergence.with_roots([2.5 * divergence.root]), set())
    assert (multiple.filter, multiple.reason) == ("known", "a constant multiple of cross_entropy")


@pytest.mark.parametrize(
    ("text", "rejected_by"),
    [
        ("max(logits, over=class)", "type"),
        ("sum(target, over=class)", "type"),
        ("logits * target * 0.0", "probe"),
        (
            "exp(cross_entropy(logits, target)) * exp(entropy(logits) + 2.0 * cross_entropy(logits, target))",
            "range",
        ),
        ("stop_gradient(cross_entropy(logits, target))", "probe"),
        ("sum(softmax(logits, over=class), over=class) + sum(target * 2.5, over=class)", "probe"),
        ("entropy(logits) + stop_gradient(cross_entropy(logits, target))", "probe"),
        ("2.5 * cross_entropy(logits, target) + 3.0", "known"),
        ("-3.0 * true_class_probability(logits, target)", "known"),
        ("square(entropy(logits)) + 0.000001 * cross_entropy(logits, target)", "rejection"),
    ],
)
def test_useless_candidates_are_rejected_by_the_filter_meant_for_them(screen, text, rejected_by):
    verdict = check(screen, text)
    assert (verdict.accepted, verdict.filter) == (False, rejected_by), verdict.reason


def test_an_inverted_candidate_is_flipped_instead_of_discarded(screen):
    right = check(screen, "true_class_probability(logits, target) ** 1.7 * -1.0")
    flipped = check(screen, "true_class_probability(logits, target) ** 1.7")
    assert right.accepted
    assert flipped.accepted
    assert flipped.fingerprint == right.fingerprint


def test_duplicates_are_recognised_by_expression_and_by_behaviour(screen):
    first = check(screen, "cross_entropy(logits, target) ** 1.3")
    assert first.accepted
    assert first.fingerprint is not None
    seen = {first.key, first.fingerprint}
    assert check(screen, "cross_entropy(logits, target) ** 1.3 + 0.0", seen).filter == "duplicate_key"
    assert check(screen, "exp(1.3 * log(cross_entropy(logits, target)))", seen).filter == "duplicate_fingerprint"
    assert check(screen, "cross_entropy(logits, target) ** 1.31", seen).accepted


def test_counts_add_up(screen):
    screen.reset_counts()
    for text in (
        "cross_entropy(logits, target) ** 1.2",
        "max(logits, over=class)",
        "2.0 * cross_entropy(logits, target)",
    ):
        check(screen, text)
    counts = screen.counts()
    assert tuple(counts) == FILTERS
    assert counts["type"].considered == 3
    assert counts["type"].rejected == 1
    assert counts["known"].rejected == 1
    assert counts["rejection"].considered == 1
    assert all(count.seconds >= 0.0 for count in counts.values())


def test_the_canonical_key_ignores_order_and_neutral_elements():
    first = parse_graph("dense: 2.0 * cross_entropy(logits, target) + entropy(logits)")
    second = parse_graph("dense: entropy(logits) * 1.0 + cross_entropy(logits, target) * 2.0 - 0.0")
    assert canonical(first).key == canonical(second).key


def test_fingerprints_do_not_depend_on_the_process(screen):
    import subprocess
    import sys

    code = (
        "from lossearch import zoo\n"
        "from lossearch.evaluate.probes import Probes\n"
        "from lossearch.evaluate.screening import canonical\n"
        "loss = zoo.get('focal').graph\n"
        "print(Probes(loss.signature, 10).measure(canonical(loss)).fingerprint)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == screen.check(zoo.get("focal").graph, set()).fingerprint
