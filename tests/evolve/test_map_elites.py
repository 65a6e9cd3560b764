"""MAP-Elites: cells, who replaces whom, uniform selection, and what every method holds."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from lossearch.evolve import make_method
from lossearch.evolve.method import Proposal
from lossearch.evolve.methods.map_elites import MapElites, family
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import JointGraph
from lossearch.search_spaces import load_space
from lossearch.search_spaces.joint import JointSpace
from lossearch.testing import check_method
from lossearch.zoo.named import graph_of

SPACE = load_space("dense").model_copy(update={"seeds": ()})


def method(**settings: float) -> MapElites:
    made = make_method("map_elites", SPACE, 0, **settings)
    assert isinstance(made, MapElites)
    return made


def tell(one: MapElites, text: str, score: float | None, complexity: int) -> str:
    graph = graph_of(f"dense: {text}")
    one.tell(Proposal(graph, "random"), score, complexity)
    return graph.key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cross_entropy(logits, target)", "cross_entropy"),
        ("normalized_cross_entropy(logits, target) + cross_entropy(clipped_logits(logits, 2.0), target)", "robust"),
        ("normalized_cross_entropy(logits, target) + cross_entropy(logits, target)", "cross_entropy"),
        ("sum(square(softmax(logits, over=class) - target), over=class)", "elementary"),
    ],
)
def test_the_family_is_that_of_most_primitives(text: str, expected: str) -> None:
    assert family(graph_of(f"dense: {text}")) == expected


def test_the_primitives_of_all_slots_count() -> None:
    joint = JointGraph.of({"a": graph_of("dense: cross_entropy(logits, target)"), "b": graph_of("giou")})
    assert family(joint) == min("cross_entropy", family(graph_of("giou")))


def test_an_elite_is_replaced_only_by_a_better_one_of_its_cell() -> None:
    one = method(bin=5)
    first = tell(one, "2.0 * cross_entropy(logits, target)", 1.0, 7)
    for score, complexity in ((0.5, 5), (1.0, 7), (1.0, 8), (None, 5)):
        tell(one, "3.0 * cross_entropy(logits, target)", score, complexity)
        assert [elite.graph.key for elite in one.archive.values()] == [first]
    simpler = tell(one, "4.0 * cross_entropy(logits, target)", 1.0, 6)
    assert one.archive["cross_entropy 1"].graph.key == simpler
    better = tell(one, "5.0 * cross_entropy(logits, target)", 1.5, 9)
    assert one.archive["cross_entropy 1"].graph.key == better
    tell(one, "6.0 * cross_entropy(logits, target)", 0.1, 10)
    tell(one, "sum(target * logits, over=class)", 0.1, 9)
    assert set(one.archive) == {"cross_entropy 1", "cross_entropy 2", "elementary 1"}
    assert one.archive["cross_entropy 1"].graph.key == better


def test_a_migrant_takes_its_cell() -> None:
    one = method()
    one.inject(graph_of("dense: cross_entropy(logits, target)"), 3.0)
    ((cell, elite),) = one.archive.items()
    assert cell.startswith("cross_entropy ")
    assert elite.score == 3.0


def test_parents_are_drawn_from_all_cells_alike() -> None:
    """With 6 cells and 3000 draws χ² of five degrees of freedom is below 20.5 in 99.9 % of cases."""
    one = method(random_share=0.0, crossover_share=0.0, bin=1)
    keys = [tell(one, f"{k + 2}.0 * cross_entropy(logits, target)", float(k) ** 3, k) for k in range(6)]
    parents = Counter(one._parent().graph.key for _ in range(3000))
    assert set(parents) == set(keys)
    assert sum((parents[key] - 500) ** 2 / 500 for key in keys) < 20.5
    assert {one.ask().parents[0] for _ in range(100)} == set(keys)


def test_it_resumes_exactly_in_the_middle() -> None:
    one, other = method(), make_method("map_elites", SPACE, 5)
    for _ in range(70):
        candidate = one.ask()
        assert isinstance(candidate.graph, Graph)
        one.tell(candidate, float(len(candidate.graph.nodes)), candidate.graph.complexity)
    other.load_state(json.loads(json.dumps(one.state())))
    assert len(one.archive) > 5
    assert [one.ask().graph.key for _ in range(30)] == [other.ask().graph.key for _ in range(30)]
    assert one.state() == other.state()


def test_it_holds_what_every_method_holds() -> None:
    check_method("map_elites", bin=2)
    spaces = {"classification": load_space("dense"), "box": load_space("box")}
    check_method("map_elites", JointSpace.of(spaces, {"classification": "cross_entropy", "box": "giou"}))
