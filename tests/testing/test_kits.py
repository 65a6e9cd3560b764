"""The conformance kits pass what is ours, and find each kind of lie."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from lossearch.errors import UserError
from lossearch.evolve import METHODS
from lossearch.evolve.method import Method, Proposal
from lossearch.evolve.methods.random_search import RandomSearch
from lossearch.search_spaces import load_space
from lossearch.tasks import (
    ClassificationTask,
    DescribedTask,
    Metric,
    Slot,
    Split,
    TaskConfig,
    TestSplit,
    UserTask,
    build_task,
    task_config,
    tasks,
)
from lossearch.testing import Nonconforming, check_method, check_task

pytestmark = pytest.mark.usefixtures("one_server")


EMBEDDED = [name for name in tasks() if name.startswith("digits") and isinstance(task_config(name), TaskConfig)]


@pytest.mark.parametrize("name", EMBEDDED)
def test_bundled_tasks_conform(name: str) -> None:
    check_task(ClassificationTask(name))


class Overlapping(ClassificationTask):
    def draw(self, seed: int) -> tuple[Split, Split]:
        train, validation = super().draw(seed)
        images, labels = validation.images.clone(), validation.labels.clone()
        images[:5], labels[:5] = train.images[10:15], train.labels[10:15]
        return train, Split(images, labels)


class Unseeded(ClassificationTask):
    def draw(self, seed: int) -> tuple[Split, Split]:
        train, validation = super().draw(seed)
        return Split(train.images + torch.rand(()), train.labels), validation


class Unsealed(ClassificationTask):
    @contextmanager
    def open_test(self, by: str) -> Iterator[TestSplit]:
        yield TestSplit({"images": self.train.images + 9.0, "labels": self.train.labels})  # without asking the seal


class WrongDirection(ClassificationTask):
    @property
    def metrics(self) -> dict[str, Metric]:
        return {"accuracy": dataclasses.replace(super().metrics["accuracy"], higher_is_better=False)}


class WrongRange(ClassificationTask):
    @property
    def metrics(self) -> dict[str, Metric]:
        return {"accuracy": dataclasses.replace(super().metrics["accuracy"], upper=0.05)}


class WrongSlot(ClassificationTask):
    @property
    def slots(self) -> dict[str, Slot]:
        return {"loss": Slot("dense", "giou"), "other": Slot("densee", "focal")}


class OtherMetric(ClassificationTask):
    def measure(self, model: Any, parts: Any) -> dict[str, torch.Tensor]:
        return {"acc": super().measure(model, parts)["accuracy"]}


class MeanOfRuns(ClassificationTask):
    def measure(self, model: Any, parts: Any) -> dict[str, torch.Tensor]:
        return {name: value.mean() for name, value in super().measure(model, parts).items()}


@pytest.mark.parametrize(
    ("lie", "told"), [(OtherMetric, "to give accuracy.*2 of acc"), (MeanOfRuns, "2 numbers.*1 of accuracy")]
)
def test_a_task_that_measures_something_else_is_told(lie: type[ClassificationTask], told: str) -> None:
    with pytest.raises(UserError, match=f"(?s){told}"):
        check_task(lie("digits"))


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (Overlapping, "splits share no content; 5 samples of training are in validation as well"),
        (Unseeded, r"equal seeds give equal data; draw\(3\) gave two kinds"),
        (Unsealed, "a process that forbade test splits cannot open them; open_test gave the split"),
        (WrongDirection, "accuracy falls from an untrained to a trained network"),
        (WrongRange, r"accuracy lies in \[0, 0.05\]"),
        (WrongSlot, r"(?s)default of the slot loss is of dense; giou is of box.*'densee' is none"),
    ],
)
def test_a_task_that_lies_is_found(lie: type[ClassificationTask], told: str) -> None:
    with pytest.raises(Nonconforming, match=told):
        check_task(lie("digits"))


SCRIPT = """
import random, torch

def honest(loss, budget, seed, *, learning_rate=1.0, split="validation"):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, 4, generator=generator)
    y = (x[:, 0] > 0).long()
    held = {"validation": x[:30], "test": -x[:20]}[split]
    weight = torch.zeros(4, 2, requires_grad=True)
    for _ in range(budget):
        (gradient,) = torch.autograd.grad(loss(x @ weight, y), weight)
        weight = (weight - learning_rate * gradient).detach().requires_grad_()
    yield ((held @ weight).softmax(1)[:, 1] - (held[:, 0] > 0).float()).abs().mean()

def unseeded(loss, budget, seed):
    loss(torch.zeros(4, 2, requires_grad=True), torch.zeros(4, dtype=torch.long))
    yield random.SystemRandom().random()

def deaf(loss, budget, seed, *, learning_rate=1.0, split="validation"):
    loss(torch.zeros(4, 2, requires_grad=True), torch.zeros(4, dtype=torch.long))
    yield 0.5

def silent(loss, budget, seed):
    yield 0.5

class Misjudged:
    def train(self, loss, budget, seed):
        loss(torch.randn(30, 2, requires_grad=True), torch.arange(30) % 2)
        yield random.Random(seed).random()

    def judge(self, inputs):  # not the error, but how many are right
        return (inputs["logits"].argmax(1) == inputs["target"]).float().mean()
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kit") / "mine.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def check_function(script: Path, name: str) -> None:
    with UserTask(f"{script}:{name}", "error", higher_is_better=False, time_limit=60) as task:
        check_task(task, budget=20)


def test_an_honest_function_conforms(script: Path) -> None:
    check_function(script, "honest")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("unseeded", "equal seeds give equal metrics", marks=pytest.mark.thorough),
        pytest.param(
            "deaf",
            "(?s)seed chooses the training; 4 seeds.*learning_rate changes the training.*split chooses the data",
            marks=pytest.mark.thorough,
        ),
        ("silent", "it calls its loss"),
        pytest.param(
            "Misjudged",
            r"judge\(\) gives a better error where cross_entropy has improved the predictions of loss",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_a_function_that_lies_is_found(script: Path, name: str, told: str) -> None:
    with pytest.raises(Nonconforming, match=told):
        check_function(script, name)


def test_a_function_needs_a_budget(script: Path) -> None:
    with UserTask(f"{script}:honest", time_limit=60) as task, pytest.raises(UserError, match="budget"):
        check_task(task)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("outside", "hypergradient")])
def test_search_methods_conform(name: str) -> None:
    """For one that asks somebody else see evolve/test_outside.py."""
    check_method(name)


@pytest.mark.thorough
def test_meta_learning_conforms() -> None:
    space = load_space("dense")
    few = space.model_copy(update={"seeds": space.seeds[:2]})
    task = build_task({"base": "digits", "train_size": 20, "batch_size": 20, "val_size": 40})
    structure = "dense: 1.5 * cross_entropy(2.0 * logits, target)"
    settings = {"structure": structure, "pairs": 1, "tasks": 1, "every": 1, "steps": 1, "patience": 20}
    assert isinstance(task, DescribedTask)
    check_method("hypergradient", few, task=task, **settings)


class Forgetful(RandomSearch):
    def state(self) -> dict[str, Any]:
        return {**super().state(), "rng": [3, [*range(624), 624], None]}


class Unrepeatable(RandomSearch):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rng = random.Random(random.SystemRandom().random())


class SeedBlind(RandomSearch):
    def __init__(self, space: Any, seed: int, settings: Any) -> None:
        super().__init__(space, 0, settings)


class Impatient(RandomSearch):
    def ask(self) -> Proposal:
        return self.propose()


class Deaf(RandomSearch):
    def elites(self, count: int) -> list[Any]:
        return list(itertools.islice(reversed(super().elites(count)), count))


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (Forgetful, "goes on exactly"),
        (Unrepeatable, "equal seeds give equal proposals"),
        (SeedBlind, "seeds 7 and 8 gave the same"),
        (Impatient, "seeds come first"),
        (Deaf, "gives the best first"),
    ],
)
def test_a_method_that_lies_is_found(lie: type[Method], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "lying", lie)
    with pytest.raises(Nonconforming, match=told):
        check_method("lying")


def test_metrics_tell_which_is_better() -> None:
    assert Metric("error", False).is_better(0.1, 0.2)
    assert Metric("accuracy", True).is_better(0.2, 0.1)
