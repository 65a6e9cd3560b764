"""Evaluating a candidate by the user's own training function, at the reference loss's step size."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from lossearch.candidates.scoring import (
    CandidateResult,
    EvaluationConfig,
    ranked_best,
    scored,
    without_gradient,
)
from lossearch.candidates.stopping import NEVER, Stops, TrainingWatch
from lossearch.candidates.variants import candidate_variants
from lossearch.errors import UserError
from lossearch.ir.core.joint import AnyGraph
from lossearch.tasks import UserTask
from lossearch.tasks.base import require
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.user.first_calls import FirstCalls
from lossearch.training import seeds
from lossearch.training.device import check_takes_device, usable_device
from lossearch.training.function_trainer import FunctionTrainer, Scaled


class FunctionEvaluator:
    """Trains candidates by calling the user's function, with the loss as a module. Same arguments, same result.

    With several variants or learning rates in its settings, each is tried on a seed of its own, and the best is scored.
    By default a candidate is trained as it is: evolution varies its constants, and the function sets its learning rate.

    Args:
        task: the function.
        reference: the loss at whose step size candidates are trained.
        settings: `steps` is the budget that the function is called with.
        first_call: what the function gives its loss at its first call; None calls it to find out.

    Raises:
        UserError: there is no budget, learning rates or a device are given for a function that takes none, or the
            reference has no gradient at the first call.
    """

    def __init__(
        self, task: UserTask, reference: AnyGraph, settings: EvaluationConfig, first_call: FirstCalls | None = None
    ) -> None:
        settings = settings.for_function()
        if settings.steps is None:
            raise UserError("evaluation.steps, the budget of a user's function", "none", "set it in the configuration")
        self._tunes_rate = settings.learning_rates != (1.0,)
        if self._tunes_rate:
            require(task, "tune", f"evaluation.learning_rates = {list(settings.learning_rates)}")
        check_takes_device(task, settings.device)
        self.task = task
        self.settings = settings
        self._trainer = FunctionTrainer(task, reference, settings.steps, first_call, settings.device)
        self.first_call = self._trainer.first_call

    @cached_property
    def device(self) -> str | None:
        """What the function is told of where to train; None where it decides by itself."""
        return None if self.settings.device is None else usable_device(self.settings.device)

    def evaluate(self, graph: AnyGraph, seed: int, stops: Stops = NEVER) -> CandidateResult:
        """Score a candidate; what the function and the loss do wrong is its outcome.

        Args:
            graph: the candidate.
            seed: draws the variants.
            stops: ends its first scoring training where that lags behind those of earlier candidates, and its other
                seeds with it; of its variants those that lag behind each other.
        """
        start = time.perf_counter()
        try:
            variants = candidate_variants(graph, self.settings.variants, self.settings.spread, seed)
            found = [self._trainer.scaled(variant) for variant in variants]
        except UserError as error:  # the loss refuses these inputs
            return CandidateResult(Status.ERROR, None, (), graph, math.nan, 0.0, (), 0.0, str(error))
        settings = [(scaled, rate) for scaled in found if scaled is not None for rate in self.settings.learning_rates]
        if not settings:
            return without_gradient(graph)
        (best, rate), spent = (settings[0], 0) if len(settings) == 1 else self._best(settings, stops)
        watch = TrainingWatch(stops.allow)
        scoring = seeds.first("scoring", self.settings.seeds)
        outcomes = self._trainer.train(best.graph, scoring, watch, **self._given(rate))
        learning_rate = rate if self._tunes_rate else math.nan
        seconds = time.perf_counter() - start
        metric, robustness = self.task.metric, self.settings.robustness
        result = scored(outcomes, best.graph, learning_rate, best.scale, seconds, self.device, metric, robustness)
        whole = spent + len(outcomes) * self._trainer.budget
        if watch.stopped is None or result.status is not Status.OK:
            return replace(result, spent=whole)
        reached = stops.reached(watch.stopped, self._trainer.budget)
        return replace(result, stopped=reached, spent=spent + reached)

    def _given(self, rate: float) -> dict[str, Any]:
        given: dict[str, Any] = {"learning_rate": rate} if self._tunes_rate else {}
        return given if self.device is None else {**given, "device": self.device}

    def _best(self, settings: Sequence[tuple[Scaled, float]], stops: Stops) -> tuple[tuple[Scaled, float], int]:
        """The setting that is best on the seed for tuning, and the budget that was spent to find it."""
        (tuning_seed,) = seeds.first("tuning constants", 1)
        outcomes: list[Outcome] = []
        spent, allow = 0, stops.among()
        for scaled, rate in settings:
            watch = TrainingWatch(allow)
            outcomes += self._trainer.train(scaled.graph, [tuning_seed], watch, **self._given(rate))
            budget = self._trainer.budget
            spent += budget if watch.stopped is None else stops.reached(watch.stopped, budget)
        return settings[ranked_best(outcomes, self.task.metric)], spent
