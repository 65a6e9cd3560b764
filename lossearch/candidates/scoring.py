"""Evaluating a candidate: its constants are tuned in one stacked training, then it is trained on fresh seeds."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from lossearch.archive.robustness import robust_score
from lossearch.candidates.stopping import NEVER, StoppingConfig, Stops, TrainingWatch
from lossearch.candidates.variants import candidate_variants
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import AnyGraph, JointGraph, by_slot
from lossearch.meta.constants import check_hypergradients, learned_constants
from lossearch.tasks.base import Metric
from lossearch.tasks.described import DescribedTask
from lossearch.tasks.distribution.task import DistributionTask
from lossearch.tasks.outcome import Outcome, Status
from lossearch.training import seeds
from lossearch.training.device import DeviceName, usable_device
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.members import check_functions
from lossearch.training.plan import Promote, Run
from lossearch.training.scaled_graph import scaled_to
from lossearch.training.slot_losses import SlotLosses
from lossearch.training.step_size import gradient_rms
from lossearch.training.train import train
from lossearch.training.untrained import initial_inputs


class EvaluationConfig(BaseModel):
    """How a candidate is trained.

    Attributes:
        steps: optimiser steps of a full training; without it the task's. For a user's function its budget, which has
            no default.
        seeds: trainings whose mean metric is the score.
        learning_rates: factors on the task's learning rate that are tried. A user's function is called with 1 alone
            unless others are given, which it must take as `learning_rate`.
        variants: settings of the constants that are tried, the given ones among them; of a user's function the given
            ones alone unless more are asked for, since each costs a call.
        spread: standard deviation of a variant's constants, in units of their logarithm.
        hypergradients: outer steps through whole unrolled trainings by which the constants are learned; what they lead
            to is tried besides the variants. Each costs about three trainings. For a single task with one slot that is
            searched and one update a step; not of a user's function. A loss without a second derivative has variants
            alone.
        rung: share of the steps after which the worse half of the variants stops; without it all train to the end,
            which label noise calls for: there what learns fastest is not what ends best. Of a distribution share of the
            tasks, which then come in the order of `stopping`.
        time_limit_s: seconds for one stacked training, or for one call of a user's function.
        robustness: share, in [0, 1], by which a candidate's score is moved from the mean over its seeds towards the
            worst of them, in the search, the archive and the final race. Constants are then tuned to serve at all of
            `learning_rates` (unless `rung` stops some), and of those that last in the race one whose learning rate can
            hardly be moved (see `race.learning_rates`) stands behind the others. 0 ranks by the mean. It misleads with
            few seeds, of which the worst is mostly noise: a loss that fails once in ten trainings passes three seeds in
            7 of 10 cases. And it prefers losses that learn slowly and surely.
        device: where to train: "cpu", "cuda" (a GPU), or "auto" (a GPU where the process that trains sees one). Without
            it on the CPU, or on the GPU that `resources` ask for; a user's function, which is given it as `device`,
            decides then by itself.
        concurrent: trainings of an island under way at once, in processes of their own (see `resources`). With more
            than 1, and with `resources`, an island proposes a whole generation before it learns from its trainings, so
            that the result is the same for any number. Without it one, or with `resources` as many as the cluster has
            room for.
        stopping: when calls of a user's function that lag behind are stopped; or after which tasks of a distribution.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int | None = Field(default=None, ge=1)
    seeds: int = Field(default=3, ge=1, le=len(seeds.SCORING))
    learning_rates: tuple[float, ...] = Field(default=(1.0, 4.0), min_length=1)
    variants: int = Field(default=4, ge=1)
    spread: float = Field(default=0.7, gt=0.0)
    hypergradients: int = Field(default=0, ge=0, le=100)
    rung: float | None = Field(default=None, gt=0.0, lt=1.0)
    time_limit_s: float | None = Field(default=None, gt=0.0)
    robustness: float = Field(default=0.0, ge=0.0, le=1.0)
    device: DeviceName | None = None
    stopping: StoppingConfig = StoppingConfig.model_validate({})
    concurrent: int | None = Field(default=None, ge=1, le=10_000)

    def for_function(self) -> Self:
        """The settings for a user's function, which trains a candidate as it is unless more was asked for."""
        single = {"variants": 1, "learning_rates": (1.0,)}
        return self.model_copy(update={name: one for name, one in single.items() if name not in self.model_fields_set})


@dataclass(frozen=True)
class CandidateResult:
    """What training a candidate gave.

    Attributes:
        status: OK if every seed ended with a metric, else how the first failure ended.
        score: mean metric over the seeds, moved towards the worst as `robustness` says; None unless OK.
        metrics: metric of each seed, in order of the seeds 0, 1, …
        graph: the candidate with the constants that were tuned.
        learning_rate: the one that was best.
        step_scale: factor that gives the candidate the reference's RMS gradient at untrained predictions. On a task
            with several slots it is part of `graph`, as the losses are added there, and this is 1.
        curve: (step, metric) of the first seed; of candidates that race across tasks (tasks done, mean fitness over
            the seeds).
        seconds: wall-clock of tuning and scoring.
        message: what went wrong.
        all_metrics: of each seed all metrics that its training gave, by name, the ranking one among them.
        stopped: the share of the budget after which its first training was stopped, as it lagged behind earlier
            candidates; its score is then of that one seed, or, of a distribution, of the tasks by then. None for a
            candidate that was trained to the end.
        spent: budget of all calls of a user's function together, those of variants included.
        device: where it was trained; None where a user's function decided.
    """

    status: Status
    score: float | None
    metrics: tuple[float, ...]
    graph: AnyGraph
    learning_rate: float
    step_scale: float
    curve: tuple[tuple[int, float], ...]
    seconds: float
    message: str
    all_metrics: tuple[Mapping[str, float], ...] = ()
    stopped: int | None = None
    spent: int = 0
    device: str | None = None


@dataclass(frozen=True)
class _Setting:
    """What one training is given: the losses by slot, times a factor, and the learning rate of all."""

    graph: AnyGraph
    losses: Mapping[str, GraphLoss]
    scale: float
    learning_rate: float


class CandidateEvaluator:
    """Trains candidates on a task at the reference loss's step size. Same arguments, same result.

    Args:
        task: with train and validation splits.
        reference: the loss whose RMS gradient at untrained predictions every candidate is scaled to; where several
            slots are searched, that of each.
        settings: see `EvaluationConfig`.

    Raises:
        UserError: constants are to follow hypergradients, which the task does not allow, or a function among the tasks
            of a distribution fails before it calls its loss.
    """

    def __init__(self, task: DescribedTask, reference: AnyGraph, settings: EvaluationConfig) -> None:
        self.task = task
        self.settings = settings
        self._reference = reference
        if settings.hypergradients:
            check_hypergradients(task)
        if isinstance(task, DistributionTask):
            check_functions(task, settings.device or "cpu", train, settings.time_limit_s)
        self.buffers = {slot: loss_buffers(task, slot) for slot in task.searched}
        self._inputs = initial_inputs(task)
        self._wanted = {slot: self._size(slot, loss) for slot, loss in self._losses(reference).items()}

    @property
    def first_call(self) -> None:
        """None: what losses are given at first is known from the task's own model."""
        return None

    @cached_property
    def device(self) -> str:
        """Where to train; asked for where a training begins, since a driver need not have what its workers have."""
        return usable_device(self.settings.device or "cpu")

    @property
    def _scoring_seeds(self) -> tuple[int, ...]:
        return seeds.first("scoring", self.settings.seeds)

    def evaluate(self, graph: AnyGraph, seed: int, stops: Stops = NEVER) -> CandidateResult:
        """Tune the constants of `graph` and score it.

        Args:
            graph: the candidate.
            seed: draws the variants.
            stops: ends the scoring on the tasks of a distribution where it lags behind earlier candidates; of a single
                task nothing is stopped but variants, at a rung.
        """
        start = time.perf_counter()
        settings = self._settings(graph, seed)
        if not settings:
            return without_gradient(graph)
        best = settings[0]
        if len(settings) > 1:
            rungs = () if self.settings.rung is None else (self.settings.rung,)
            halved = self._better_half if rungs else None
            tuned = self._train(settings, seeds.first("tuning constants", 1) * len(settings), rungs, halved)
            best = settings[self._best(settings, tuned)]
        if self.task.stops_scoring and self.settings.stopping.rungs:
            return self._raced(best, stops, start)
        outcomes = self._train([best] * self.settings.seeds, self._scoring_seeds)
        seconds = time.perf_counter() - start
        robustness = self.settings.robustness
        return scored(
            outcomes, best.graph, best.learning_rate, best.scale, seconds, self.device, self.task.metric, robustness
        )

    def _raced(self, best: _Setting, stops: Stops, start: float) -> CandidateResult:
        """Score a setting on one task after the other, as long as it does not lag behind earlier candidates."""
        task = self.task
        watch, tasks = TrainingWatch(stops.allow), len(task.members)

        def promote(done: int, metrics: list[float | None]) -> list[bool]:
            known = [metric for metric in metrics if metric is not None]
            # Where a seed failed the candidate has failed.
            return [len(known) == len(metrics) and watch(done, sum(known) / len(known))] * len(metrics)

        rungs = tuple(done / tasks for done in range(1, tasks))
        outcomes = self._train([best] * self.settings.seeds, self._scoring_seeds, rungs, promote)
        seconds, robustness = time.perf_counter() - start, self.settings.robustness
        graph, rate = best.graph, best.learning_rate
        result = scored(outcomes, graph, rate, best.scale, seconds, self.device, task.metric, robustness)
        if result.status is not Status.OK:
            return result
        values = zip(*([value for _, value in outcome.curve] for outcome in outcomes), strict=True)
        curve = tuple((done, sum(found) / len(found)) for done, found in enumerate(values, start=1))
        reached = None if watch.stopped is None else stops.reached(watch.stopped, self.settings.steps or task.budget)
        return replace(result, curve=curve, stopped=reached)

    def _train(
        self,
        settings: Sequence[_Setting],
        trained: Sequence[int],
        rungs: Sequence[float] = (),
        promote: Promote | None = None,
    ) -> list[Outcome]:
        pairs = zip(settings, trained, strict=True)
        device = self.device
        losses = SlotLosses(self.task, device)
        runs = [Run(losses.with_(_placed(s, device)), s.learning_rate, seed) for s, seed in pairs]
        limit, steps = self.settings.time_limit_s, self.settings.steps
        if promote is not None:
            return train(self.task, runs, steps, device=device, time_limit=limit, rungs=rungs, promote=promote)
        every = max(1, (steps or self.task.budget) // 5)
        return train(self.task, runs, steps, device=device, time_limit=limit, eval_every=every)

    def _best(self, settings: Sequence[_Setting], tuned: Sequence[Outcome]) -> int:
        """The setting that is best, with robustness one of constants that serve at all learning rates."""
        metric, robustness = self.task.metric, self.settings.robustness
        if robustness and self.settings.rung is None:
            ranks = [_rank(one.metric if one.status is Status.OK else None, metric) for one in tuned]
            worst: dict[int, float] = {}
            for setting, rank in zip(settings, ranks, strict=True):
                worst[id(setting.graph)] = min(rank, worst.get(id(setting.graph), rank))
            found = [(rank, worst[id(setting.graph)]) for setting, rank in zip(settings, ranks, strict=True)]
            scores = [low if low == -math.inf else (1.0 - robustness) * own + robustness * low for own, low in found]
            if max(scores) > -math.inf:
                return scores.index(max(scores))
        return ranked_best(tuned, metric)

    def _better_half(self, step: int, metrics: list[float | None]) -> list[bool]:
        order = sorted(range(len(metrics)), key=lambda k: (-_rank(metrics[k], self.task.metric), k))
        kept = set(order[: (len(order) + 1) // 2])
        return [k in kept for k in range(len(metrics))]

    def _settings(self, graph: AnyGraph, seed: int) -> list[_Setting]:
        variants = candidate_variants(graph, self.settings.variants, self.settings.spread, seed)
        if self.settings.hypergradients:
            learned = self._learned(graph, seed)
            variants += [] if learned is None else [learned]
        rate = self.task.base_learning_rate
        found = [one for variant in variants if (one := self._at_step_size(variant)) is not None]
        return [
            _Setting(graph, losses, scale, rate * factor)
            for graph, losses, scale in found
            for factor in self.settings.learning_rates
        ]

    def _learned(self, graph: AnyGraph, seed: int) -> Graph | None:
        """The candidate with constants that follow hypergradients of the task; None where these lead to none."""
        assert isinstance(graph, Graph)
        assert isinstance(self._reference, Graph)
        settings = self.settings
        return learned_constants(
            graph, self.task, self._reference, settings.steps, settings.hypergradients, seed, self.device
        )

    def _at_step_size(self, graph: AnyGraph) -> tuple[AnyGraph, dict[str, GraphLoss], float] | None:
        """A candidate at the reference's step size: as it is trained, its losses by slot, and the factor on these.

        None where a loss has no finite gradient at untrained predictions.
        """
        if len(self.task.slots) == 1:
            losses = self._losses(graph)
            ((slot, loss),) = losses.items()
            size = self._size(slot, loss)
            sound = math.isfinite(size) and size > 0.0
            return (graph, losses, self._wanted[slot] / size) if sound else None
        scaled: dict[str, Graph] = {}
        for slot, one in by_slot(graph, self.task.searched[0]).items():
            found = scaled_to(self._wanted[slot], one, partial(self._size_of, slot))
            if found is None:
                return None
            scaled[slot], _ = found
        whole = JointGraph.of(scaled) if isinstance(graph, JointGraph) else scaled[self.task.searched[0]]
        return whole, self._losses(whole), 1.0

    def _losses(self, graph: AnyGraph) -> dict[str, GraphLoss]:
        """The losses of a candidate by slot."""
        graphs = by_slot(graph, self.task.searched[0])
        return {slot: GraphLoss(one, self.buffers[slot]) for slot, one in graphs.items()}

    def _size_of(self, slot: str, graph: Graph) -> float:
        return self._size(slot, GraphLoss(graph, self.buffers[slot]))

    def _size(self, slot: str, loss: GraphLoss) -> float:
        """RMS gradient of a slot's loss at untrained predictions."""
        return gradient_rms(loss, self._inputs[slot])


def _placed(setting: _Setting, device: str) -> dict[str, GraphLoss]:
    """The losses of a setting by slot, times its factor, on a device."""
    return {slot: loss.scaled(setting.scale).to(device) for slot, loss in setting.losses.items()}


def _rank(value: float | None, metric: Metric) -> float:
    """Higher for the better; what has no value comes last."""
    if value is None or math.isnan(value):
        return -math.inf
    return value if metric.higher_is_better else -value


def ranked_best(outcomes: Sequence[Outcome], metric: Metric) -> int:
    """The best that trained to the end: (steps reached, metric), the first of equals."""
    reached = [o.curve[-1][0] if o.curve and o.status is Status.OK else 0 for o in outcomes]
    return max(range(len(outcomes)), key=lambda k: (reached[k], _rank(outcomes[k].metric, metric), -k))


def without_gradient(graph: AnyGraph) -> CandidateResult:
    """The result of a candidate that no step size can be given."""
    message = "no gradient at untrained predictions"
    return CandidateResult(Status.DIVERGED, None, (), graph, 0.0, math.nan, (), 0.0, message)


def scored(
    outcomes: Sequence[Outcome],
    graph: AnyGraph,
    learning_rate: float,
    scale: float,
    seconds: float,
    device: str | None,
    metric: Metric,
    robustness: float,
) -> CandidateResult:
    """The result of trainings with several seeds: their score, or how the first failure ended.

    Args:
        outcomes: of the trainings.
        graph: the candidate as it was trained.
        learning_rate: of all trainings.
        scale: see `CandidateResult.step_scale`.
        seconds: wall-clock of tuning and scoring.
        device: where it was trained; None where a user's function decided.
        metric: that ranks.
        robustness: see `EvaluationConfig`.
    """
    failed = next((o for o in outcomes if o.status is not Status.OK), None)
    metrics = tuple(math.nan if o.metric is None else o.metric for o in outcomes)
    return CandidateResult(
        Status.OK if failed is None else failed.status,
        robust_score(metrics, robustness, metric.higher_is_better) if failed is None else None,
        metrics,
        graph,
        learning_rate,
        scale,
        outcomes[0].curve,
        seconds,
        "" if failed is None else failed.message,
        tuple(outcome.metrics for outcome in outcomes),
        device=device,
    )
