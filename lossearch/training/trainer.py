"""The loop that trains a stack of runs: one forward, backward and update for all, an outcome for each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lossearch.errors import UserError
from lossearch.failure_text import traceback_text
from lossearch.ir.core.signature import get_signature
from lossearch.tasks.described import DescribedTask, Phase, Split
from lossearch.tasks.outcome import Outcome, Status, is_out_of_memory
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.optimizers import StackedOptimizer, make_optimizer
from lossearch.training.plan import LossFunction, Plan, Run
from lossearch.training.progress import TrainingProgress
from lossearch.training.stacked_data import Gathered
from lossearch.training.stacked_models import DataOrder, Device, Stack, Watched, initial_weights, template

_CHECK_EVERY = 10  # steps between looks for non-finite numbers, each of which makes a GPU wait
_EVALUATION_BATCH = 16_384  # samples, over all runs, that are evaluated at once
_EVALUATION_ELEMENTS = 2**24  # entries of their largest tensor, where that is fewer samples

_Failures = dict[int, tuple[Status, str]]


@dataclass(eq=False)
class _Record:
    """What is known of one run so far."""

    run: Run
    curve: list[tuple[int, float]] = field(default_factory=list)
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    status: Status = Status.OK
    message: str = ""

    def outcome(self) -> Outcome:
        ended = bool(self.curve) and self.status is Status.OK
        metric, metrics = (self.curve[-1][1], self.metrics) if ended else (None, {})
        return Outcome(self.status, metric, tuple(self.curve), self.seconds, self.message, metrics)


class Trainer:
    """The state of one simultaneous training. Row k of every stacked tensor belongs to the k-th active run.

    Args:
        task: data, model, metrics, optimiser and schedule. One that is not stackable is given one run alone.
        runs: at least one.
        plan: when to stop and to evaluate.
        device: where to train.
        split: what to evaluate a run on, by its seed.
    """

    def __init__(
        self, task: DescribedTask, runs: Sequence[Run], plan: Plan, device: Device, split: Callable[[int], Split]
    ) -> None:
        if len(runs) > 1 and not task.stackable:
            raise ValueError(f"{len(runs)} runs at once of {task.name}, which is not stackable")
        self.task, self.plan, self.device, self.split = task, plan, device, split
        self.single = not task.stackable
        self.names = {slot: _input_names(one.signature) for slot, one in task.slots.items()}
        self.progress = TrainingProgress(device)
        self.records = [_Record(replace(run, loss=self.progress.followed_by(run.losses))) for run in runs]
        self.active = list(self.records)
        self.done = 0
        self.spent = 0.0

    def advance(self, until: int) -> None:
        """Train up to a step of the plan, from wherever the training stands; nothing where all runs have ended."""
        if not self.active:
            return
        self.last_share = time.perf_counter()
        if self.done == 0:
            self._allocate()
        while self.active and self.done < until:
            self._step(self.done)
            self.done += 1
            evaluates = self.plan.evaluates_after(self.done)
            if evaluates or self.done % _CHECK_EVERY == 0:
                self._end_diverged(self.finite & self.stack.weights.detach().isfinite().all(1), "loss or weights")
            if evaluates and self.active:
                self._evaluate()
            if self.done < self.plan.steps and self.active:
                self._end_late()
        self._share_time()
        if not self.active or self.done == self.plan.steps:
            del self.stack, self.training, self.held_out, self.optimizers  # others are trained after this one

    def metrics(self) -> list[float | None]:
        """The last metric of every run; None where it has ended."""
        return [record.curve[-1][1] if record in self.active else None for record in self.records]

    def stop(self, goes_on: Sequence[bool]) -> None:
        """End the active ones of the runs that do not go on, with the metric that they have."""
        answer = dict(zip(map(id, self.records), goes_on, strict=True))
        message = f"stopped at the rung of step {self.done} of {self.plan.steps}"
        stopped = {k: (Status.OK, message) for k, record in enumerate(self.active) if not answer[id(record)]}
        if stopped:
            self.last_share = time.perf_counter()
            self._end(stopped)

    def outcomes(self) -> list[Outcome]:
        """What came of every run."""
        return [record.outcome() for record in self.records]

    def give_up(self, status: Status, message: str) -> None:
        """End all runs under way with one status and message."""
        self._share_time()
        for record in self.active:
            record.status, record.message = status, message
        self.active = []

    def _allocate(self) -> None:
        given, device, runs = self.task.config, self.device, [record.run for record in self.active]
        seeds = [run.seed for run in runs]
        self.training = Gathered(seeds, lambda seed: self.task.draw(seed)[0], device)
        self.held_out = Gathered(seeds, self.split, device)
        weights = initial_weights(self.task, seeds, device)
        self.stack = Stack(template(self.task, device), weights, self.single)
        self.optimizers: dict[str, tuple[slice, StackedOptimizer]] = {}
        self.learning_rate = torch.tensor([[run.learning_rate] for run in runs], device=device)
        samples, offsets = self.training.samples, self.training.offsets
        self.order = DataOrder(self.task.order, seeds, samples, given.batch_size, device, offsets)
        self.finite = torch.ones(len(runs), dtype=torch.bool, device=device)

    def _step(self, step: int) -> None:
        failed: _Failures = {}
        self.progress.tell(step, self.plan.steps)
        batch = self._batch(step)
        phases = self.task.step(self.stack, batch)
        if isinstance(phases, tuple | list) and len(phases) == 1 and self._graphs_alone():
            gradient = self._at_once(self._inputs(phases[0]))
            if gradient is not None:
                self._update(phases[0].parameters, *gradient, step)
                return
            phases = self.task.step(self.stack, batch)
        for phase in phases:
            self._update(phase.parameters, *self._gradient(self._inputs(phase), failed), step)
        if failed:
            self._end(failed)

    @torch.no_grad()
    def _update(self, prefix: str, losses: Tensor, gradient: Tensor, step: int) -> None:
        """Move the parameters of a phase along their gradient."""
        self.finite &= losses.isfinite()
        columns, optimizer = self._optimizer(prefix)
        weights = self.stack.weights
        if prefix:
            weights, gradient = weights[:, columns], gradient[:, columns]
        optimizer.step(weights, gradient, self.learning_rate, self._schedule(step))

    def _batch(self, step: int) -> dict[str, Tensor]:
        indices = self.order.batch(step)
        batch = self.training.at(indices)
        if self.single:
            return {name: tensor[0] for name, tensor in batch.items()}
        if len(indices) < len(self.active):  # one seed, so one batch, for all
            return {name: tensor.expand(len(self.active), *tensor.shape[1:]) for name, tensor in batch.items()}
        return batch

    def _inputs(self, phase: Phase) -> dict[str, list[Tensor]]:
        """What each slot's losses are given, in the order of its signature; of a single run with the axis `run`."""
        found: dict[str, list[Tensor]] = {}
        for slot, given in phase.inputs.items():
            if slot not in self.names or set(given) != set(self.names[slot]):
                told = f"{', '.join(given)} for {slot!r}"
                required = "; ".join(f"{', '.join(names)} for {name!r}" for name, names in self.names.items())
                raise UserError(f"a step that gives {required}", told, f"correct {type(self.task).__name__}.step")
            ordered = [given[name] for name in self.names[slot]]
            found[slot] = [tensor.unsqueeze(0) for tensor in ordered] if self.single else ordered
        if not any(tensor.requires_grad for tensors in found.values() for tensor in tensors):
            required = "a step that gives losses what the model returns"
            raise UserError(required, "nothing that depends on its parameters", "call model in step")
        return found

    def _graphs_alone(self) -> bool:
        return all(isinstance(loss, GraphLoss) for record in self.active for loss in record.run.losses.values())

    def _at_once(self, inputs: Mapping[str, Sequence[Tensor]]) -> tuple[Tensor, Tensor] | None:
        """As `_gradient`, through losses and model at once, which is quicker; None where a loss raises.

        The model's outputs are then of no more use: half of their graph may be gone.
        """
        runs = [record.run.losses for record in self.active]
        try:
            total = sum_of([_losses([run[slot] for run in runs], tensors) for slot, tensors in inputs.items()])
            (gradient,) = torch.autograd.grad(total.sum(), self.stack.weights)
        except Exception as error:  # met again by `_gradient`, run by run, where it becomes an outcome
            if is_out_of_memory(error):
                raise
            return None
        return total.detach(), gradient

    def _gradient(self, inputs: Mapping[str, Sequence[Tensor]], failed: _Failures) -> tuple[Tensor, Tensor]:
        """Losses `[run]` and their gradients `[run, parameter]`.

        Gradients are taken in two parts, at the losses' inputs, so that a loss that raises leaves the model's part
        whole for the other runs.
        """
        cut = _Cut(inputs)
        try:
            losses, gradients = self._together(cut)
        except Exception:
            losses, gradients = self._apart(cut, failed)
        (gradient,) = torch.autograd.grad(cut.outputs, self.stack.weights, gradients)
        return losses, gradient

    def _together(self, cut: _Cut) -> tuple[Tensor, Sequence[Tensor]]:
        """Losses and gradients at their inputs, of all runs at once. Raises if any loss does."""
        runs = [record.run.losses for record in self.active]
        total = sum_of([_losses([run[slot] for run in runs], cut.leaves[slot]) for slot in cut.leaves])
        gradients = torch.autograd.grad(total.sum(), cut.free, allow_unused=len(cut.free) > 1)
        return total.detach(), _filled(gradients, cut.free)

    def _apart(self, cut: _Cut, failed: _Failures) -> tuple[Tensor, Sequence[Tensor]]:
        """The same with each run by itself, on memory of its own. One that raises is noted in `failed`."""
        losses = cut.free[0].new_zeros(len(self.active))
        gradients = [torch.zeros_like(leaf) for leaf in cut.free]
        for k, record in enumerate(self.active):
            own = _Cut({slot: [tensor[k] for tensor in tensors] for slot, tensors in cut.leaves.items()})
            try:
                # Copies, so that a loss may write to its inputs, as it may in an ordinary loop.
                parts = {slot: [tensor.clone() for tensor in tensors] for slot, tensors in own.leaves.items()}
                loss = sum_of([_checked(record.run.losses[slot](*tensors)) for slot, tensors in parts.items()])
                found = torch.autograd.grad(loss, own.free, allow_unused=len(own.free) > 1)
            except Exception as error:
                failed[k] = _failure(error)
                continue
            losses[k] = loss.detach()
            for gradient, one in zip(gradients, _filled(found, own.free), strict=True):
                gradient[k] = one
        return losses, gradients

    def _optimizer(self, prefix: str) -> tuple[slice, StackedOptimizer]:
        """The columns of a phase's parameters, and what updates them."""
        found = self.optimizers.get(prefix)
        if found is None:
            given, columns = self.task.config, self.stack.columns(prefix)
            weights = self.stack.weights.detach()[:, columns]
            made = make_optimizer(given.optimizer, weights, given.weight_decay, given.momentum)
            found = self.optimizers[prefix] = columns, made
        return found

    def _schedule(self, step: int) -> float:
        if self.task.config.schedule == "constant":
            return 1.0
        return (1 + math.cos(math.pi * step / self.plan.steps)) / 2

    @torch.no_grad()
    def _evaluate(self) -> None:
        seeds = [record.run.seed for record in self.active]
        parts = self.held_out.parts(seeds, self._part_size(len(seeds)))
        model = Watched(self.stack, self.single)
        if self.single:
            parts = ({name: tensor[0] for name, tensor in part.items()} for part in parts)
        values = {name: value.reshape(-1).tolist() for name, value in self.task.measure(model, parts).items()}
        self._check_measured(values)
        for k, (record, finite) in enumerate(zip(self.active, model.finite.tolist(), strict=True)):
            if finite:
                record.metrics = {name: value[k] for name, value in values.items()}
                record.curve.append((self.done, record.metrics[self.task.metric.name]))
        self._end_diverged(model.finite, "predictions")

    def _check_measured(self, values: Mapping[str, list[float]]) -> None:
        """Raise `UserError` where the task's `measure` does not give what ranks, or not one number for each run."""
        wanted, runs = self.task.metric.name, len(self.active)
        if wanted not in values or any(len(value) != runs for value in values.values()):
            found = ", ".join(f"{len(value)} of {name}" for name, value in values.items()) or "nothing"
            required = f"measure of the task {self.task.name} to give {wanted}, and of each metric {runs} numbers"
            raise UserError(
                required, found, "correct what it gives: one number for each run, by the names of `metrics`"
            )

    def _part_size(self, runs: int) -> int:
        largest = max(tensor[0].numel() for tensor in self.held_out.tensors.values())
        return max(1, min(_EVALUATION_BATCH, _EVALUATION_ELEMENTS // max(1, largest)) // runs)

    def _end_diverged(self, finite: Tensor, what: str) -> None:
        if finite.all():
            return
        message = f"{what} not finite by step {self.done} of {self.plan.steps}"
        self._end({k: (Status.DIVERGED, message) for k, ok in enumerate(finite.tolist()) if not ok})

    def _end_late(self) -> None:
        limit = self.plan.time_limit
        if limit is not None and self.spent + time.perf_counter() - self.last_share > limit:
            message = f"{limit:g} s were over after step {self.done} of {self.plan.steps}"
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
        for _, optimizer in self.optimizers.values():
            optimizer.keep(rows)
        self.order.keep(kept)
        self.learning_rate, self.finite = self.learning_rate[rows], self.finite[rows]

    def _share_time(self) -> None:
        now = time.perf_counter()
        self.spent += now - self.last_share
        for record in self.active:
            record.seconds += (now - self.last_share) / len(self.active)
        self.last_share = now


class _Cut:
    """The inputs of losses as variables of their own, at which gradients are cut in two.

    Attributes:
        leaves: by slot, in the order of its signature.
        outputs: the inputs that depend on the model's parameters.
        free: the leaves that stand for these.
    """

    def __init__(self, inputs: Mapping[str, Sequence[Tensor]]) -> None:
        self.outputs: list[Tensor] = []
        self.free: list[Tensor] = []
        self.leaves = {slot: [self._leaf(tensor) for tensor in tensors] for slot, tensors in inputs.items()}

    def _leaf(self, tensor: Tensor) -> Tensor:
        if not tensor.requires_grad:
            return tensor
        self.outputs.append(tensor)
        self.free.append(tensor.detach().requires_grad_())
        return self.free[-1]


def _input_names(signature: str) -> tuple[str, ...]:
    return tuple(declared.name for declared in get_signature(signature).forward_inputs)


def sum_of(values: Sequence[Tensor]) -> Tensor:
    """The sum of at least one tensor; of one alone the tensor itself."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _filled(gradients: Sequence[Tensor | None], of: Sequence[Tensor]) -> list[Tensor]:
    """Gradients, with zeros where nothing depends on what they are taken of."""
    return [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, of, strict=True)]


def _losses(functions: Sequence[LossFunction], inputs: Sequence[Tensor]) -> Tensor:
    """The loss of each run, `[run]`, from inputs `[run, ...]`; those of one group in one pass."""
    groups: dict[object, list[int]] = {}
    for k, function in enumerate(functions):
        groups.setdefault(function.group if isinstance(function, GraphLoss) else k, []).append(k)
    if len(groups) == 1 and isinstance(functions[0], GraphLoss):
        return GraphLoss.stacked([f for f in functions if isinstance(f, GraphLoss)], *inputs)
    # unbind and stack, as each is the other's backward; that of logits[k] would fill a stack with zeros for every run.
    # Where runs share a batch each has a copy of its own, so that no loss can write into another's.
    slices = [tensor.contiguous().unbind(0) for tensor in inputs]
    losses: dict[int, Tensor] = {}
    for rows in groups.values():
        graphs = [f for k in rows if isinstance(f := functions[k], GraphLoss)]
        if graphs:
            own = [torch.stack([parts[k] for k in rows]) for parts in slices]
            losses.update(zip(rows, GraphLoss.stacked(graphs, *own).unbind(0), strict=True))
        else:
            (k,) = rows
            losses[k] = _checked(functions[k](*(parts[k] for parts in slices)))
    return torch.stack([losses[k] for k in range(len(functions))])


def _checked(loss: Tensor) -> Tensor:
    if not isinstance(loss, Tensor):
        raise TypeError(f"a loss must return a scalar tensor, got {type(loss).__name__}")
    if loss.ndim != 0:
        raise ValueError(f"a loss must return a scalar, got a tensor of shape {tuple(loss.shape)}")
    if not loss.requires_grad:
        raise ValueError("the loss does not depend on the predictions, or is not differentiable in them")
    return loss.float()


def _failure(error: Exception) -> tuple[Status, str]:
    status = Status.OUT_OF_MEMORY if is_out_of_memory(error) else Status.ERROR
    return status, traceback_text(error).rstrip()
