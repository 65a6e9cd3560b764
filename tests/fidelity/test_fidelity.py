"""How well cheap settings rank losses: known answers, and the whole way on a small task."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from lossearch.cli.main import app
from lossearch.errors import UserError
from lossearch.fidelity import measure
from lossearch.fidelity.result import Fidelity, SettingResult, rows_of
from lossearch.tasks import build_task

FULL = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
CONFIG = """
task = { base = "digits", steps = 16 }
generations = 1
[evaluation]
variants = 1
learning_rates = [1.0]
"""


def rows(
    scores: Mapping[int, Sequence[Sequence[float | None]]], higher: bool = True, tuning: int = 0
) -> dict[tuple[int, int], SettingResult]:
    return {(row.steps, row.seeds): row for row in rows_of(scores, FULL, higher, tuning)}


def test_settings_that_rank_alike_opposite_and_at_random() -> None:
    alike = [[value, value] for value in FULL]
    opposite = [[-value, -value] for value in FULL]
    found = rows({10: opposite, 20: alike})
    assert (found[20, 1].tau, found[20, 2].regret) == pytest.approx((1.0, 0.0))
    assert found[10, 1].tau == pytest.approx(-1.0)
    assert found[10, 1].regret == pytest.approx(0.5)
    shuffled = [0.3, 0.1, 0.2, 0.6, 0.5, 0.4]
    one = rows({10: [[value] for value in shuffled]})[10, 1]
    assert one.tau == pytest.approx(stats.kendalltau(shuffled, FULL)[0])
    assert one.regret == pytest.approx(FULL[-1] - FULL[3])
    assert one.low <= one.tau <= one.high


def test_lower_may_be_better_and_failures_rank_last() -> None:
    falling = rows({10: [[value] for value in FULL]}, higher=False)[10, 1]
    assert (falling.tau, falling.regret) == pytest.approx((1.0, 0.0))
    failed = rows({10: [[None], *([value] for value in FULL[1:])]})[10, 1]
    assert failed.tau == pytest.approx(1.0)
    best_failed = rows({10: [*([value] for value in FULL[:-1]), [math.nan]]})[10, 1]
    assert best_failed.regret == pytest.approx(0.1)


@pytest.mark.thorough
def test_seeds_are_powers_of_two_and_the_most_and_cost_counts_tuning() -> None:
    found = rows({10: [[value] * 5 for value in FULL], 20: [[value] * 5 for value in FULL]}, tuning=8)
    assert list(found) == [(10, 1), (10, 2), (10, 4), (10, 5), (20, 1), (20, 2), (20, 4), (20, 5)]
    assert found[20, 5].cost == 1.0
    assert found[10, 1].cost == pytest.approx(10 * 9 / (20 * 13))


def test_settings_that_do_not_tell_losses_apart_have_no_correlation() -> None:
    assert rows({10: [[1.0]] * 6})[10, 1].tau == 0.0
    with pytest.raises(UserError, match=r"at least 5 losses.*found: 4"):
        rows_of({10: [[1.0]] * 4}, FULL[:4], True, 0)


def test_the_cheapest_good_setting_is_recommended() -> None:
    draw = np.random.default_rng(0)
    noisy = [[value + float(draw.normal(0, 1)) for _ in range(2)] for value in FULL]
    exact: list[list[float | None]] = [[value, value] for value in FULL]
    found = Fidelity("t", "m", 6, 0, 20, 4, rows_of({10: noisy, 20: exact}, FULL, True, 0))
    assert found.recommended is not None
    assert (found.recommended.steps, found.recommended.seeds) == (20, 1)
    assert "steps = 20, seeds = 1" in found.verdict
    none = Fidelity("t", "m", 6, 0, 20, 4, rows_of({10: noisy}, FULL, True, 0))
    assert none.recommended is None
    assert "No setting reaches" in none.verdict


def test_a_setting_whose_interval_reaches_zero_is_not_recommended() -> None:
    found = Fidelity("t", "m", 6, 0, 20, 4, (SettingResult(10, 1, 0.5, 0.7, -0.1, 1.0, 0.0),))
    assert found.recommended is None
    assert "is not shown with 6 losses" in found.verdict


@pytest.mark.thorough
def test_a_configuration_is_measured_from_end_to_end(tmp_path: Path) -> None:
    path, kept = tmp_path / "search.toml", tmp_path / "fidelity.json"
    path.write_text(CONFIG)
    arguments = ["fidelity", path, "--sample", 5, "--seeds", 2, "--full-seeds", 2, "--workers", 1, "-o", kept]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    told = json.loads(kept.read_text())
    assert {(row["steps"], row["seeds"]) for row in told["rows"]} == {(s, k) for s in (2, 4, 8, 16) for k in (1, 2)}
    assert told["losses"] + told["failed"] == 5
    assert told["verdict"] in done.output.replace("\n", " ")
    again = measure(path, sample=5, seeds=2, full_seeds=2, workers=1)
    assert json.loads(again.to_json()) == told
    with build_task("digits").open_test("a test"):  # this process may still open it
        pass


@pytest.mark.parametrize(
    ("options", "told"),
    [({"sample": 4}, "at least five losses"), ({"full_seeds": 1}, "two full seeds"), ({"workers": 0}, "one worker")],
)
def test_what_does_not_fit_is_told(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    path = tmp_path / "search.toml"
    path.write_text('task = "digits"\ngenerations = 1\n')
    with pytest.raises(UserError, match=told):
        measure(path, **options)
