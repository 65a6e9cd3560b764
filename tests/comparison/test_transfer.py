"""Losses compared on the tasks of a distribution, each by itself and all together."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lossearch
from lossearch import zoo
from lossearch.cards.card import read_card
from lossearch.cards.making import write_card
from lossearch.cli.main import app
from lossearch.comparison.compare import ComparisonProgress
from lossearch.comparison.statistics import holm
from lossearch.comparison.transfer import THRESHOLDS, Transfer, compare_across
from lossearch.comparison.tuning import Budget
from lossearch.errors import UserError
from lossearch.loss import Loss
from lossearch.tasks.distribution.config import DistributionConfig, distribution_config

FOUND = Loss.from_text("dense: -true_class_probability(logits, target)", "found", "a search")
BROKEN = Loss.from_text("dense: sum(target * sign(logits), over=class)", "broken", "a search")
OPTIONS: dict[str, Any] = {"budget": Budget(trials=3, seeds=1, final_seeds=1), "steps": 12, "workers": 1}


def distribution(**fields: Any) -> DistributionConfig:
    axes = {
        "data": {"digits": {"base": "digits", "train_size": 200, "val_size": 100}},
        "noise": {"clean": {}, "flipped": {"noise": "asymmetric", "noise_rate": 0.3}},
    }
    values = {"name": "flips", "axes": axes, "held_out": {"noise": ["flipped"]}, "tasks": 1}
    return distribution_config(values | fields)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transfer")


@pytest.fixture(scope="module")
def found(folder: Path) -> Transfer:
    config = distribution(tasks=2, held_out={})
    return compare_across(config, [FOUND, BROKEN], 4, baselines=["cross_entropy", "brier"], out=folder, **OPTIONS)


def test_gains_are_paired_differences_in_noise_floors(found: Transfer) -> None:
    assert found.reference == "cross_entropy"
    assert set(found.comparisons) == {"digits+clean", "digits+flipped"}
    for place, one in enumerate(found.comparisons.values()):
        rows = {row.loss: row for row in one.rows}
        floor = rows["cross_entropy"].noise_floor
        assert floor
        floor *= np.sqrt(4 / 8)  # gains are told in floors of eight seeds
        own, other = (np.array([value or 0.0 for value in rows[name].values]) for name in ("found", "cross_entropy"))
        assert found.gains["found"][place] == pytest.approx(((own - other) / floor).tolist())
        assert found.gains["broken"][place] == pytest.approx((-other / floor).tolist())  # an accuracy of 0
    assert found.gains["cross_entropy"] == [[0.0] * 4] * 2


def test_cells_hold_the_loss_against_the_best_hand_designed_one_of_each_task(found: Transfer) -> None:
    for cell in found.cells:
        one = found.comparisons[cell.task]
        row = next(row for row in one.rows if row.loss == "found")
        assert cell.opponent == one.reference
        assert row.difference is not None
        assert (cell.difference, cell.p_value) == (row.difference.mean, row.difference.p_value)
    corrected = holm([cell.p_value or 0.0 for cell in found.cells]).tolist()
    assert [cell.p_holm for cell in found.cells] == corrected
    assert all(cell.better is None for cell in found.cells)  # four seeds cannot reach 0.05: 2 / 16


def test_aggregates_go_over_all_tasks(found: Transfer) -> None:
    by_name = {one.loss: one for one in found.aggregates}
    assert by_name["cross_entropy"].gain.mean == 0.0
    assert by_name["found"].improvement is None
    own = np.array(found.gains["found"])
    assert by_name["found"].worst == pytest.approx(own.mean(1).min())
    assert by_name["found"].profile[THRESHOLDS.index(0.0)] == pytest.approx((own > 0).mean())
    assert by_name["broken"].failed == 8
    assert by_name["broken"].gain.mean <= min(one.gain.mean for one in found.aggregates)
    assert all(found.judged == "found" and by_name["broken"].gain.mean < one.gain.mean for one in found.aggregates[:-1])
    assert "With 4 seeds on 2 tasks no difference can be told from chance" in found.verdict
    assert "found is better than the best hand-designed loss of a task on 0 of 2 tasks" in found.verdict


def test_files_say_the_same(found: Transfer, folder: Path) -> None:
    text, told = (folder / "transfer.txt").read_text(), json.loads((folder / "transfer.json").read_text())
    assert found.verdict in text
    assert {cell["task"] for cell in told["cells"]} == {"digits+clean", "digits+flipped"}
    assert told["aggregates"][0]["loss"] == found.aggregates[0].loss
    assert (folder / "transfer.png").stat().st_size > 10_000
    assert (folder / "digits+clean" / "comparison.json").is_file()


def test_finished_losses_are_kept(found: Transfer, folder: Path) -> None:
    told: list[tuple[str, ComparisonProgress]] = []
    config = distribution(tasks=2, held_out={})
    again = compare_across(
        config,
        [FOUND, BROKEN],
        4,
        baselines=["cross_entropy", "brier"],
        out=folder,
        progress=lambda name, progress: told.append((name, progress)),
        **OPTIONS,
    )
    assert not told
    assert again.to_dict() == found.to_dict()


def test_tasks_without_a_noise_floor_are_left_out_and_named(found: Transfer) -> None:
    one = replace(found, unmeasured=("digits+clean",))
    assert [cell.gain is None for cell in one.cells] == [cell.task == "digits+clean" for cell in one.cells]
    assert one.gains["found"] == [
        gains for name, gains in zip(found.comparisons, found.gains["found"], strict=True) if name != "digits+clean"
    ]


def test_without_a_noise_floor_on_any_task_what_there_is_is_written(found: Transfer, tmp_path: Path) -> None:
    none = replace(found, unmeasured=tuple(found.comparisons))
    assert none.aggregates == ()
    assert [cell.difference for cell in none.cells] == [cell.difference for cell in found.cells]
    assert "gives the same with every seed on each task" in none.verdict
    none.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["transfer.json", "transfer.txt"]
    assert "digits+flipped" in (tmp_path / "transfer.txt").read_text()


def test_seeds_that_change_nothing_on_a_task_prove_nothing_there(found: Transfer) -> None:
    name, one = next(iter(found.comparisons.items()))
    rows = [replace(row, values=row.values[:1] * len(row.values)) for row in one.rows]
    fixed = replace(found, comparisons={**found.comparisons, name: replace(one, rows=tuple(rows))})
    (cell, *_) = fixed.cells
    assert (cell.p_value, cell.better) == (1.0, None)
    assert cell.difference


def test_a_loss_that_was_renamed_is_the_one_that_is_judged(folder: Path, tmp_path: Path) -> None:
    """Another loss of the same name was compared in the folder before."""
    other = Loss.from_text("dense: cross_entropy(2.0 * logits, target)", "found", "a search")
    config = distribution(tasks=1)
    for loss in (FOUND, other):
        found = compare_across(config, [loss], 4, baselines=["cross_entropy"], out=tmp_path, **OPTIONS)
    assert found.judged == "found_2"
    assert found.cells[0].loss == "found_2"
    assert "found_2 is better than" in found.verdict


def test_a_hand_designed_loss_is_judged_against_others_and_the_reference_is_always_there() -> None:
    alone = compare_across(distribution(), ["cross_entropy"], 4, baselines=False, **OPTIONS)
    assert alone.cells[0].opponent is None
    assert "was compared with no hand-designed loss" in alone.verdict
    both = compare_across(distribution(), [FOUND], 4, baselines=False, **OPTIONS)
    assert both.reference == both.cells[0].opponent == "cross_entropy"
    failed = compare_across(distribution(), [BROKEN], 4, baselines=False, **OPTIONS)
    assert failed.cells[0].better is False


def test_a_loss_that_is_the_reference_under_another_name_gains_nothing() -> None:
    alike = Loss.from_text("dense: cross_entropy(logits, target)", "mine", "a search")
    found = compare_across(distribution(), [alike, "brier"], 4, baselines=False, **OPTIONS)
    assert (found.judged, found.reference) == ("mine", "cross_entropy")
    assert found.losses == ("mine", *(name for name in found.losses if name != "mine"))
    assert set(found.losses) == {"mine", "cross_entropy", "brier"}
    assert found.gains["mine"] == found.gains["cross_entropy"] == [[0.0] * 4]


def test_slots_that_are_searched_together_are_held_against_the_defaults() -> None:
    axes = {"data": {"digits": {"base": "digits_vae_prior", "slot": ["reconstruction", "prior"], "steps": 20}}}
    config = distribution_config({"name": "vae", "axes": axes, "tasks": 1})
    found = compare_across(config, ["free_bits"], 4, baselines=False, **OPTIONS)
    assert (found.reference, found.judged) == ("defaults", "prior_free_bits")


def test_all_tasks_are_there_before_anything_is_trained() -> None:
    axes = {"data": {"digits": {"base": "digits"}, "diabetes": {"base": "diabetes"}}}
    with pytest.raises(UserError, match="tasks with the slots of"):
        compare_across(distribution_config({"name": "mixed", "axes": axes, "tasks": 2}), [FOUND], 4, **OPTIONS)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(UserError, match=r"a loss to judge and at least 4 seeds.*found: 1 losses, 3 seeds"):
        compare_across(distribution(), [FOUND], 3)
    with pytest.raises(UserError, match="a loss to judge"):
        compare_across(distribution(), [], 4)
    with pytest.raises(UserError, match=r"a single task, with a test split.*flips.*--distribution"):
        lossearch.compare(distribution().model_dump(), zoo.get("brier"), 4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["compare", "brier"], "Missing option"),
        (["compare", "brier", "--task", "digits", "--distribution", "noisy_images"], "both"),
        (["compare", "brier", "--task", "digits", "--held-out"], "with --distribution alone"),
        (["compare", "brier", "--distribution", "noisy_images", "--metric", "loss"], "with a training function"),
        (["compare", "brier", "--distribution", "digits"], "one of the distributions noisy_images"),
        (["tasks", "--held-out"], "--distribution, for --held-out"),
        (["tasks", "--distribution", "noisy_images", "--boundary", "model"], "--boundary with --held-out"),
        (["compare", "brier", "--distribution", "noisy_images", "--boundary", "data"], "--boundary with --held-out"),
        (["tasks", "--distribution", "noisy_images", "--tasks", "5000"], "tasks"),
    ],
)
def test_commands_say_what_does_not_fit(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_card_keeps_the_tables_and_how_they_are_made_again(found: Transfer, folder: Path, tmp_path: Path) -> None:
    task = distribution(tasks=2, held_out={}).model_dump(mode="json")
    card = read_card(write_card("brier", tmp_path / "brier.py", task, steps=2, comparison=folder))
    assert [one.task.name for one in card.held_out] == list(found.comparisons)
    assert card.transfer == found.verdict
    made = shlex.split(card.commands[0])
    assert made[:3] == ["lossearch", "compare", "brier"]
    assert made[made.index("--distribution") :] == shlex.split(
        "--distribution config.toml --tasks 2 --seeds 4 --trials 3 --out comparison"
    )
