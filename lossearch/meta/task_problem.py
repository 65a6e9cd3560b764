"""A task as an inner problem: trainings of its model with a learned loss in one of its slots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad

from lossearch.compile.one_step import is_transformed
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import PROGRESS, get_signature
from lossearch.meta.learnable import Learnable
from lossearch.meta.problem import scaled_to, whole_outcomes
from lossearch.tasks.described import DescribedTask, passing_draws
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.optimizers import make_update
from lossearch.training.plan import LossFunction, Run
from lossearch.training.seeds import LEARNING
from lossearch.training.slot_losses import SlotLosses
from lossearch.training.stacked_data import Gathered
from lossearch.training.stacked_models import DataOrder, Device, Stack, Watched, initial_weights, template
from lossearch.training.step_size import gradient_rms
from lossearch.training.train import train
from lossearch.training.trainer import sum_of
from lossearch.training.untrained import initial_inputs
from lossearch.zoo.named import graph_of

Neutral = Literal["step", "start", "none"]
"""How the size of the learned loss's gradient is taken out, see `TaskProblem`."""

_PART = 512  # held-out samples that are measured at once

_BY_METRIC = 'set objective = "metric", with estimator "es", "nres" or "pes"'


class TaskProblem:
    """Trainings of a task whose slot has the learned loss.

    What is lowered is a loss on the validation split, of which the gradient of a training is the hypergradient; or the
    task's metric, turned so that lower is better. Steps train on the training split alone.

    Args:
        task: one that describes its training.
        learnable: of the signature of the slot that is searched.
        steps: of a training; None takes the task's budget.
        neutral: "step" gives the gradient with respect to the weights, at every step, the size that the reference's
            has before training, so that coefficients learn a direction and no schedule of step sizes. "start" scales
            the loss once, as searches do: such that its gradient at untrained predictions has the size of the
            reference's. "none" leaves it as it is.
        objective: "loss", the default loss of the slot, the name of another loss of its signature, or "metric".
        reference: the loss whose gradient gives the size; None takes the default of the slot.
        learning_rate: factor on that of the task.
        outer_samples: of the validation split, the first so many are looked at by a differentiable objective.
        device: where to train.
        dtype: of weights and data.

    Raises:
        UserError: the task searches several slots, or losses are of other signatures.
    """

    def __init__(
        self,
        task: DescribedTask,
        learnable: Learnable,
        *,
        steps: int | None = None,
        neutral: Neutral = "step",
        objective: str = "loss",
        reference: Graph | None = None,
        learning_rate: float = 1.0,
        outer_samples: int = 1000,
        device: Device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if len(task.searched) != 1:
            found = f"{task.name}, which searches {' and '.join(task.searched)} together"
            raise UserError("a task that searches one of its slots", found, "name one of them: slot = …")
        (self.slot,) = task.searched
        self.task, self.name, self.learnable = task, task.name, learnable
        self.steps = task.budget if steps is None else steps
        self.neutral: Neutral = neutral
        self.metric = objective == "metric"
        self.rate = task.base_learning_rate * learning_rate
        self.outer_samples, self.device, self.dtype = outer_samples, device, dtype
        default = graph_of(task.slots[self.slot].default)
        own = {"learned": learnable.graph, "reference": reference or default}
        own["objective"] = default if objective in ("loss", "metric") else graph_of(objective)
        for role, graph in own.items():
            wanted = task.slots[self.slot].signature
            if graph.signature.name != wanted:
                found = f"the {role} loss of signature {graph.signature.name}"
                raise UserError(f"losses of signature {wanted}, for {task.name}", found, "name another loss")
        self._reference, self._objective = own["reference"], own["objective"]
        self.order = tuple(one.name for one in get_signature(task.slots[self.slot].signature).forward_inputs)
        self._checked = False
        self._untrained: tuple[tuple[Tensor, ...], tuple[int, ...], float] | None = None

    @cached_property
    def buffers(self) -> Mapping[str, Tensor]:
        """What losses of the slot are made with."""
        return _cast(loss_buffers(self.task, self.slot), self.device, self.dtype)

    @cached_property
    def reference(self) -> GraphLoss:
        """The loss whose gradient gives the size."""
        return GraphLoss(self._reference, self.buffers)

    @cached_property
    def outer(self) -> GraphLoss:
        """The loss on the validation split."""
        ended = torch.ones((), dtype=self.dtype, device=self.device)
        return GraphLoss(self._objective, {**self.buffers, PROGRESS.name: ended})

    @cached_property
    def others(self) -> Mapping[str, LossFunction]:
        """The losses of the other slots."""
        return SlotLosses(self.task, str(self.device)).with_({})

    def check(self, runs: int) -> None:
        """Raise `UserError` where a training of so many runs is no function of its weights, or has no objective."""
        self.episode(LEARNING[:runs] if not self.task.stackable else LEARNING[:1]).check()

    def episode(self, seeds: Sequence[int]) -> TaskEpisode:
        """See `Problem`; raises `UserError` for a task whose step has several phases."""
        if not self.task.stackable and len(seeds) > 1:
            found = f"{self.name}, whose trainings run one after the other"
            hint = 'set seeds = 1, and an estimator other than "nres" and "pes", whose trainings come in pairs'
            raise UserError("one training at a time, or a task whose trainings are stacked", found, hint)
        return TaskEpisode(self, seeds)

    def outcomes(self, points: Sequence[Sequence[float]], seeds: Sequence[int]) -> list[float]:
        """See `Problem`. For the metric, unless the size of every step is fixed, trainings are those of any search."""
        if self.neutral == "step" or not self.metric:
            if self.task.stackable:
                return whole_outcomes(self, points, seeds)
            pairs = zip(points, seeds, strict=True)
            return [value for point, seed in pairs for value in whole_outcomes(self, [point], [seed])]
        losses = [self._loss_at(point) for point in points]
        runs = [
            Run({**self.others, self.slot: loss}, self.rate, seed)
            for loss, seed in zip(losses, seeds, strict=True)
            if loss is not None
        ]
        sign = -1.0 if self.task.metric.higher_is_better else 1.0
        found = iter(train(self.task, runs, self.steps, device=self.device))
        metrics = [None if loss is None else next(found).metric for loss in losses]
        return [math.nan if metric is None else sign * metric for metric in metrics]

    def untrained(self) -> tuple[tuple[Tensor, ...], tuple[int, ...], float]:
        """What the slot's loss is given before training, which of it are predictions, and the reference's RMS there."""
        if self._untrained is None:
            with torch.enable_grad():
                given = initial_inputs(self.task, device=self.device)[self.slot]
                size = gradient_rms(self.reference.to(self.device), given)
            tensors = tuple(_cast(given.tensors, self.device, self.dtype).values())
            free = tuple(k for k, name in enumerate(given.tensors) if name in given.free)
            self._untrained = tensors, free, size
        return self._untrained

    def check_classes(self, inputs: Sequence[Tensor]) -> None:
        """Raise `UserError` where labels on the validation split are not of the classes that the model tells apart."""
        declared = get_signature(self.task.slots[self.slot].signature).forward_inputs
        place = next((k for k, one in enumerate(declared) if one.labels is not None), None)
        if self._checked or place is None or inputs[place].is_floating_point() or is_transformed():
            return
        axis = declared[place].labels
        length = next(
            tensor.shape[1 + one.axes.index(axis)]
            for one, tensor in zip(declared, inputs, strict=True)
            if axis in one.axes and one is not declared[place]
        )
        if int(inputs[place].max()) >= length:
            required = "validation data of the classes that are trained, for a loss on them as objective"
            raise UserError(required, f"others on {self.name}", _BY_METRIC)
        self._checked = True

    def _loss_at(self, point: Sequence[float]) -> GraphLoss | None:
        """The loss there as a search trains it; None where it has no gradient before training."""
        loss = GraphLoss(self.learnable.at(self.learnable.held(point)), self.buffers).to(self.device)
        if self.neutral == "none":
            return loss
        size = gradient_rms(loss, initial_inputs(self.task, device=self.device)[self.slot])
        return loss.scaled(self.untrained()[2] / size) if math.isfinite(size) and size > 0.0 else None


class TaskEpisode:
    """See `Episode`. Inner coefficients are those of the loss, and a factor on it."""

    def __init__(self, problem: TaskProblem, seeds: Sequence[int]) -> None:
        task = self._task = problem.task
        self.steps, self._problem, self._seeds = problem.steps, problem, list(seeds)
        config = task.config
        self.update = make_update(config.optimizer, config.weight_decay, config.momentum)
        device, dtype = problem.device, problem.dtype
        self._weights = initial_weights(task, seeds, device).to(dtype)
        self._stack = Stack(template(task, device), self._weights.clone(), not task.stackable)
        with passing_draws():  # an outer step hardly ever has the seeds of another
            drawn = {seed: task.draw(seed) for seed in dict.fromkeys(seeds)}
        self._training = Gathered(seeds, lambda seed: drawn[seed][0], device)
        self._held_out = Gathered(seeds, lambda seed: drawn[seed][1], device)
        for split in (self._training, self._held_out):
            split.tensors = _cast(split.tensors, device, dtype)
        samples, offsets = self._training.samples, self._training.offsets
        order = DataOrder(task.order, seeds, samples, config.batch_size, device, offsets)
        # All at once: what is made within a transform of torch.func is of no use after it.
        self._batches = [order.batch(step) for step in range(self.steps)]
        self._size = self._reference_size() if problem.neutral == "step" else None

    def initial_weights(self) -> Tensor:
        """See `Episode`."""
        return self._weights.clone()

    def inner_coefficients(self, points: Tensor) -> Tensor:
        """See `Episode`."""
        values = self._problem.learnable.values(points)
        return torch.cat([values, self._factor(values)], 1) if self._problem.neutral == "start" else values

    def loss(self, weights: Tensor, coefficients: Tensor, step: int) -> Tensor:
        """See `Episode`."""
        inputs, others = self._inputs(weights, self._batch(step))
        buffers = self._problem.buffers
        if self._problem.learnable.graph.uses(PROGRESS.name):
            progress = torch.full((), step / self.steps, dtype=weights.dtype, device=weights.device)
            buffers = {**buffers, PROGRESS.name: progress}
        if self._problem.neutral == "start":
            learned = self._problem.learnable.function(coefficients[:, :-1], inputs, buffers) * coefficients[:, -1]
        else:
            learned = self._problem.learnable.function(coefficients, inputs, buffers)
        return learned if others is None else learned + others

    def settled(self, gradient: Tensor) -> Tensor:
        """See `Episode`."""
        return gradient if self._size is None else scaled_to(gradient, self._size)

    def rates(self, step: int) -> tuple[Tensor, float]:
        """See `Episode`."""
        rate = torch.full_like(self._weights[:, :1], self._problem.rate)
        if self._task.config.schedule == "constant":
            return rate, 1.0
        return rate, (1 + math.cos(math.pi * step / self.steps)) / 2

    def objective(self, weights: Tensor) -> Tensor:
        """See `Episode`."""
        if self._problem.metric:
            return self._metric(weights)
        if missing := sorted(self._training.tensors.keys() - self._held_out.tensors.keys()):
            required = f"validation data with {', '.join(missing)}, as the training step takes, for a loss as objective"
            raise UserError(required, f"none on {self._problem.name}", _BY_METRIC)
        inputs, _ = self._inputs(weights, self._held_out_batch())
        self._problem.check_classes(inputs)
        return GraphLoss.stacked([self._problem.outer] * len(self._seeds), *inputs)

    def check(self) -> None:
        """Raise `UserError` where a step or a loss as objective cannot be computed."""
        with torch.no_grad():
            self._inputs(self._weights, self._batch(0))
            if not self._problem.metric:
                self.objective(self._weights)

    def _metric(self, weights: Tensor) -> Tensor:
        """The task's metric, turned so that lower is better; differentiable where it is a differentiable one."""
        self._stack.weights = weights
        watched = Watched(self._stack, not self._task.stackable)
        parts = self._held_out.parts(self._seeds, _PART)
        if not self._task.stackable:
            parts = ({name: tensor[0] for name, tensor in part.items()} for part in parts)
        metric = self._task.metric
        value = self._task.measure(watched, parts)[metric.name].reshape(-1)
        if torch.is_grad_enabled() and weights.requires_grad and not value.requires_grad:
            required = "an objective with a gradient, for this estimator"
            found = f"{metric.name} of {self._task.name}, which has none"
            raise UserError(required, found, 'set estimator = "es", "nres" or "pes", or objective = "loss"')
        value = torch.where(watched.finite, value, math.nan)
        return -value if metric.higher_is_better else value

    def _factor(self, values: Tensor) -> Tensor:
        """The factor on the loss of each run at which its gradient has the reference's size, `[run, 1]`."""
        tensors, free, wanted = self._problem.untrained()
        runs = len(values)
        expanded = [tensor.expand(runs, *tensor.shape) for tensor in tensors]

        def total(*predictions: Tensor) -> Tensor:
            given = list(expanded)
            for place, tensor in zip(free, predictions, strict=True):
                given[place] = tensor
            return self._problem.learnable.function(values, tuple(given), self._problem.buffers).sum()

        gradients = grad(total, argnums=tuple(range(len(free))))(*(expanded[place] for place in free))
        square = torch.cat([one.flatten(1) for one in gradients], 1).square().mean(1, keepdim=True)
        return wanted / square.sqrt()

    def _reference_size(self) -> Tensor:
        """The root mean square of the reference's gradient on the first batch, `[run, 1]`."""
        weights = self._weights.clone().requires_grad_()
        inputs, others = self._inputs(weights, self._batch(0))
        losses = GraphLoss.stacked([self._problem.reference] * len(self._seeds), *inputs)
        losses = losses if others is None else losses + others
        (gradient,) = torch.autograd.grad(losses.sum(), weights)
        return gradient.square().mean(1, keepdim=True).sqrt()

    def _batch(self, step: int) -> dict[str, Tensor]:
        return self._for_each_run(self._training.at(self._batches[step]))

    def _held_out_batch(self) -> dict[str, Tensor]:
        samples = min(self._problem.outer_samples, self._held_out.samples)
        return dict(next(iter(self._held_out.parts(self._seeds, samples))))

    def _for_each_run(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        runs = len(self._seeds)
        return {name: tensor.expand(runs, *tensor.shape[1:]) for name, tensor in batch.items()}

    def _inputs(self, weights: Tensor, batch: Mapping[str, Tensor]) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """What the learned loss is given, `[run, batch, ...]`, and the losses of the other slots, `[run]`, if any."""
        single = not self._task.stackable
        self._stack.weights = weights
        given = {name: tensor[0] for name, tensor in batch.items()} if single else batch
        phases = list(self._task.step(self._stack, given))
        if len(phases) != 1 or phases[0].parameters:
            found = f"{self._task.name}, which updates its models in turn"
            raise UserError(
                "a training step with one update, for trainings as functions of their weights",
                found,
                'set estimator = "es", objective = "metric" and neutral = "start"',
            )
        inputs = phases[0].inputs
        added: list[Tensor] = []
        for slot, loss in self._problem.others.items():
            names = [one.name for one in get_signature(self._task.slots[slot].signature).forward_inputs]
            tensors = [inputs[slot][name].unsqueeze(0) if single else inputs[slot][name] for name in names]
            added.append(torch.stack([loss(*row) for row in zip(*tensors, strict=True)]))
        others = sum_of(added) if added else None
        ordered = tuple(inputs[self._problem.slot][name] for name in self._problem.order)
        return tuple(tensor.unsqueeze(0) for tensor in ordered) if single else ordered, others


def _cast(tensors: Mapping[str, Tensor], device: Device, dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        name: tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)
        for name, tensor in tensors.items()
    }
