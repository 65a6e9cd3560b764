import hashlib
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossearch.archive.store import Archive, Candidate, Evaluation, FilterCount, Origin, Ranked, Retention
from lossearch.errors import UserError


def digest(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def candidate(name: object, index: int = 0, **changes: object) -> Candidate:
    made = Candidate(
        origin=Origin(0, 0, index),
        key=digest(name),
        fingerprint=digest(("fingerprint", name)),
        text=f"loss_{name}",
        graph=f'{{"name":"{name}"}}',
        complexity=3,
        parents=(digest("mother"), digest("father")),
        operator="crossover",
        numbers={"gradient_rms": 0.25},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def rejected(name: object, verdict: str, index: int = 0, **changes: object) -> Candidate:
    return candidate(name, index, verdict=verdict, reason="because", complexity=None, **changes)


def evaluation(name: object, metric: float | None = 0.5, **changes: object) -> Evaluation:
    made = Evaluation(key=digest(name), task="digits", seed=0, budget=100, metric=metric, timestamp=1.0)
    return replace(made, **changes)  # type: ignore[arg-type]


def create(path: Path, higher_is_better: bool = True, **settings: object) -> Archive:
    return Archive.create(path / "archive.sqlite", "accuracy", higher_is_better, **settings)  # type: ignore[arg-type]


@pytest.fixture
def archive(tmp_path: Path):
    with create(tmp_path) as opened:
        yield opened


def names(rows: list[Ranked]) -> list[str]:
    return [(row.candidate.text or "").removeprefix("loss_") for row in rows]


# Round trips


def test_candidate_and_evaluation_read_back_as_written(archive: Archive) -> None:
    given_candidate = candidate("a")
    given_evaluation = evaluation(
        "a",
        0.75,
        curve=((10, 0.5), (100, math.inf)),
        seconds=1.5,
        step_scale=2.5,
        learning_rate=0.1,
        island=3,
    )
    archive.add_candidate(given_candidate)
    archive.add_evaluation(given_evaluation)
    archive.close()
    with Archive.open(archive.path, read_only=True) as reader:
        assert list(reader.candidates()) == [replace(given_candidate, id=1)]
        assert reader.candidate(digest("a")) == replace(given_candidate, id=1)
        assert list(reader.evaluations()) == [replace(given_evaluation, id=1)]
        assert reader.evaluation(digest("a"), "digits", 0, 100) == replace(given_evaluation, id=1)
        assert reader.evaluation(digest("a"), "digits", 1, 100) is None
        assert (reader.metric, reader.higher_is_better, reader.keep_rejected) == ("accuracy", True, "key")


@pytest.mark.parametrize("key", ["short", "ABCDEF", "abc", "абв", digest("x"), "0x" + "0" * 8])
def test_any_key_reads_back(archive: Archive, key: str) -> None:
    archive.add_candidate(candidate("a", key=key, fingerprint=key))
    assert [made.key for made in archive.candidates()] == [key]
    assert list(archive.fingerprints()) == [key]
    assert archive.seen(key)
    assert archive.seen_key(key)


def test_nan_in_a_curve_reads_back_and_a_nan_metric_becomes_none(archive: Archive) -> None:
    archive.add_candidate(candidate("a"))
    stored = archive.add_evaluation(evaluation("a", math.nan, status="diverged", curve=((1, math.nan),)))
    assert stored.metric is None
    assert math.isnan(stored.curve[0][1])


def test_candidates_filter_and_continue(archive: Archive) -> None:
    archive.add_candidates([candidate(i, i, operator="seed" if i % 2 else "random") for i in range(4500)])
    archive.add_candidate(rejected("r", "type", 4500))
    assert [made.origin.index for made in archive.candidates()] == list(range(4501))
    assert all(made.operator == "seed" for made in archive.candidates(operator="seed"))
    assert [made.verdict for made in archive.candidates(after_id=4499)] == ["accepted", "type"]
    assert len(list(archive.candidates(verdict="accepted", island=0, operator="random"))) == 2250
    assert list(archive.candidates(island=1)) == []


# Retention


def test_rejected_candidates_are_stored_as_key_and_verdict(archive: Archive) -> None:
    archive.add_candidate(rejected("a", "rejection"))
    (stored,) = archive.candidates()
    assert stored == Candidate(
        id=1,
        origin=Origin(0, 0, 0),
        key=digest("a"),
        verdict="rejection",
        fingerprint=digest(("fingerprint", "a")),
    )


def test_full_retention_keeps_all_of_a_rejected_candidate(tmp_path: Path) -> None:
    with create(tmp_path, keep_rejected="full") as archive:
        made = rejected("a", "probe")
        archive.add_candidate(made)
        assert list(archive.candidates()) == [replace(made, id=1)]


@pytest.mark.parametrize("retention", ["key", "none"])
@pytest.mark.parametrize(
    "made", [rejected("a", "error"), replace(rejected("a", "duplicate_key"), numbers={"outer_step": 2.0})]
)
def test_broken_candidates_and_checkpoints_are_kept_in_full(
    tmp_path: Path, retention: Retention, made: Candidate
) -> None:
    with create(tmp_path, keep_rejected=retention) as archive:
        archive.add_candidate(made)
        assert list(archive.candidates()) == [replace(made, id=1)]


def test_no_retention_only_counts_and_counts_once(tmp_path: Path) -> None:
    batch = [rejected("a", "probe", 0), candidate("b", 1), rejected("c", "type", 2), rejected("d", "type", 3)]
    with create(tmp_path, keep_rejected="none") as archive:
        archive.add_candidates(batch[:3])
        archive.add_candidates(batch)
        assert names(archive.ranked(9)) == []
        assert [made.key for made in archive.candidates()] == [digest("b")]
        assert archive.counts().verdicts == {"accepted": 1, "probe": 1, "type": 2}


def test_accepting_completes_what_a_rejection_left_bare(archive: Archive) -> None:
    archive.add_candidate(rejected("a", "rejection"))
    archive.add_evaluation(evaluation("a", 0.9))
    assert archive.ranked(5) == []
    archive.add_candidate(candidate("a", 1))
    assert names(archive.ranked(5)) == ["a"]
    assert names(archive.pareto_front()) == ["a"]
    archive.check()


# Repetition


def test_repeating_candidates_changes_nothing(archive: Archive) -> None:
    batch = [
        candidate("a", 0),
        rejected("b", "duplicate_key", 1),
        rejected("c", "type", 2),
        candidate("d", 3),
    ]
    archive.add_candidates(batch[:2])
    archive.add_candidates(batch)
    archive.add_candidates(batch)
    assert [made.key for made in archive.candidates()] == [made.key for made in batch]
    assert archive.counts().candidates == 4


@pytest.mark.parametrize(
    "other",
    [
        candidate("b"),
        candidate("a", operator="random"),
        candidate("a", parents=()),
        rejected("a", "probe"),
    ],
)
def test_another_candidate_under_the_same_origin_is_refused(archive: Archive, other: Candidate) -> None:
    archive.add_candidate(candidate("a"))
    with pytest.raises(UserError, match="candidate 0 of generation 0, island 0"):
        archive.add_candidates([candidate("new", 1), other])
    assert [made.key for made in archive.candidates()] == [digest("a")]
    assert archive.counts().candidates == 1
    assert not archive.seen_key(digest("new"))
    archive.check()


def test_first_evaluation_of_a_cell_stands_and_a_disagreement_is_counted(archive: Archive) -> None:
    archive.add_candidate(candidate("a"))
    first = archive.add_evaluation(evaluation("a", 0.5, curve=((1, math.nan),)))
    assert archive.add_evaluation(evaluation("a", 0.5, curve=((1, math.nan),), seconds=9.0)) == replace(
        first, curve=archive.add_evaluation(evaluation("a", 0.5, curve=((1, math.nan),))).curve
    )
    assert archive.counts().disagreements == 0
    assert archive.add_evaluation(evaluation("a", 0.6)).metric == 0.5
    assert archive.counts().disagreements == 1
    assert archive.counts().evaluations == 1
    archive.check()


def test_evaluation_of_an_unknown_candidate_is_refused_whole(archive: Archive) -> None:
    archive.add_candidate(candidate("a"))
    with pytest.raises(ValueError, match="add the candidate first"):
        archive.add_evaluations([evaluation("a"), evaluation("b")])
    assert archive.counts().evaluations == 0


def test_superseded_generations_free_their_origins_and_stay_ranked(archive: Archive) -> None:
    for generation in range(3):
        archive.add_candidate(candidate(generation, origin=Origin(0, generation, 0)))
        archive.add_filter_counts(0, generation, [FilterCount("type", 10, 1, 0.5)])
    archive.add_evaluation(evaluation(2, 0.9))
    assert archive.supersede(0, from_generation=1) == 2
    archive.add_candidate(candidate("other", origin=Origin(0, 2, 0)))
    archive.add_filter_counts(0, 1, [FilterCount("type", 10, 2, 0.5)])
    assert names(archive.ranked(1)) == ["2"]
    assert [made.superseded for made in archive.candidates()] == [0, 1, 1, 0]
    assert archive.funnel() == [FilterCount("type", 40, 5, 2.0)]
    assert archive.supersede(0, from_generation=2) == 1
    archive.add_candidate(candidate("third", origin=Origin(0, 2, 0)))
    assert archive.counts().candidates == 5
    archive.check()


def test_seen_disregards_what_the_asking_island_repeats(archive: Archive) -> None:
    archive.add_candidate(candidate("a", origin=Origin(0, 5, 3)))
    fingerprint, key = digest(("fingerprint", "a")), digest("a")
    assert archive.seen(fingerprint)
    assert not archive.seen(digest("other"))
    for seen, value in ((archive.seen, fingerprint), (archive.seen_key, key)):
        assert not seen(value, before=Origin(0, 5, 3))
        assert not seen(value, before=Origin(0, 4, 9))
        assert seen(value, before=Origin(0, 5, 4))
        assert seen(value, before=Origin(0, 6, 0))
        assert seen(value, before=Origin(1, 0, 0))
    archive.supersede(0, from_generation=5)
    assert not archive.seen(fingerprint, before=Origin(0, 9, 0))
    assert archive.seen(fingerprint, before=Origin(1, 0, 0))


def test_filter_counts_add_over_generations_and_islands_once_each(archive: Archive) -> None:
    for island in range(2):
        for generation in (0, 1, 1, 0):
            archive.add_filter_counts(
                island, generation, [FilterCount("type", 10, 2, 0.25), FilterCount("probe", 8, 1, 0.5)]
            )
    assert archive.funnel() == [FilterCount("type", 40, 8, 1.0), FilterCount("probe", 32, 4, 2.0)]


# Ranking


def test_failed_and_nan_evaluations_come_last_and_are_on_no_front(tmp_path: Path) -> None:
    for higher in (True, False):
        path = tmp_path / str(higher)
        path.mkdir()
        with create(path, higher) as archive:
            outcomes = {
                "good": (0.9 if higher else 0.1, "ok"),
                "bad": (0.1 if higher else 0.9, "ok"),
                "nan": (math.nan, "ok"),
                "infinite": (math.inf if higher else -math.inf, "ok"),
                "none": (None, "error"),
                "diverged": (2.0 if higher else -2.0, "diverged"),
            }
            for index, (name, (metric, status)) in enumerate(outcomes.items()):
                archive.add_candidate(candidate(name, index, complexity=index + 1))
                archive.add_evaluation(evaluation(name, metric, status=status))
            ranked = archive.ranked(10)
            assert names(ranked)[:2] == ["good", "bad"]
            assert {row.metric for row in ranked[2:]} == {None}
            assert len(ranked) == 6
            assert names(archive.pareto_front()) == ["good"]
            assert names(archive.hall_of_fame()) == ["good", "bad"]


def test_one_failed_seed_disqualifies_a_mean(archive: Archive) -> None:
    archive.add_candidates([candidate("a", 0), candidate("b", 1)])
    archive.add_evaluations([evaluation("a", 0.9), evaluation("a", None, status="diverged", seed=1)])
    archive.add_evaluations([evaluation("b", 0.2), evaluation("b", 0.4, seed=1)])
    first, second = archive.ranked(2)
    assert first.metric == pytest.approx(0.3)
    assert (second.metric, second.failed, second.seeds) == (None, 1, 2)


def test_larger_budgets_rank_before_smaller_ones(archive: Archive) -> None:
    archive.add_candidates([candidate(name, index) for index, name in enumerate("abcd")])
    archive.add_evaluations([evaluation(name, 0.9) for name in "abc"])
    archive.add_evaluations([evaluation("b", 0.5, budget=1000), evaluation("d", 0.95, budget=10)])
    archive.add_evaluation(evaluation("c", None, status="diverged", budget=1000))
    assert names(archive.ranked(9)) == ["b", "a", "d", "c"]
    assert names(archive.ranked(9, budget=100)) == ["a", "b", "c"]
    assert names(archive.pareto_front()) == ["b"]
    assert archive.best_so_far() == [(4, 0.5)]


def test_ties_go_to_lower_complexity_then_to_the_first(archive: Archive) -> None:
    archive.add_candidates(
        [candidate(name, i, complexity=c) for i, (name, c) in enumerate(zip("abcd", (5, 4, 4, 6), strict=True))]
    )
    archive.add_evaluations([evaluation(name, 0.5) for name in "dcba"])
    assert names(archive.ranked(9)) == ["b", "c", "a", "d"]
    assert names(archive.pareto_front()) == ["b"]
    assert names(archive.hall_of_fame()) == ["b", "a", "d"]
    assert names(archive.hall_of_fame(2)) == ["b", "a"]


def test_min_seeds_leaves_out_lucky_single_seeds(archive: Archive) -> None:
    archive.add_candidates([candidate("lucky", 0), candidate("proven", 1)])
    archive.add_evaluation(evaluation("lucky", 0.99))
    archive.add_evaluations([evaluation("proven", 0.9, seed=seed) for seed in range(3)])
    assert names(archive.ranked(2)) == ["lucky", "proven"]
    assert names(archive.ranked(2, min_seeds=3)) == ["proven"]
    assert names(archive.pareto_front(min_seeds=3)) == ["proven"]


def test_several_tasks_rank_by_the_mean_over_all_of_them(archive: Archive) -> None:
    archive.add_candidates([candidate(name, index, complexity=index + 1) for index, name in enumerate("abc")])
    for name, (digits, fashion) in {"a": (0.9, 0.1), "b": (0.6, 0.6)}.items():
        archive.add_evaluation(evaluation(name, digits))
        archive.add_evaluations(
            [evaluation(name, fashion + d, task="fashion", budget=50, seed=s) for s, d in ((0, 0.1), (1, -0.1))]
        )
    archive.add_evaluation(evaluation("c", 1.0))
    assert archive.tasks() == ["digits", "fashion"]
    assert names(archive.ranked(9)) == ["b", "a"]
    assert [row.metric for row in archive.ranked(9)] == pytest.approx([0.6, 0.5])
    assert names(archive.ranked(9, task="digits")) == ["c", "a", "b"]
    assert names(archive.pareto_front()) == ["a", "b"]
    assert names(archive.pareto_front(task="fashion")) == ["a", "b"]
    assert archive.best_so_far()[-1][1] == pytest.approx(0.6)


def test_empty_archive_answers_every_query(archive: Archive) -> None:
    assert (archive.ranked(3), archive.pareto_front(), archive.hall_of_fame(), archive.best_so_far()) == ([],) * 4
    assert (archive.funnel(), archive.tasks(), list(archive.candidates())) == ([], [], [])
    assert archive.counts().candidates == archive.counts().structures == 0
    archive.check()


def test_best_so_far_follows_means_and_may_step_back(archive: Archive) -> None:
    archive.add_candidates([candidate("a", 0), candidate("b", 1)])
    for name, metric, seed in (("a", 0.9, 0), ("b", 0.7, 0), ("a", 0.1, 1), ("b", 0.9, 1)):
        archive.add_evaluation(evaluation(name, metric, seed=seed))
    assert archive.best_so_far() == [(1, 0.9), (3, 0.7), (4, 0.8)]


def test_seeds_that_are_archived_together_count_together(archive: Archive) -> None:
    archive.add_candidates([candidate("a", 0), candidate("b", 1)])
    for name, metrics in (("a", (0.9, 0.5, 0.1)), ("b", (0.4, 0.6, 0.8))):
        archive.add_evaluations([evaluation(name, metric, seed=seed) for seed, metric in enumerate(metrics)])
    assert archive.best_so_far() == [(3, pytest.approx(0.5)), (6, pytest.approx(0.6))]


def test_failure_at_a_larger_budget_disqualifies_at_every_budget(archive: Archive) -> None:
    archive.add_candidates([candidate("a", 0), candidate("b", 1)])
    archive.add_evaluations([evaluation("a", 0.5, budget=10), evaluation("b", 0.9, budget=10)])
    archive.add_evaluation(evaluation("b", 0.8, budget=20))
    assert names(archive.ranked(2)) == [*names(archive.pareto_front()), "a"] == ["b", "a"]
    archive.add_evaluation(evaluation("b", None, status="diverged", budget=20, seed=1))
    assert names(archive.ranked(2)) == [*names(archive.pareto_front()), "b"] == ["a", "b"]
    assert archive.best_so_far() == [(1, 0.5), (2, 0.9), (4, 0.5)]
    assert archive.best_so_far(budget=10) == [(1, 0.5), (2, 0.9)]


METRICS = st.sampled_from([*(value / 4 for value in range(-8, 9)), None, math.nan])
RUNS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 2), st.sampled_from([10, 20]), METRICS),
    min_size=1,
    max_size=40,
)


@settings(max_examples=80)
@given(runs=RUNS, complexities=st.lists(st.integers(1, 4), min_size=8, max_size=8), higher=st.booleans())
def test_queries_agree_with_brute_force(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[int, int, int, float | None]],
    complexities: list[int],
    higher: bool,
) -> None:
    with create(tmp_path_factory.mktemp("archive"), higher) as archive:
        archive.add_candidates([candidate(i, i, complexity=c) for i, c in enumerate(complexities)])
        cells: dict[tuple[int, int], dict[int, float | None]] = defaultdict(dict)
        for name, seed, budget, metric in runs:
            archive.add_evaluation(evaluation(name, metric, seed=seed, budget=budget))
            cells[name, budget].setdefault(seed, metric)
        failed_from: dict[int, int] = {}
        means: dict[tuple[int, int], float] = {}
        for cell, metrics in cells.items():
            finite = [m for m in metrics.values() if m is not None and not math.isnan(m)]
            if len(finite) == len(metrics):
                means[cell] = sum(finite) / len(finite)
            else:
                failed_from[cell[0]] = max(cell[1], failed_from.get(cell[0], 0))
        means = {(i, budget): m for (i, budget), m in means.items() if failed_from.get(i, 0) < budget}
        largest = max((budget for _, budget in means), default=None)
        points = [(m if higher else -m, complexities[i], i) for (i, budget), m in means.items() if budget == largest]
        front = {
            (merit, size)
            for merit, size, _ in points
            if not any((m >= merit and s < size) or (m > merit and s <= size) for m, s, _ in points)
        }
        sign = 1 if higher else -1
        found = archive.pareto_front()
        assert len({row.candidate.complexity for row in found}) == len(found)
        assert [(row.candidate.complexity, sign * (row.metric or 0)) for row in found] == [
            (size, pytest.approx(merit)) for merit, size in sorted(front, key=lambda point: point[1])
        ]
        best = {size: max(m for m, s, _ in points if s == size) for size in {s for _, s, _ in points}}
        assert {r.candidate.complexity: sign * (r.metric or 0) for r in archive.hall_of_fame()} == pytest.approx(best)
        ranked = archive.ranked(99)
        assert len(ranked) == len({name for name, _, _, _ in runs})
        at_largest = [sign * row.metric for row in ranked if row.metric is not None and row.budget == largest]
        assert at_largest == pytest.approx(sorted((m for m, _, _ in points), reverse=True))
        finite_first = [row.metric is None for row in ranked]
        assert finite_first == sorted(finite_first)
        if points:
            assert archive.best_so_far()[-1][1] == pytest.approx(ranked[0].metric)
        archive.check()


# Damage and foreign files


def test_create_refuses_an_existing_archive(archive: Archive) -> None:
    with pytest.raises(UserError, match="lossearch resume"):
        Archive.create(archive.path, "accuracy", True)


def test_unknown_retention_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="keep_rejected"):
        create(tmp_path, keep_rejected="some")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read_only", [True, False])
def test_missing_empty_foreign_and_text_files_are_refused(tmp_path: Path, read_only: bool) -> None:
    with pytest.raises(UserError, match="no file"):
        Archive.open(tmp_path / "missing.sqlite", read_only)
    assert not (tmp_path / "missing.sqlite").exists()
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(UserError, match="is empty"):
        Archive.open(tmp_path / "empty.sqlite", read_only)
    (tmp_path / "text.sqlite").write_text("no database at all\n" * 100)
    with pytest.raises(UserError, match="not a database"):
        Archive.open(tmp_path / "text.sqlite", read_only)
    foreign = sqlite3.connect(tmp_path / "foreign.sqlite")
    foreign.execute("CREATE TABLE meta (name, value)")
    foreign.commit()
    foreign.close()
    with pytest.raises(UserError, match="another program"):
        Archive.open(tmp_path / "foreign.sqlite", read_only)


def test_newer_schema_is_refused(archive: Archive) -> None:
    archive.close()
    connection = sqlite3.connect(archive.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UserError, match="version 99"):
        Archive.open(archive.path)


def test_an_archive_of_the_fourth_version_tells_under_which_key_candidates_were_proposed(archive: Archive) -> None:
    tuned = candidate(
        "tuned", 1, proposal=digest("proposed"), reason=f"constants tuned; proposed as {digest('proposed')}"
    )
    archive.add_candidates([candidate("plain"), tuned, rejected("bad", "probe", 2)])
    expected = [digest("plain"), digest("proposed"), digest("bad")]
    assert [one.proposed_as for one in archive.candidates()] == expected
    archive.close()
    with sqlite3.connect(archive.path) as connection:
        connection.executescript("ALTER TABLE candidate DROP COLUMN proposal; PRAGMA user_version = 4;")
    connection.close()
    for read_only in (True, False, True):
        with Archive.open(archive.path, read_only) as opened:
            assert [one.proposed_as for one in opened.candidates()] == expected
            opened.check()


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.99])
def test_truncated_archive_is_refused(archive: Archive, kept: float) -> None:
    archive.add_candidates([candidate(index, index) for index in range(500)])
    archive.close()
    os.truncate(archive.path, int(kept * archive.path.stat().st_size))
    with pytest.raises(UserError, match="restore"), Archive.open(archive.path) as damaged:
        damaged.check()


def test_check_finds_overwritten_pages_and_wrong_scores(archive: Archive) -> None:
    archive.add_candidates([candidate(index, index) for index in range(500)])
    archive.add_evaluation(evaluation(0))
    archive.check()
    archive.close()
    copy = archive.path.with_name("copy.sqlite")
    shutil.copy(archive.path, copy)
    with copy.open("r+b") as file:
        file.seek(copy.stat().st_size // 2)
        file.write(b"\xff" * 8192)
    with pytest.raises(UserError, match="restore"), Archive.open(copy) as damaged:
        damaged.check()
    connection = sqlite3.connect(archive.path)
    connection.execute("UPDATE score SET merit = 0.9")
    connection.commit()
    connection.close()
    with pytest.raises(UserError, match="scores"), Archive.open(archive.path) as damaged:
        damaged.check()


def test_damaged_json_is_named_and_never_evaluated(archive: Archive) -> None:
    archive.add_candidate(candidate("a"))
    connection = sqlite3.connect(archive.path)
    for damage in ("__import__('os').abort()", "[" * 100_000):
        connection.execute("UPDATE candidate SET numbers = ?", (damage,))
        connection.commit()
        with pytest.raises(UserError, match="candidate 1 of the archive"):
            list(archive.candidates())
    connection.close()


def test_full_disk_is_reported_and_loses_nothing(archive: Archive) -> None:
    archive.add_candidate(candidate("kept"))
    archive.add_evaluation(evaluation("kept", 0.5))
    pages = archive._connection.execute("PRAGMA page_count").fetchone()[0]
    archive._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(UserError, match="free disk space"):
        archive.add_candidates([candidate(index, index + 1, text="x" * 10_000) for index in range(50)])
    archive._connection.execute("PRAGMA max_page_count = 1000000")
    assert [made.key for made in archive.candidates()] == [digest("kept")]
    assert archive.counts().candidates == 1
    archive.add_candidate(candidate("later", 1))
    archive.check()


def test_read_only_archive_refuses_writing_and_sees_later_commits(archive: Archive) -> None:
    with Archive.open(archive.path, read_only=True) as reader:
        with pytest.raises(UserError, match="permission to write"):
            reader.add_candidate(candidate("a"))
        archive.add_candidate(candidate("b"))
        assert reader.counts().accepted == 1


def test_path_with_special_characters_opens(tmp_path: Path) -> None:
    path = tmp_path / "run #1?mode=ro %20 ä"
    path.mkdir()
    with create(path) as archive:
        archive.add_candidate(candidate("a"))
    with Archive.open(path / "archive.sqlite", read_only=True) as reader:
        assert reader.counts().accepted == 1


WRITER = """
import sys
from lossearch.archive.store import Archive, Candidate, Evaluation, Origin
archive = Archive.open(sys.argv[1])
number = 0
while True:
    key = f"{number:064x}"
    archive.add_candidate(Candidate(origin=Origin(0, number, 0), key=key, complexity=1))
    archive.add_evaluation(Evaluation(key=key, task="t", seed=0, budget=1, metric=number, curve=((1, 0.5),) * 50))
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("reported", [1, 40, 400])
def test_kill_loses_nothing_that_was_reported(archive: Archive, reported: int) -> None:
    archive.close()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(archive.path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(reported):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read()
    promised = reported + rest.count("\n")
    with Archive.open(archive.path) as survivor:
        survivor.check()
        found = [int(stored.metric or 0) for stored in survivor.evaluations()]
        assert found == list(range(len(found)))
        assert len(found) >= promised
        assert len(list(survivor.candidates())) - len(found) in (0, 1)
        assert survivor.ranked(1)[0].metric == len(found) - 1


def test_archive_in_a_directory_that_cannot_be_written_is_read(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add_candidate(candidate("a"))
    archive.close()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with Archive.open(archive.path, read_only=True) as reader:
        assert reader.seen_key(digest("a"))
    assert [path.name for path in archive.path.parent.iterdir()] == ["archive.sqlite"]


def test_retention_of_one_batch_overrides_that_of_the_archive(archive: Archive) -> None:
    audited = rejected("a", "rejection")
    archive.add_candidates([audited], keep_rejected="full")
    archive.add_candidates([rejected("b", "rejection", 1)])
    assert [made.reason for made in archive.candidates()] == ["because", ""]
    assert [made.text for made in archive.candidates()] == ["loss_a", None]
