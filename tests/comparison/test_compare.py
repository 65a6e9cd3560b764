from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lossearch import zoo
from lossearch.comparison import jobs, workers
from lossearch.comparison.compare import ComparisonProgress, compare
from lossearch.comparison.comparison import Comparison
from lossearch.comparison.tuning import Budget, tune
from lossearch.errors import UserError
from lossearch.loss import Loss
from lossearch.search_spaces import load_space
from lossearch.tasks import Opening, Task, forbid_test_split, openings, seal
from lossearch.tasks.described import Split
from lossearch.training.seeds import RANGES

BUDGET = Budget(trials=4, seeds=1, final_seeds=1)
SEEDS = 4
FLAT = Loss.from_text("dense: sum(target * sign(logits), over=class)", "flat", "a search")
FOUND = Loss.from_text("dense: 2.0 * cross_entropy(logits, target)", "found", "a search")


@pytest.fixture(scope="module")
def task() -> Task:
    return Task({"base": "digits_noise", "batch_size": 50})


def compare_here(
    task: Task, losses: list[Loss | str], baselines: Any = ("brier", "focal"), **options: Any
) -> Comparison:
    defaults: dict[str, Any] = {"seeds": SEEDS, "budget": BUDGET, "steps": 12, "workers": 1}
    return compare(task, losses, baselines=baselines, **(defaults | options))


@pytest.fixture(scope="module")
def comparison(task: Task) -> Comparison:
    return compare_here(task, [FLAT, FOUND])


class Runs:
    """What every training was asked for: by split, the seeds of each call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, tuple[int, ...], int]] = []
        original = jobs.train

        def recording_train(task: Task, runs: list[jobs.Run], steps: int, *, split: Any, **options: Any) -> Any:
            name = "test" if isinstance(split, Split) else split
            self.calls.append((name, tuple(run.seed for run in runs), steps))
            return original(task, runs, steps, split=split, **options)

        monkeypatch.setattr(jobs, "train", recording_train)

    def seeds(self, split: str) -> list[tuple[int, ...]]:
        return [seeds for name, seeds, _ in self.calls if name == split]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(monkeypatch)


def test_the_test_split_is_opened_once_after_all_tuning(task: Task, runs: Runs) -> None:
    before = len(openings())
    compare_here(task, ["cross_entropy"])
    assert openings()[before:] == (Opening(task.name, "compare"),)
    splits = [name for name, _, _ in runs.calls]
    assert splits == sorted(splits, reverse=True)  # "validation" first, then "test"
    assert set(splits) == {"validation", "test"}


def test_tuning_gives_the_same_settings_as_comparing(task: Task, comparison: Comparison) -> None:
    before = openings()
    alone = tune(zoo.get("focal"), task, BUDGET, steps=12, workers=1)
    assert openings() == before
    assert comparison.results["focal"] == alone


def test_a_process_that_forbids_the_test_split_cannot_compare(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "_reason_sealed", None)
    monkeypatch.setenv(seal.VARIABLE, "")
    forbid_test_split("a test")
    with pytest.raises(seal.TestSplitSealed):
        compare_here(task, ["cross_entropy"], baselines=False)


def test_every_loss_gets_equal_budgets_and_the_same_paired_seeds(task: Task, runs: Runs) -> None:
    compare_here(task, ["cross_entropy"], baselines=["focal", "tversky"])
    tested = runs.seeds("test")
    assert len(tested) == 3
    assert set(tested) == {(10_000, 10_001, 10_002, 10_003)}
    tuned = Counter(seed for seeds in runs.seeds("validation") for seed in seeds)
    assert set(tuned).isdisjoint(tested[0])
    assert sum(tuned.values()) == 3 * BUDGET.runs
    assert {steps for _, _, steps in runs.calls} == {12}


def test_pairs_share_initial_weights_and_data_order(task: Task) -> None:
    ce = zoo.get("cross_entropy")
    twins = compare_here(task, [replace(ce, name="twin", source="a search")], baselines=["cross_entropy"])
    (first, second) = twins.rows
    assert first.values == second.values
    row = next(row for row in twins.rows if row.difference is not None)
    assert row.difference is not None
    assert (row.difference.mean, row.p_holm, row.better) == (0.0, 1.0, None)
    assert len(set(first.values)) > 1


def test_rows_are_sorted_and_the_best_baseline_is_the_reference(comparison: Comparison) -> None:
    means = [row.interval.mean for row in comparison.rows if row.interval is not None]
    assert means == sorted(means, reverse=True)
    baselines = [row for row in comparison.rows if row.source == "hand-designed"]
    assert comparison.reference == baselines[0].loss
    assert baselines[0].difference is None
    for row in comparison.rows[:-1]:
        assert row.interval is not None
        assert row.interval.low <= row.interval.mean <= row.interval.high
        assert row.noise_floor is not None
        assert len(row.values) == SEEDS


def test_a_loss_that_never_trains_is_last(comparison: Comparison) -> None:
    last = comparison.rows[-1]
    assert last.loss == "flat"
    assert last.interval is None
    assert last.values == ()
    assert "gradient" in last.message
    assert "failed" in comparison.to_text()


def test_a_loss_that_fails_with_one_seed_is_last(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(job: jobs.Job) -> list[jobs.JobResult]:
        results = jobs.run_job(job)
        if job.test is not None and json.loads(job.loss)["name"] == "focal":
            results = [replace(results[0], metrics=(None, *results[0].metrics[1:]), message="diverged: boom")]
        return results

    monkeypatch.setattr(workers, "run_job", failing)
    comparison = compare_here(task, [])
    last = comparison.rows[-1]
    assert (last.loss, last.interval, last.message) == ("focal", None, "diverged: boom")
    assert last.values.count(None) == 1


def test_workers_do_not_change_the_result(task: Task, comparison: Comparison) -> None:
    assert compare_here(task, [FLAT, FOUND], workers=2) == comparison


def test_progress_counts_both_phases(task: Task) -> None:
    seen: list[ComparisonProgress] = []
    compare_here(task, [FLAT], progress=seen.append)
    assert [(p.phase, p.done) for p in seen] == [("tune", 1), ("tune", 2), ("tune", 3), ("test", 1), ("test", 2)]
    assert {p.total for p in seen} == {3}
    assert next(p.metric for p in seen if p.loss == "flat") is None


class Interrupt:
    """Ctrl-C as soon as so many losses are through a phase."""

    def __init__(self, phase: str, after: int) -> None:
        self.phase, self.after = phase, after

    def __call__(self, progress: ComparisonProgress) -> None:
        if (progress.phase, progress.done) == (self.phase, self.after):
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("phase", "after"),
    [("tune", 3), *(pytest.param(*one, marks=pytest.mark.thorough) for one in (("tune", 1), ("test", 1)))],
)
def test_an_interrupted_comparison_goes_on(
    task: Task, comparison: Comparison, tmp_path: Path, runs: Runs, phase: str, after: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        compare_here(task, [FLAT, FOUND], out=tmp_path, progress=Interrupt(phase, after))
    before = len(runs.calls)
    assert compare_here(task, [FLAT, FOUND], out=tmp_path) == comparison
    assert 0 < before < len(runs.calls)
    assert len(runs.seeds("test")) == 3
    assert sum(len(seeds) for seeds in runs.seeds("validation")) == 3 * BUDGET.runs  # `flat` is never trained


def test_a_finished_comparison_is_read_back_without_opening_the_test_split(
    task: Task, tmp_path: Path, runs: Runs
) -> None:
    first = compare_here(task, [FOUND], out=tmp_path)
    runs.calls.clear()
    before = openings()
    assert compare_here(task, [FOUND], out=tmp_path) == first
    assert runs.calls == []
    assert openings() == before


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"seeds": 5}, "seeds"), ({"steps": 13}, "steps"), ({"budget": Budget(6, 1, 1)}, "budget")],
)
def test_results_of_other_settings_are_not_mixed(
    task: Task, tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    compare_here(task, [], baselines=["brier"], out=tmp_path)
    with pytest.raises(UserError, match=f"brier.json: {field}"):
        compare_here(task, [], baselines=["brier"], out=tmp_path, **changes)


@pytest.mark.thorough
def test_another_loss_of_the_same_name_is_not_mistaken(task: Task, tmp_path: Path) -> None:
    compare_here(task, [FOUND], baselines=False, out=tmp_path)
    other = Loss.from_text("dense: 3.0 * cross_entropy(logits, target)", "found", "a search")
    for _ in range(2):  # the second time, it is known by the name that it got
        comparison = compare_here(task, [other], baselines=False, out=tmp_path)
        formulas = {row.loss: row.formula for row in comparison.rows}
        assert formulas.keys() == {"found", "found_2"}
        assert formulas["found_2"] == other.to_text() != formulas["found"]
    with pytest.raises(UserError, match=r"found.json: seeds"):
        compare_here(task, [FOUND], baselines=False, out=tmp_path, seeds=5)


@pytest.mark.thorough
def test_one_more_loss_is_compared_with_all_that_are_finished(task: Task, tmp_path: Path, runs: Runs) -> None:
    first = compare_here(task, [FOUND], baselines=["brier"], out=tmp_path)
    runs.calls.clear()
    more = compare_here(task, ["poly1"], baselines=False, out=tmp_path)
    assert {row.loss for row in more.rows} == {"found", "brier", "poly1"}
    assert {row.loss: row.source for row in more.rows}["found"] == "discovered"
    assert sum(len(seeds) for seeds in runs.seeds("validation")) == BUDGET.runs  # poly1 alone was trained
    for row in first.rows:
        again = next(one for one in more.rows if one.loss == row.loss)
        assert again.values == row.values
    (tmp_path / "losses" / "brier.json").write_text("[]")  # damaged, and not asked for
    assert {row.loss for row in compare_here(task, ["poly1"], baselines=False, out=tmp_path).rows} == {"found", "poly1"}
    assert len(compare_here(task, ["hinge"], baselines=False, out=tmp_path / "other").rows) == 1


@pytest.mark.parametrize(
    "damage", [lambda text: text[:100], lambda text: text.replace('"trials"', '"trails"'), lambda _: "[]"]
)
def test_a_damaged_result_is_refused(task: Task, tmp_path: Path, damage: Callable[[str], str]) -> None:
    compare_here(task, [], baselines=["brier"], out=tmp_path)
    path = tmp_path / "losses" / "brier.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match=r"brier.json.*delete the file"):
        compare_here(task, [], baselines=["brier"], out=tmp_path)


def test_everything_is_saved(task: Task, tmp_path: Path) -> None:
    comparison = compare_here(task, [FLAT, FOUND], out=tmp_path / "a" / "b")
    folder = tmp_path / "a" / "b"
    assert {path.name for path in folder.iterdir()} == {
        "table.txt", "comparison.csv", "comparison.json", "comparison.png", "losses",
    }  # fmt: skip
    assert (folder / "table.txt").read_text() == comparison.to_text()
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_csv_has_a_line_per_loss_with_its_figures(comparison: Comparison, tmp_path: Path) -> None:
    comparison.to_csv(tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(newline="") as file:
        records = list(csv.DictReader(file))
    assert [record["loss"] for record in records] == [row.loss for row in comparison.rows]
    for record, row in zip(records, comparison.rows, strict=True):
        assert float(record["learning_rate"]) == row.learning_rate
        if row.interval is not None:
            assert float(record["test_mean"]) == row.interval.mean
        if row.difference is not None:
            assert float(record["difference_low"]) == row.difference.interval.low
            assert float(record["p_holm"]) == row.p_holm


def test_json_holds_the_tuned_losses(comparison: Comparison, tmp_path: Path) -> None:
    comparison.to_json(tmp_path / "c.json")
    document = json.loads((tmp_path / "c.json").read_text())
    assert document["reference"] == comparison.reference
    assert document["seeds"] == list(comparison.seeds)
    for row in document["rows"]:
        assert Loss.from_json(json.dumps(row["document"])) == comparison.results[row["loss"]].loss


def test_table_names_losses_parameters_and_noise_floor(comparison: Comparison) -> None:
    text = comparison.to_text()
    for expected in (
        "found",
        "focal",
        "gamma=",
        "noise floor",
        "discovered",
        "hand-designed",
        "p (Holm)",
        "accuracy, %",
    ):
        assert expected in text
    assert text.rstrip().endswith(comparison.verdict)


def test_figure_shows_every_loss_best_at_the_top(comparison: Comparison, tmp_path: Path) -> None:
    from lossearch.comparison.figure import draw

    (axes,) = draw(comparison).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [row.loss for row in comparison.rows]
    bottom, top = axes.get_ylim()
    assert bottom > top  # row 0 is uppermost
    assert "accuracy, %" in axes.get_xlabel()
    comparison.figure(tmp_path / "c.svg")
    assert "<svg" in (tmp_path / "c.svg").read_text()


def test_a_full_disk_is_reported(comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left.*then run again: finished losses are kept"):
        comparison.to_json(tmp_path / "c.json")
    assert list(tmp_path.iterdir()) == []


def test_seeds_of_searches_are_the_default_baselines(task: Task) -> None:
    comparison = compare_here(task, [], baselines=True, budget=Budget(2, 1, 0), seeds=2, steps=2)
    assert {row.loss for row in comparison.rows} == set(load_space("dense").seeds)
    assert {row.source for row in comparison.rows} == {"hand-designed"}


def test_equal_losses_are_compared_once_and_equal_names_told_apart(task: Task) -> None:
    per_image = zoo.get("dice", per="image")
    names = [row.loss for row in compare_here(task, ["focal", "dice", per_image], baselines=["focal", "dice"]).rows]
    assert sorted(names) == ["dice", "dice_2", "focal"]


def refused() -> Iterator[tuple[dict[str, Any], str]]:
    yield {"losses": ["focul"]}, "focul"
    yield {"losses": [zoo.get("giou")]}, "giou of box"
    yield {"losses": [], "baselines": False}, "at least one loss"
    yield {"seeds": 1}, "two seeds"
    yield {"seeds": [1, 1]}, "different"
    yield {"seeds": [20_000, 10_000]}, "tuning does not use.*20000"
    for purpose, seeds in RANGES.items():
        if purpose != "comparing":
            yield {"seeds": [seeds[0], 10_000]}, rf"search or tuning does not use.*\[{seeds[0]}\]"
            yield {"seeds": [10_000, seeds[-1]]}, rf"search or tuning does not use.*\[{seeds[-1]}\]"
    yield {"seeds": 10_001}, "at most 10000 seeds"
    yield {"workers": 0}, "worker"


@pytest.mark.parametrize(("options", "message"), list(refused()))
def test_what_cannot_be_compared_is_refused(task: Task, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare_here(task, options.pop("losses", ["brier"]), **options)
