"""Where `compare` keeps its results, and what `export` passes on."""

import json
import os
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from lossearch.cli.main import app

from .runs import make_run

Command = Callable[..., str]

TASK = """
generations = 1
[task]
base = "digits_noise"
steps = 5
"""
SMALL = ("--seeds", "2", "--trials", "2", "--workers", "1")


def compare(*arguments: str | Path) -> str:
    """Call the command; what it says on standard error."""
    done = CliRunner().invoke(app, ["compare", *map(str, arguments), *SMALL])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done.stderr


def test_a_comparison_goes_into_the_run_that_the_loss_comes_from(tmp_path: Path, lossearch: Command) -> None:
    (tmp_path / "task.toml").write_text(TASK, encoding="utf-8")
    run = make_run(tmp_path / "run")
    place = run.path / "comparison"
    assert f"to {place}" in compare("brier", f"{run.path}@1", "--task", tmp_path / "task.toml")
    written = run.comparison.read_bytes()
    assert {row["loss"] for row in json.loads(written)["rows"]} == {"brier", "run_1"}
    lossearch("report", run.path)
    assert "No comparison lies in this run directory" not in run.report.read_text(encoding="utf-8")

    again = compare(f"{run.path}@1", "--task", tmp_path / "task.toml")
    assert f"{run.comparison} is kept as it is: give --out" in again
    assert "wrote" not in again
    assert run.comparison.read_bytes() == written


def test_a_comparison_of_other_losses_is_kept_where_out_says_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "task.toml").write_text(TASK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert "wrote" not in compare("brier", "--task", "task.toml")
    assert os.listdir(tmp_path) == ["task.toml"]
    assert "to elsewhere" in compare("brier", "--task", "task.toml", "--out", "elsewhere")


def test_export_takes_a_label_to_ignore(tmp_path: Path, lossearch: Command, mistake: Command) -> None:
    lossearch("export", "cross_entropy", "-o", tmp_path / "loss.py", "--ignore-index", "2")
    (kind,) = (
        value
        for value in runpy.run_path(str(tmp_path / "loss.py")).values()
        if isinstance(value, type) and issubclass(value, torch.nn.Module)
    )
    module = kind()
    logits, target = torch.randn(3, 4), torch.tensor([0, 2, 1])
    expected = torch.nn.functional.cross_entropy(logits, target, ignore_index=2)
    torch.testing.assert_close(module(logits, target), expected)
    assert "ignore_index" in mistake("export", "cross_entropy", "-o", tmp_path / "x.json", "--ignore-index", "2")
