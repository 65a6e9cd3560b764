"""How a search ends early: signals, a Ray that is gone, and a progress stream that nobody reads."""

import contextlib
import io
import os
import pickle
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO, cast

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.tune.experiment import Trial
from rich.console import Console

from lossearch.engine.driver import cluster, ending, watch
from lossearch.engine.driver import pulse as pulse_module
from lossearch.engine.driver.display import LiveDisplay, PlainDisplay, make_display
from lossearch.engine.driver.ending import Ending, SearchInterrupted, SearchLost
from lossearch.engine.driver.pulse import Endpoint, Pulse
from lossearch.engine.driver.ray_text import ray_text_to
from lossearch.engine.driver.watch import IslandNotes
from lossearch.engine.setup.config import validate
from lossearch.engine.writer.progress import Progress
from lossearch.errors import UserError

RUN = Path("a run")
PROGRESS = Progress(9, 6, 2, {}, 3.5, None, (), {}, 61.0)
CONFIG = validate({"task": "digits_noise", "islands": 1, "generations": 2, "evaluation": {"steps": 5}})


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Every test leaves the process's signals as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    after = {number: signal.getsignal(number) for number in before}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_becomes_an_interruption_with_its_exit_code(number: int, code: int) -> None:
    with Ending(RUN) as ended, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert ended.received == number
    error = SearchInterrupted(RUN, number)
    assert error.exit_code == code
    assert "All results so far are kept" in str(error)
    assert str(error).endswith("lossearch resume 'a run'")


def test_signals_wait_for_the_cleaning_up_that_the_first_began(monkeypatch: pytest.MonkeyPatch) -> None:
    with Ending(RUN) as ended:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)  # ignored
        assert ended.received == signal.SIGTERM
        monkeypatch.setattr(ending, "_PATIENCE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_signal_during_an_import_waits_for_its_end() -> None:
    finished = False
    with Ending(RUN) as ended:
        with pytest.raises(KeyboardInterrupt), ended.deferred():  # noqa: PT012
            signal.raise_signal(signal.SIGTERM)
            finished = True
        with pytest.raises(KeyboardInterrupt):
            ended.take_signals()  # where something caught it
    assert finished
    assert ended.received == signal.SIGTERM


def test_what_a_process_ignores_or_handles_itself_is_left_to_it() -> None:
    received: list[int] = []
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with Ending(RUN) as ended:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        ended.take_signals()
        signal.raise_signal(signal.SIGTERM)
    assert received == [signal.SIGTERM] * 2
    assert ended.received is None
    signal.signal(signal.SIGTERM, before[0])
    signal.signal(signal.SIGHUP, before[1])


def test_a_loss_breaks_off_the_main_thread() -> None:
    with Ending(RUN) as ended:
        thread = threading.Thread(target=ended.lose, args=("the head is gone",))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            thread.start()
            time.sleep(60.0)
        thread.join()
        ended.lose("the node is gone")
        signal.raise_signal(signal.SIGTERM)  # ignored, as cleaning up has begun
    assert ended.lost == "the head is gone"
    assert ended.received is None


def test_a_loss_gets_through_where_a_shell_has_its_background_ignore_interruptions() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Ending(RUN) as ended:
            thread = threading.Thread(target=ended.lose, args=("the head is gone",))
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012
                thread.start()
                time.sleep(60.0)
            thread.join()
        assert (ended.lost, ended.received) == ("the head is gone", None)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_main_thread_that_nothing_reaches_ends_with_the_process() -> None:
    code = """
import io, os, signal, sys, threading
from pathlib import Path
from lossearch.engine.driver import ending
ending._LAST_RESORT = 0.5
with ending.Ending(Path("a run")) as ended:
    ended.last_acts.append(lambda: os.write(1, b"killed what it had started"))
    sys.stderr = io.StringIO()  # as while all that is printed goes into Ray's log
    thread = threading.Timer(0.2, ended.lose, ("the head is gone",))
    while True:
        try:
            if not thread.ident:
                thread.start()
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 75
    assert done.stderr.strip() == str(SearchLost(RUN, "the head is gone"))
    assert done.stdout == "killed what it had started"


def test_a_lost_search_says_how_to_go_on() -> None:
    error = SearchLost(Path("/runs/x"), "the head no longer answers")
    assert str(error) == (
        "the head no longer answers. All results so far are kept. Go on with: lossearch resume /runs/x"
    )
    assert error.exit_code == 75


class Greeting(socketserver.BaseRequestHandler):
    """Greets back, as a gRPC server does that runs."""

    def handle(self) -> None:
        if self.request.recv(100).startswith(b"PRI * HTTP/2.0"):
            self.request.sendall(bytes(3) + b"\x04" + bytes(5))


@contextlib.contextmanager
def greeter(port: int = 0) -> Iterator[int]:
    """A server that greets back, for the length of a block; gives its port."""
    socketserver.TCPServer.allow_reuse_address = True
    with socketserver.TCPServer(("127.0.0.1", port), Greeting) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_pulse_tells_what_is_gone_and_what_is_lost() -> None:
    with greeter() as head:
        with greeter() as node:
            endpoints = [Endpoint(name, "127.0.0.1", port, 0.2) for name, port in (("head", head), ("node", node))]
            pulse = Pulse(tuple(endpoints))
            assert pulse.look() == (None, None)
        assert pulse.look() == (f"node at 127.0.0.1:{node} does not answer; waiting 0 s for it", None)
        assert pulse.look() == (None, None)
        time.sleep(0.2)
        assert pulse.look() == (None, endpoints[1])
        with greeter(node):
            assert pulse.look() == (None, None)


def test_a_process_that_stands_still_is_lost_though_the_system_accepts_its_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulse_module, "_ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        endpoint = Endpoint("head", *frozen.getsockname(), patience=0.0)
        pulse = Pulse((endpoint,))
        note, lost = pulse.look()
        assert str(note).endswith("does not answer; waiting 60 s for it")
        assert lost is None
        monkeypatch.setattr(pulse_module, "_FROZEN_SECONDS", 0.05)
        assert pulse.look() == (None, endpoint)


def test_a_network_that_is_cut_is_a_process_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets that get no answer: a queue of connections that is full drops new ones, as a cut network does."""
    monkeypatch.setattr(pulse_module, "_ANSWER_SECONDS", 0.1)
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        endpoint = Endpoint("head", *full.getsockname(), patience=0.0)
        assert endpoint.state() == "gone"
        assert Pulse((endpoint,)).look()[1] == endpoint


@pytest.fixture
def notes() -> list[str]:
    return []


def island(folder: Path, error: Exception | None = None) -> Trial:
    """Island 3, as Tune knows it after an error."""
    file = folder / "error.pkl"
    file.write_bytes(pickle.dumps(error))
    result = {"generation": 4, "pid": 77, "hostname": "node-b"}
    facts = {"config": {"island": 3}, "status": Trial.RUNNING, "last_result": result, "num_failures": 1}
    return cast(Trial, SimpleNamespace(**facts, pickled_error_file=str(file)))


def test_a_lost_island_is_named_and_its_return_too(notes: list[str], tmp_path: Path) -> None:
    told = IslandNotes(notes.append, notes.append, 10, {})
    trial = island(tmp_path, ActorDiedError())
    told.on_trial_start(0, [trial], trial)
    assert notes == []
    told.on_trial_recover(1, [trial], trial)
    told.on_trial_start(2, [trial], trial)
    told.on_trial_error(3, [trial], trial)
    assert notes[0] == (
        "island 3 (process 77 on node-b) was lost; it waits for a CPU, to go on in generation 5 (restart 1 of at most"
        " 10). Nothing that it finished is lost"
    )
    assert notes[1] == "island 3 goes on after 0:00, in generation 5"
    assert "was lost too often" in notes[2]
    trial.last_result.clear()  # before its first report, in a search that was resumed
    IslandNotes(notes.append, notes.append, 10, {3: 7}).on_trial_recover(4, [trial], trial)
    assert notes[3].startswith("island 3 was lost; it waits for a CPU, to go on in generation 7")
    assert pickle.loads(pickle.dumps(told)).__dict__ == {}  # Tune keeps it in its records


def test_a_mistake_of_an_island_is_not_called_a_loss(notes: list[str], tmp_path: Path) -> None:
    told = IslandNotes(notes.append, notes.append, 10, {})
    trial = island(tmp_path, RayTaskError("step", "a traceback", ValueError("x")))
    told.on_trial_recover(1, [trial], trial)
    told.on_trial_error(1, [trial], trial)
    assert notes == []


def test_islands_that_never_start_end_the_search(
    notes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []
    told = IslandNotes(notes.append, lost.append, 10, {})
    trial = island(tmp_path)
    trial.status = Trial.PENDING
    told.on_step_end(0, [trial])
    assert notes == lost == []
    monkeypatch.setattr(watch, "_WAIT_TOLD_SECONDS", 0.0)
    for _ in range(3):
        told.on_step_end(1, [trial])
    assert len(notes) == 1
    assert notes[0].endswith("island 3")
    monkeypatch.setattr(watch, "_NO_ISLAND_SECONDS", 0.0)
    told.on_step_end(2, [trial])
    assert lost == ["no island could be started for 0:00 minutes"]
    told.on_trial_start(3, [trial], trial)
    assert notes[1] == "island 3 has started"


@pytest.fixture
def closed() -> Iterator[TextIO]:
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        os.close(reader)
        yield stream


def test_a_closed_progress_stream_ends_nothing(closed: TextIO) -> None:
    display = make_display(CONFIG, "accuracy", closed)
    assert isinstance(display, PlainDisplay)
    with display:
        for _ in range(3):
            display.update(PROGRESS)
            display.note("island 0 was lost")
    closed.write("more")  # what is written to it later goes nowhere
    closed.flush()


def test_a_closed_terminal_ends_nothing(closed: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(closed, "isatty", lambda: True, raising=False)
    display = make_display(CONFIG, "accuracy", closed)
    assert isinstance(display, LiveDisplay)
    with display:
        display.update(PROGRESS)
        display.note("island 0 was lost")


def test_notes_stay_above_the_panel() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, no_color=True)
    with LiveDisplay(CONFIG, "accuracy", console) as live:
        live.update(PROGRESS)
        live.note("island 0 [3] was lost")
    assert "island 0 [3] was lost" in screen.getvalue()


def test_what_ray_prints_goes_into_the_log_and_what_others_print_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.txt"
    with ray_text_to(log) as text:
        ray: Any = threading.Thread(target=lambda: print("pages of a raylet"), name="ray_listen_error_messages")
        ray.start()
        ray.join()
        print("a result")
        with text.of_everybody():
            print("the rest, as Ray ends")
    print("afterwards")
    assert log.read_text() == "pages of a raylet\nthe rest, as Ray ends\n"
    assert capsys.readouterr().out == "a result\nafterwards\n"


@pytest.mark.parametrize(
    ("error", "required", "hint"),
    [
        (Exception("The current node timed out during startup. This could"), "within half a minute", "fewer islands"),
        (RuntimeError("no space\nand a page about it"), "a local Ray", "see the log of the run"),
    ],
)
def test_a_local_ray_that_does_not_start_says_what_to_do(
    error: Exception, required: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(cluster.ray, "init", fail)
    with pytest.raises(UserError) as caught:
        cluster._start_ray(1, tmp_path, "a namespace")
    assert required in caught.value.required
    assert hint in caught.value.hint
    assert "\n" not in caught.value.found
