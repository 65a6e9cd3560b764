"""Evaluating candidates by a user's function: step size at its own first call, failures as outcomes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from lossearch import zoo
from lossearch.candidates.function_scoring import FunctionEvaluator
from lossearch.candidates.scoring import EvaluationConfig
from lossearch.errors import UserError
from lossearch.ir.core.signature import get_signature
from lossearch.ir.forms.text import parse_graph
from lossearch.tasks import UserTask
from lossearch.tasks.outcome import Status
from lossearch.tasks.user.first_call import FirstCall
from lossearch.training.step_size import FirstPredictions

pytestmark = pytest.mark.usefixtures("one_server")

SCRIPT = """
import os
import torch
from torch.nn import functional as F

def two_classes(loss, budget, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(64, 5, generator=generator)
    labels = (inputs[:, 0] > 0).long()
    weights = torch.zeros(5, 2, requires_grad=True)
    for _ in range(budget):
        (gradient,) = torch.autograd.grad(loss(inputs @ weights, labels), weights)
        weights = (weights - 0.05 * gradient).detach().requires_grad_()
    yield float(F.cross_entropy(inputs @ weights, labels))  # shows the smallest difference

def first_gradient(loss, budget, seed):
    logits = (0.3 * torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(1))).requires_grad_()
    labels = torch.arange(144).reshape(4, 6, 6) % 2
    (gradient,) = torch.autograd.grad(loss(logits, labels), logits)
    yield float(gradient.double().square().mean().sqrt())

def boxes(loss, budget, seed):
    corner = torch.arange(8.0).reshape(4, 2)
    found = torch.cat([corner, corner + 3.0], 1).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(found, torch.cat([corner + 1.0, corner + 5.0], 1)), found)
    yield float(gradient.double().square().mean().sqrt())

def images(loss, budget, seed):
    first = torch.linspace(0, 1, 3 * 32 * 32).reshape(1, 3, 32, 32).requires_grad_()
    loss(first, first.detach().flip(2)).backward()
    yield float(first.grad.double().square().mean().sqrt())

def triplets(loss, budget, seed):
    draw = torch.Generator().manual_seed(3)
    anchor, positive, negative = (torch.randn(6, 4, generator=draw, requires_grad=True) for _ in range(3))
    gradients = torch.autograd.grad(loss(anchor, positive, negative), (anchor, positive, negative))
    yield float(torch.stack(gradients).double().square().mean().sqrt())

class Described:
    def describe(self):
        return {"logits": (8, 3), "target": torch.arange(8) % 3}

    def train(self, loss, budget, seed):
        yield 0.25

class Wrong(Described):
    def describe(self):
        return {"logits": "many"}

class WrongNames(Described):
    def describe(self):
        return {"scores": (8, 3), "target": torch.arange(8) % 3}

def never(loss, budget, seed):
    yield 0.5

def fails(loss, budget, seed):
    raise FileNotFoundError("masks.npy")

def hangs(loss, budget, seed):
    while True:
        pass

def swallows(loss, budget, seed):
    logits = torch.zeros(4, 2, requires_grad=True)
    while True:
        try:
            loss(logits, torch.zeros(4, dtype=torch.long))
            break
        except:
            pass
    yield 0.5

def apart(loss, budget, seed):
    import torch.multiprocessing as mp
    mp.spawn(_call, (loss,), nprocs=1)
    yield 0.5

def _call(rank, loss):
    loss(torch.full((4, 2), 0.5, requires_grad=True), torch.zeros(4, dtype=torch.long))

def wrapped(loss, budget, seed):
    loss.ignore_index, loss.reduction = 255, "sum"
    labels = torch.tensor([0, 1, 255])
    logits = torch.zeros(2, 3, 2)
    torch.func.vmap(torch.func.grad(lambda x: loss(x, labels)))(logits)
    yield 0.5
"""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserTask]:
    path = tmp_path_factory.mktemp("mine") / "mine.py"
    path.write_text(SCRIPT, encoding="utf-8")
    with UserTask(f"{path}:never", time_limit=60.0) as task:
        yield task


def evaluator(task: UserTask, function: str, reference: str = "cross_entropy", steps: int = 1) -> FunctionEvaluator:
    task.function = task.function.rpartition(":")[0] + f":{function}"
    return FunctionEvaluator(task, zoo.get(reference).graph, EvaluationConfig(steps=steps, seeds=1))


@pytest.mark.parametrize(
    "text",
    [
        "30.0 * cross_entropy(logits, target)",
        "cross_entropy(logits, target) * 30.0",
        "cross_entropy(logits, target) / 0.03",
        "2.0 * (cross_entropy(logits, target) * 15.0)",
        "-(-30.0 * cross_entropy(logits, target))",
    ],
)
def test_a_loss_times_thirty_never_outranks_the_loss(task: UserTask, text: str) -> None:
    judge = evaluator(task, "two_classes", steps=30)
    plain = judge.evaluate(parse_graph("dense: cross_entropy(logits, target)"), 0)
    large = judge.evaluate(parse_graph(f"dense: {text}"), 0)
    assert large.metrics == plain.metrics
    assert large.graph.key == plain.graph.key
    assert plain.step_scale == 1.0


def test_a_factor_within_a_loss_gains_nothing_either(task: UserTask) -> None:
    judge = evaluator(task, "two_classes", steps=30)
    plain = judge.evaluate(zoo.get("cross_entropy").graph, 0)
    inside = "9.0 * cross_entropy(logits, target) + 21.0 * cross_entropy(logits, target)"
    large = judge.evaluate(parse_graph(f"dense: {inside}"), 0)
    assert large.metrics[0] == pytest.approx(plain.metrics[0], rel=1e-3)
    other = judge.evaluate(zoo.get("brier").graph, 0)  # 23 times the gradient once, with ten classes in place of two
    assert abs(other.metrics[0] - plain.metrics[0]) < 0.02


@pytest.mark.parametrize(
    ("function", "reference", "losses"),
    [
        ("first_gradient", "cross_entropy", ("dice", "focal", "lovasz_softmax", "brier")),
        ("boxes", "giou", ("ciou", "box_l1")),
        ("images", "l1", ("charbonnier", "ssim")),
        ("triplets", "triplet", ()),
    ],
)
def test_every_loss_has_the_references_gradient_at_the_first_call(
    task: UserTask, function: str, reference: str, losses: tuple[str, ...]
) -> None:
    judge = evaluator(task, function, reference)
    wanted = judge.evaluate(zoo.get(reference).graph.frozen(), 0).metrics[0]
    assert wanted > 0.0
    graphs = [zoo.get(name).graph.frozen() for name in (reference, *losses)]
    graphs.append(graphs[0].with_roots([graphs[0].root * graphs[0].root, *graphs[0].roots[1:]]))
    for graph in graphs:
        result = judge.evaluate(graph, 0)
        assert result.metrics[0] == pytest.approx(wanted, rel=1e-3), result.message


def test_a_loss_that_refuses_the_first_inputs_is_an_outcome(task: UserTask) -> None:
    result = evaluator(task, "images", "l1").evaluate(zoo.get("ms_ssim").graph.frozen(), 0)
    assert result.status is Status.ERROR
    assert "every spatial axis of length ≥ 161" in result.message
    flat = parse_graph("dense: relu(cross_entropy(logits, target) - 1000.0) * sum(target, over=class)")
    result = evaluator(task, "two_classes").evaluate(flat, 0)
    assert (result.status, result.message) == (Status.DIVERGED, "no gradient at untrained predictions")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("never", "ended without a call"),
        ("fails", r"FileNotFoundError: masks.npy \(File .*mine.py\", line \d+, in fails"),
        pytest.param("hangs", "not finished after 5 s", marks=pytest.mark.thorough),
    ],
)
def test_a_function_that_does_not_come_to_call_its_loss(task: UserTask, function: str, told: str) -> None:
    task.time_limit = 5.0
    try:
        with pytest.raises(UserError, match=f"required: a training function that calls its loss.*{told}"):
            evaluator(task, function)
    finally:
        task.time_limit = 60.0


@pytest.mark.parametrize("function", ["swallows", pytest.param("apart", marks=pytest.mark.thorough)])
def test_the_first_call_is_found_wherever_it_is_made(task: UserTask, function: str) -> None:
    assert evaluator(task, function).first_call.describe() == "[4, 2] and [4]"


def test_settings_of_the_loss_and_transforms_are_seen(task: UserTask) -> None:
    call = evaluator(task, "wrapped").first_call.only
    assert call.describe() == "[3, 2] and [3]"
    assert call.options == {"reduction": "sum", "ignore_index": 255}
    assert call.differentiable == {"0"}


def test_a_failure_ends_the_candidate_at_the_first_seed(task: UserTask) -> None:
    judge = evaluator(task, "two_classes")
    task.function = task.function.replace("two_classes", "fails")
    many = FunctionEvaluator(task, zoo.get("cross_entropy").graph, EvaluationConfig(steps=1, seeds=3), judge.first_call)
    result = many.evaluate(zoo.get("brier").graph, 0)
    assert result.status is Status.ERROR
    assert len(result.metrics) == 1
    assert math.isnan(result.metrics[0])


def test_a_budget_is_needed(task: UserTask) -> None:
    with pytest.raises(UserError, match=r"evaluation\.steps"):
        FunctionEvaluator(task, zoo.get("cross_entropy").graph, EvaluationConfig())


def test_a_first_call_is_read_back_as_it_was() -> None:
    logits = torch.randn(3, 2)
    labels = torch.tensor([0, 1, 1], dtype=torch.uint8)
    weight = torch.ones(3, dtype=torch.bool).expand(2, 3).T  # not contiguous
    options = {"reduction": "none", "ignore_index": None}
    call = FirstCall((logits, None, labels), {"sample_weight": weight}, frozenset("0"), options)
    back = FirstCall.loads(call.dumps())
    assert (back.options, back.differentiable) == (call.options, call.differentiable)
    assert back.inputs[1] is None
    assert back.dumps() == call.dumps()
    for (place, one), (_, other) in zip(call.items(), back.items(), strict=True):
        if isinstance(one, torch.Tensor):
            assert one.equal(other), place
            assert one.dtype == other.dtype


def test_a_description_takes_the_place_of_the_dry_call(task: UserTask) -> None:
    judge = evaluator(task, "Described")  # which never calls its loss
    assert judge.first_call.described
    assert judge.first_call.describe() == "[8, 3] and [8]"
    assert FirstCall.loads(judge.first_call.dumps()).described
    assert judge.evaluate(zoo.get("focal").graph, 0).score == 0.25
    assert evaluator(task, "Described").first_call.dumps() == judge.first_call.dumps()
    with pytest.raises(UserError, match="'logits' as a tensor or a shape"):
        evaluator(task, "Wrong")
    with pytest.raises(UserError, match=r"what your class's describe\(\) gives.*scores"):
        evaluator(task, "WrongNames")


def test_a_damaged_file_is_told() -> None:
    content = FirstCall((torch.zeros(2, 2), torch.zeros(2).long())).dumps()
    for wrong in (b"", content[:-5], content.replace(b"inputs", b"output"), b"\0" * 50):
        with pytest.raises(UserError, match="restore the file"):
            FirstCall.loads(wrong)


def test_measuring_leaves_a_call_in_doubles_as_it_was() -> None:
    call = FirstCall((torch.zeros(2, 2, dtype=torch.float64), torch.tensor([0, 1])), {}, frozenset("0"))
    before = call.dumps()
    FirstPredictions(call, get_signature("dense")).gradient_rms(zoo.get("cross_entropy").graph)
    assert call.dumps() == before


def test_gradients_are_those_of_what_required_one() -> None:
    signature = get_signature("dense")
    labels = torch.tensor([0, 1])
    graph = zoo.get("cross_entropy").graph
    calls = [FirstCall((torch.zeros(2, 2), labels), {}, places) for places in (frozenset("0"), frozenset())]
    sizes = [FirstPredictions(call, signature).gradient_rms(graph) for call in calls]
    assert sizes == [pytest.approx(0.25)] * 2
