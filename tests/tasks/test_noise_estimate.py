"""The share of wrong labels, estimated from training samples, and losses that use it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossearch
from lossearch.errors import UserError
from lossearch.tasks import ClassificationTask, DistributionTask, build_task
from lossearch.tasks.classification.noise_estimate import NEIGHBOURS, estimated_noise_rate
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.plan import Run
from lossearch.training.train import train
from lossearch.zoo.named import graph_of

ADAPTING = (
    "dense: (1.0 - noise_rate) * cross_entropy(logits, target)"
    " + noise_rate * absolute_probability_error(logits, target)"
)


def confident_joint(samples: Tensor, labels: Tensor, classes: int) -> float:
    """Northcutt et al. 2021, sample by sample."""
    n = len(labels)
    shares = np.zeros((n, classes))
    for i in range(n):
        distance = ((samples - samples[i]) ** 2).flatten(1).sum(1)
        distance[i] = torch.inf
        for j in distance.argsort()[:NEIGHBOURS].tolist():
            shares[i, int(labels[j])] += 1
    shares /= NEIGHBOURS
    least = [shares[(labels == j).numpy(), j].mean() if (labels == j).any() else np.inf for j in range(classes)]
    joint = np.zeros((classes, classes))
    for i in range(n):
        reached = [j for j in range(classes) if shares[i, j] >= least[j]]
        if reached:
            joint[int(labels[i]), max(reached, key=lambda j: (shares[i, j], -j))] += 1
    right = 0.0
    for j in range(classes):
        count = int((labels == j).sum())
        right += count * (joint[j, j] / joint[j].sum() if joint[j].sum() else 1.0)
    return 1.0 - right / n


@pytest.mark.parametrize("flipped", [0.0, 0.3])
def test_it_is_what_lies_off_the_diagonal_of_the_confident_joint(flipped: float) -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 3, (120,), generator=generator)
    samples = torch.randn(120, 2, 2, generator=generator) + 1.5 * labels[:, None, None]
    wrong = torch.rand(120, generator=generator) < flipped
    labels = torch.where(wrong, (labels + 1) % 3, labels)
    # Of five classes two do not occur.
    assert estimated_noise_rate(samples, labels, 5) == pytest.approx(confident_joint(samples, labels, 5), abs=0.0051)


def test_it_follows_the_noise_of_the_digits() -> None:
    found = []
    for rate in (0.0, 0.2, 0.4, 0.6):
        noise = "symmetric" if rate else "none"
        task = build_task({"base": "digits", "noise": noise, "noise_rate": rate})
        assert isinstance(task, ClassificationTask)
        assert task.noise_rate == pytest.approx(rate, abs=0.05)
        assert float(loss_buffers(task, "loss")["noise_rate"]) == pytest.approx(task.noise_rate)
        found.append(task.noise_rate)
    assert found == sorted(found)


def test_a_few_samples_tell_nothing() -> None:
    assert estimated_noise_rate(torch.randn(NEIGHBOURS, 4), torch.zeros(NEIGHBOURS, dtype=torch.int64), 3) == 0.0
    assert estimated_noise_rate(torch.randn(60, 4), torch.ones(60, dtype=torch.int64), 3) == 0.0


def test_one_formula_is_another_loss_on_each_task_of_a_distribution() -> None:
    rates = {"low": {"noise": "none"}, "high": {"noise": "symmetric", "noise_rate": 0.5}}
    axes: dict[str, Any] = {"data": {"digits": {"base": "digits", "train_size": 200, "val_size": 200}}, "noise": rates}
    task = build_task({"family": "distribution", "name": "two", "axes": axes, "tasks": 2})
    assert isinstance(task, DistributionTask)
    graph = graph_of(ADAPTING)
    (outcome,) = train(task, [Run(GraphLoss(graph, loss_buffers(task, "loss")), 1.0, 0)], 20)
    for member in task.bundled:
        own = loss_buffers(member, "loss")
        fixed = graph_of(ADAPTING.replace("noise_rate", repr(float(own["noise_rate"]))))
        (alone,) = train(task, [Run(GraphLoss(fixed), 1.0, 0)], 20)
        assert outcome.metrics[member.name] == pytest.approx(alone.metrics[member.name], abs=0.011)


def test_modules_and_files_are_given_it(tmp_path: Path) -> None:
    logits, target = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1])
    loss, rate = lossearch.load(ADAPTING), torch.tensor(0.25)
    with pytest.raises(UserError, match="estimated share of training labels that are wrong"):
        loss.to_module()
    with pytest.raises(UserError, match="noise_rate"):
        loss.to_module(buffers={"noise_rate": torch.tensor(1.5)})
    error = (logits.softmax(1) - F.one_hot(target, 3)).abs().sum(1).mean()
    expected = 0.75 * F.cross_entropy(logits, target) + 0.25 * error
    module = loss.to_module(buffers={"noise_rate": rate})
    assert module(logits, target).item() == pytest.approx(expected.item(), rel=1e-5)
    module.noise_rate = torch.tensor(0.0)
    assert module(logits, target).item() == pytest.approx(F.cross_entropy(logits, target).item(), rel=1e-5)
    path = tmp_path / "adapting.py"
    lossearch.export(ADAPTING, path)
    namespace: dict[str, Any] = {}
    exec(compile(path.read_text(), "adapting.py", "exec"), namespace)
    (made,) = (value for value in namespace.values() if isinstance(value, type) and issubclass(value, torch.nn.Module))
    assert made(noise_rate=rate)(logits, target).item() == pytest.approx(expected.item(), rel=1e-5)
