"""The final race in the archive, and what ranks after it."""

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from lossearch.archive.store import Archive, Candidate, Evaluation, Origin, RaceTraining, Ranked, Standing
from lossearch.errors import UserError

# The search's own scores, by one seed: the best was lucky.
SCORES = {"lucky": 0.95, "steady": 0.93, "plain": 0.90, "small": 0.70, "stopped": 0.60, "other": 0.5}
COMPLEXITY = {"lucky": 20, "steady": 12, "plain": 12, "small": 2, "stopped": 5, "other": 30}


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def standing(name: str, before: int, metric: float | None, gap: float | None, **changes: object) -> Standing:
    values = {"seeds": 10, "failed": 0, "budget": 300} | changes
    return Standing(key=digest(name), task="digits", before=before, metric=metric, gap=gap, **values)  # type: ignore[arg-type]


STANDINGS = (
    standing("lucky", 1, 0.91, -0.02, seeds=5, ruled_out=5, p_value=0.01),
    standing("steady", 2, 0.92, 0.0),
    standing("plain", 3, None, None, seeds=7, failed=1),
    standing("small", 4, 0.71, -0.21, ruled_out=3, p_value=0.001),
)


def names(rows: list[Ranked]) -> list[str]:
    return [(row.candidate.text or "") for row in rows]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive.create(tmp_path / "archive.sqlite", "accuracy", True) as opened:
        for index, (name, score) in enumerate(SCORES.items()):
            row = Candidate(origin=Origin(0, 0, index), key=digest(name), text=name, complexity=COMPLEXITY[name])
            opened.add_candidate(row)
            budget = 50 if name == "stopped" else 100
            opened.add_evaluation(Evaluation(key=row.key, task="digits", seed=0, budget=budget, metric=score))
        yield opened


def test_without_a_race_the_scores_of_the_search_rank(archive: Archive) -> None:
    assert names(archive.ranked(9)) == ["lucky", "steady", "plain", "small", "other", "stopped"]
    assert [row.standing for row in archive.ranked(9)] == [None] * 6
    assert archive.standings() == []
    assert list(archive.race_trainings()) == []
    assert [archive.rank_in_search(digest(name)) for name in SCORES] == [1, 2, 3, 4, None, 5]


def test_a_lucky_best_loses_its_place(archive: Archive) -> None:
    archive.end_race(STANDINGS)
    ranked = archive.ranked(9)
    # First who lasted, then who was ruled out, by the gap; then what did not race; what failed comes last.
    assert names(ranked) == ["steady", "lucky", "small", "other", "stopped", "plain"]
    assert [(row.metric, row.seeds, row.budget) for row in ranked[:3]] == [
        (0.92, 10, 300), (0.91, 5, 300), (0.71, 10, 300)
    ]  # fmt: skip
    assert ranked[0].standing == STANDINGS[1]
    assert ranked[-1].metric is None
    assert [names(archive.ranked(n)) for n in range(4)] == [names(ranked)[:n] for n in range(4)]
    assert names(archive.ranked(9, min_seeds=6)) == ["steady", "small", "plain"]
    assert names(archive.pareto_front()) == ["small", "steady"]
    assert names(archive.hall_of_fame()) == ["small", "steady", "lucky", "other"]
    assert names(archive.hall_of_fame(2)) == ["steady", "lucky"]
    archive.check()


def test_the_scores_of_the_search_stay_to_be_had(archive: Archive) -> None:
    before = [archive.ranked(9), archive.pareto_front(), archive.hall_of_fame(), archive.best_so_far(), archive.mark()]
    archive.end_race(STANDINGS)
    after = [archive.ranked(9, raced=False), archive.pareto_front(raced=False), archive.hall_of_fame(raced=False)]
    assert [*after, archive.best_so_far(), archive.mark()] == before
    assert archive.ranked(9, budget=100) == [row for row in before[0] if row.budget == 100]  # type: ignore[union-attr]
    assert archive.rank_in_search(digest("lucky")) == 1


def test_where_less_is_better_the_lowest_leads(tmp_path: Path) -> None:
    with Archive.create(tmp_path / "errors.sqlite", "error", False) as archive:
        for index, name in enumerate(("lucky", "steady")):
            row = Candidate(origin=Origin(0, 0, index), key=digest(name), text=name, complexity=3 + index)
            archive.add_candidate(row)
            archive.add_evaluation(Evaluation(key=row.key, task="digits", seed=0, budget=1, metric=0.1 + index))
        archive.end_race([standing("lucky", 1, 0.5, 0.2), standing("steady", 2, 0.3, 0.0)])
        assert names(archive.ranked(2)) == ["steady", "lucky"]
        assert names(archive.pareto_front()) == ["lucky", "steady"]


def test_a_race_of_which_all_failed_leaves_the_front_of_the_search(archive: Archive) -> None:
    archive.end_race([standing("lucky", 1, None, None, failed=3)])
    assert names(archive.pareto_front()) == ["small", "steady"]
    assert names(archive.ranked(9))[-1] == "lucky"


def test_trainings_read_back_and_the_first_of_a_cell_stands(archive: Archive) -> None:
    training = RaceTraining(
        key=digest("small"), task="digits", seed=40_000, budget=300, metric=0.5, seconds=1.5, timestamp=1.0
    )
    failed = RaceTraining(
        key=digest("lucky"), task="digits", seed=40_000, budget=300, metric=float("nan"), status="error", message="why",
        timestamp=2.0,
    )  # fmt: skip
    archive.add_race_trainings([training, failed])
    archive.add_race_trainings([RaceTraining(key=training.key, task="digits", seed=40_000, budget=300, metric=0.9)])
    found = list(archive.race_trainings())
    assert found[0] == training
    assert (found[1].metric, found[1].status, found[1].message) == (None, "error", "why")
    assert len(found) == 2
    assert archive.counts().evaluations == 6  # they are none of the search's
    archive.end_race(STANDINGS)
    archive.forget_race()
    assert (list(archive.race_trainings()), archive.standings()) == ([], [])


def test_what_failed_in_the_race_tells_the_reason_of_the_race(archive: Archive) -> None:
    budget, key = STANDINGS[2].budget, digest("plain")
    cells = [RaceTraining(key=key, task="digits", seed=seed, budget=budget, metric=0.5) for seed in (40_000, 40_001)]
    failed = RaceTraining(
        key=key, task="digits", seed=40_002, budget=budget, metric=None, status="error", message="out of disk"
    )
    archive.add_race_trainings([failed, *cells])
    archive.end_race(STANDINGS)
    last = archive.ranked(9)[-1]
    assert (last.candidate.key, archive.why_failed(last)) == (key, "out of disk")


def test_a_training_of_nothing_is_refused(archive: Archive) -> None:
    nothing = RaceTraining(key=digest("nothing"), task="digits", seed=0, budget=1, metric=0.5)
    with pytest.raises(sqlite3.IntegrityError):
        archive.add_race_trainings([nothing])
    with pytest.raises(sqlite3.IntegrityError):
        archive.end_race([standing("nothing", 1, 0.5, 0.0)])


def test_an_archive_of_the_first_version_reads_as_without_a_race_and_takes_one(archive: Archive) -> None:
    archive.close()
    with sqlite3.connect(archive.path) as connection:
        connection.executescript(
            "DROP TABLE race_margin; DROP TABLE race_training; DROP TABLE race_standing;"
            "ALTER TABLE evaluation DROP COLUMN metrics; ALTER TABLE candidate DROP COLUMN proposal;"
            "ALTER TABLE evaluation DROP COLUMN device;"
            "DELETE FROM meta WHERE name IN ('directions', 'robustness'); PRAGMA user_version = 1;"
        )
    connection.close()
    with Archive.open(archive.path, read_only=True) as reader:
        assert (reader.standings(), list(reader.race_trainings())) == ([], [])
        assert names(reader.ranked(2)) == ["lucky", "steady"]
    with Archive.open(archive.path) as writer:
        writer.end_race(STANDINGS)
    with Archive.open(archive.path, read_only=True) as reader:
        assert names(reader.ranked(2)) == ["steady", "lucky"]
        reader.check()


@pytest.mark.parametrize("change", ["metric = NULL", "metric = 9e999", "seeds = 'x'", "before = 1.5", "gap = x'00'"])
def test_a_damaged_standing_is_told(archive: Archive, change: str) -> None:
    archive.end_race(STANDINGS)
    archive.close()
    with sqlite3.connect(archive.path) as connection:
        connection.execute(f"UPDATE race_standing SET {change}")
    connection.close()
    with Archive.open(archive.path, read_only=True) as reader, pytest.raises(UserError, match="undamaged archive"):
        reader.ranked(3)
