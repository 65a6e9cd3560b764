"""Search methods: seeds first, typed proposals, exact resume, and that evolution finds what random search does not."""

from __future__ import annotations

import json

import pytest

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.evolve import METHODS, make_method
from lossearch.evolve.methods.regularized_evolution import RegularizedEvolution
from lossearch.evolve.variation import MUTATIONS
from lossearch.ir.core.graph import Graph
from lossearch.ir.forms.joint import format_any
from lossearch.search_spaces import load_space

SPACE = load_space("dense")
ALONE = [name for name in METHODS if name not in ("outside", "hypergradient")]
"""Methods that need nobody else and no task to propose; for the others see test_outside.py and meta/test_method.py."""


def score(graph) -> float | None:
    """A toy objective: many different operators, in an expression of no more nodes than a screen lets through."""
    return None if graph.complexity > 40 else float(len({node.op for node in graph.nodes}))


def run(method, steps: int) -> list[str]:
    keys = []
    for _ in range(steps):
        candidate = method.ask()
        keys.append(candidate.graph.key)
        method.tell(candidate, score(candidate.graph), candidate.graph.complexity)
    return keys


BASELINES = {"kl_divergence", "binary_cross_entropy", "binary_focal", "binary_hinge", "logistic"}
BASELINES |= {"focal_tversky", "cross_entropy_dice", "lovasz_softmax", "lovasz_hinge"}
BASELINES |= {"binary_dice", "binary_jaccard", "binary_tversky", "binary_cross_entropy_dice"}
BASELINES |= {"asymmetric", "quality_focal", "varifocal", "normalized_cross_entropy", "nce_rce", "nce_mae", "nce_agce"}
BASELINES |= {"joint_asymmetric", "jensen_shannon", "top_k_cross_entropy"}
BASELINES |= {"logit_adjustment", "ldam", "class_balanced_cross_entropy", "seesaw", "taylor"}
BASELINES |= {"unified_focal", "equalization", "binary_equalization"}
"""Losses that are compared with, but that no search begins with unless its space names them."""


def test_a_search_begins_with_every_hand_designed_loss_but_some_baselines():
    assert sorted({*SPACE.seeds} | BASELINES) == sorted(zoo.names(signature="dense"))
    assert not BASELINES & {*SPACE.seeds}


@pytest.mark.parametrize("name", ALONE)
def test_seeds_come_first_and_both_inputs_always_occur(name):
    method = make_method(name, SPACE, 0)
    seeds = [method.ask().operator for _ in SPACE.seeds]
    assert seeds == [f"seed:{seed}" for seed in SPACE.seeds]
    for _ in range(300):
        graph = method.ask().graph
        assert isinstance(graph, Graph)
        assert graph.uses("logits")
        assert graph.uses("target")


@pytest.mark.parametrize("name", ALONE)
def test_the_state_resumes_exactly_through_json(name):
    method = make_method(name, SPACE, 4)
    run(method, 60)
    state = json.loads(json.dumps(method.state()))
    other = make_method(name, SPACE, 99)
    other.load_state(state)
    assert run(method, 60) == run(other, 60)


def test_one_seed_gives_one_sequence():
    assert run(make_method("regularized_evolution", SPACE, 7), 80) == run(
        make_method("regularized_evolution", SPACE, 7), 80
    )
    assert run(make_method("random", SPACE, 7), 40) != run(make_method("random", SPACE, 8), 40)


def test_evolution_climbs_where_random_search_does_not():
    best = {}
    for name in ALONE:
        method = make_method(name, SPACE, 1)
        run(method, 600)
        best[name] = method.elites(1)[0][1]
    assert best["regularized_evolution"] > best["random"]


def test_every_mutation_occurs_and_names_its_parents():
    method = make_method("regularized_evolution", SPACE, 2)
    seen: set[str] = set()
    for _ in range(1000):
        candidate = method.ask()
        seen.add(
            candidate.operator.partition(":")[2] if candidate.operator.startswith("mutation") else candidate.operator
        )
        assert bool(candidate.parents) == candidate.operator.startswith(("mutation", "crossover"))
        method.tell(candidate, score(candidate.graph), candidate.graph.complexity)
    assert set(MUTATIONS) <= seen
    assert {"crossover", "random"} <= seen


def test_the_oldest_dies_and_failures_do_not_enter():
    method = make_method("regularized_evolution", SPACE, 0, population=5)
    assert isinstance(method, RegularizedEvolution)
    for step in range(12):
        candidate = method.ask()
        method.tell(candidate, None if step % 2 else float(-step), 1)
    assert [individual.score for individual in method.population] == [-2.0, -4.0, -6.0, -8.0, -10.0]


def test_migrants_join_and_elites_are_sorted():
    method = make_method("regularized_evolution", SPACE, 0)
    method.inject(zoo.get("brier").graph.frozen(), 3.0)
    method.inject(zoo.get("poly1").graph.frozen(), 5.0)
    assert [score for _, score in method.elites(2)] == [5.0, 3.0]


def test_mistakes_are_named():
    with pytest.raises(UserError, match="regularized_evolution"):
        make_method("annealing", SPACE, 0)
    with pytest.raises(UserError, match="population"):
        make_method("regularized_evolution", SPACE, 0, population=1)
    with pytest.raises(UserError, match="search space"):
        load_space("dens")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("modulatin_factor(E, C) * E", r"modulatin_factor.*modulating_factor.*space dense"),
        ("sum(K, over=clas)", r"an axis among .*clas.*space dense"),
        ("sum(K, ovr=class)", r"unknown attribute 'ovr'.*space dense"),
        ("hinge(E)", r"hinge with 1 arguments instead of 2"),
        ("E * logit", r"unknown name 'logit'"),
        ("mean(rename(K, source=clas, target=class'), over=class')", r"an axis among .*'clas'.*space dense"),
        ("mean(rename(K, source=class, target=clas), over=class)", r"an axis among .*'clas'.*space dense"),
        ("E * mean(same(E, axis=bach), over=(batch, batch'))", r"an axis among .*'bach'.*space dense"),
        ("difference(E, along=hight)", r"a direction among .*'hight'.*space dense"),
        ("sum(E, over=class)", r"nothing in it is well typed.*space dense"),
    ],
)
def test_a_mistake_in_a_search_space_is_named_before_anything_is_searched(template, message):
    space = SPACE.model_copy(update={"templates": {**SPACE.templates, "E": {**SPACE.templates["E"], template: 1.0}}})
    with pytest.raises(UserError, match=message):
        make_method("random", space, 0)


def test_a_template_may_fit_what_templates_make_only():
    """log(E) needs what is positive, which the only terminal is not."""
    terminals = {**SPACE.terminals, "E": {"contract(target, logits, over=class)": 1.0}}
    templates = {**SPACE.templates, "E": {"log(E)": 1.0, "softplus(E)": 1.0}}
    space = SPACE.model_copy(update={"seeds": (), "terminals": terminals, "templates": templates})
    method = make_method("random", space, 0)
    assert any("log(softplus(" in format_any(method.ask().graph) for _ in range(50))


def test_a_space_without_a_loss_is_refused():
    terminals = {"E": {"max(logits, over=class)": 1.0}, "K": {"softmax(logits, over=class)": 1.0}}
    templates = {"E": {"E + E": 1.0}, "K": {"K * K": 1.0}}
    space = SPACE.model_copy(update={"seeds": (), "terminals": terminals, "templates": templates})
    with pytest.raises(UserError, match=r"both prediction and target.*space dense"):
        make_method("regularized_evolution", space, 0).ask()
