"""What hypergradients cost: `python -m lossearch.experiments.benchmarks.bench_meta [--rounds N] [--steps N]`.

Prints, on one thread:
- resident memory over many outer steps, with the slope of a line through it and its standard error;
- processor seconds and peak memory of an unrolled outer step on digits, against the same step written by hand with
  torch.autograd.grad(create_graph=True) over torch.func.functional_call;
- seconds and peak memory of every exact estimator at several horizons.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from lossearch.experiments.benchmarks.timing import Call, interleaved, peak_bytes, ratio
from lossearch.meta.estimators.forward import Forward
from lossearch.meta.estimators.reverse import Reverse
from lossearch.meta.estimators.unrolled import Unrolled
from lossearch.meta.learnable import Learnable
from lossearch.meta.outer_loop import OuterLoop
from lossearch.meta.outer_optimizers import Adam
from lossearch.meta.problem import Estimator
from lossearch.meta.task_problem import TaskProblem
from lossearch.tasks import DescribedTask, build_task
from lossearch.training.stacked_models import DataOrder, initial_weights, template

STRUCTURE = "dense: 1.5 * cross_entropy(logits, target) + 0.5 * true_class_probability(logits, target)"
TASK = {"base": "digits", "noise": "symmetric", "noise_rate": 0.4, "train_size": 400}
SEED, RATE, MOMENTUM = 123_456, 0.05, 0.9


def by_hand(task: DescribedTask, learnable: Learnable, horizon: int) -> Callable[[Tensor], Tensor]:
    """The same outer step as a researcher writes it: the objective after `horizon` steps, of a point."""
    model = template(task)
    names = [name for name, _ in model.named_parameters()]
    sizes = [parameter.numel() for parameter in model.parameters()]
    shapes = [parameter.shape for parameter in model.parameters()]
    row = initial_weights(task, [SEED])[0]
    start = [part.reshape(shape) for part, shape in zip(row.split(sizes), shapes, strict=True)]
    train, held_out = task.draw(SEED)
    order = DataOrder(task.order, [SEED], len(train), task.config.batch_size)
    batches = [order.batch(step)[0] for step in range(horizon)]
    images, labels = train["images"], train["labels"]
    low, high = (torch.tensor([p.searched[k] for p in learnable.coefficients]) for k in (0, 1))

    def loss(logits: Tensor, target: Tensor, values: Tensor) -> Tensor:
        entropy = torch.nn.functional.cross_entropy(logits, target)
        probability = torch.softmax(logits, 1).gather(1, target.unsqueeze(1)).mean()
        return values[0] * entropy + values[1] * probability

    def outer(point: Tensor) -> Tensor:
        values = low * (high / low) ** point
        weights = [one.detach().requires_grad_() for one in start]
        velocity = [torch.zeros_like(one) for one in weights]
        for step, rows in enumerate(batches):
            logits = functional_call(model, dict(zip(names, weights, strict=True)), (images[rows],))
            gradients = torch.autograd.grad(loss(logits, labels[rows], values), weights, create_graph=True)
            velocity = [MOMENTUM * v + g for v, g in zip(velocity, gradients, strict=True)]
            rate = RATE * (1 + math.cos(math.pi * step / horizon)) / 2
            weights = [w - rate * v for w, v in zip(weights, velocity, strict=True)]
        logits = functional_call(model, dict(zip(names, weights, strict=True)), (held_out["images"],))
        return torch.nn.functional.cross_entropy(logits, held_out["labels"])

    return outer


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=1000, help="outer steps over which memory is followed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    task, learnable = build_task(TASK), Learnable.of(STRUCTURE)
    _memory(task, learnable, given.steps)  # first, as profiling below takes memory of its own
    _against_hand_written(task, learnable, given.rounds)
    _by_horizon(task, learnable, max(3, given.rounds // 5))


def _against_hand_written(task: DescribedTask, learnable: Learnable, rounds: int) -> None:
    print("unrolled outer step against the one by hand:  horizon   seconds   ratio of time   ratio of memory")
    for horizon in (10, 40):
        problem = _problem(task, learnable, horizon)
        point = torch.tensor(learnable.start, requires_grad=True)
        written = by_hand(task, learnable, horizon)
        calls = {"hand": Call(written, (point,), (point,)), "ours": _call(Unrolled(), problem, learnable, horizon)}
        value, found = written(point), Unrolled().estimate(problem, learnable.start, horizon, [SEED])
        if not math.isclose(value.item(), found.value, rel_tol=1e-4):
            raise RuntimeError(f"forms disagree: {value.item()} by hand, {found.value}")
        (gradient,) = torch.autograd.grad(value, point)
        if not np.allclose(gradient.numpy(), found.gradient.numpy(), rtol=1e-2, atol=1e-5):
            raise RuntimeError(f"gradients disagree: {gradient.tolist()} by hand, {found.gradient.tolist()}")
        times = interleaved(calls, rounds)
        memory = peak_bytes(calls["ours"]) / peak_bytes(calls["hand"])
        print(f"{horizon:>55}{statistics.median(times['ours']):>10.3f}", end="")
        print(f"{ratio(times['ours'], times['hand']):>16.2f}{memory:>18.2f}", flush=True)


def _by_horizon(task: DescribedTask, learnable: Learnable, rounds: int) -> None:
    estimators: dict[str, Estimator] = {"unrolled": Unrolled(), "reverse": Reverse(), "forward": Forward()}
    print("\nexact estimators:  horizon" + "".join(f"{name:>12} s{'MB':>8}" for name in estimators))
    for horizon in (16, 64, 256):
        problem = _problem(task, learnable, horizon)
        calls = {name: _call(one, problem, learnable, horizon) for name, one in estimators.items()}
        times = interleaved(calls, rounds)
        line = "".join(
            f"{statistics.median(times[name]):>14.3f}{peak_bytes(c) / 1e6:>8.1f}" for name, c in calls.items()
        )
        print(f"{horizon:>26}{line}", flush=True)


def _memory(task: DescribedTask, learnable: Learnable, steps: int) -> None:
    problem = _problem(task, learnable, 20)
    loop = OuterLoop(Adam(learnable), [problem], Unrolled(), learnable.start, seed=0, tasks=1)
    seen: list[float] = []
    for number in range(2 * steps):  # the first half fills what is kept of recent seeds' data, within its limit
        loop.step()
        if number >= steps and number % max(1, steps // 100) == 0:
            seen.append(_megabytes())
    x = np.linspace(0.0, steps, len(seen))
    (slope, _), covariance = np.polyfit(x, seen, 1, cov=True)
    told = f"{1000 * slope:+.3f} ± {1000 * math.sqrt(covariance[0, 0]):.3f} MB per 1,000 outer steps"
    print(
        f"resident memory: {seen[0]:.1f} MB, {seen[-1]:.1f} MB after {steps} more outer steps; slope {told}\n",
        flush=True,
    )


def _problem(task: DescribedTask, learnable: Learnable, steps: int) -> TaskProblem:
    return TaskProblem(task, learnable, steps=steps, neutral="none", learning_rate=RATE / task.base_learning_rate)


def _call(estimator: Estimator, problem: TaskProblem, learnable: Learnable, horizon: int) -> Call:
    """An estimate as a call of which nothing is left to differentiate."""
    leaf = torch.zeros((), requires_grad=True)

    def estimate() -> Tensor:
        return estimator.estimate(problem, learnable.start, horizon, [SEED]).value + leaf

    return Call(estimate, (), (leaf,))


def _megabytes() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000


if __name__ == "__main__":
    main()
