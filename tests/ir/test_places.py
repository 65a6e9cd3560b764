"""Equal constants are one node, yet each place where one stands is changed by itself."""

from __future__ import annotations

import math
import random

import pytest
import torch
from ir.random_graphs import group_of, random_graph

from lossearch.candidates.variants import constant_variants
from lossearch.compile.constants import free_constants, structure
from lossearch.compile.interpret import evaluate
from lossearch.evolve.grammar import Grammar
from lossearch.evolve.variation import perturb_constants, replace_subtree
from lossearch.ir.core.expr import constant
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.places import places, replace_at
from lossearch.ir.core.signature import get_signature
from lossearch.ir.core.types import IllTyped
from lossearch.ir.forms.text import parse_graph
from lossearch.ir.rewriting.lowering import lower
from lossearch.ir.signatures import DENSE
from lossearch.search_spaces import load_space
from lossearch.search_spaces.derived import derived_space
from lossearch.training.graph_loss import GraphLoss

TWICE = "0.5 * cross_entropy(logits, target) + square(0.5 + true_class_probability(logits, target))"


def graph(text: str, signature: str = "dense") -> Graph:
    return parse_graph(f"{signature}: {text}")


def test_every_number_of_a_formula_is_a_place() -> None:
    assert [place.value for place in places(graph(TWICE).roots)] == [0.5, 0.5]
    shared = graph("p := softmax(2.0 * logits, over=class); contract(target, log(p) * p * 2.0, over=class)")
    assert [place.value for place in places(shared.roots)] == [2.0, 2.0]  # in p, which is used twice, and the factor
    weighted = graph("cross_entropy(logits, target) * 3.0 weighted by cross_entropy(logits, target) * 3.0")
    assert len(places(weighted.roots)) == 1  # root and weight are one node


@pytest.mark.xdist_group(group_of(0))
def test_each_place_is_replaced_by_itself() -> None:
    compared = 0
    for seed in range(150):
        roots = (random_graph(seed, DENSE).frozen().root,)
        found = places(roots)
        changed = replace_at(roots, {place: constant(place.value) for place in found})
        assert changed == list(roots)
        for place in found:
            try:
                (other, *_) = replace_at(roots, {place: constant(place.value * 1.0625)})
            except IllTyped:
                continue
            left = [other_place.value for other_place in found if other_place != place]
            now = [other_place.value for other_place in places([other])]
            now.remove(place.value * 1.0625)
            assert sorted(now) == sorted(left)
            compared += 1
    assert compared > 50


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        ("dense", TWICE),
        ("image", "0.9555 - structural_similarity(image, target, 0.9555)"),
        (
            "dense",
            "p := true_class_probability(logits, target); log(0.25 + p) * tanh(0.25 * cross_entropy(logits, target))",
        ),
    ],
)
def test_a_perturbation_moves_unrelated_constants_apart(signature: str, text: str) -> None:
    root = graph(text, signature).root
    (value,) = {place.value for place in places([root])}
    grammar, rng = Grammar(load_space(signature)), random.Random(0)
    seen: set[tuple[bool, ...]] = set()
    for _ in range(200):
        changed = perturb_constants(root, grammar, rng)
        if changed is None:
            continue
        now = [place.value for place in places([changed])]
        assert len(now) == 2
        seen.add(tuple(number != value for number in now))
    assert seen >= {(True, True), (True, False), (False, True)}


def test_a_replaced_constant_stays_in_its_other_places() -> None:
    """In a space whose losses are single numbers, a constant may be exchanged for any of them."""
    grammar, rng = Grammar(derived_space(get_signature("weights_of_components"))), random.Random(1)
    root = graph("relu(mean(weights * norms, over=component) - 0.375) + 0.375", "weights_of_components").root
    left = []
    for _ in range(300):
        changed = replace_subtree(root, grammar, rng)
        if changed is not None:
            left.append(sum(place.value == 0.375 for place in places([changed])))
    assert 1 in left


def test_variants_draw_each_place_by_itself_and_share_one_pass() -> None:
    variants = constant_variants(graph(TWICE), 6, 0.7, seed=3)
    numbers = [[place.value for place in places(variant.roots)] for variant in variants]
    assert numbers[0] == [0.5, 0.5]
    assert all(first != second for first, second in numbers[1:])
    losses = [GraphLoss(variant) for variant in variants]
    assert len({loss.group for loss in losses}) == 1  # the given one too, whose constants are equal
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(len(variants), 7, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (len(variants), 7), generator=generator)
    together = GraphLoss.stacked(losses, logits, labels)
    for row, (factor, margin) in enumerate(numbers):
        p = logits[row].log_softmax(1).gather(1, labels[row, :, None])[:, 0]
        expected = (-factor * p + (margin + p.exp()).square()).mean()
        torch.testing.assert_close(together[row], expected, rtol=1e-12, atol=1e-12)


def test_a_whole_exponent_stays_where_the_same_number_elsewhere_varies() -> None:
    variants = constant_variants(graph("2.0 * true_class_probability(logits, target) ** 2.0"), 4, 0.5, seed=0)
    for variant in variants[1:]:
        factor, exponent = sorted((place.is_exponent, place.value) for place in places(variant.roots))
        assert exponent == (True, 2.0)
        assert factor[1] != 2.0


def test_a_structure_has_a_parameter_for_each_place() -> None:
    lowered = lower(graph(TWICE))
    made, values = structure(lowered, learnable=True)
    assert list(map(abs, values.values())) == [0.5, 0.5]
    assert list(values.values()) == [place.value for place in free_constants(lowered.roots)]
    logits = torch.randn(3, 4, 1, dtype=torch.float64)
    inputs = {"logits": logits, "target": torch.eye(4, dtype=torch.float64)[:3, :, None]}
    leaves = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in values.items()}
    evaluate(made, inputs, leaves)[0].sum().backward()
    gradients = [leaf.grad.item() for leaf in leaves.values() if leaf.grad is not None]
    p = logits[:, :, 0].softmax(1).diagonal()
    signs = [math.copysign(1.0, value) for value in values.values()]
    expected = [-p.log().sum().item(), 2.0 * (0.5 + p).sum().item()]
    found = [sign * gradient for sign, gradient in zip(signs, gradients, strict=True)]
    assert sorted(found) == pytest.approx(sorted(expected), rel=1e-9)
