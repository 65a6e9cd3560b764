"""CMA-ES: known optima, against random search, groups of proposals, rejections, exact resume, and mistakes."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from representative import first_of

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.evolve.cma import CMA, Rates, default_population
from lossearch.evolve.coordinates import Coordinates
from lossearch.evolve.method import Proposal
from lossearch.evolve.methods.cma_es import CMAES, CMASettings
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.search_spaces import load_space
from lossearch.search_spaces.joint import JointSpace
from lossearch.search_spaces.restricted import with_seeds
from lossearch.testing import check_method
from lossearch.zoo.named import graph_of

SPACE = load_space("dense")
FORMULA = (
    "dense: 0.5 * cross_entropy(logits, target) + reverse_cross_entropy(logits, target, -3.0)"
    " + entropy(0.2 * logits) ** 1.5"
)
TAYLOR = Coordinates.of("taylor", SPACE.constants)

Score = Callable[[Graph], float | None]


def method(structure: str | None = "taylor", seed: int = 0, **settings: float) -> CMAES:
    """Without the space's seeds, so that every proposal counts."""
    space = SPACE if structure is None else SPACE.model_copy(update={"seeds": ()})
    return CMAES(space, seed, CMASettings.model_validate({"structure": structure, **settings}))


def search(one: CMAES, score: Score, evaluations: int) -> Graph:
    """The best of so many proposals, each told before the next is asked for."""
    for _ in range(evaluations):
        candidate = one.ask()
        assert isinstance(candidate.graph, Graph)
        one.tell(candidate, score(candidate.graph), 1)
    best = one.elites(1)[0][0]
    assert isinstance(best, Graph)
    return best


def leaves(pattern: Graph, graph: Graph) -> Iterator[tuple[Expr, Expr]]:
    """Leaves of a structure with what stands in their places in a loss of it."""
    waiting = [(pattern.root, graph.root)]
    while waiting:
        one, other = waiting.pop()
        assert not one.args or one.op == other.op
        if not one.args:
            yield one, other
        waiting += zip(one.args, other.args, strict=True)


def thetas(graph: Graph) -> list[float]:
    """The numbers of a Taylor loss, θ0 first."""
    pairs = leaves(zoo.get("taylor").graph, graph)
    found = {one.attr("name"): other.attr("value") for one, other in pairs if one.op == "parameter"}
    return [found[f"theta{index}"] for index in range(8)]


def numbers(graph: Graph) -> dict[float, float]:
    """The numbers of a loss of the structure `FORMULA`, by those that stand there."""
    pairs = leaves(graph_of(FORMULA), graph)
    return {one.attr("value"): other.attr("value") for one, other in pairs if one.is_constant}


def test_constants_converge_to_the_optimum_of_a_convex_quadratic() -> None:
    optimum = {0.5: 1.7, -3.0: -0.9, 0.2: 0.45, 1.5: 2.3}

    def score(graph: Graph) -> float:
        return -sum(math.log(value / optimum[place]) ** 2 for place, value in numbers(graph).items())

    assert numbers(search(method(FORMULA), score, 500)) == pytest.approx(optimum, rel=1e-3)


def test_parameters_converge_to_the_optimum_of_a_convex_quadratic() -> None:
    optimum = [0.4, -0.6, 1.5, -2.0, 2.5, -1.2, 0.7, 4.0]
    assert thetas(TAYLOR.graph.frozen()) == [0.0, 1.0, 0.0, 0.0, 0.0, -1.0, 1.0, 0.0]

    def score(graph: Graph) -> float:
        return -sum((a - b) ** 2 for a, b in zip(thetas(graph), optimum, strict=True))

    assert thetas(search(method(), score, 1200)) == pytest.approx(optimum, abs=1e-3)


def ellipsoid(condition: float, optimum: list[float]) -> Callable[[Sequence[float]], float]:
    """A convex quadratic whose axes are rotated, and as unlike as its condition number says."""
    n, rng = len(optimum), np.random.default_rng(5)
    axes, _ = np.linalg.qr(rng.standard_normal((n, n)))
    scales = np.logspace(0, math.log10(condition), n)
    return lambda x: float((scales * (axes @ (np.array(x) - optimum)) ** 2).sum())


@pytest.mark.thorough
def test_on_a_rotated_ill_conditioned_quadratic_it_does_far_better_than_random() -> None:
    error = ellipsoid(1e3, [0.3, 0.7, -0.5, 0.4, 0.6, -0.8, 0.2, 0.5])

    def score(graph: Graph) -> float:
        return -error(thetas(graph))

    found = -score(search(method(), score, 700))
    uniform = random.Random(3)
    drawn = [TAYLOR.at([uniform.random() for _ in range(8)]) for _ in range(700)]
    assert found < min(-score(graph) for graph in drawn if graph is not None) / 300


@pytest.mark.parametrize(("n", "condition", "most"), [(1, 1.0, 250), (8, 1e4, 4000), (10, 1e6, 9000)])
def test_a_rotated_ellipsoid_takes_about_as_many_evaluations_as_others_measured(
    n: int, condition: float, most: int
) -> None:
    """Hansen and Ostermeier 2001 need about 6000 to 1e-10 for ten dimensions and a condition of 10⁶."""
    error, rng, one = ellipsoid(condition, [1.0] * n), random.Random(1), CMA([0.0] * n, 0.5)
    best, used = math.inf, 0
    while best > 1e-9 and used < most:
        points = [one.sample(rng).tolist() for _ in range(default_population(n))]
        one.update(sorted(points, key=error))
        best, used = min(best, *map(error, points)), used + len(points)
    assert best <= 1e-9


def test_what_was_rejected_ranks_last() -> None:
    """The best lies where everything is rejected: the search ends at that border."""

    def score(graph: Graph) -> float | None:
        theta = thetas(graph)
        return None if theta[2] > 0.5 else -((theta[2] - 2.0) ** 2) - sum(t**2 for t in theta[3:])

    theta = thetas(search(method(), score, 500))
    assert 0.45 < theta[2] <= 0.5
    assert max(map(abs, theta[3:])) < 0.2


def test_the_failed_share_the_weights_of_their_ranks() -> None:
    plain, failed = Rates.of(5, 8, 0), Rates.of(5, 8, 6)
    assert plain.weights[4:].tolist() == [0.0] * 4
    assert failed.weights[:2] == pytest.approx(plain.weights[:2])
    assert set(failed.weights[2:]) == {failed.weights[2]}
    assert failed.weights.sum() == pytest.approx(1.0)
    one = CMA([0.0, 0.0], 0.5)
    one.update([[1.0, 2.0], [2.0, 1.0]], failed=2)
    assert one.state() == CMA([0.0, 0.0], 0.5).state()


def test_a_generation_moves_the_mean_by_weighted_recombination() -> None:
    """Against the definition in Hansen 2016, equations 40 to 47, written out for one update in two dimensions."""
    points = [[0.3, -0.1], [0.1, 0.2], [-0.4, 0.1], [0.2, 0.6]]
    one = CMA([0.0, 0.0], 0.5)
    one.update(points)
    raw = [math.log(2.5) - math.log(rank) for rank in (1, 2)]
    weights = [w / sum(raw) for w in raw]
    mean = [sum(w * p[k] for w, p in zip(weights, points, strict=False)) for k in range(2)]
    assert one.mean == pytest.approx(mean)
    mu = 1 / sum(w * w for w in weights)
    c_sigma = (mu + 2) / (2 + mu + 5)
    damping = 1 + c_sigma  # √((μ - 1)/(n + 1)) < 1
    path = [math.sqrt(c_sigma * (2 - c_sigma) * mu) * m / 0.5 for m in mean]
    assert one.path_sigma == pytest.approx(path)
    expected = math.sqrt(2) * (1 - 1 / 8 + 1 / 84)
    assert one.sigma == pytest.approx(0.5 * math.exp(c_sigma / damping * (math.hypot(*path) / expected - 1)))
    c_path, c_one = (4 + mu / 2) / (2 + 4 + mu), 2 / (3.3**2 + mu)
    c_mu = 2 * (0.25 + mu + 1 / mu - 2) / (16 + mu)
    push = [math.sqrt(c_path * (2 - c_path) * mu) * m / 0.5 for m in mean]
    for i in range(2):
        for j in range(2):
            spread = sum(w * p[i] * p[j] / 0.25 for w, p in zip(weights, points, strict=False))
            value = (1 - c_one - c_mu) * (i == j) + c_one * push[i] * push[j] + c_mu * spread
            assert one.covariance[i, j] == pytest.approx(value)


def test_populations_grow_with_the_logarithm_of_the_numbers() -> None:
    assert [default_population(n) for n in (1, 2, 8, 20)] == [4, 6, 10, 12]
    assert method().size == default_population(8)
    assert method(population=17).size == 17


def score_of_thetas(graph: Graph) -> float:
    return -sum((t - 1.0) ** 2 for t in thetas(graph))


@pytest.mark.parametrize("asked", [10, 25])
def test_a_whole_generation_may_be_asked_for_first_and_told_in_any_order(asked: int) -> None:
    states = []
    for order in (1, -1):
        one = method()
        for _ in range(3):
            proposed: list[Proposal] = [one.ask() for _ in range(asked)]
            before = one.cma.updates
            for candidate in proposed[::order]:
                assert one.cma.updates == before
                assert isinstance(candidate.graph, Graph)
                one.tell(candidate, score_of_thetas(candidate.graph), 1)
            assert one.cma.updates == before + 1  # all of them at once, as they are of one distribution
        states.append(one.cma.state())
    assert states[0] == states[1]


def test_it_learns_where_one_is_always_under_way() -> None:
    one, waiting = method(), [method().ask()][:0]
    for _ in range(200):
        waiting.append(one.ask())
        if len(waiting) == 3:
            candidate = waiting.pop(0)
            assert isinstance(candidate.graph, Graph)
            one.tell(candidate, score_of_thetas(candidate.graph), 1)
    assert one.cma.updates >= 15
    assert len(one._told) + len(one._waiting) < 2 * one.size + 3


def test_a_changed_graph_counts_for_the_point_that_was_proposed() -> None:
    one, other = method(), method()
    for _ in range(40):
        first, second = one.ask(), other.ask()
        assert isinstance(first.graph, Graph)
        score = score_of_thetas(first.graph)
        one.tell(first, score, 1)
        other.tell(Proposal(zoo.get("brier").graph, second.operator, number=second.number), score, 1)
    assert one.cma.state() == other.cma.state()


def test_it_resumes_exactly_in_the_middle_of_a_generation() -> None:
    one = method(seed=3)
    proposed = [one.ask() for _ in range(14)]
    for candidate in proposed[:9]:
        assert isinstance(candidate.graph, Graph)
        one.tell(candidate, score_of_thetas(candidate.graph), 1)
    other = method(seed=4)
    other.load_state(json.loads(json.dumps(one.state())))
    for each in (one, other):
        for candidate in proposed[9:]:
            assert isinstance(candidate.graph, Graph)
            each.tell(candidate, score_of_thetas(candidate.graph), 1)
    assert one.state() == other.state()
    assert [one.ask().graph.key for _ in range(20)] == [other.ask().graph.key for _ in range(20)]


@pytest.mark.parametrize("structure", first_of([None, "taylor", "focal(gamma=3)", FORMULA], 2))
def test_it_holds_what_every_method_holds(structure: str | None) -> None:
    check_method("cma_es", **({} if structure is None else {"structure": structure}))


def test_all_proposals_stay_within_the_bounds_and_keep_their_signs() -> None:
    one = method(FORMULA, sigma=3.0)
    limits = SPACE.constants
    for _ in range(60):
        graph = one.ask().graph
        assert isinstance(graph, Graph)
        found = numbers(graph)
        assert all(limits.lower <= abs(value) <= limits.upper for value in found.values())
        assert all(value * place > 0.0 for place, value in found.items())
    for _ in range(60):
        graph = method(sigma=3.0).ask().graph
        assert isinstance(graph, Graph)
        assert max(map(abs, thetas(graph))) <= 10.0


def test_without_a_structure_it_takes_the_first_seed_with_numbers() -> None:
    assert [p.name for p in method(None).coordinates.parameters] == ["smoothing"]
    space = with_seeds(SPACE, [FORMULA])
    assert len(CMAES(space, 0, CMASettings()).coordinates.places) == 4


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match=r"a structure with numbers.*'brier'"):
        method("brier")
    with pytest.raises(UserError, match="did you mean focal"):
        method("focl")
    with pytest.raises(UserError, match=r"a structure of signature dense.*huber"):
        method("huber")
    with pytest.raises(UserError, match=r"a name or a text form.*seeds = \[\"mine.json\"\]"):
        method("mine.json")
    with pytest.raises(UserError, match="a seed with numbers"):
        CMAES(SPACE.model_copy(update={"seeds": ("brier",)}), 0, CMASettings())
    with pytest.raises(UserError, match=r"one slot for cma_es.*dense for a"):
        CMAES(JointSpace.of({"a": SPACE}, {"a": "brier"}), 0, CMASettings())
