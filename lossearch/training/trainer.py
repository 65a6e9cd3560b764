"""The loop that trains a stack of runs: one forward, backward and update for all, an outcome for each."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lossearch.tasks.classification.task import ClassificationTask
from lossearch.tasks.outcome import Outcome, Status, is_out_of_memory
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.optimizers import make_optimizer
from lossearch.training.plan import LabelledImages, LossFunction, Plan, Promote, Run
from lossearch.training.stacked_data import Gathered
from lossearch.training.stacked_models import DataOrder, Device, Stack, initial_weights, template

_CHECK_EVERY = 10  # steps between looks for non-finite numbers, each of which makes a GPU wait
_EVALUATION_BATCH = 16_384  # images, over all runs, that are evaluated at once

_Failures = dict[int, tuple[Status, str]]


@dataclass(eq=False)
class _Record:
    """What is known of one run so far."""

    run: Run
    curve: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    status: Status = Status.OK
    message: str = ""

    def outcome(self) -> Outcome:
        metric = self.curve[-1][1] if self.curve and self.status is Status.OK else None
        return Outcome(self.status, metric, tuple(self.curve), self.seconds, self.message)


class Trainer:
    """The state of one simultaneous training. Row k of every stacked tensor belongs to the k-th active run.

    Args:
        task: data, model, metric, optimiser and schedule.
        runs: at least one.
        plan: when to stop and to evaluate.
        device: where to train.
        split: what to evaluate a run on, by its seed.
    """

    def __init__(
        self,
        task: ClassificationTask,
        runs: Sequence[Run],
        plan: Plan,
        device: Device,
        split: Callable[[int], LabelledImages],
    ) -> None:
        self.task, self.plan, self.device, self.split = task, plan, device, split
        self.records = [_Record(run) for run in runs]
        self.active = list(self.records)
        self.start = self.last_share = time.perf_counter()

    def train(self, promote: Promote | None) -> list[Outcome]:
        """Train to the end of the plan; `promote` as in `lossearch.training.train.train`."""
        self._allocate()
        for step in range(self.plan.steps):
            self._step(step)
            done = step + 1
            evaluates = self.plan.evaluates_after(done)
            if evaluates or done % _CHECK_EVERY == 0:
                self._end_diverged(self.finite & self.stack.weights.detach().isfinite().all(1), "loss or weights", done)
            if evaluates and self.active:
                self._evaluate(done)
            if promote is not None and done in self.plan.rungs and self.active:
                self._promote(done, promote)
            if done < self.plan.steps and self.active:
                self._end_late(done)
            if not self.active:
                break
        self._share_time()
        return [record.outcome() for record in self.records]

    def give_up(self, status: Status, message: str) -> list[Outcome]:
        """End all runs under way with one status and message."""
        self._share_time()
        for record in self.active:
            record.status, record.message = status, message
        return [record.outcome() for record in self.records]

    def _allocate(self) -> None:
        config, device, runs = self.task.config, self.device, [record.run for record in self.active]
        seeds = [run.seed for run in runs]
        self.training = Gathered(seeds, lambda seed: self.task.draw(seed)[0], device)
        self.held_out = Gathered(seeds, self.split, device)
        self.stack = Stack(template(self.task, device), initial_weights(self.task, seeds, device))
        self.optimizer = make_optimizer(config.optimizer, self.stack.weights, config.weight_decay)
        self.learning_rate = torch.tensor([[run.learning_rate] for run in runs], device=device)
        self.order = DataOrder(seeds, self.training.samples, config.batch_size, device, self.training.offsets)
        self.finite = torch.ones(len(runs), dtype=torch.bool, device=device)

    def _step(self, step: int) -> None:
        indices = self.order.batch(step)
        images, target = self.training.images[indices], self.training.labels[indices]
        if len(indices) < len(self.active):  # one seed, so one batch, for all
            images = images.expand(len(self.active), *images.shape[1:])
            target = target.repeat(len(self.active), 1)  # copies, so that no loss can write into another's
        failed: _Failures = {}
        try:
            losses, gradient = self._gradient(images, target)
        except Exception:
            losses, gradient = self._isolated_gradient(images, target, failed)
        with torch.no_grad():
            self.finite &= losses.isfinite()
            self.optimizer.step(self.stack.weights, gradient, self.learning_rate, self._schedule(step))
        if failed:
            self._end(failed)

    def _gradient(self, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Losses `[run]` and their gradients `[run, parameter]`. Raises if any loss does."""
        logits = self.stack.forward(images)
        losses = _losses([record.run.loss for record in self.active], logits, target)
        return losses.detach(), torch.autograd.grad(losses.sum(), self.stack.weights)[0]

    def _isolated_gradient(self, images: Tensor, target: Tensor, failed: _Failures) -> tuple[Tensor, Tensor]:
        """The same with each loss by itself, on memory of its own. One that raises is noted in `failed`."""
        logits = self.stack.forward(images)
        losses, gradient = logits.new_zeros(len(logits)), torch.zeros_like(logits)
        for k, record in enumerate(self.active):
            leaf = logits[k].detach().requires_grad_()
            try:
                # A copy, so that a loss may write to its logits, as it may in an ordinary loop.
                loss = _checked(record.run.loss(leaf.clone(), target[k].clone()))
                gradient[k] = torch.autograd.grad(loss, leaf)[0]
                losses[k] = loss.detach()
            except Exception as error:
                failed[k] = _failure(error)
        return losses, torch.autograd.grad(logits, self.stack.weights, gradient)[0]

    def _schedule(self, step: int) -> float:
        if self.task.config.schedule == "constant":
            return 1.0
        return (1 + math.cos(math.pi * step / self.plan.steps)) / 2

    @torch.no_grad()
    def _evaluate(self, done: int) -> None:
        seeds = [record.run.seed for record in self.active]
        parts = self.held_out.parts(seeds, max(1, _EVALUATION_BATCH // len(seeds)))
        logits, labels = zip(*((self.stack.forward(images), labels) for images, labels in parts), strict=True)
        logits, labels = torch.cat(logits, dim=1), torch.cat(labels, dim=-1)
        finite = logits.flatten(1).isfinite().all(1)
        values = self.task.metric(logits, labels)
        for record, value, ok in zip(self.active, values.tolist(), finite.tolist(), strict=True):
            if ok:
                record.curve.append((done, value))
        self._end_diverged(finite, "logits", done)

    def _promote(self, done: int, promote: Promote) -> None:
        metrics = [record.curve[-1][1] if record in self.active else None for record in self.records]
        answer = list(promote(done, metrics))
        if len(answer) != len(self.records):
            raise ValueError(f"promote answered for {len(answer)} runs of {len(self.records)}")
        goes_on = dict(zip(map(id, self.records), answer, strict=True))
        message = f"stopped at the rung of step {done} of {self.plan.steps}"
        stopped = {k: (Status.OK, message) for k, record in enumerate(self.active) if not goes_on[id(record)]}
        if stopped:
            self._end(stopped)

    def _end_diverged(self, finite: Tensor, what: str, done: int) -> None:
        if finite.all():
            return
        message = f"{what} not finite by step {done} of {self.plan.steps}"
        self._end({k: (Status.DIVERGED, message) for k, ok in enumerate(finite.tolist()) if not ok})

    def _end_late(self, done: int) -> None:
        limit = self.plan.time_limit
        if limit is not None and time.perf_counter() - self.start > limit:
            message = f"{limit:g} s were over after step {done} of {self.plan.steps}"
            self._end(dict.fromkeys(range(len(self.active)), (Status.TIMEOUT, message)))

    def _end(self, ended: _Failures) -> None:
        """Take runs out of the stack, with their outcomes."""
        self._share_time()
        for k, (status, message) in ended.items():
            self.active[k].status, self.active[k].message = status, message
        kept = [k for k in range(len(self.active)) if k not in ended]
        self.active = [self.active[k] for k in kept]
        rows = torch.tensor(kept, dtype=torch.int64, device=self.device)
        self.stack.keep(rows)
        self.optimizer.keep(rows)
        self.order.keep(kept)
        self.learning_rate, self.finite = self.learning_rate[rows], self.finite[rows]

    def _share_time(self) -> None:
        now = time.perf_counter()
        for record in self.active:
            record.seconds += (now - self.last_share) / len(self.active)
        self.last_share = now


def _losses(functions: Sequence[LossFunction], logits: Tensor, target: Tensor) -> Tensor:
    """The loss of each run, `[run]`; those of one group in one pass."""
    groups: dict[object, list[int]] = {}
    for k, function in enumerate(functions):
        groups.setdefault(function.group if isinstance(function, GraphLoss) else k, []).append(k)
    if len(groups) == 1 and isinstance(functions[0], GraphLoss):
        return GraphLoss.stacked([f for f in functions if isinstance(f, GraphLoss)], logits, target)
    # unbind and stack, as each is the other's backward; that of logits[k] would fill a stack with zeros for every run.
    slices, targets = logits.unbind(0), target.unbind(0)
    losses: dict[int, Tensor] = {}
    for rows in groups.values():
        graphs = [f for k in rows if isinstance(f := functions[k], GraphLoss)]
        if graphs:
            x, y = torch.stack([slices[k] for k in rows]), torch.stack([targets[k] for k in rows])
            losses.update(zip(rows, GraphLoss.stacked(graphs, x, y).unbind(0), strict=True))
        else:
            losses[rows[0]] = _checked(functions[rows[0]](slices[rows[0]], targets[rows[0]]))
    return torch.stack([losses[k] for k in range(len(functions))])


def _checked(loss: Tensor) -> Tensor:
    if not isinstance(loss, Tensor):
        raise TypeError(f"a loss must return a scalar tensor, got {type(loss).__name__}")
    if loss.ndim != 0:
        raise ValueError(f"a loss must return a scalar, got a tensor of shape {tuple(loss.shape)}")
    if not loss.requires_grad:
        raise ValueError("the loss does not depend on the logits, or is not differentiable in them")
    return loss.float()


def _failure(error: Exception) -> tuple[Status, str]:
    status = Status.OUT_OF_MEMORY if is_out_of_memory(error) else Status.ERROR
    return status, "".join(traceback.format_exception(error)).rstrip()
