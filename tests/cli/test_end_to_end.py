"""A real, tiny search through the command line, and every command on what it found."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import lossearch as ls
from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.driver.search import resolve
from lossearch.engine.setup.config import load_config
from lossearch.named_losses import as_seed
from lossearch.search_spaces import load_space

Command = Callable[..., str]

# One worker searches once, and the other tests of this file share what it found.
pytestmark = pytest.mark.xdist_group("cli_end_to_end")

PROGRAM = str(Path(sys.executable).parent / "lossearch")
CONFIG = """
task = "digits_noise"
islands = 1
generations = 100_000
generation_size = 2

[evaluation]
steps = 20
seeds = 1
variants = 1

[race]
candidates = 3
seeds = 2
steps = 20
"""


@dataclass(frozen=True)
class Session:
    """How a command ended and what it said, and how much the archive held then."""

    code: int
    output: str
    messages: str
    evaluations: int


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration that would take hours."""
    folder = tmp_path_factory.mktemp("end_to_end")
    (folder / "tiny.toml").write_text(CONFIG, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def interrupted(folder: Path) -> Session:
    """The search, until something is found and Ctrl-C ends it."""
    arguments = ("search", "tiny.toml", "--out", "runs/tiny", "--workers", "1", "--seed", "3")
    search = subprocess.Popen(
        [PROGRAM, *arguments], cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_for_evaluations(folder / "runs" / "tiny", search)
        os.killpg(search.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        messages = search.communicate(timeout=240)[1]
    finally:
        search.kill()
    return Session(search.returncode, "", messages, evaluations(folder / "runs" / "tiny"))


@pytest.fixture(scope="module")
def resumed(folder: Path, interrupted: Session) -> Session:
    """The same search, resumed for two generations."""
    generations = str(generation(folder / "runs" / "tiny") + 2)
    done = subprocess.run(
        [PROGRAM, "resume", "runs/tiny", "--generations", generations],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return Session(done.returncode, done.stdout, done.stderr, evaluations(folder / "runs" / "tiny"))


@pytest.fixture(scope="module")
def run(folder: Path, resumed: Session) -> Path:
    """The directory of the finished run."""
    assert resumed.code == 0, resumed.messages
    return folder / "runs" / "tiny"


def wait_for_evaluations(run: Path, search: subprocess.Popen[str]) -> None:
    for _ in range(2400):
        assert search.poll() is None, search.communicate()[1]
        if (run / "archive.sqlite").exists() and evaluations(run):
            return
        time.sleep(0.1)
    raise AssertionError("nothing was evaluated in four minutes")


def evaluations(run: Path) -> int:
    with RunDirectory.open(run).open_archive(read_only=True) as archive:
        return archive.counts().evaluations


def generation(run: Path) -> int:
    with RunDirectory.open(run).open_archive(read_only=True) as archive:
        return max(candidate.origin.generation for candidate in archive.candidates())


def test_ctrl_c_keeps_what_was_found_and_says_how_to_go_on(interrupted: Session) -> None:
    assert interrupted.code == 130, interrupted.messages
    assert "lossearch resume runs/tiny" in interrupted.messages
    assert "Traceback" not in interrupted.messages
    assert interrupted.evaluations > 0


def test_resume_goes_on_and_says_what_was_found(interrupted: Session, resumed: Session) -> None:
    assert resumed.code == 0, resumed.messages
    assert resumed.evaluations > interrupted.evaluations
    assert resumed.output.startswith("run:           runs/tiny\n")
    assert "formula:       dense" in resumed.output
    assert "trained, best accuracy (higher is better) 0." in resumed.messages
    assert "final race: begins; " in resumed.messages
    assert "(final race, mean of 2 fresh seeds, budget 20)" in resumed.output


def test_ls_and_show_agree_with_the_archive(run: Path, lossearch: Command) -> None:
    rows = json.loads(lossearch("ls", run, "-f", "json"))["candidates"]
    with RunDirectory.open(run).open_archive(read_only=True) as archive:
        assert [row["key"] for row in rows] == [ranked.candidate.key for ranked in archive.ranked(20)]
    assert len(rows) >= 4
    raced = [row["before"] for row in rows if row["before"] is not None]
    assert len(raced) >= 3
    assert raced == [row["before"] for row in rows[: len(raced)]]
    shown = lossearch("show", f"{run}@1")
    assert rows[0]["key"] in shown
    assert rows[0]["formula"] in shown
    assert ls.load(f"{run}@1").key == rows[0]["key"]


def test_an_exported_loss_works_without_lossearch_and_reads_back(run: Path, lossearch: Command, tmp_path: Path) -> None:
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


def test_a_report_is_written(run: Path, lossearch: Command) -> None:
    path = Path(lossearch("report", run).strip())
    assert path.samefile(run / "report.html")
    page = path.read_text(encoding="utf-8")
    assert "<html" in page
    assert page.count("<td>lasted</td>") >= 1
    assert '<th scope="col" class="number">Rank before</th>' in page


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    folder: Path, lossearch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    text = lossearch("search", "tiny.toml", "--dry-run", "--workers", "3", "--seed", "7")
    assert "digits_noise" in text
    assert {"islands     3", "seed        7"} <= set(text.splitlines())
    assert sorted(folder.rglob("*")) == before


def test_a_search_begins_with_what_it_is_given(
    run: Path, folder: Path, tmp_path: Path, lossearch: Command, mistake: Command
) -> None:
    """A name, a text form, a file and what a run found: the space has each once, before its own."""
    config, file = folder / "tiny.toml", tmp_path / "mine.txt"
    file.write_text("dense: 3.0 * cross_entropy(logits, target) + entropy(logits)\n", encoding="utf-8")
    written = "dense: 2.0 * cross_entropy(logits, target) + entropy(logits)"
    given = ("focal(gamma=3.5)", written, file, f"{run}@1")
    options = [part for loss in given for part in ("--seed-with", loss)]
    seeds = [as_seed(str(loss)) for loss in given]
    assert seeds[:2] == ["focal(gamma=3.5)", written]
    assert [ls.load(seed).graph.frozen() for seed in seeds] == [ls.load(str(loss)).graph.frozen() for loss in given]
    plain, seeded = (lossearch("search", config, "--dry-run", *more) for more in ((), options))
    counts = [int(text.split("space ")[1].split(" seeds")[0].split()[-1]) for text in (plain, seeded)]
    own = {ls.load(seed).graph.frozen().key for seed in load_space("dense").seeds}
    assert counts[1] - counts[0] == len({ls.load(seed).graph.frozen().key for seed in seeds} - own)
    planned = resolve(load_config(config)[0], None, None, None, seeds)
    assert planned.seeds == tuple(seeds)
    assert "dense: …" in mistake("search", config, "--dry-run", "--seed-with", "2.0 * cross_entropy(logits, target)")
    assert "signature dense" in mistake("search", config, "--dry-run", "--seed-with", "giou")


def test_a_run_is_never_overwritten(run: Path, mistake: Command) -> None:
    assert f"lossearch resume {run}" in mistake("search", run.parents[1] / "tiny.toml", "--out", run)


@pytest.mark.thorough
def test_compare_tunes_and_tests_and_keeps_its_table(run: Path, lossearch: Command, tmp_path: Path) -> None:
    out = tmp_path / "comparison"
    arguments = (
        "--task",
        run.parents[1] / "tiny.toml",
        "--seeds",
        "2",
        "--trials",
        "2",
        "--workers",
        "1",
        "--out",
        out,
    )
    text = lossearch("compare", f"{run}@1", "focal(gamma=1)", *arguments)
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
