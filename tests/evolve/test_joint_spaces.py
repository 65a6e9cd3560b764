"""Searching several slots together: seeds, proposals and screening of candidates with a loss in each."""

import random

import pytest

from lossearch.candidates.joint_screen import JointScreen
from lossearch.candidates.screen import Screen, ScreeningConfig
from lossearch.evolve.breeding import JointBreeder
from lossearch.ir.core.joint import JointGraph
from lossearch.search_spaces import load_space
from lossearch.search_spaces.joint import JointSpace
from lossearch.search_spaces.restricted import without
from lossearch.tasks.catalogue import build_task
from lossearch.testing import check_method
from lossearch.zoo.named import graph_of

REFERENCES = {"classification": "cross_entropy", "box": "giou"}
SPACE = JointSpace.of({"classification": load_space("dense"), "box": load_space("box")}, REFERENCES)
SMALL = {"base": "digit_scenes", "train_size": 60, "val_size": 20, "test_size": 20, "channels": [2, 2, 2]}


@pytest.fixture(scope="module")
def screens() -> dict[str, Screen]:
    task = build_task(SMALL)
    settings = ScreeningConfig()
    return {
        slot: Screen(task, space, graph_of(REFERENCES[slot]), settings, slot=slot)
        for slot, space in SPACE.spaces.items()
    }


@pytest.mark.parametrize("name", ["random", "regularized_evolution"])
def test_methods_hold_for_several_slots_what_they_hold_for_one(name: str) -> None:
    check_method(name, SPACE)


def test_a_search_begins_with_the_references_then_changes_one_slot_at_a_time() -> None:
    graphs = [SPACE.seed_graph(seed) for seed in SPACE.seeds]
    assert graphs[0] == JointGraph.of({slot: graph_of(name) for slot, name in REFERENCES.items()})
    assert all(sum(graph[slot] != graphs[0][slot] for slot in REFERENCES) == 1 for graph in graphs[1:])
    assert len({graph.key for graph in graphs}) == len(graphs) == sum(len(s.seeds) for s in SPACE.spaces.values()) - 1
    assert SPACE.label(SPACE.seeds[0]) == "classification = cross_entropy | box = giou"
    assert "box = ciou" in map(SPACE.label, SPACE.seeds)
    assert SPACE.rotated(3).seeds == SPACE.seeds[3:] + SPACE.seeds[:3]


def test_an_excluded_reference_stands_beside_no_seed() -> None:
    spaces = {slot: without(space, losses=["giou", "cross_entropy"]) for slot, space in SPACE.spaces.items()}
    space = JointSpace.of(spaces, REFERENCES, ["box = ciou | classification = focal"])
    assert space.seeds[0] == "box = ciou | classification = focal"
    first = {slot: graph_of(one.seeds[0]) for slot, one in spaces.items()}
    assert space.seed_graph(space.seeds[1]) == JointGraph.of(first)
    excluded = {graph_of("giou"), graph_of("cross_entropy")}
    assert not any(excluded & {graph for _, graph in space.seed_graph(seed).items()} for seed in space.seeds)


def test_children_differ_from_their_parents_in_one_slot_or_take_slots_from_both() -> None:
    breeder, rng = JointBreeder(SPACE), random.Random(3)
    first, second = breeder.random(rng), breeder.random(rng)
    changed: set[str] = set()
    for _ in range(30):
        child, name = breeder.mutated(first, rng)
        if child is not None:
            (slot,) = [slot for slot in REFERENCES if child[slot] != first[slot]]
            assert name.endswith(f" in {slot}")
            changed.add(slot)
    assert changed == set(REFERENCES)
    children = [breeder.crossed(first, second, rng) for _ in range(40)]
    swapped = [c for c in children if c is not None and all(c[s] in (first[s], second[s]) for s in REFERENCES)]
    assert swapped
    assert all(child not in (first, second) for child in swapped)


def test_each_loss_passes_its_own_filters_and_the_whole_those_of_duplicates(screens: dict[str, Screen]) -> None:
    screen = JointScreen(screens)
    seed = SPACE.seed_graph(SPACE.seeds[0])
    seen: set[str] = set()
    first = screen.check(seed, seen)
    assert first.accepted
    assert first.fingerprint is not None
    seen |= {first.key, first.fingerprint}
    assert screen.check(seed, seen).filter == "duplicate_key"
    double = seed.with_slot("box", graph_of("box: 2.0 * (1.0 - box_giou(boxes, target))"))
    assert screen.check(double, seen).filter == "duplicate_fingerprint"
    assert screen.fingerprint(double) == first.fingerprint
    # The same box loss beside another classification loss is another candidate.
    assert screen.check(double.with_slot("classification", graph_of("focal")), seen).accepted
    bad = screen.check(seed.with_slot("box", graph_of("box: mean(boxes, over=coord)")), seen)
    assert (bad.filter, bad.reason) == ("type", "box: does not depend on target")


def test_filters_count_candidates_not_slots(screens: dict[str, Screen]) -> None:
    screen = JointScreen(screens)
    for seed in SPACE.seeds[:4]:
        screen.check(SPACE.seed_graph(seed), frozenset())
    counts = screen.counts()
    assert counts["type"].considered == 4
    assert counts["rejection"].considered == 0  # F1 of classes and boxes does not follow from one slot's inputs
    assert screen.unapplied.keys() == {"rejection in classification", "rejection in box"}
    screen.reset_counts()
    assert screen.counts()["type"].considered == 0


def test_an_excluded_loss_is_found_in_no_slot_not_even_times_a_constant() -> None:
    task = build_task(SMALL)
    spaces = {slot: without(space, losses=["ciou"]) for slot, space in SPACE.spaces.items()}
    screen = JointScreen(
        {
            slot: Screen(task, space, graph_of(REFERENCES[slot]), ScreeningConfig(), slot=slot)
            for slot, space in spaces.items()
        }
    )
    seed = SPACE.seed_graph(SPACE.seeds[0])
    verdict = screen.check(seed.with_slot("box", graph_of("ciou")), frozenset())
    assert (verdict.filter, verdict.reason) == ("known", "box: ciou, which is excluded")
    assert screen.check(seed.with_slot("box", graph_of("diou")), frozenset()).accepted
