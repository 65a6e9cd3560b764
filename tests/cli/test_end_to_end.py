"""A real, tiny search through the command line, and every command on what it found."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import lossearch as ls
from lossearch.evaluate.run_directory import RunDirectory

Command = Callable[..., str]

# One worker searches once, and the other tests of this file share what it found.
pytestmark = pytest.mark.xdist_group("cli_end_to_end")

PROGRAM = str(Path(sys.executable).parent / "lossearch")
CONFIG = """
task = "digits_noise"
islands = 1
generations = {generations}
generation_size = 2

[evaluation]
steps = 20
seeds = 1
variants = 1
"""


def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and the run that it led to."""
    folder = tmp_path_factory.mktemp("end_to_end")
    (folder / "tiny.toml").write_text(CONFIG.format(generations=1), encoding="utf-8")
    done = call("search", "tiny.toml", "--out", "runs/tiny", "--workers", "1", "--seed", "3", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "run:           runs/tiny" in done.stdout
    assert "formula:       dense: " in done.stdout
    assert "2 trained" in done.stderr
    return folder


def test_ls_and_show_agree_with_the_archive(folder: Path, lossearch: Command) -> None:
    run = folder / "runs" / "tiny"
    rows = json.loads(lossearch("ls", run, "-f", "json"))["candidates"]
    with RunDirectory.open(run).open_archive(read_only=True) as archive:
        assert [row["key"] for row in rows] == [ranked.candidate.key for ranked in archive.ranked(20)]
    assert len(rows) == 2
    shown = lossearch("show", f"{run}@1")
    assert rows[0]["key"] in shown
    assert rows[0]["formula"] in shown
    assert ls.load(f"{run}@1").key == rows[0]["key"]


def test_an_exported_loss_works_without_lossearch_and_reads_back(
    folder: Path, lossearch: Command, tmp_path: Path
) -> None:
    run = folder / "runs" / "tiny"
    for suffix in ("py", "json"):
        assert lossearch("export", f"{run}@1", "-o", tmp_path / f"best.{suffix}").strip().endswith(f"best.{suffix}")
    assert ls.load(tmp_path / "best.json") == ls.load(f"{run}@1")
    (written,) = (
        value
        for value in runpy.run_path(str(tmp_path / "best.py")).values()
        if isinstance(value, type) and issubclass(value, nn.Module)
    )
    logits, target = torch.randn(5, 10), torch.arange(5)
    expected = ls.load(f"{run}@1").to_module()(logits, target)
    torch.testing.assert_close(written()(logits, target), expected)


def test_a_report_is_written(folder: Path, lossearch: Command) -> None:
    path = Path(lossearch("report", folder / "runs" / "tiny").strip())
    assert path.samefile(folder / "runs" / "tiny" / "report.html")
    assert "<html" in path.read_text(encoding="utf-8")


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    folder: Path, lossearch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    text = lossearch("search", "tiny.toml", "--dry-run", "--workers", "3", "--seed", "7")
    assert "digits_noise" in text
    assert {"islands     3", "seed        7"} <= set(text.splitlines())
    assert sorted(folder.rglob("*")) == before


def test_a_run_is_never_overwritten(folder: Path, mistake: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert "lossearch resume runs/tiny" in mistake("search", "tiny.toml", "--out", "runs/tiny")


def test_compare_tunes_and_tests_and_keeps_its_table(folder: Path, lossearch: Command, tmp_path: Path) -> None:
    out = tmp_path / "comparison"
    arguments = ("--task", folder / "tiny.toml", "--seeds", "2", "--trials", "2", "--workers", "1", "--out", out)
    text = lossearch("compare", f"{folder / 'runs' / 'tiny'}@1", "focal(gamma=1)", *arguments)
    assert "tiny_1" in text
    assert "focal" in text
    rows = json.loads((out / "comparison.json").read_text(encoding="utf-8"))["rows"]
    assert {row["loss"]: row["source"] for row in rows} == {"tiny_1": "discovered", "focal": "hand-designed"}
    assert (out / "table.txt").read_text(encoding="utf-8").splitlines()[0] in text


def test_tune_prints_settings_and_exports_the_tuned_loss(lossearch: Command, tmp_path: Path) -> None:
    arguments = ("--task", "digits_noise", "--trials", "2", "--workers", "1", "-o", tmp_path / "tuned.json")
    text = lossearch("tune", "focal", *arguments)
    assert "trials:        2 " in text
    assert "accuracy:      " in text
    assert f"formula:       {ls.load(tmp_path / 'tuned.json').to_text()}" in text


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_resume_does(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(CONFIG.format(generations=100_000), encoding="utf-8")
    search = subprocess.Popen(
        [PROGRAM, "search", "long.toml", "--out", "run"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for_evaluations(tmp_path / "run", search)
        os.kill(search.pid, signal.SIGINT)
        said = search.communicate(timeout=120)[1]
    finally:
        search.kill()
    assert search.returncode == 130, said
    assert "lossearch resume run" in said
    assert "Traceback" not in said
    before = evaluations(tmp_path / "run")
    assert before > 0
    generations = str(finished_generations(tmp_path / "run") + 2)
    done = call("resume", "run", "--generations", generations, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert evaluations(tmp_path / "run") > before


def wait_for_evaluations(run: Path, search: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        assert search.poll() is None, search.communicate()[1]
        if (run / "archive.sqlite").exists() and evaluations(run):
            return
        time.sleep(0.1)
    raise AssertionError("nothing was evaluated in two minutes")


def evaluations(run: Path) -> int:
    with RunDirectory.open(run).open_archive(read_only=True) as archive:
        return archive.counts().evaluations


def finished_generations(run: Path) -> int:
    with RunDirectory.open(run).open_archive(read_only=True) as archive:
        return max(candidate.origin.generation for candidate in archive.candidates())
