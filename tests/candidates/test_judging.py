"""A user's class that gives the metric of predictions: the rejection test takes that in place of accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lossearch import zoo
from lossearch.candidates.rejection import RejectionTest
from lossearch.candidates.screen import Rejected, Screen
from lossearch.engine.setup.config import validate
from lossearch.engine.setup.parts import Parts, build_parts
from lossearch.errors import UserError
from lossearch.ir.forms.text import parse_graph
from lossearch.tasks import UserTask

pytestmark = pytest.mark.usefixtures("one_server")

SCRIPT = """
import os
import torch

LABELS = torch.arange(8 * 16).reshape(8, 4, 4) % 3
IGNORED = LABELS.clone()
IGNORED[0] = 255

class Plain:
    def train(self, loss, budget, seed):
        loss(0.1 * torch.randn(8, 3, 4, 4, requires_grad=True), LABELS).backward()
        yield {"recall": 0.5, "error": 0.5}

class Recall(Plain):
    def judge(self, inputs):
        assert inputs["logits"].shape == (8, 3, 4, 4)
        print("judged")
        one = inputs["target"] == 1
        return {"recall": (inputs["logits"].argmax(1) == 1)[one].float().mean(), "error": 7.0}

class Described(Recall):
    def describe(self):
        return {"logits": (8, 3, 4, 4), "target": LABELS}

class Error(Plain):
    def train(self, loss, budget, seed):
        loss.ignore_index = 255
        loss(target=IGNORED, logits=0.1 * torch.randn(8, 3, 4, 4, requires_grad=True)).backward()
        yield {"error": 0.5}

    def judge(self, inputs):
        return (inputs["logits"].argmax(1) != inputs["target"]).float().mean().item()

class Boxes:
    def train(self, loss, budget, seed):
        corner = torch.arange(8.0).reshape(4, 2)
        found = torch.cat([corner, corner + 3.0], 1).requires_grad_()
        loss(found, torch.cat([corner + 1.0, corner + 5.0], 1)).backward()
        yield {"error": 0.5}

    def judge(self, inputs):
        return (inputs["boxes"] - inputs["target"]).abs().mean()

class Raises(Plain):
    def judge(self, inputs):
        raise ValueError("no such class")

class Dies(Recall):
    def judge(self, inputs):
        if not (inputs["logits"].argmax(1) == 1)[inputs["target"] == 1].any():
            os.kill(os.getpid(), 11)
        return super().judge(inputs)

class Nothing(Plain):
    def judge(self, inputs):
        return None

class Nan(Plain):
    def judge(self, inputs):
        return float("nan")
"""
AGAINST = "dense: -1.0 * cross_entropy(logits, target)"


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("judged") / "judged.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.fixture
def parts(script: Path) -> Iterator[Callable[..., Parts]]:
    """Builds what a search with a class of the script is made of; the processes of its tasks are ended."""
    built: list[Parts] = []

    def build(name: str, metric: str = "recall", **options: Any) -> Parts:
        built.append(_parts(script, name, metric, **options))
        return built[-1]

    yield build
    for one in built:
        assert isinstance(one.task, UserTask)
        one.task.close()


def _parts(script: Path, name: str, metric: str, **options: Any) -> Parts:
    direction = "minimize" if metric == "error" else "maximize"
    task = {"function": f"{script}:{name}", "metric": metric, "direction": direction}
    evaluation = {"steps": 1, "seeds": 1, "time_limit_s": 60.0}
    return build_parts(validate({"task": task, "generations": 1, "evaluation": evaluation, **options}))


def rejection(found: Parts) -> RejectionTest:
    assert isinstance(found.screen, Screen)
    assert isinstance(found.task, UserTask)
    assert found.screen.rejection is not None
    return found.screen.rejection


@pytest.mark.parametrize("name", ["Recall", pytest.param("Described", marks=pytest.mark.thorough)])
def test_the_rejection_test_takes_the_metric_of_the_class_at_its_own_predictions(
    parts: Callable[..., Parts], name: str
) -> None:
    found = parts(name)
    test = rejection(found)
    assert test.inputs.tensors["logits"].shape == (8, 3, 4, 4)
    assert test.best == 1.0
    assert test.gain(zoo.get("focal").graph) == 1.0
    assert test.gain(parse_graph(AGAINST)) < 0.0
    assert found.notes["screening"] == "optimises predictions for recall, as your class's judge() gives it"
    all_one = torch.zeros(8, 3, 4, 4)
    all_one[:, 1] = 1.0
    assert found.task.judge("loss", {**test.inputs.tensors, "logits": all_one}) == 1.0  # with an accuracy of a third


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("Error", "as your class's", marks=pytest.mark.thorough),
        ("Plain", "accuracy, which stands in for error"),
    ],
)
def test_a_metric_that_is_minimised_rejects_what_worsens_it(parts: Callable[..., Parts], name: str, told: str) -> None:
    found = parts(name, "error")
    assert rejection(found).gain(zoo.get("focal").graph) == pytest.approx(1.0, abs=0.01)
    assert not rejection(found).gain(parse_graph(AGAINST)) > 0.0
    assert told in found.notes["screening"]


@pytest.mark.thorough
def test_losses_of_other_signatures_are_judged_too(parts: Callable[..., Parts]) -> None:
    found = parts("Boxes", "error", space="box")
    assert rejection(found).gain(zoo.get("diou").graph) > 0.3
    assert rejection(found).gain(parse_graph("box: box_giou(boxes, target)")) < 0.0


@pytest.mark.thorough
def test_what_judge_gives_wrong_is_told_before_a_search(parts: Callable[..., Parts]) -> None:
    with pytest.raises(UserError, match=r"judge\(\) of .*Raises.*ValueError: no such class \(.*judged\.py, line \d+\)"):
        parts("Raises")
    with pytest.raises(UserError, match=r"a finite recall of untrained predictions"):
        parts("Nan")
    nothing = parts("Nothing")
    assert nothing.notes["screening"] == "without rejection: recall does not follow from what the loss is given"


@pytest.mark.thorough
def test_a_judge_that_dies_rejects_the_candidate_and_answers_for_the_next(parts: Callable[..., Parts]) -> None:
    found = parts("Dies")
    assert isinstance(found.screen, Screen)
    with pytest.raises(Rejected, match=r"judge\(\) of .*Dies.*its process ended"):
        found.screen.begin(parse_graph(AGAINST), set()).rejection()
    assert rejection(found).gain(zoo.get("focal").graph) == 1.0
