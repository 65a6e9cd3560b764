"""All metrics of a training in the archive: kept, averaged, and absent from archives of older versions."""

import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from lossearch.archive.store import Archive, Candidate, Evaluation, Origin, RaceTraining, Standing
from lossearch.errors import UserError

KEY, TASK = "a" * 64, "mine.py:train"
DIRECTIONS = {"accuracy": "maximize", "seconds": "minimize"}


def evaluation(seed: int, **metrics: float) -> Evaluation:
    accuracy = metrics.get("accuracy", 0.5)
    return Evaluation(key=KEY, task=TASK, seed=seed, budget=9, metric=accuracy, metrics=metrics, timestamp=1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Archive.create(tmp_path / "archive.sqlite", "accuracy", True, directions=DIRECTIONS) as archive:
        archive.add_candidate(Candidate(origin=Origin(0, 0, 0), key=KEY, text="loss", complexity=3))
    return tmp_path / "archive.sqlite"


def test_every_metric_reads_back_in_its_order(path: Path) -> None:
    given = evaluation(0, accuracy=0.5, nll=1.25, worst=math.inf)
    with Archive.open(path) as archive:
        assert archive.add_evaluation(given) == replace(given, id=1)
        (read,) = archive.evaluations()
        assert list(read.metrics.items()) == [("accuracy", 0.5), ("nll", 1.25), ("worst", math.inf)]
        assert archive.directions == DIRECTIONS
        archive.check()


def test_other_metrics_are_means_over_the_seeds_that_score(path: Path) -> None:
    with Archive.open(path) as archive:
        archive.add_evaluations([evaluation(0, accuracy=0.5, nll=1.0, odd=3.0), evaluation(1, accuracy=0.7, nll=2.0)])
        archive.add_evaluation(replace(evaluation(2, accuracy=0.1, nll=9.0), budget=3))  # of a shorter training
        (ranked,) = archive.ranked(1)
        assert archive.other_metrics(ranked) == {"nll": 1.5}


def test_after_a_race_they_are_of_the_trainings_that_it_judged(path: Path) -> None:
    race = {"key": KEY, "task": TASK, "budget": 9}
    with Archive.open(path) as archive:
        archive.add_evaluation(evaluation(0, accuracy=0.5, nll=1.0))
        archive.add_race_trainings(
            RaceTraining(**race, seed=seed, metric=0.6, metrics={"accuracy": 0.6, "nll": nll})
            for seed, nll in ((12, 30.0), (10, 3.0), (11, 5.0))
        )
        archive.end_race([Standing(**race, before=1, seeds=2, failed=0, metric=0.6, gap=0.0)])
        (ranked,) = archive.ranked(1)
        assert archive.other_metrics(ranked) == {"nll": 4.0}
        assert archive.other_metrics(archive.ranked(1, raced=False)[0]) == {"nll": 1.0}


@pytest.mark.parametrize("version", [1, 2])
def test_older_archives_have_no_other_metrics_and_take_them(path: Path, version: int) -> None:
    with Archive.open(path) as archive:
        archive.add_evaluation(evaluation(0))
    with sqlite3.connect(path) as connection:
        dropped = "".join(f"ALTER TABLE {{0}} DROP COLUMN {name};" for name in ("metrics", "device"))
        races = "DROP TABLE race_training; DROP TABLE race_standing;"
        connection.executescript(
            "DROP TABLE race_margin; ALTER TABLE candidate DROP COLUMN proposal;"
            + (races if version == 1 else dropped.format("race_training"))
            + dropped.format("evaluation")
            + ("ALTER TABLE race_standing DROP COLUMN fragile;" if version > 1 else "")
            + f"DELETE FROM meta WHERE name IN ('directions', 'robustness'); PRAGMA user_version = {version};"
        )
    connection.close()
    with Archive.open(path, read_only=True) as archive:
        assert [one.metrics for one in archive.evaluations()] == [{}]
        assert (list(archive.race_trainings()), archive.directions) == ([], {})
        assert archive.other_metrics(archive.ranked(1)[0]) == {}
    with Archive.open(path) as archive:
        archive.add_evaluation(replace(evaluation(1, accuracy=0.5, nll=1.0), device="cuda"))
        archive.add_race_trainings([RaceTraining(key=KEY, task=TASK, seed=1, budget=9, metric=0.5, metrics={"nll": 2})])
    with Archive.open(path, read_only=True) as archive:
        assert [(one.metrics.get("nll"), one.device) for one in archive.evaluations()] == [(None, None), (1.0, "cuda")]
        assert [one.metrics for one in archive.race_trainings()] == [{"nll": 2.0}]
        archive.check()


@pytest.mark.parametrize("damage", ["'['", "'[]'", '\'{"nll": "x"}\'', "'{\"nll\": true}'", "3"])
def test_a_damaged_metric_is_told(path: Path, damage: str) -> None:
    with Archive.open(path) as archive:
        archive.add_evaluation(evaluation(0, accuracy=0.5))
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE evaluation SET metrics = {damage}")
    connection.close()
    with Archive.open(path, read_only=True) as archive, pytest.raises(UserError, match="undamaged archive"):
        list(archive.evaluations())
