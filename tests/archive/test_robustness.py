"""Scores that are moved towards the worst seed, and margins of the learning rate."""

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from lossearch.archive.margins import Margin, MovedTraining, margin
from lossearch.archive.robustness import robust_score, seeds_in_words
from lossearch.archive.store import Archive, Candidate, Evaluation, Origin, Standing
from lossearch.engine.island.rows import score
from lossearch.errors import UserError

# "bold" has the better mean, and collapses on one seed.
METRICS = {"bold": (0.95, 0.94, 0.61), "steady": (0.82, 0.81, 0.80)}
TASK = "digits"


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def archive_of(path: Path, robustness: float, sign: float = 1.0) -> Archive:
    archive = Archive.create(path / f"{robustness}{sign}.sqlite", "metric", sign > 0.0, robustness=robustness)
    for index, (name, metrics) in enumerate(METRICS.items()):
        archive.add_candidate(Candidate(origin=Origin(0, 0, index), key=digest(name), text=name, complexity=3 + index))
        archive.add_evaluations(
            [
                Evaluation(key=digest(name), task=TASK, seed=seed, budget=9, metric=sign * metric)
                for seed, metric in enumerate(metrics)
            ]
        )
    return archive


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("robustness", "first"), [(0.0, "bold"), (0.1, "bold"), (0.3, "steady"), (1.0, "steady")])
def test_archive_islands_and_the_course_agree_on_who_is_first(
    tmp_path: Path, sign: float, robustness: float, first: str
) -> None:
    with archive_of(tmp_path, robustness, sign) as archive:
        ranked = archive.ranked(2)
        assert ranked[0].candidate.text == first
        for row in ranked:
            metrics = [sign * metric for metric in METRICS[row.candidate.text or ""]]
            wanted = robust_score(metrics, robustness, sign > 0.0)
            evaluations = list(archive.evaluations(row.candidate.key))
            assert row.metric == pytest.approx(wanted, abs=1e-12)
            assert score(evaluations, sign > 0.0, robustness) == pytest.approx(sign * wanted, abs=1e-12)
        assert archive.best_so_far()[-1][1] == pytest.approx(ranked[0].metric, abs=1e-12)
        assert archive.rank_in_search(digest(first)) == 1
        archive.check()


def test_a_robust_score_lies_between_mean_and_worst() -> None:
    assert robust_score([1.0, 2.0, 6.0], 0.0, True) == 3.0
    assert robust_score([1.0, 2.0, 6.0], 0.5, True) == 2.0
    assert robust_score([1.0, 2.0, 6.0], 0.5, False) == 4.5
    assert robust_score([1.0, 2.0, 6.0], 1.0, False) == 6.0
    assert seeds_in_words(3, 0.5, "fresh ") == "mean of 3 fresh seeds, moved by 0.5 towards the worst"


@pytest.mark.parametrize("value", ["x", "nan", "1.5", "-0.1"])
def test_a_damaged_robustness_is_told(tmp_path: Path, value: str) -> None:
    path = archive_of(tmp_path, 0.5).path
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'robustness'", (value,))
    connection.close()
    with pytest.raises(UserError, match="robustness"):
        Archive.open(path, read_only=True)


def moved(kept: dict[float, float | None], seed: int = 1, name: str = "bold") -> Sequence[MovedTraining]:
    at = {"key": digest(name), "task": TASK, "seed": seed, "budget": 9}
    return [MovedTraining(**at, factor=factor, metric=share, kept=share) for factor, share in kept.items()]


def test_a_margin_ends_at_the_first_failure_on_either_side() -> None:
    one = margin(moved({0.0625: 0.9, 0.25: 0.2, 4.0: 0.8, 16.0: None}))
    assert one == Margin(1.0, 4.0, (0.0625, 0.25, 4.0, 16.0))
    assert one is not None
    assert one.fragile
    assert str(one) == "works at ×4; fails at ×0.25 and ×16"
    wide = margin(moved({0.25: 0.5, 4.0: 1.2}))
    assert wide is not None
    assert (str(wide), wide.fragile) == ("works at ×0.25 to ×4", False)
    # A second seed that fails counts.
    both = margin([*moved({4.0: 0.9}), *moved({4.0: 0.1}, seed=2)])
    assert both is not None
    assert (str(both), both.fragile) == ("works at none of those tried; fails at ×4", True)
    assert margin([]) is None


def test_moved_trainings_are_kept_once_and_fragile_ones_stand_behind(tmp_path: Path) -> None:
    with archive_of(tmp_path, 0.5) as archive:
        archive.add_moved_trainings(moved({4.0: 0.9, 0.25: None}))
        archive.add_moved_trainings(moved({4.0: 0.1}))  # the first of a cell stands
        race = {"task": TASK, "budget": 9, "seeds": 3, "failed": 0}
        archive.end_race(
            [
                Standing(key=digest("bold"), **race, before=1, metric=0.9, gap=0.1, fragile=True),
                Standing(key=digest("steady"), **race, before=2, metric=0.8, gap=0.0),
            ]
        )
        steady, bold = archive.ranked(2)
        assert (bold.candidate.text, bold.standing.fragile) == ("bold", True)  # type: ignore[union-attr]
        assert str(archive.margin(bold)) == "works at ×4; fails at ×0.25"
        assert archive.margin(steady) is None
        archive.forget_race()
        assert archive.moved_trainings() == []
