"""Rungs: which trainings go on, what an island learns of them, and what a search method is told."""

import math

import pytest

from lossearch.candidates.stopping import NEVER, Rungs, StoppingConfig, TrainingWatch

CONFIG = StoppingConfig(rungs=(0.25, 0.5), keep=0.5, least=4)


def curve(*values: float) -> list[tuple[int, float]]:
    return list(enumerate(values, start=1))


def line(last: float, yields: int = 8) -> list[tuple[int, float]]:
    return curve(*(last * count / yields for count in range(1, yields + 1)))


def learned(merits: list[float], config: StoppingConfig = CONFIG, sign: float = 1.0) -> Rungs:
    rungs = Rungs()
    for merit in merits:
        assert rungs.learn(config, line(sign * merit), True, merit) == merit
    return rungs


def test_a_threshold_is_what_the_last_of_the_best_share_had_at_the_rung() -> None:
    stops = learned([0.8, 0.4, 0.6, 0.2]).stops(CONFIG, True)
    assert (stops.yields, stops.rungs) == (8, (2, 4))
    assert dict(stops.thresholds) == {2: pytest.approx(0.6 * 0.25), 4: pytest.approx(0.6 * 0.5)}
    assert [stops.allow(2, value) for value in (0.1, 0.15, 0.5)] == [False, True, True]
    assert stops.allow(3, 0.0)  # no rung
    assert [stops.reached(count, 100) for count in (2, 4, 8)] == [25, 50, 99]


def test_where_less_is_better_the_highest_are_stopped() -> None:
    stops = learned([-0.8, -0.4, -0.6, -0.2], sign=-1.0).stops(CONFIG, False)
    assert [stops.allow(2, value) for value in (0.05, 0.1, 0.15)] == [True, True, False]


def test_nothing_is_stopped_before_enough_is_known() -> None:
    assert learned([0.8, 0.4, 0.6]).stops(CONFIG, True).thresholds == ()
    assert Rungs().stops(CONFIG, True) == NEVER
    assert NEVER.allow(1, -math.inf)


@pytest.mark.parametrize("yields", [1, 2])
def test_a_function_that_hardly_yields_is_stopped_at_no_rung_that_it_has_not(yields: int) -> None:
    rungs = Rungs()
    for merit in (0.8, 0.4, 0.6, 0.2):
        rungs.learn(CONFIG, line(merit, yields), True, merit)
    assert rungs.stops(CONFIG, True).rungs == ((1,) if yields == 2 else ())


def test_one_that_was_stopped_is_told_as_worse_than_all_that_were_not() -> None:
    rungs = learned([0.8, 0.4, 0.6, 0.2])
    told = rungs.learn(CONFIG, curve(0.01, 0.9), False, 0.9)
    assert told is not None
    assert told < 0.2
    assert rungs.learn(CONFIG, curve(0.01, 0.1), False, 0.1) == 0.1
    assert rungs.values[0][4:] == [0.9, 0.1]  # both had reached the first rung
    assert len(rungs.values[1]) == 4
    assert rungs.learn(CONFIG, (), True, None) is None
    assert rungs.worst == 0.2


def test_without_rungs_nothing_is_learned() -> None:
    rungs = learned([0.8, 0.4], StoppingConfig())
    assert rungs == Rungs()


def test_what_is_known_survives_a_checkpoint_and_is_not_shared_with_it() -> None:
    rungs = learned([0.8, 0.4])
    plain = rungs.to_plain()
    again = Rungs.of(plain)
    rungs.learn(CONFIG, line(0.1), True, 0.1)
    again.learn(CONFIG, line(0.1), True, 0.1)
    assert rungs == again
    assert Rungs.of(plain) != again


def test_of_variants_those_go_on_that_lag_behind_none_of_the_better_half() -> None:
    allow = learned([0.8, 0.4, 0.6, 0.2]).stops(CONFIG, True).among()
    assert [allow(2, value) for value in (0.5, 0.4, 0.6, 0.55, 0.1)] == [True, False, True, True, False]
    assert allow(3, -1.0)


def test_a_watch_remembers_where_it_stopped_a_training() -> None:
    watch = TrainingWatch(lambda count, value: value > 0.5)
    assert [watch(1, 0.6), watch(2, 0.4), watch(3, 0.9)] == [True, False, False]
    assert watch.stopped == 2
