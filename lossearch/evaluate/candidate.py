"""Evaluating a candidate: its constants are tuned in one stacked training, then it is trained on fresh seeds."""

from __future__ import annotations

import functools
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from lossearch.compile.constants import candidates
from lossearch.errors import UserError
from lossearch.evaluate import seeds
from lossearch.evaluate.class_weights import inverse_frequencies
from lossearch.evaluate.graph_loss import GraphLoss
from lossearch.evaluate.step_size import SAMPLES, prediction_gradients, undecided_gradient_rms
from lossearch.evaluate.training import Outcome, Run, Status, train, untrained_predictions
from lossearch.ir.expr import Expr, constant
from lossearch.ir.graph import Graph
from lossearch.ir.places import Place, replace_at
from lossearch.ir.range_check import graph_out_of_range
from lossearch.ir.signatures import DENSE
from lossearch.ir.types import IllTyped
from lossearch.loss import Loss
from lossearch.tasks import Task, UserTask


class EvaluationConfig(BaseModel):
    """How a candidate is trained. A user's function trains it as it is, without tuning its constants first.

    Attributes:
        steps: optimiser steps of a full training; without it the task's. For a user's function its budget, which has
            no default.
        seeds: trainings whose mean metric is the score.
        learning_rates: factors on the task's learning rate that are tried.
        variants: settings of the constants that are tried, the given ones among them.
        spread: standard deviation of a variant's constants, in units of their logarithm.
        rung: share of the steps after which the worse half of the variants stops; without it all train to the end,
            which label noise calls for: there what learns fastest is not what ends best.
        time_limit_s: seconds for one stacked training, or for one call of a user's function.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int | None = Field(default=None, ge=1)
    seeds: int = Field(default=3, ge=1, le=len(seeds.SCORING))
    learning_rates: tuple[float, ...] = Field(default=(1.0, 4.0), min_length=1)
    variants: int = Field(default=4, ge=1)
    spread: float = Field(default=0.7, gt=0.0)
    rung: float | None = Field(default=None, gt=0.0, lt=1.0)
    time_limit_s: float | None = Field(default=None, gt=0.0)


@dataclass(frozen=True)
class CandidateResult:
    """What training a candidate gave.

    Attributes:
        status: OK if every seed ended with a metric, else how the first failure ended.
        score: mean metric over the seeds; None unless OK.
        metrics: metric of each seed, in order of the seeds 0, 1, …
        graph: the candidate with the constants that were tuned.
        learning_rate: the one that was best.
        step_scale: factor that gives the candidate the reference's RMS gradient at untrained predictions.
        curve: (step, metric) of the first seed.
        seconds: wall-clock of tuning and scoring.
        message: what went wrong.
    """

    status: Status
    score: float | None
    metrics: tuple[float, ...]
    graph: Graph
    learning_rate: float
    step_scale: float
    curve: tuple[tuple[int, float], ...]
    seconds: float
    message: str


@dataclass(frozen=True)
class _Setting:
    graph: Graph
    loss: GraphLoss
    scale: float
    learning_rate: float


class CandidateEvaluator:
    """Trains candidates on a task at the reference loss's step size. Same arguments, same result.

    Args:
        task: with train and validation splits, or the user's own function.
        reference: the loss whose RMS gradient at untrained predictions every candidate is scaled to.
        settings: see `EvaluationConfig`.
    """

    def __init__(self, task: Task | UserTask, reference: Graph, settings: EvaluationConfig) -> None:
        self.task = task
        self.settings = settings
        self._reference = reference
        self.class_weight: Tensor | None = None
        if reference.signature.name == DENSE.name:
            self._logits, self._target = untrained_predictions(task, SAMPLES)
            # A user's function knows its class frequencies, this process does not.
            classes = self._logits.shape[1]
            self.class_weight = inverse_frequencies(task) if isinstance(task, Task) else torch.ones(classes)
        self._wanted = self._size(reference)

    @property
    def _scoring_seeds(self) -> tuple[int, ...]:
        return seeds.first("scoring", self.settings.seeds)

    def evaluate(self, graph: Graph, seed: int) -> CandidateResult:
        """Tune the constants of `graph` and score it; `seed` draws the variants."""
        if isinstance(self.task, UserTask):
            return self._evaluate_function(self.task, graph)
        start = time.perf_counter()
        settings = self._settings(graph, seed)
        if not settings:
            return _without_gradient(graph)
        best = settings[0]
        if len(settings) > 1:
            tuned = self._train(settings, seeds.first("tuning constants", 1) * len(settings), rung=True)
            best = settings[self._best(tuned)]
        outcomes = self._train([best] * self.settings.seeds, self._scoring_seeds, rung=False)
        return _result(outcomes, best.graph, best.learning_rate, best.scale, time.perf_counter() - start)

    def _train(self, settings: Sequence[_Setting], trained: Sequence[int], rung: bool) -> list[Outcome]:
        assert isinstance(self.task, Task)
        pairs = zip(settings, trained, strict=True)
        runs = [Run(s.loss.scaled(s.scale), s.learning_rate, seed) for s, seed in pairs]
        limit, steps = self.settings.time_limit_s, self.settings.steps
        if rung and self.settings.rung is not None:
            rungs = (self.settings.rung,)
            return train(self.task, runs, steps, time_limit=limit, rungs=rungs, promote=self._better_half)
        every = max(1, (steps or self.task.config.steps) // 5)
        return train(self.task, runs, steps, time_limit=limit, eval_every=every)

    def _rank(self, metric: float | None) -> float:
        assert isinstance(self.task, Task)
        if metric is None or math.isnan(metric):
            return -math.inf
        return metric if self.task.metric.higher_is_better else -metric

    def _better_half(self, step: int, metrics: list[float | None]) -> list[bool]:
        order = sorted(range(len(metrics)), key=lambda k: (-self._rank(metrics[k]), k))
        kept = set(order[: (len(order) + 1) // 2])
        return [k in kept for k in range(len(metrics))]

    def _best(self, outcomes: Sequence[Outcome]) -> int:
        """The best that trained to the end: (steps reached, metric), the first of equals."""
        reached = [o.curve[-1][0] if o.curve and o.status is Status.OK else 0 for o in outcomes]
        return max(range(len(outcomes)), key=lambda k: (reached[k], self._rank(outcomes[k].metric), -k))

    def _settings(self, graph: Graph, seed: int) -> list[_Setting]:
        assert isinstance(self.task, Task)
        variants = constant_variants(graph, self.settings.variants, self.settings.spread, seed)
        losses = [GraphLoss(variant, self.class_weight) for variant in variants]
        rate = self.task.config.learning_rate
        return [
            _Setting(variant, loss, self._wanted / size, rate * factor)
            for variant, loss, size in zip(variants, losses, self._sizes(losses), strict=True)
            for factor in self.settings.learning_rates
            if math.isfinite(size) and size > 0.0
        ]

    def _sizes(self, losses: Sequence[GraphLoss]) -> list[float]:
        """RMS gradient of each loss at untrained predictions."""
        gradients = prediction_gradients(losses, self._logits, self._target)
        return gradients.flatten(1).double().square().mean(1).sqrt().tolist()

    def _size(self, graph: Graph) -> float:
        """RMS gradient of one loss at untrained predictions."""
        if graph.signature.name != DENSE.name:
            return undecided_gradient_rms(graph)
        return self._sizes([GraphLoss(graph, self.class_weight)])[0]

    def _evaluate_function(self, task: UserTask, graph: Graph) -> CandidateResult:
        """The user's own training, once per seed, with the loss as a module at the reference's step size.

        The function sets its own learning rate, and the constants stay as they are: evolution varies them.
        """
        if self.settings.steps is None:
            raise UserError("evaluation.steps, the budget of a user's function", "none", "set it in the configuration")
        start = time.perf_counter()
        size = self._size(graph)
        if not (math.isfinite(size) and size > 0.0):
            return _without_gradient(graph)
        # The factor becomes part of the loss, so that what is exported trains as what was scored.
        scale = float(f"{self._wanted / size:.3g}")
        scaled = graph if scale == 1.0 else _times(graph, scale)
        # Expanded: the user's process knows no primitives.
        factory = functools.partial(Loss("candidate", scaled.expanded()).to_module)
        outcomes = [task.evaluate(factory, self.settings.steps, seed) for seed in self._scoring_seeds]
        return _result(outcomes, scaled, math.nan, scale, time.perf_counter() - start)


def _times(graph: Graph, factor: float) -> Graph:
    """The graph with its value, but no weight of the mean over it, multiplied."""
    root, *weights = graph.roots
    return graph.with_roots([constant(factor) * root, *weights])


def _without_gradient(graph: Graph) -> CandidateResult:
    message = "no gradient at untrained predictions"
    return CandidateResult(Status.DIVERGED, None, (), graph, 0.0, math.nan, (), 0.0, message)


def _result(
    outcomes: Sequence[Outcome], graph: Graph, learning_rate: float, scale: float, seconds: float
) -> CandidateResult:
    failed = next((o for o in outcomes if o.status is not Status.OK), None)
    metrics = tuple(math.nan if o.metric is None else o.metric for o in outcomes)
    return CandidateResult(
        Status.OK if failed is None else failed.status,
        sum(metrics) / len(metrics) if failed is None else None,
        metrics,
        graph,
        learning_rate,
        scale,
        outcomes[0].curve,
        seconds,
        "" if failed is None else failed.message,
    )


def constant_variants(graph: Graph, count: int, spread: float, seed: int) -> list[Graph]:
    """The graph, and well-typed, in-range others with constants, each place by itself, times e^(spread·N(0, 1))."""
    found = candidates(graph.roots)
    if not found:
        return [graph]
    rng = random.Random(f"{graph.key}:{seed}")
    variants = [graph]
    for _ in range(count - 1):
        changes: dict[Place, Expr] = {}
        for place in found:
            value = place.value * math.exp(spread * rng.gauss(0.0, 1.0))
            changes[place] = constant(float(f"{min(max(value, -1e3), 1e3):.3g}"))
        try:
            variant = graph.with_roots(replace_at(graph.roots, changes))
        except IllTyped:
            continue
        if graph_out_of_range(variant) is None:
            variants.append(variant)
    return variants
