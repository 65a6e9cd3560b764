"""What a training function takes decides what it allows."""

from __future__ import annotations

import functools
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lossearch.errors import UserError
from lossearch.tasks import Rights, Status, UserTask
from lossearch.tasks.base import require
from lossearch.tasks.user import task as user_task
from lossearch.tasks.user.calling import check_form, keywords_of, rights_of, training_function
from lossearch.tasks.user.server import Server
from lossearch.tasks.user.warm_imports import import_noted, read_noted

pytestmark = pytest.mark.usefixtures("one_server")


def plain(loss, budget, seed): ...


def tunable(loss, budget, seed, learning_rate=1.0): ...


def comparable(loss, budget, seed, *, split="validation", learning_rate=1.0): ...


def everything(loss, budget, seed, **others): ...


def other_names(criterion, epochs, split): ...


def by_name_only(*, loss, budget, seed): ...


def needs_more(loss, budget, seed, folder): ...


class Trainer:
    def train(self, loss, budget, seed, *, device="cpu"):
        yield 1.0

    __call__ = train


class NoTrainer: ...


@pytest.mark.parametrize(
    ("function", "taken"),
    [
        (plain, set()),
        (tunable, {"learning_rate"}),
        (comparable, {"learning_rate", "split"}),
        (everything, {"learning_rate", "split", "device"}),
        (other_names, set()),  # its third parameter is the seed, whatever it is called
        (functools.partial(comparable, split="validation"), {"learning_rate", "split"}),
        (functools.partial(needs_more, folder="x"), set()),
        (Trainer().train, {"device"}),
    ],
)
def test_keywords_are_read_from_the_signature(function: Callable[..., Any], taken: set[str]) -> None:
    assert keywords_of(training_function(function)) == taken


class Wrong:
    def __init__(self):
        raise AssertionError("made to look at it")

    def train(self, loss, budget): ...


class Plain:
    @staticmethod
    def train(loss, budget, seed): ...


def test_what_could_not_be_called_is_told_without_making_an_instance() -> None:
    for right in (plain, Trainer, Plain, functools.partial(needs_more, folder="x"), Trainer()):
        check_form(right)
    for wrong, told in (
        (by_name_only, "by_name_only"), (Wrong, "too many positional"), (NoTrainer, "with a method train"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=told):
            check_form(wrong)


def test_a_class_is_made_and_its_method_trains() -> None:
    assert list(training_function(Trainer)(None, 1, 0)) == [1.0]
    assert rights_of(keywords_of(training_function(Trainer))) == Rights(learning_rate=False, test=False, device=True)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (by_name_only, r"train\(loss, budget, seed\); found: by_name_only\(\*, loss, budget, seed\)"),
        (needs_more, r"found: needs_more\(loss, budget, seed, folder\): missing a required argument: 'folder'"),
        (NoTrainer, r"a class with a method train"),
    ],
)
def test_what_is_no_training_function_is_refused(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        training_function(function)


SCRIPT = """
import torch

def rate(loss, budget, seed, *, learning_rate=1.0, split="validation", device="cpu"):
    yield {"a": learning_rate, "b": {"validation": 0.0, "test": 1.0}[split], "c": float(device == "cpu")}

def bare(loss, budget, seed):
    yield 0.5

def warm(loss, budget, seed):
    import sys
    found = "wave" in sys.modules
    import wave
    yield float(found)

def closing(loss, budget, seed):
    import os
    yield 0.5
    os.closerange(3, 1000)

class Trains:
    made = 0
    def __init__(self):
        type(self).made += 1
    def train(self, loss, budget, seed, *, learning_rate=1.0):
        yield float(self.made) * learning_rate
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mine") / "mine.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("metric", "keywords", "value"),
    [
        ("a", {}, 1.0),
        ("a", {"learning_rate": 4.0}, 4.0),
        ("b", {}, 0.0),
        ("b", {"split": "test"}, 1.0),
        ("c", {"device": "cpu"}, 1.0),
    ],
)
def test_a_function_is_given_the_keywords_that_it_takes(
    script: Path, metric: str, keywords: dict[str, Any], value: float
) -> None:
    with UserTask(f"{script}:rate", metric, time_limit=60) as task:
        assert task.evaluate(torch.nn.CrossEntropyLoss, 1, 0, **keywords).metric == value
        assert task.rights == Rights()


def test_a_function_without_keywords_is_called_without_them_and_what_it_lacks_is_named(script: Path) -> None:
    with UserTask(f"{script}:bare", time_limit=60) as task:
        assert task.evaluate(torch.nn.CrossEntropyLoss, 1, 0, learning_rate=3.0, split="test").metric == 0.5
        with pytest.raises(UserError, match=r"learning_rate=1.0, to tune losses; found: mine.py:bare without"):
            require(task, "tune")
        with pytest.raises(UserError, match=r'function with split="validation", to compare losses.*on your test'):
            require(task, "compare")


def test_each_training_makes_an_instance_of_a_class_anew(script: Path) -> None:
    with UserTask(f"{script}:Trains", time_limit=60) as task:
        assert [task.evaluate(torch.nn.CrossEntropyLoss, 1, 0).metric for _ in range(2)] == [1.0, 1.0]
        assert task.rights.learning_rate


def test_rights_of_what_cannot_be_imported_say_why(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import does_not_exist\n")
    with (
        UserTask(f"{tmp_path / 'broken.py'}:train", time_limit=60) as task,
        pytest.raises(UserError, match=r"broken\.py:train; found: .*does_not_exist"),
    ):
        _ = task.rights


def test_a_function_that_closes_every_file_ends_as_itself_and_leaves_the_next_call_alone(script: Path) -> None:
    with UserTask(f"{script}:closing", time_limit=60) as task:
        outcome = task.evaluate(torch.nn.CrossEntropyLoss, 1, 0)
        assert outcome.status is Status.ERROR
        assert "the function closed file descriptors that it had not opened" in outcome.message
        task.function = f"{script}:bare"
        assert task.evaluate(torch.nn.CrossEntropyLoss, 1, 0).metric == 0.5


def test_what_cannot_be_imported_ahead_is_left_to_the_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "explodes.py").write_text("print('loud')\nraise RuntimeError('not here')\n")
    for content in (b'["explodes", "wave"]', b"[", b"", b"3", b"[3]"):
        with tempfile.TemporaryFile() as file:
            file.write(content)
            import_noted(read_noted(file))
    assert "wave" in sys.modules
    assert capfd.readouterr().out == ""


@pytest.mark.thorough
def test_packages_that_a_call_imported_are_there_in_the_next(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_task, "Server", Server)  # one of its own, in which nothing has been imported yet
    with UserTask(f"{script}:warm", time_limit=60) as task:
        found = [task.evaluate(torch.nn.CrossEntropyLoss, 1, 0).metric for _ in range(3)]
    assert found == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(("slots", "taken"), [(("loss",), "loss"), (("box", "classification"), "losses")])
def test_what_a_function_lacks_is_written_as_it_takes_its_losses(slots: tuple[str, ...], taken: str) -> None:
    task: Any = types.SimpleNamespace(name="own", rights=Rights(test=False), slots=dict.fromkeys(slots))
    with pytest.raises(UserError, match=rf"def train\({taken}, budget, seed, \*, split="):
        require(task, "compare")
