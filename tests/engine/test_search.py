"""Searches on Ray, through the command line and the API."""

import contextlib
import ipaddress
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from engine.fakes import contents, finish

from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Archive
from lossearch.engine.driver.ending import SearchInterrupted
from lossearch.engine.driver.race import hold_race
from lossearch.engine.driver.search import plan_search, resume, search
from lossearch.engine.island.loop import IslandLoop
from lossearch.engine.setup.config import SearchConfig, load_config
from lossearch.engine.setup.parts import build_parts, island_method, island_setting
from lossearch.engine.setup.state import IslandState, newest_states
from lossearch.engine.writer.progress import Progress
from lossearch.engine.writer.writer import ArchiveWriter, hold_writer_lock
from lossearch.errors import UserError

pytestmark = pytest.mark.xdist_group("ray")

CONFIG = """
task = "digits_noise"
islands = 1
generations = 4
generation_size = 7
seed = 5

[evaluation]
steps = 60
seeds = 1
variants = 2
learning_rates = [1.0]

[race]
candidates = 2
seeds = 3
steps = 30
"""
NO_RACE = {"race": {"candidates": 0}}


def without_ray(config: SearchConfig, folder: Path) -> tuple[tuple[list[object], list[object]], list[object]]:
    """What an archive and its race hold after a search that nothing interrupts, by the island's loop alone."""
    parts = build_parts(config)
    run = RunDirectory.create(folder, "")
    run.create_archive(parts.facts.metric, parts.facts.higher_is_better).close()
    writer = ArchiveWriter(str(run.path), 1, parts.facts.name)
    setting = island_setting(config, parts, 0, 1, lambda _: None)
    method = island_method(config, parts, 0, 1)
    finish(IslandLoop(IslandState(0), method, parts.screen, parts.evaluator, writer, setting))
    writer.close()
    hold_race(run, config, parts.facts, 1, lambda _: None)
    with run.open_archive() as archive:
        return contents(archive), race_of(archive)


def race_of(archive: Archive) -> list[object]:
    """What a race trained, and where it left whom."""
    trained = sorted((one.key, one.seed, one.metric, one.status) for one in archive.race_trainings())
    return [trained, archive.standings()]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lossearch", *arguments],
        start_new_session=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1"},
    )


def wait_until_trained(process: subprocess.Popen[str], archive: Path, count: int) -> None:
    while process.poll() is None:
        if archive.is_file():
            with Archive.open(archive, read_only=True) as reader:
                if reader.counts().accepted >= count:
                    return
        time.sleep(0.1)
    pytest.fail(f"ended too early, with {process.returncode}: {process.communicate()}")


def processes_below(root: int) -> set[int]:
    """A process and all that descend from it."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended just now
            number, _, rest = path.read_text().partition(" (")
            parents[int(number)] = int(rest.rpartition(") ")[2].split()[1])
    found = {root}
    while new := {child for child, parent in parents.items() if parent in found} - found:
        found |= new
    return found


def name_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def listening_addresses(processes: set[int]) -> dict[int, set[Any]]:
    """Where each of the processes listens, by the addresses of its TCP sockets."""
    sockets = {}
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, _, state, *rest = line.split()
            if state == "0A":
                digits = local.partition(":")[0]  # in words of this machine's byte order
                words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
                address = ipaddress.ip_address(b"".join(words))
                sockets[f"socket:[{rest[5]}]"] = getattr(address, "ipv4_mapped", None) or address
    found: dict[int, set[Any]] = {}
    for process in processes:
        for path in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                if (name := os.readlink(path)) in sockets:
                    found.setdefault(process, set()).add(sockets[name])
    return found


def test_a_local_ray_listens_on_the_loopback_device_alone(local_ray: None) -> None:
    import ray

    @ray.remote
    class Worker:
        def process(self) -> int:
            return os.getpid()

    worker: Any = Worker.remote()  # type: ignore[attr-defined]
    process = ray.get(worker.process.remote())
    found = listening_addresses(processes_below(os.getpid()))
    ray.kill(worker)
    assert process in found
    assert os.getpid() in found
    assert len(found) >= 4  # the head and the node besides
    assert all(address.is_loopback for addresses in found.values() for address in addresses), found


def test_a_local_ray_answers_nobody_without_its_token(local_ray: None, tmp_path: Path) -> None:
    import ray

    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700
    code = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10)
except AuthenticationError:
    print("refused")
else:
    print("let in")
"""
    address = ray.get_runtime_context().gcs_address
    known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    answers = [
        subprocess.run(
            [sys.executable, "-c", code, address],
            env={**known, "HOME": str(tmp_path), **own},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for own in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)})
    ]
    assert answers == ["refused", "let in"]


@pytest.mark.thorough
def test_killed_moved_interrupted_and_resumed_equals_uninterrupted(
    local_ray: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, run, moved = tmp_path / "config.toml", tmp_path / "run", tmp_path / "elsewhere" / "moved"
    config.write_text(CONFIG)

    killed = start("search", str(config), "--out", str(run))
    for stream in (killed.stdout, killed.stderr):
        assert stream is not None
        stream.close()  # nobody reads how the search stands: no reason to end it
    wait_until_trained(killed, run / "archive.sqlite", 8)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()

    moved.parent.mkdir()
    run.rename(moved)
    before = (moved / "archive.sqlite").read_bytes()

    def interrupt(progress: Progress) -> None:
        if progress.trained >= 15:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SearchInterrupted, match=f"lossearch resume {moved}"):
        resume(moved, progress=interrupt)
    with RunDirectory.open(moved).open_archive(read_only=True) as archive:
        assert 15 <= archive.counts().accepted < 28
    # Power is lost: the states are on disk, of the archive only what was there when the first process was killed.
    os.close(hold_writer_lock(moved, 60.0))  # once the writer has ended
    for log in moved.glob("archive.sqlite-*"):
        log.unlink()
    (moved / "archive.sqlite").write_bytes(before)
    resume(moved, progress=False).close()
    assert "the archive lacks results" in caplog.text

    with RunDirectory.open(moved).open_archive(read_only=True) as archive:
        archive.check()
        found = contents(archive), race_of(archive)
        assert [row.standing is not None for row in archive.ranked(2)] == [True, True]
        assert archive.counts().disagreements == 0
    assert found == without_ray(load_config(config)[0], tmp_path / "whole")
    assert (moved / "hall_of_fame.csv").read_text().count("\n") > 1
    assert list(newest_states(moved / "checkpoints").states) == [0]

    resume(moved).close()  # nothing is left to do, and nothing is started for it
    sessions = sorted(path.name for path in (moved / "checkpoints").iterdir())
    assert sessions[-1] == "session-0002"
    assert len(sessions) <= 2  # older ones are deleted once they are of no use


@pytest.mark.thorough
def test_a_search_that_loses_its_ray_says_how_to_go_on(local_ray: None, tmp_path: Path) -> None:
    config, run = tmp_path / "config.toml", tmp_path / "run"
    config.write_text(CONFIG.replace("generations = 4", "generations = 400"))  # none is over before its head is
    process = start("search", str(config), "--out", str(run))
    wait_until_trained(process, run / "archive.sqlite", 1)
    (head,) = (number for number in processes_below(process.pid) if name_of(number) == "gcs_server")
    os.kill(head, signal.SIGKILL)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    assert out == ""
    assert errors.splitlines()[-1].startswith("the head of the Ray cluster at 127.0.0.1:")
    assert errors.endswith(f"All results so far are kept. Go on with: lossearch resume {run}\n")
    assert "Traceback" not in errors

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SearchInterrupted) as ended:
        resume(run, progress=lambda progress: os.kill(os.getpid(), signal.SIGTERM))
    assert ended.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.thorough
def test_two_islands_exchange_their_best_and_keep_the_test_split_sealed(local_ray: None, tmp_path: Path) -> None:
    from engine.islands import PryingIsland, search_with

    config = {"task": "digits_noise", "islands": 2, "generations": 2, "generation_size": 8, "seed": 1, **NO_RACE}
    config["evaluation"] = {"steps": 30, "seeds": 1, "variants": 1, "learning_rates": [1.0]}  # type: ignore[assignment]
    result = search_with(PryingIsland, config, tmp_path / "run")
    counts = result.archive.counts()
    assert counts.accepted == 32
    assert {candidate.origin.island for candidate in result.archive.candidates()} == {0, 1}
    states = newest_states(tmp_path / "run" / "checkpoints").states
    elites = [{row["key"] for row in PryingIsland.notes(tmp_path, island)} for island in states]
    assert elites[0] & elites[1]
    # Each island tried to look at the test split, and was refused.
    for island in states:
        assert "sealed" in (tmp_path / f"pry-{island}.txt").read_text()
    assert (tmp_path / "run" / "islands.json").is_file()
    assert result.best_.to_module() is not None
    assert [found.complexity for found in result.front_] == sorted(found.complexity for found in result.front_)
    result.close()

    longer = resume(tmp_path / "run", generations=3, progress=False)
    assert longer.archive.counts().accepted == 48
    longer.close()


@pytest.mark.thorough
def test_a_process_that_a_hanging_training_ended_is_replaced(local_ray: None, tmp_path: Path) -> None:
    from engine.islands import HangingIsland, search_with

    config = {"task": "digits_noise", "islands": 1, "generations": 1, "generation_size": 4, **NO_RACE}
    config["evaluation"] = {"steps": 5, "seeds": 1, "variants": 1, "learning_rates": [1.0]}  # type: ignore[assignment]
    result = search_with(HangingIsland, config, tmp_path / "run")
    hung = (tmp_path / "hung.txt").read_text().split()
    assert len(hung) == 1
    assert len({*(tmp_path / "processes.txt").read_text().split()}) == 2
    log = (tmp_path / "run" / "log.txt").read_text()
    waits = r"was lost; it waits for a CPU, to go on in generation 0 \(restart 1 of at most 10\)"
    assert re.search(rf"island 0 \(process \d+ on .+\) {waits}", log)
    assert "island 0 goes on after" in log
    assert [row.metric is None for row in result.archive.ranked(10)] == [False] * 4
    assert result.archive.counts().disagreements == 0
    result.close()


@pytest.mark.thorough
def test_a_mistake_found_by_an_island_ends_the_search_with_its_message(local_ray: None, tmp_path: Path) -> None:
    from engine.islands import MistakenIsland, search_with

    config = {"task": "digits_noise", "islands": 1, "generations": 1}
    with pytest.raises(UserError, match="a dataset on this node"):
        search_with(MistakenIsland, config, tmp_path / "run")


@pytest.mark.thorough
def test_a_closure_is_searched_over_and_resumed_elsewhere(local_ray: None, tmp_path: Path) -> None:
    def train(loss: torch.nn.Module, budget: int, seed: int) -> Iterator[float]:
        predictions = torch.zeros(4, 3, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss(predictions, labels), predictions)
        yield float(gradient.abs().mean()) * budget

    labels = torch.tensor([0, 1, 2, 0])
    evaluation = {"steps": 2, "seeds": 1, "time_limit_s": 60.0}
    config = {"task": {"function": train, "metric": "accuracy"}, "generations": 1, "generation_size": 2}
    search({**config, **NO_RACE, "islands": 1, "evaluation": evaluation}, tmp_path / "run", progress=False).close()
    assert 'function = "function.pickle:train"' in (tmp_path / "run" / "config.toml").read_text()
    (tmp_path / "run").rename(tmp_path / "moved")
    result = resume(tmp_path / "moved", generations=2, progress=False)
    assert result.archive.counts().statuses == {"ok": 4}
    result.close()

    # Its configuration starts another search, which takes the function along.
    again = plan_search(tmp_path / "moved" / "config.toml")
    assert again.facts.name == "train"
    (tmp_path / "moved" / "function.pickle").unlink()
    with pytest.raises(UserError, match=r"file with the pickled training function; found: No such file.*restore it"):
        resume(tmp_path / "moved", generations=3, progress=False)
