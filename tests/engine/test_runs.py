"""What search and resume refuse, and what a result tells, without Ray."""

import io
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from engine.fakes import TASK, FakeScreen, finish, make_loop, new_run
from rich.console import Console

from lossearch.engine.driver import address as address_module
from lossearch.engine.driver.display import LiveDisplay, PlainDisplay, make_display, seconds_left
from lossearch.engine.driver.result import SearchResult
from lossearch.engine.driver.search import plan_search, resume, search
from lossearch.engine.setup.config import validate
from lossearch.engine.setup.given import read_given
from lossearch.engine.writer.messages import GenerationReport
from lossearch.engine.writer.progress import FrontPoint, Progress
from lossearch.engine.writer.writer import ArchiveWriter
from lossearch.errors import UserError

CONFIG = {"task": "digits_noise", "islands": 1, "generations": 2, "evaluation": {"steps": 5}}


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    run = new_run(tmp_path / "a run!")
    finish(make_loop(run))
    return run.path


def test_a_plan_says_what_would_be_done_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = plan_search(CONFIG, workers=3, seed=9)
    text = "\n".join(plan.lines)
    assert plan.islands == 3
    for fragment in ("digits_noise", "accuracy", "higher is better", "2 generations", "5 steps", "seed        9"):
        assert fragment in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"task": "nowhere"}, "nowhere"),
        ({"space": "nowhere"}, "a search space"),
        ({"reference": "cross_entrpy"}, "did you mean cross_entropy"),
        ({"method": {"name": "annealing"}}, "annealing"),
        ({"method": {"name": "regularized_evolution", "populaton": 3}}, "populaton"),
        ({"task": {"function": "nowhere.py:train", "metric": "accuracy"}, "evaluation": {"steps": 1}}, "nowhere.py"),
        ({"islands": 0}, "islands"),
    ],
)
def test_what_cannot_be_had_fails_before_anything_is_written(tmp_path: Path, changes: dict, fragment: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UserError, match=fragment):
        search({**CONFIG, **changes}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_cluster_wants_a_number_of_islands() -> None:
    with pytest.raises(UserError, match="--workers"):
        plan_search({key: value for key, value in CONFIG.items() if key != "islands"}, address="127.0.0.1:6379")


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:1", "127.0.0.1:99999", "ray://127.0.0.1:10001/x"])
def test_an_address_without_a_cluster_is_told_at_once(tmp_path: Path, address: str) -> None:
    with pytest.raises(UserError, match="Ray cluster"):
        search(CONFIG, tmp_path / "run", address=address, workers=1)
    assert not (tmp_path / "run").exists()


def test_an_address_that_lets_nobody_join_is_told_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_module, "_JOIN_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UserError, match=f"{address}: no way in within 1 s"):
            search(CONFIG, tmp_path / "run", address=address, workers=1)
    assert not (tmp_path / "run").exists()


def test_why_a_cluster_cannot_be_joined_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_module, "_JOIN", "import sys; print('no node of it runs here'); sys.exit(1)")
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        with pytest.raises(UserError, match=f"{address}: no node of it runs here"):
            search(CONFIG, tmp_path / "run", address=address, workers=1)


def test_a_directory_with_files_is_left_alone(finished: Path) -> None:
    with pytest.raises(UserError, match="lossearch resume"):
        search(CONFIG, finished)


def test_what_is_no_run_is_not_resumed(tmp_path: Path, finished: Path) -> None:
    with pytest.raises(UserError, match="directory of a lossearch run"):
        resume(tmp_path)
    with pytest.raises(UserError, match=r"resolved\.json"):
        resume(finished)


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_truncated_archive_is_told(finished: Path, size: int) -> None:
    (finished / "resolved.json").write_text(validate(CONFIG).to_json())
    archive = finished / "archive.sqlite"
    for log in finished.glob("archive.sqlite-*"):
        log.unlink()
    archive.write_bytes(archive.read_bytes()[:size])
    with pytest.raises(UserError, match="archive"):
        resume(finished)


def test_a_result_is_queries_on_the_archive(finished: Path) -> None:
    result = SearchResult(finished)
    ranked = result.archive.ranked(3)
    assert result.best_.key == ranked[0].candidate.key
    assert result.best_.name == "a_run__1"
    assert result.at_rank(3).metric == ranked[2].metric
    assert [found.key for found in result.front_] == [row.candidate.key for row in result.archive.pareto_front()]
    with pytest.raises(UserError, match="32 losses"):
        result.at_rank(33)
    result.close()


def test_a_run_without_a_trained_loss_says_so(tmp_path: Path) -> None:
    result = SearchResult(new_run(tmp_path / "run").path)
    assert result.front_ == []
    with pytest.raises(UserError, match="0 losses"):
        _ = result.best_
    result.close()


def test_progress_is_shown_in_plain_lines_and_on_a_terminal(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 1, TASK)
    loop = make_loop(run, writer=writer, screen=FakeScreen(lambda g: "no" if g.complexity > 20 else ""))
    loop.generation()
    progress = replace(writer.progress(), rejected={"type": 2, "rejection": 31})
    writer.close()
    config = validate({**CONFIG, "generations": 4})
    left = seconds_left(config, progress)
    assert left is not None
    assert left > 0

    plain = io.StringIO()
    display = make_display(config, "accuracy", plain)
    assert isinstance(display, PlainDisplay)
    with display:
        display.update(progress)
    assert f"{progress.candidates} candidates" in plain.getvalue()
    assert plain.getvalue().endswith("; rejected by rejection 31, type 2\n")
    assert "\x1b" not in plain.getvalue()

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, no_color=True)
    with LiveDisplay(config, "accuracy", console) as live:
        live.update(progress)
    assert "rejected by" in screen.getvalue()
    assert progress.best is not None
    assert f"best accuracy  {progress.best.metric:.4f}  complexity {progress.best.complexity}" in screen.getvalue()
    assert f"{progress.candidates} candidates" in screen.getvalue()


@pytest.mark.parametrize(("height", "rows"), [(4, 1), (12, 7), (36, 30), (50, 30)])
def test_a_front_that_is_too_long_for_the_terminal_keeps_its_best(height: int, rows: int) -> None:
    front = tuple(FrontPoint(n, 0.5 + n / 100, f"dense: {'log(x[0]) * ' * n}") for n in range(1, 31))
    rejected = {f"filter_{n}": n for n in range(40)}
    progress = Progress(900, 60, 2, rejected, 3.5, front[-1], front, {}, 61.0)
    screen = io.StringIO()
    console = Console(file=screen, width=80, height=height)
    console.print(LiveDisplay(validate(CONFIG), "accuracy", console).panel(progress))
    lines = screen.getvalue().splitlines()
    assert len(lines) == 4 + rows
    assert lines[1].startswith("best accuracy  0.8000  complexity 30  log(x[0])")
    assert lines[3].split() == ["complexity", "accuracy", "loss"]
    assert [line.split()[0] for line in lines[4:]] == [str(n) for n in range(31 - rows, 31)]
    assert all("0." in line for line in lines[4:])


def test_a_panel_before_the_first_candidate() -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80, height=24)
    progress = Progress(0, 0, 0, {}, 0.0, None, (), {}, 1.0)
    console.print(LiveDisplay(validate(CONFIG), "accuracy", console).panel(progress))
    assert screen.getvalue().splitlines()[1:3] == ["best accuracy  -", "rejected by  -"]


def test_the_time_left_falls_between_generations() -> None:
    report = GenerationReport(1, (), 10, 8, 3.0, 1.0, 0.1, 20.0, 20.0, False)
    progress = Progress(10, 8, 0, {}, 1.0, None, (), {0: report, 1: replace(report, wall_seconds=16.0)}, 23.0)
    config = validate({**CONFIG, "generations": 4})
    later = replace(progress, ages={0: 3.0, 1: 7.0})
    assert seconds_left(config, progress) == pytest.approx(20.0)  # of the slower island, 10 s a generation
    assert seconds_left(config, later) == pytest.approx(17.0)
    assert seconds_left(config, replace(progress, ages={0: 50.0, 1: 60.0})) == 0.0
    limited = validate({**{k: v for k, v in CONFIG.items() if k != "generations"}, "time_limit_s": 60.0})
    assert seconds_left(limited, progress) == pytest.approx(37.0)
    assert seconds_left(limited, replace(later, seconds=26.0)) == pytest.approx(34.0)
    assert seconds_left(limited, replace(later, ages={0: 9.0})) == pytest.approx(31.0)  # earlier sessions count


def test_a_pickled_function_of_another_run_is_taken_along(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'generations = 1\n[task]\nfunction = "function.pickle:train"\nmetric = "mae"\n[evaluation]\nsteps = 1\n'
    )
    with pytest.raises(UserError, match=r"file with the pickled training function; found: No such file"):
        read_given(tmp_path / "config.toml")
    (tmp_path / "function.pickle").write_bytes(b"{}\nof another run")
    given = read_given(tmp_path / "config.toml")
    (tmp_path / "new").mkdir()
    given.write_function(tmp_path / "new")
    assert (tmp_path / "new" / "function.pickle").read_bytes() == b"{}\nof another run"
