"""Searches over a user's function with which no training ends well: they say why, and keep what they archived."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., str]

pytestmark = pytest.mark.xdist_group("cli_end_to_end")

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


def search(folder: Path, function: str, limit: float = 60.0) -> subprocess.CompletedProcess[str]:
    """A whole search, in a process of its own."""
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    (folder / "search.toml").write_text(CONFIG.format(function=function, limit=limit), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "lossearch", "search", str(folder / "search.toml"), "--out", str(folder / "run")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def assert_told(ended: subprocess.CompletedProcess[str], run: Path, reason: str) -> None:
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    required, found, hint = ended.stderr.splitlines()[-3:]
    assert required == f"required:   a loss in {run} that was trained to the end"
    # The loss is told too: seeds of the space come first.
    assert found.startswith(f"found:      none of 2; 2 ended with: {reason} (one of them: dense: ")
    assert f"lossearch resume {run} --generations N" in hint


def test_a_function_that_always_raises(tmp_path: Path, lossearch: Command, mistake: Command) -> None:
    run = tmp_path / "run"
    assert_told(search(tmp_path, "raises"), run, "RuntimeError: out of patience")

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


def test_a_function_that_never_calls_its_loss(tmp_path: Path) -> None:
    ended = search(tmp_path, "never")
    assert ended.returncode == 2, ended.stderr
    assert "required:   a training function that calls its loss, with budget 1 and seed 0" in ended.stderr
    assert "TypeError: no data (File" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_a_function_that_yields_nan(tmp_path: Path) -> None:
    assert_told(search(tmp_path, "diverges"), tmp_path / "run", "metric number 1 is nan")


def test_a_function_that_hangs(tmp_path: Path) -> None:
    assert_told(search(tmp_path, "hangs", limit=2.0), tmp_path / "run", "not finished after 2 s")
