from __future__ import annotations

import functools
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lossearch.errors import UserError
from lossearch.failure_text import headline
from lossearch.tasks import Status, UserTask
from lossearch.tasks.base import Metric

_SCRIPT = r"""
import ctypes, os, signal, subprocess, sys, time
from fractions import Fraction
import numpy as np
import torch
from neighbour import OFFSET

state = []

def counts(loss, budget, seed):
    print("chatter")
    state.append(seed)
    for step in range(budget):
        yield OFFSET + step + 100 * seed + 1000 * (len(state) - 1)

def mappings(loss, budget, seed):
    yield {"accuracy": torch.tensor(0.25), "other": 3}

def value_of_loss(loss, budget, seed):
    yield loss(torch.zeros(4, 10), torch.arange(4))

def draws(loss, budget, seed):
    yield torch.rand(())

def raises(loss, budget, seed):
    yield 0.5
    raise KeyError("no such thing")

def diverges(loss, budget, seed):
    yield 0.5
    yield float("nan")
    time.sleep(600)

def hangs(loss, budget, seed):
    yield 0.5
    helper = subprocess.Popen(["sleep", "600"])
    apart = subprocess.Popen(["setsid", "sh", "-c", "sleep 600 & echo $$ $! > apart; wait"])
    while not os.path.exists("apart") or not open("apart").read():
        time.sleep(0.01)
    print("about to hang", flush=True)
    open("pids", "w").write(f"{os.getpid()} {helper.pid} {apart.pid} {open('apart').read()}")
    os.unlink("apart")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass

def several(loss, budget, seed):
    for epoch in range(budget):
        yield {"nll": 3.0 - epoch, "epoch": epoch, "name": "a text", "tensor": torch.tensor([3]), "accuracy": 0.5, 5: 1}

def many(loss, budget, seed):
    yield {"accuracy": 0.5} | {f"weight {index}": 0.0 for index in range(200)}

def moves(loss, budget, seed):
    os.makedirs("elsewhere", exist_ok=True)
    os.chdir("elsewhere")
    yield 0.5

def changes_dtype(loss, budget, seed):
    torch.set_default_dtype(torch.float64)
    yield float(loss(torch.zeros(4, 10), torch.arange(4)))

def changes_grad_mode(loss, budget, seed):
    torch.set_grad_enabled(False)
    yield 0.5

def changes_seeds(loss, budget, seed):
    torch.manual_seed(0)
    np.random.seed(0)
    yield 0.5

def tells_state(loss, budget, seed):
    as_they_were = torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
    yield {"accuracy": as_they_were and "elsewhere" not in os.getcwd(), "drawn": torch.rand(())}

def prints(loss, budget, seed):
    for _ in range(20):
        print("x" * 1_000_000)
        print("y" * 1_000_000, file=sys.stderr)
    if budget:
        yield 0.5
    raise RuntimeError("at last")

def exits_silently(loss, budget, seed):
    sys.exit()
    yield 0.5

def exits_hard(loss, budget, seed):
    yield 0.5
    print("before the end", flush=True)
    os._exit(budget)

def segfaults(loss, budget, seed):
    ctypes.string_at(0)
    yield 0.5

def floods(loss, budget, seed):
    while True:
        yield 0.5

def out_of_memory(loss, budget, seed):
    raise MemoryError("no more")
    yield

def dies(loss, budget, seed):
    yield 0.5
    os.kill(os.getpid(), signal.SIGKILL)

def nothing(loss, budget, seed):
    return iter(())

def leaves(loss, budget, seed):
    # The parent of what it starts has ended before it does.
    os.system("setsid sh -c 'sleep 600 & echo $! > pids' &")
    while not os.path.exists("pids") or not open("pids").read():
        time.sleep(0.01)
    yield 0.5

def dies_once(loss, budget, seed):
    if not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), signal.SIGTERM)
    yield 0.5

def opens_test(loss, budget, seed):
    code = (
        "from lossearch.tasks import Task, TestSplitSealed\n"
        "try:\n    Task('digits_noise').open_test(by='me').__enter__()\n"
        "except TestSplitSealed:\n    print('sealed', end='')"
    )
    if budget == 0:
        exec(code)  # the message is in the output
        raise RuntimeError
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    run = subprocess.run([sys.executable, "-c", nested], capture_output=True)
    yield {"accuracy": float(run.stdout == b"sealed")}

def closes_output(loss, budget, seed):
    sys.stdout.close()
    yield 0.5

GIVEN = [
    0.5, torch.tensor(0.5), torch.tensor([0.5]), np.float32(0.5), np.array(0.5), np.array([[0.5]]), Fraction(1, 2),
    {"accuracy": 0.5}, {"accuracy": np.float64(0.5)}, [0.1, 0.5], torch.tensor([0.1, 0.5]), iter([{"accuracy": 0.5}]),
]
WRONG = [
    None, "0.5", b"0.5", 1j, [None], ["0.5"], [[0.1, 0.5]], [torch.zeros(2)], [10**400], {"loss": 0.5}, [{}],
    [{"accuracy": None}], {"accuracy": {"mean": 0.5}}, object(), torch.zeros(0, 2).sum, [np.zeros(0)],
]

def gives(loss, budget, seed):
    return GIVEN[budget]

def gives_wrong(loss, budget, seed):
    return WRONG[budget]

async def later(loss, budget, seed):
    return 0.5

def refuses(loss, budget, seed):
    from lossearch.errors import UserError
    raise UserError("larger images", "small ones", "take others")

def exits(loss, budget, seed):
    sys.exit("enough")

not_a_function = 3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    (folder / "script.py").write_text(_SCRIPT)
    (folder / "neighbour.py").write_text("OFFSET = 7\n")
    (folder / "broken.py").write_text("import does_not_exist\n")
    return folder


class _Harness:
    """One server for all tests of this file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.task = UserTask(f"{folder / 'script.py'}:counts")

    def __call__(self, function: str, time_limit: float | None = 60, metric: str = "accuracy") -> UserTask:
        self.task.function = f"{self.folder / 'script.py'}:{function}"
        self.task.time_limit, self.task.metric = time_limit, Metric(metric, True)
        return self.task


@pytest.fixture(scope="module")
def user(folder: Path) -> Iterator[_Harness]:
    harness = _Harness(folder)
    with harness.task:
        yield harness


LOSS = torch.nn.CrossEntropyLoss


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Killed, but its new parent has not asked how it ended.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_last_metric_counts_and_processes_share_no_state(user: _Harness) -> None:
    for seed in (1, 2):
        outcome = user("counts").evaluate(LOSS, budget=3, seed=seed)
        assert outcome.status is Status.OK
        assert outcome.metric == 9 + 100 * seed
        assert outcome.curve == tuple((i + 1, 7.0 + i + 100 * seed) for i in range(3))
        assert outcome.message == ""


def test_mappings_are_read_by_the_metrics_name(user: _Harness) -> None:
    assert user("mappings").evaluate(LOSS, 1, 0).metric == 0.25
    outcome = user("mappings", metric="recall").evaluate(LOSS, 1, 0)
    assert outcome.status is Status.ERROR
    assert re.search(r"metric 'recall'.*accuracy.*other", outcome.message)


def test_all_numbers_of_a_mapping_are_kept_the_last_of_each(user: _Harness) -> None:
    outcome = user("several").evaluate(LOSS, 2, 0)
    assert list(outcome.metrics.items()) == [("accuracy", 0.5), ("nll", 2.0), ("epoch", 1.0), ("tensor", 3.0)]
    assert user("counts").evaluate(LOSS, 1, 0).metrics == {"accuracy": 7.0}
    assert user("diverges").evaluate(LOSS, 1, 0).metrics == {}


def test_metrics_that_are_configured_must_be_yielded(user: _Harness) -> None:
    task = user("several")
    for directions, found in (
        ({"nll": "minimize", "accuracy": "maximize"}, None),
        ({"dice": "maximize"}, "metric 'dice'.*accuracy.*nll"),
        ({"name": "maximize"}, "a number.*'a text'"),
    ):
        task.directions = directions  # type: ignore[assignment]
        outcome = task.evaluate(LOSS, 1, 0)
        assert (outcome.status is Status.OK) == (found is None)
        assert found is None or re.search(found, outcome.message)
    task.directions = {"nll": "minimize"}
    assert "mapping with the metrics 'accuracy', 'nll'" in user("counts").evaluate(LOSS, 1, 0).message
    task.directions = {}


def test_more_metrics_than_anybody_reads_are_refused(user: _Harness) -> None:
    assert "at most 100 numbers" in user("many").evaluate(LOSS, 1, 0).message


@pytest.mark.parametrize("number", range(12))
def test_what_is_returned_in_place_of_yielding_counts(user: _Harness, number: int) -> None:
    outcome = user("gives").evaluate(LOSS, number, 0)
    assert (outcome.status, outcome.metric) == (Status.OK, 0.5), outcome.message


@pytest.mark.parametrize("number", range(16))
def test_what_is_no_metric_is_an_outcome(user: _Harness, number: int) -> None:
    outcome = user("gives_wrong").evaluate(LOSS, number, 0)
    assert outcome.status is Status.ERROR
    assert headline(outcome.message).startswith("required: ")


def test_the_factory_makes_the_loss_in_the_other_process(user: _Harness) -> None:
    smoothed = functools.partial(LOSS, reduction="sum")
    assert user("value_of_loss").evaluate(smoothed, 1, 0).metric == pytest.approx(4 * 2.302585)


def test_the_seed_decides(user: _Harness) -> None:
    first, again, other = (user("draws").evaluate(LOSS, 1, seed).metric for seed in (0, 0, 1))
    assert first == again != other


def test_an_exception_is_recorded_with_its_traceback_and_output(user: _Harness) -> None:
    outcome = user("raises").evaluate(LOSS, 1, 0)
    assert (outcome.status, outcome.metric) == (Status.ERROR, None)
    assert outcome.curve == ((1, 0.5),)
    assert "KeyError: 'no such thing'" in outcome.message
    assert "script.py" in outcome.message
    assert headline(outcome.message) == "KeyError: 'no such thing'"


def test_nan_is_an_outcome_and_ends_the_training(user: _Harness) -> None:
    outcome = user("diverges").evaluate(LOSS, 1, 0)
    assert (outcome.status, outcome.metric, outcome.curve) == (Status.DIVERGED, None, ((1, 0.5),))


def test_a_function_that_hangs_is_killed_with_what_it_started(
    user: _Harness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.task.close()
    monkeypatch.chdir(folder)
    outcome = user("hangs", time_limit=5).evaluate(LOSS, 1, 0)
    assert (outcome.status, outcome.metric, outcome.curve) == (Status.TIMEOUT, None, ((1, 0.5),))
    assert "5 s" in outcome.message
    assert "about to hang" in outcome.message
    assert headline(outcome.message) == "not finished after 5 s"
    pids = (folder / "pids").read_text().split()
    assert len(pids) == 5  # itself, and what it started in its own process group and in another
    assert not any(_is_running(int(pid)) for pid in pids)
    # The server has survived and serves on.
    assert user("counts").evaluate(LOSS, 1, 0).status is Status.OK


@pytest.mark.thorough
def test_what_a_function_leaves_running_is_killed(
    user: _Harness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = folder / "pids"
    pids.unlink(missing_ok=True)
    user.task.close()
    monkeypatch.chdir(folder)
    assert user("leaves").evaluate(LOSS, 1, 0).status is Status.OK
    assert not _is_running(int(pids.read_text()))


@pytest.mark.thorough
def test_a_training_that_is_killed_from_outside_is_repeated(
    user: _Harness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.task.close()
    monkeypatch.chdir(folder)
    assert user("dies_once").evaluate(LOSS, 1, 0).metric == 0.5

    killed: list[int] = []

    def kill_first(count: int, value: float) -> bool:
        assert user.task._server is not None
        if not killed:
            killed.append(user.task._server.process.pid)
            os.kill(killed[0], signal.SIGKILL)
        return True

    outcome = user("counts").evaluate(LOSS, 3, 0, on_metric=kill_first)
    assert (outcome.status, len(outcome.curve)) == (Status.OK, 3)


@pytest.mark.thorough
def test_the_test_split_is_sealed_in_every_process_of_a_function(user: _Harness) -> None:
    outcome = user("opens_test").evaluate(LOSS, 0, 0)
    assert "| sealed" in outcome.message
    assert user("opens_test").evaluate(LOSS, 1, 0).metric == 1.0  # the child of a child


@pytest.mark.parametrize("function", ["moves", "changes_dtype", "changes_grad_mode", "changes_seeds"])
def test_what_a_function_changes_of_its_process_is_gone_with_it(user: _Harness, function: str) -> None:
    before = user("tells_state").evaluate(LOSS, 1, 3).metrics
    outcome = user(function).evaluate(LOSS, 1, 3)
    assert outcome.status is Status.OK, outcome.message
    after = user("tells_state").evaluate(LOSS, 1, 3).metrics
    assert after == before
    assert after["accuracy"] == 1.0


def test_megabytes_of_output_neither_stop_a_function_nor_fill_its_message(user: _Harness) -> None:
    outcome = user("prints").evaluate(LOSS, 0, 0)
    assert headline(outcome.message) == "RuntimeError: at last"
    assert len(outcome.message) < 10_000


@pytest.mark.parametrize(
    ("function", "budget", "cause"),
    [
        ("exits_silently", 1, "SystemExit"),
        ("exits", 1, "SystemExit: enough"),
        ("exits_hard", 3, "the training process ended with exit code 3"),
        ("exits_hard", 0, "the training process ended with exit code 0"),
        ("segfaults", 1, "the training process was killed by signal 11 (SIGSEGV: segmentation fault)"),
    ],
)
def test_however_a_function_ends_its_process_the_cause_is_named(
    user: _Harness, function: str, budget: int, cause: str
) -> None:
    outcome = user(function).evaluate(LOSS, budget, 0)
    assert (outcome.status, outcome.metric) == (Status.ERROR, None)
    assert headline(outcome.message) == cause
    assert ("before the end" in outcome.message) == (function == "exits_hard")
    assert user("counts").evaluate(LOSS, 1, 0).status is Status.OK


def test_a_function_that_closes_its_output(user: _Harness) -> None:
    assert user("closes_output").evaluate(LOSS, 1, 0).metric == 0.5


def test_a_function_that_yields_without_end_meets_its_limit_too(user: _Harness) -> None:
    assert user("floods", time_limit=1).evaluate(LOSS, 1, 0).status is Status.TIMEOUT


def test_running_out_of_memory_is_an_outcome(user: _Harness) -> None:
    assert user("out_of_memory").evaluate(LOSS, 1, 0).status is Status.OUT_OF_MEMORY


def test_a_killed_process_is_an_error_and_the_next_evaluation_works(user: _Harness) -> None:
    outcome = user("dies").evaluate(LOSS, 1, 0)
    assert outcome.status is Status.ERROR
    assert "signal 9" in outcome.message
    assert user("counts").evaluate(LOSS, 1, 0).status is Status.OK


@pytest.mark.thorough
def test_a_killed_server_is_an_error_and_takes_the_training_with_it(
    user: _Harness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = folder / "pids"
    pids.unlink(missing_ok=True)
    user.task.close()
    monkeypatch.chdir(folder)

    def kill(count: int, value: float) -> bool:
        assert user.task._server is not None
        assert _eventually(lambda: pids.is_file() and len(pids.read_text().split()) == 5)
        os.kill(user.task._server.process.pid, signal.SIGKILL)
        return True

    outcome = user("hangs").evaluate(LOSS, 1, 0, on_metric=kill)
    assert outcome.status is Status.ERROR
    running = [int(pid) for pid in pids.read_text().split()]
    assert _eventually(lambda: not any(_is_running(pid) for pid in running))
    assert user("counts").evaluate(LOSS, 1, 0).status is Status.OK


def test_a_function_that_yields_nothing_is_an_error(user: _Harness) -> None:
    outcome = user("nothing").evaluate(LOSS, 1, 0)
    assert outcome.status is Status.ERROR
    assert "without yielding" in outcome.message


def test_a_training_can_be_stopped_at_a_metric(user: _Harness) -> None:
    outcome = user("counts").evaluate(LOSS, 1000, 0, on_metric=lambda count, value: count < 4)
    assert (outcome.status, outcome.metric) == (Status.OK, 10.0)
    assert len(outcome.curve) == 4


@pytest.mark.thorough
def test_an_exception_in_the_callback_ends_the_child_and_passes_through(user: _Harness) -> None:
    def full_disk(count: int, value: float) -> bool:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        user("hangs").evaluate(LOSS, 1, 0, on_metric=full_disk)
    assert user("counts").evaluate(LOSS, 1, 0).status is Status.OK


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("script.py", "module:function"),
        ("missing.py:train", "no such file"),
        ("script.py:train", r"'train' in .*counts"),
        ("script.py:not_a_function", "found: a int"),
        ("broken.py:train", "No module named 'does_not_exist'"),
        ("no_such_module:train", "No module named 'no_such_module'"),
        ("script.py:later", "it returned a coroutine"),
        ("script.py:refuses", "required: larger images; found: small ones; take others"),
        ("script.py:exits", "SystemExit: enough"),
    ],
)
def test_a_users_mistake_is_an_outcome(user: _Harness, folder: Path, reference: str, message: str) -> None:
    user.task.function = str(folder / reference) if ".py" in reference else reference
    outcome = user.task.evaluate(LOSS, 1, 0)
    assert outcome.status is Status.ERROR
    assert re.search(message, headline(outcome.message))


def test_what_cannot_cross_to_another_process_is_refused(user: _Harness) -> None:
    lock = threading.Lock()
    with pytest.raises(UserError, match="can be pickled"):
        user("counts").evaluate(lambda: None, 1, 0)
    with pytest.raises(UserError, match=r"sent to a process of its own.*path/to/file\.py"):
        UserTask(lambda loss, budget, seed: iter([lock]))
    with pytest.raises(UserError, match="positive time limit"):
        UserTask("module:function", time_limit=0)


def train_at_top_level(loss: torch.nn.Module, budget: int, seed: int) -> Iterator[float]:
    yield float(budget)


@pytest.mark.thorough
def test_a_function_is_found_again_by_its_name() -> None:
    with UserTask(train_at_top_level, time_limit=60) as task:
        assert task.function.endswith(":train_at_top_level")
        assert task.evaluate(LOSS, 5, 0).metric == 5.0
        copy = pickle.loads(pickle.dumps(task))
    assert (copy.function, copy.time_limit) == (task.function, 60)


@pytest.mark.thorough
def test_the_server_ends_with_its_owner(folder: Path) -> None:
    task = UserTask(f"{folder / 'script.py'}:counts", time_limit=60)
    task.evaluate(LOSS, 1, 0)
    assert task._server is not None
    process = task._server.process
    task.close()
    assert process.returncode == 0


@pytest.mark.thorough
def test_when_the_owner_is_killed_so_is_the_training(folder: Path) -> None:
    pids = folder / "pids"
    pids.unlink(missing_ok=True)
    code = "import sys, torch; from lossearch.tasks import UserTask; "
    code += "UserTask(sys.argv[1]).evaluate(torch.nn.CrossEntropyLoss, 1, 0)"
    command = [sys.executable, "-c", code, f"{folder / 'script.py'}:hangs"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, cwd=folder, env=environment) as owner:
        assert _eventually(lambda: pids.is_file() and len(pids.read_text().split()) == 5)
        owner.kill()
    running = [int(pid) for pid in pids.read_text().split()]
    assert _eventually(lambda: not any(_is_running(pid) for pid in running))


def _eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(1200):
        if condition():
            return True
        time.sleep(0.05)
    return False
