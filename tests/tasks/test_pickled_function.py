"""Training functions that lie in no file: of a notebook cell, closures, partials, bound methods."""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lossearch.errors import UserError
from lossearch.tasks import Status, UserTask
from lossearch.tasks.user.function import check_function, load_function, reference_to
from lossearch.tasks.user.pickled_function import checked_head, name_of, pickled

pytestmark = pytest.mark.usefixtures("one_server")

LOSS = functools.partial(torch.nn.CrossEntropyLoss)


def train(offset: float, loss: object, budget: int, seed: int) -> Iterator[float]:
    yield offset + budget + 100 * seed


class Trainer:
    def __init__(self, offset: float) -> None:
        self.offset = offset

    def train(self, loss: object, budget: int, seed: int) -> Iterator[float]:
        yield self.offset + budget + 100 * seed

    __call__ = train


def closure(offset: float) -> Callable[..., Any]:
    def train(loss: object, budget: int, seed: int) -> Iterator[float]:
        yield offset + budget + 100 * seed

    return train


def of_a_cell(offset: float) -> Callable[..., Any]:
    """A function as IPython makes it: in `__main__`, in a file that is none, reading a global of another cell."""
    cells = types.ModuleType("__main__")
    cells.__dict__["offset"] = offset
    text = "def train(loss, budget, seed):\n    yield offset + budget + 100 * seed\n"
    exec(compile(text, "<ipython-input-1-0a1b2c>", "exec"), cells.__dict__)
    return cells.__dict__["train"]


FUNCTIONS = {
    "cell": of_a_cell(5.0),
    "closure": closure(5.0),
    "partial": functools.partial(train, 5.0),
    "method": Trainer(5.0).train,
    "object": Trainer(5.0),
    "lambda": lambda loss, budget, seed: iter([5.0 + budget + 100 * seed]),
}


@pytest.fixture(scope="module")
def task() -> Iterator[UserTask]:
    with UserTask("any:thing", time_limit=60) as task:  # one process for all
        yield task


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_it_trains_in_a_process_of_its_own(task: UserTask, kind: str) -> None:
    function = FUNCTIONS[kind]
    assert reference_to(function) is None
    own = UserTask(function)
    task.function, task._pickled = own.function, own._pickled
    outcome = task.evaluate(LOSS, 2, 3)
    assert (outcome.status, outcome.metric) == (Status.OK, 307.0), outcome.message


def test_it_goes_by_its_name() -> None:
    names = {kind: name_of(function) for kind, function in FUNCTIONS.items()}
    assert names.pop("lambda") == "function"
    assert names.pop("object") == "Trainer"
    assert set(names.values()) == {"train"}


class Bomb:
    """What runs code as it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __call__(self, loss: object, budget: int, seed: int) -> Iterator[float]:
        yield 1.0

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.trace,)


def test_no_process_but_the_functions_own_reads_the_pickle(tmp_path: Path) -> None:
    (tmp_path / "function.pickle").write_bytes(pickled(Bomb(tmp_path / "trace")))
    reference = f"{tmp_path / 'function.pickle'}:Bomb"
    check_function(reference)
    UserTask(reference)
    assert not (tmp_path / "trace").exists()
    load_function(reference)
    assert (tmp_path / "trace").exists()


def test_another_python_is_told(tmp_path: Path) -> None:
    head, _, body = pickled(closure(1.0)).partition(b"\n")
    other = json.dumps({**json.loads(head), "python": "2.7"}).encode()
    with pytest.raises(UserError, match=r"Python 2\.7, which pickled .*train; found: Python 3.*path/to/file\.py"):
        checked_head(other + b"\n" + body)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\nx", b"\x80\x04N.", b'{"name": 1, "python": "3"}\nx', b"[" * 10**5]
)
def test_what_is_no_pickled_function_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "f.pickle").write_bytes(content)
    with pytest.raises(UserError, match="a training function that lossearch pickled"):
        check_function(f"{tmp_path / 'f.pickle'}:train")


def test_a_missing_file_and_a_missing_module_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No such file.*path/to/file\.py"):
        check_function(f"{tmp_path / 'f.pickle'}:train")
    head, _, _ = pickled(closure(1.0)).partition(b"\n")
    (tmp_path / "f.pickle").write_bytes(head + b"\ncno_such_module\ntrain\n.")
    with pytest.raises(UserError, match=r"all that the training function train refers to.*no_such_module"):
        load_function(f"{tmp_path / 'f.pickle'}:train")
