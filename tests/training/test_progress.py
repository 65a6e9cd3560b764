"""Losses that change over a training: what they are told, alone, in stacks, as modules and as files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import lossearch
from lossearch.errors import UserError
from lossearch.tasks import build_task
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.plan import Run
from lossearch.training.slot_losses import times
from lossearch.training.train import train
from lossearch.zoo.named import graph_of

SCHEDULED = (
    "dense: (1.0 - progress) * cross_entropy(logits, target) + progress * absolute_probability_error(logits, target)"
)
STEPS = 8


class Recorded:
    """Cross-entropy that notes the progress that it is told."""

    def __init__(self) -> None:
        self.progress = torch.tensor(-1.0)
        self.told: list[float] = []

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        self.told.append(self.progress.item())
        return F.cross_entropy(logits, target)


@pytest.mark.parametrize("wrapped", [lambda loss: loss, lambda loss: times(loss, 2.0)], ids=["itself", "scaled"])
def test_a_training_goes_from_zero_to_almost_one(wrapped: Callable[[Any], Any]) -> None:
    recorded = Recorded()
    (outcome,) = train(build_task("digits"), [Run(wrapped(recorded), 0.1, 0)], STEPS)
    assert outcome.metric is not None
    assert recorded.told == [k / STEPS for k in range(STEPS)]


def test_stack_alone_module_and_formula_by_hand_agree() -> None:
    task = build_task("digits")
    given = loss_buffers(task, "loss")
    graph, cross_entropy = GraphLoss(graph_of(SCHEDULED), given), GraphLoss(graph_of("cross_entropy"), given)
    module = lossearch.load(SCHEDULED).to_module(buffers={"progress": torch.tensor(0.0)})
    step = 0

    def by_hand(logits: Tensor, target: Tensor) -> Tensor:
        nonlocal step
        share, step = step / STEPS, step + 1
        error = (2.0 - 2.0 * logits.softmax(1).gather(1, target[:, None])).mean()
        return (1.0 - share) * F.cross_entropy(logits, target) + share * error

    together = train(task, [Run(graph, 0.2, 0), Run(cross_entropy, 0.2, 0), Run(graph, 0.2, 1)], STEPS, eval_every=1)
    (alone,) = train(task, [Run(graph, 0.2, 0)], STEPS, eval_every=1)
    (as_module,) = train(task, [Run(module, 0.2, 0)], STEPS, eval_every=1)
    (hand_written,) = train(task, [Run(by_hand, 0.2, 0)], STEPS, eval_every=1)
    assert together[0].curve == alone.curve == as_module.curve == hand_written.curve
    assert together[1].curve != alone.curve
    assert float(given["progress"]) == 0.5  # what others are made with stays


def progress_of(module: torch.nn.Module) -> Tensor:
    found = module.progress
    assert isinstance(found, Tensor)
    return found


@pytest.mark.parametrize("backend", ["eager", "torchscript", "compile"])
def test_modules_follow_their_progress(backend: str) -> None:
    module = lossearch.load(SCHEDULED).to_module(backend=backend, buffers={"progress": torch.tensor(0.0)})
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(6, 4, generator=generator), torch.arange(6) % 4
    error = 2.0 - 2.0 * logits.softmax(1).gather(1, target[:, None]).mean()
    for share in (0.0, 0.25, 1.0):
        progress_of(module).fill_(share)
        expected = (1.0 - share) * F.cross_entropy(logits, target) + share * error
        assert module(logits, target).item() == pytest.approx(expected.item(), rel=1e-6)
    module.progress = torch.tensor(0.5)
    halves = 0.5 * F.cross_entropy(logits, target) + 0.5 * error
    assert module(logits, target).item() == pytest.approx(halves.item(), rel=1e-6)
    with pytest.raises(UserError, match=r"progress"):
        module.progress = torch.tensor(1.5)


def test_a_module_asks_for_its_progress() -> None:
    with pytest.raises(UserError, match="how much of the training is over"):
        lossearch.load(SCHEDULED).to_module()


def test_files_follow_their_progress(tmp_path: Path) -> None:
    logits, target = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([1])
    error = 2.0 - 2.0 * logits.softmax(1)[0, 1].item()
    cross_entropy = F.cross_entropy(logits, target).item()
    python, script, exported = (tmp_path / f"scheduled{suffix}" for suffix in (".py", ".pt", ".pt2"))
    for path in (python, script):
        lossearch.export(SCHEDULED, path)
    lossearch.export(SCHEDULED, exported, labels=True, classes=3)
    namespace: dict[str, Any] = {}
    exec(python.read_text(), namespace)
    (made,) = (value for value in namespace.values() if isinstance(value, type) and issubclass(value, torch.nn.Module))
    for module in (made(torch.tensor(0.0)), torch.jit.load(script), torch.export.load(exported).module()):
        assert module(logits, target).item() == pytest.approx(cross_entropy, rel=1e-6)
        progress_of(module).fill_(1.0)
        assert module(logits, target).item() == pytest.approx(error, rel=1e-6)
