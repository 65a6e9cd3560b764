"""NSGA-II: sorting and crowding against their definitions, and problems whose front is known."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossearch.evolve import make_method
from lossearch.evolve.dominance import crowding, dominates, fronts
from lossearch.evolve.method import Individual, Proposal
from lossearch.evolve.methods.nsga2 import NSGA2, NSGA2Settings, ranked, survivors
from lossearch.ir.core.graph import Graph
from lossearch.search_spaces import load_space
from lossearch.search_spaces.joint import JointSpace
from lossearch.testing import check_method
from lossearch.zoo.named import graph_of

SPACE = load_space("dense")
INTEGERS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2)), max_size=25)


def without_dominated(points: Sequence[tuple[int, ...]]) -> set[int]:
    """By definition: no other point is at most as large everywhere and smaller somewhere."""
    return {
        i
        for i, p in enumerate(points)
        if not any(all(b <= a for a, b in zip(p, q, strict=True)) and q != p for q in points)
    }


@given(INTEGERS)
def test_fronts_are_what_is_left_undominated_when_the_fronts_before_are_taken_away(points) -> None:
    left, expected = dict(enumerate(points)), []
    while left:
        indices = list(left)
        front = {indices[i] for i in without_dominated([left[i] for i in indices])}
        expected.append(sorted(front))
        left = {i: p for i, p in left.items() if i not in front}
    assert [sorted(front) for front in fronts(points)] == expected


@given(INTEGERS)
def test_no_front_has_a_point_that_dominates_one_before(points) -> None:
    numbered = {i: number for number, front in enumerate(fronts(points)) for i in front}
    assert sorted(numbered) == list(range(len(points)))
    for i, number in numbered.items():
        for j, other in numbered.items():
            assert not (dominates(points[i], points[j]) and number >= other)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=20))
def test_crowding_is_the_gap_between_the_neighbours_in_each_coordinate(points) -> None:
    points = [(a * 1.0, b * 1.0) for n, (a, b) in enumerate(points) if all(a != c and b != d for c, d in points[:n])]
    found = crowding(points)
    for i, point in enumerate(points):
        expected = 0.0
        for axis in range(2):
            values = [p[axis] for p in points]
            smaller = [v for v in values if v < point[axis]]
            larger = [v for v in values if v > point[axis]]
            extent = max(values) - min(values)
            expected += (min(larger) - max(smaller)) / extent if smaller and larger else math.inf
        assert found[i] == expected or math.isclose(found[i], expected, rel_tol=1e-12)


def test_equal_values_have_no_gap() -> None:
    assert crowding([(1.0, 2.0)] * 3) == [math.inf, 0.0, math.inf]
    assert crowding([]) == []


def individual(score: float, complexity: int, number: int) -> Individual:
    return Individual(graph_of(f"dense: {number + 2}.0 * cross_entropy(logits, target)"), score, complexity)


def test_whole_fronts_survive_and_of_the_last_those_with_most_room() -> None:
    best = [individual(float(k), k, k) for k in range(4)]
    second = [(0.0, 1), (2.0, 3), (2.1, 4), (2.5, 9)]
    worse = [individual(score, complexity, 10 + complexity) for score, complexity in second]
    kept = survivors([*worse, *best], 6)
    assert {one.graph.key for one in best} <= {one.graph.key for one in kept}
    assert [number for _, number, _ in ranked([*worse, *best])] == [0] * 4 + [1] * 4
    assert {(one.score, one.complexity) for one in kept[4:]} == {(0.0, 1), (2.5, 9)}
    assert len(survivors([best[0]] * 5, 5)) == 1


def test_it_covers_the_front_of_schaffers_problem() -> None:
    """x² and (x - 2)², whose front is [0, 2] (Schaffer 1985). Complexity is an integer, hence the unit 1/1000."""
    rng = random.Random(0)
    graphs: dict[str, float] = {}

    def made(x: float) -> Individual:
        graph = graph_of(f"dense: {len(graphs) + 2}.0 * cross_entropy(logits, target)")
        graphs[graph.key] = x
        return Individual(graph, -(x**2), round(1000 * (x - 2) ** 2))

    population = [made(rng.uniform(-100.0, 100.0)) for _ in range(20)]
    for _ in range(60):
        children = [made(graphs[rng.choice(population).graph.key] + rng.gauss(0.0, 2.0)) for _ in range(20)]
        population = survivors([*population, *children], 20)
    found = sorted(graphs[one.graph.key] for one in population)
    assert found[0] < 0.1
    assert found[-1] > 1.9
    assert all(-0.05 <= x <= 2.05 for x in found)
    assert max(b - a for a, b in itertools.pairwise(found)) < 0.4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_search_finds_the_known_front_of_score_and_complexity(seed: int) -> None:
    """A loss scores its complexity, up to ten, and one more where it has a tanh, for which it needs two operators."""
    one = NSGA2(SPACE, seed, NSGA2Settings(population=16))
    for _ in range(600):
        candidate = one.ask()
        assert isinstance(candidate.graph, Graph)
        complexity, operators = candidate.graph.complexity, {node.op for node in candidate.graph.nodes}
        one.tell(candidate, min(complexity, 10.0) + ("tanh" in operators), complexity)
    front = {(individual.complexity, individual.score) for individual, number, _ in ranked(one.parents) if number == 0}
    assert front == {(1, 1.0), *((complexity, complexity + 1.0) for complexity in range(2, 11))}


def test_of_losses_that_are_equal_in_both_the_newest_stands_for_all() -> None:
    told = [individual(1.0, 1, 0), individual(2.0, 2, 1), individual(2.0, 2, 2), individual(3.0, 3, 3)]
    found = [(one.graph.key, number, room) for one, number, room in ranked(told)]
    assert found[2:] == [(told[2].graph.key, 0, 2.0), (told[1].graph.key, 1, 0.0)]
    assert {room for _, _, room in found[:2]} == {math.inf}
    assert told[1] not in survivors(told, 3)


def test_the_better_front_wins_the_tournament_and_within_it_more_room() -> None:
    one = make_method("nsga2", SPACE.model_copy(update={"seeds": ()}), 0, population=4, random_share=0.0)
    assert isinstance(one, NSGA2)
    told = [individual(3.0, 3, 0), individual(2.0, 2, 1), individual(1.0, 1, 2), individual(0.5, 5, 3)]
    for each in told:
        one.tell(Proposal(each.graph, "random"), each.score, each.complexity)
    assert len(one.parents) == 4
    assert not one.children
    drawn = {one._parent().graph.key for _ in range(200)}
    assert drawn == {each.graph.key for each in told[:3]}  # the fourth loses against each of them


def test_it_holds_what_every_method_holds() -> None:
    check_method("nsga2", population=5)
    spaces = {"classification": SPACE, "box": load_space("box")}
    check_method("nsga2", JointSpace.of(spaces, {"classification": "cross_entropy", "box": "giou"}))
