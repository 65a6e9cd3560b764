"""Searches over a user's function with which no training ends well: they say why, and keep what they archived."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lossearch.cli.main import app

Command = Callable[..., str]

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("one_server")]

TRAIN = """
import time
import torch

def call(loss):
    loss(torch.zeros(4, 2, requires_grad=True), torch.arange(4) % 2)

def raises(loss, budget, seed):
    call(loss)
    print("about to fail")
    raise RuntimeError("out of patience")
    yield

def never(loss, budget, seed):
    raise TypeError("no data")
    yield

def diverges(loss, budget, seed):
    call(loss)
    yield float("nan")

def hangs(loss, budget, seed):
    call(loss)
    while True:
        time.sleep(1.0)
    yield
"""
CONFIG = """
islands = 1
generations = 1
generation_size = 2

[task]
function = "train.py:{function}"
metric = "accuracy"

[evaluation]
steps = 1
seeds = 1
time_limit_s = {limit}
"""


def project(folder: Path, function: str, limit: float = 60.0) -> tuple[str, ...]:
    """Write a configuration and its script; the command that searches with them."""
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    (folder / "search.toml").write_text(CONFIG.format(function=function, limit=limit), encoding="utf-8")
    return ("search", str(folder / "search.toml"), "--out", str(folder / "run"))


def assert_told(code: int, messages: str, run: Path, reason: str) -> None:
    assert code == 2, messages
    assert "Traceback" not in messages
    required, found, hint = messages.splitlines()[-3:]
    assert required == f"required:   a loss in {run} that was trained to the end"
    # The loss is told too: seeds of the space come first.
    assert found.startswith(f"found:      none of 2; 2 ended with: {reason} (one of them: dense: ")
    assert f"lossearch resume {run} --generations N" in hint


@pytest.mark.thorough
def test_a_function_that_always_raises(tmp_path: Path, lossearch: Command, mistake: Command) -> None:
    """In a process of its own, as a user has it."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "lossearch", *project(tmp_path, "raises")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1"}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert_told(ended.returncode, ended.stderr, run, "RuntimeError: out of patience")

    rows = json.loads(lossearch("ls", run, "-f", "json"))["candidates"]
    assert [row["reason"] for row in rows] == ["RuntimeError: out of patience"] * 2
    assert "RuntimeError: out of patience" in lossearch("ls", run)
    shown = lossearch("show", f"{run}@1")
    assert "failed:        1 of 1 evaluations" in shown
    assert "| about to fail" in shown
    assert "RuntimeError: out of patience" in shown
    lossearch("report", run)
    assert "<td>RuntimeError: out of patience</td>" in (run / "report.html").read_text(encoding="utf-8")

    # Nothing is left to do within its limits, so that resuming tells the same.
    assert "2 ended with: RuntimeError: out of patience" in mistake("resume", run)


def test_a_function_that_never_calls_its_loss(tmp_path: Path, mistake: Command) -> None:
    told = mistake(*project(tmp_path, "never"))
    assert "required:   a training function that calls its loss, with budget 1 and seed 0" in told
    assert "TypeError: no data (File" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("function", "limit", "reason"),
    [
        ("diverges", 60.0, "metric number 1 is nan"),
        ("hangs", 2.0, "not finished after 2 s"),
    ],
)
def test_a_function_that_comes_to_no_metric(
    function: str, limit: float, reason: str, local_ray: None, tmp_path: Path
) -> None:
    ended = CliRunner().invoke(app, project(tmp_path, function, limit))
    assert_told(ended.exit_code, ended.stderr, tmp_path / "run", reason)
