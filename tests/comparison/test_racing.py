"""Races over made-up values."""

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from lossearch.comparison.racing import Course, Entrant, RaceConfig, RacePlace, race

SEEDS = tuple(range(40_000, 40_010))
COMPLEXITY = {"best": 20, "lucky": 25, "complex": 40, "simple": 3, "broken": 30}
ENTRANTS = [Entrant(key, complexity) for key, complexity in COMPLEXITY.items()]
MEANS = {"best": 0.90, "lucky": 0.87, "complex": 0.60, "simple": 0.70, "broken": 0.95}


def value(key: str, seed: int) -> float | None:
    """The mean of a loss, an effect of the seed that all share, and noise of its own; "broken" fails at one seed."""
    if key == "broken" and seed == SEEDS[4]:
        return None
    shared = np.random.default_rng(seed).normal(0.0, 0.05)
    return MEANS[key] + float(shared + np.random.default_rng((seed, len(key))).normal(0.0, 0.004))


Values = Callable[[str, int], float | None]
Known = dict[str, dict[int, float | None]]


def run(known: Known, entrants: list[Entrant] = ENTRANTS, seeds: tuple[int, ...] = SEEDS, values: Values = value,
        higher_is_better: bool = True, most: int | None = None) -> Course:  # fmt: skip
    """Go on with a race, at most `most` trainings further."""
    left = 10**6 if most is None else most
    while (course := race(entrants, known, seeds, higher_is_better)).wanted:
        for key, wanted in course.wanted:
            for seed in wanted:
                if left == 0:
                    return course
                known.setdefault(key, {})[seed] = values(key, seed)
                left -= 1
    return course


def placed(course: Course) -> dict[str, RacePlace]:
    return {place.key: place for place in course.places}


def test_who_is_worse_is_dropped_and_the_front_is_trained_on() -> None:
    known: Known = {}
    places = placed(run(known))
    assert places["best"].ruled_out is None
    assert (places["best"].seeds, places["best"].gap) == (10, 0.0)
    assert places["lucky"].ruled_out is not None
    assert places["lucky"].p_value is not None
    assert places["lucky"].p_value <= 0.05
    assert len(known["lucky"]) == places["lucky"].ruled_out < 10
    assert len(known["complex"]) == 3
    # Far worse than the best, but nothing as simple is better: it belongs to the front.
    assert places["simple"].ruled_out == 3
    assert places["simple"].seeds == 10
    gap = np.mean([known["simple"][seed] - known["best"][seed] for seed in SEEDS])  # type: ignore[operator]
    assert places["simple"].gap == pytest.approx(gap)


def test_a_loss_that_fails_once_takes_no_part() -> None:
    known: Known = {}
    places = placed(run(known))
    assert places["broken"] == RacePlace("broken", len(known["broken"]), 1, None, None)
    without: Known = {}
    entrants = [entrant for entrant in ENTRANTS if entrant.key != "broken"]
    alone = placed(run(without, entrants))
    assert {key: places[key] for key in alone} == alone


def test_a_failure_of_all_leaves_nobody() -> None:
    course = run({}, values=lambda key, seed: None)
    assert {place.metric for place in course.places} == {None}
    assert not course.wanted


@pytest.mark.parametrize("most", [1, 4, 15, 20, 27])
def test_an_interrupted_race_ends_as_any_other(most: int) -> None:
    known: Known = {}
    assert run(known, most=most).wanted
    assert run(known).places == run({}).places


def test_a_longer_race_trains_only_what_is_missing() -> None:
    known: Known = {}
    run(known, seeds=SEEDS[:5])
    before = {(key, seed) for key, seeds in known.items() for seed in seeds}
    asked: list[tuple[str, int]] = []

    def noted(key: str, seed: int) -> float | None:
        asked.append((key, seed))
        return value(key, seed)

    course = run(known, values=noted)
    assert before.isdisjoint(asked)
    assert len(asked) == len(set(asked)) > 0
    assert course.places == run({}).places
    assert run(known, values=noted) == course


def test_where_less_is_better_the_lowest_wins() -> None:
    places = placed(run({}, values=lambda key, seed: None if key == "broken" else 1.0 - (value(key, seed) or 0.0),
                        higher_is_better=False))  # fmt: skip
    assert places["best"].ruled_out is None
    assert places["best"].metric == pytest.approx(0.1, abs=0.05)
    assert places["simple"].gap == pytest.approx(0.2, abs=0.01)


def test_equal_losses_all_last_and_a_gap_without_spread_needs_many_seeds() -> None:
    entrants = ENTRANTS[:2]
    equal = run({}, entrants, values=lambda key, seed: seed / 1e5)
    assert [place.ruled_out for place in equal.places] == [None, None]
    shifted = run({}, entrants, values=lambda key, seed: float(np.float32(seed % 7 / 10 + 0.01 * (key == "best"))))
    assert [place.ruled_out for place in shifted.places] == [None, 7]  # 2 ** -6 is below the level, 2 ** -4 is not


def test_a_loss_that_was_ruled_out_is_back_once_a_test_no_longer_does() -> None:
    first = {"best": [0.9, 0.901, 0.902], "simple": [0.88, 0.8808, 0.8821]}
    later = {"best": [0.85] * 7, "simple": [0.92, 0.91, 0.92, 0.9, 0.91, 0.93, 0.9]}

    def values(key: str, seed: int) -> float:
        return [*first[key], *later[key]][SEEDS.index(seed)]

    entrants = [Entrant(key, COMPLEXITY[key]) for key in first]
    known: Known = {}
    assert placed(run(known, entrants, SEEDS[:3], values))["simple"].ruled_out == 3
    assert placed(run(known, entrants, SEEDS, values))["simple"].ruled_out is None


UNSTEADY = {"bold": (0.95, 0.89, 0.97, 0.70, 0.94), "steady": (0.88, 0.90, 0.87, 0.88, 0.88), "bad": (0.5,) * 5}


def unsteady(robustness: float, fragile: tuple[str, ...] = ()) -> dict[str, RacePlace]:
    known = {name: dict(zip(SEEDS, values, strict=False)) for name, values in UNSTEADY.items()}
    entrants = [Entrant(name, 10) for name in UNSTEADY]
    return placed(race(entrants, known, SEEDS[:5], True, robustness, fragile))


def test_robustness_moves_means_towards_the_worst_seed_and_rules_out_nobody_with_a_better_mean() -> None:
    plain, robust = unsteady(0.0), unsteady(0.5)
    assert plain["bold"].gap == 0.0
    assert robust["steady"].gap == 0.0
    assert robust["bold"].metric == pytest.approx(0.5 * 0.89 + 0.5 * 0.70)
    assert robust["bold"].gap == pytest.approx(robust["bold"].metric - robust["steady"].metric)  # type: ignore[operator]
    assert (plain["bad"].ruled_out, robust["bad"].ruled_out) == (3, 3)
    better = {"bold": (0.95, 0.96, 0.951, 0.959, 0.90), "steady": (0.91, 0.92, 0.911, 0.919, 0.91)}
    known = {name: dict(zip(SEEDS, values, strict=False)) for name, values in better.items()}
    course = race([Entrant(name, 10) for name in better], known, SEEDS[:5], True, 1.0)
    assert [place.ruled_out for place in course.places] == [None, None]
    assert placed(course)["steady"].gap == 0.0


def test_one_whose_learning_rate_can_hardly_be_moved_is_not_the_winner() -> None:
    places = unsteady(0.0, ("bold",))
    assert places["bold"].fragile
    assert places["steady"].gap == 0.0
    assert places["bold"].gap == pytest.approx(0.89 - 0.882)
    assert unsteady(0.0, ("bold", "steady"))["bold"].gap == 0.0  # where all are, the best of them


@pytest.mark.parametrize(
    "change",
    [{"candidates": -1}, {"seeds": 1}, {"seeds": 10_001}, {"steps": 0}, {"sede": 3}, {"learning_rates": [0.0]}],
)
def test_nonsense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RaceConfig.model_validate(change)
