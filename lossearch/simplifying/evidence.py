"""What does not matter in a loss, by evidence: terms and digits that trainings do not miss.

Every shorter form is trained with the same seeds and settings as the original, on validation data. It is kept while it
is no worse: the lower end of the 95 % interval of its paired difference lies above minus the noise floor, which is how
far the original would differ from itself with other seeds. The comparison is always with the original, so that small
losses do not add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace

from lossearch.comparison.conditions import Conditions, Subject, conditions_for, signature_of
from lossearch.comparison.jobs import RUNS_AT_ONCE, Job, JobResult, run_job
from lossearch.comparison.statistics import noise_floor, paired_difference
from lossearch.comparison.tuning_space import Hyperparameters
from lossearch.comparison.workers import default_workers, open_executor
from lossearch.errors import UserError
from lossearch.ir.core.joint import AnyGraph
from lossearch.joint_loss import AnyLoss, loss_of
from lossearch.simplifying.exact import exact
from lossearch.simplifying.importance import Importance
from lossearch.simplifying.simplified import Attempt, Evidence, Simplified
from lossearch.simplifying.variations import Variation, Variations, of_candidate, rounded, without_terms
from lossearch.training.seeds import first

SEEDS = 16
FEWEST_SEEDS = 4
"""With fewer, the spread of the original says nothing of a noise floor."""

RATES = (0.5, 1.0, 2.0, 4.0)
"""Factors on the task's learning rate of which the original's best is taken for all."""

RATE_SEEDS = 4
CONFIDENCE = 0.9
"""Of the two-sided interval whose lower end is the 95 % bound."""

MOST_ATTEMPTS = 40
BY_EVIDENCE = "shortened by evidence"


def by_evidence(
    found: Simplified,
    subject: Subject,
    *,
    seeds: int = SEEDS,
    steps: int | None = None,
    time_limit: float | None = None,
    workers: int | None = None,
    device: str = "cpu",
    progress: Callable[[Attempt], None] | None = None,
) -> Simplified:
    """Leave out terms and digits that do not matter, as long as trainings on a task do not miss them.

    Args:
        found: the loss and its exact shorter form, with which it begins.
        subject: the task; its test split is never opened.
        seeds: pairs of trainings for each attempt.
        steps: of each training, or the budget of a function; None takes the task's.
        time_limit: seconds for one call of a function.
        workers: processes; None takes one per core.
        device: where to train; "auto" takes a GPU where this machine has one.
        progress: called after every attempt.

    Returns:
        The loss with what is left of it; `found` itself, for which nothing is trained, where there is nothing to leave
        out or to round.

    Raises:
        UserError: the loss does not fit the task, fails in training, a worker process was killed, or a setting is out
            of range.
    """
    if seeds < FEWEST_SEEDS:
        raise UserError(f"at least {FEWEST_SEEDS} seeds", str(seeds), "fewer tell nothing about a noise floor")
    if not any(of_candidate(found.exact.graph, kind) for kind in (without_terms, rounded)):
        return found
    original = found.original
    conditions = conditions_for(
        subject, "tune", signature_of(original), steps, device=device, time_limit=time_limit, named=original.name
    )
    workers = default_workers() if workers is None else workers
    with open_executor(workers) as pool:
        session = _Session(original, conditions, pool, first("simplifying", seeds), found.labels, progress)
        return session.shortened(found)


@dataclass
class _Session:
    """One loss being shortened."""

    original: AnyLoss
    conditions: Conditions
    pool: Executor
    seeds: tuple[int, ...]
    labels: bool
    progress: Callable[[Attempt], None] | None
    attempts: list[Attempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.higher = self.conditions.metric.higher_is_better
        self.rate = self._best_rate()
        (trained,) = self._train([self.original], self.seeds, self.rate)
        if trained is None:
            found = f"{self.original.name} fails with one of the seeds from {self.seeds[0]}"
            hint = "without --task the exact form is shown alone"
            raise UserError(f"a loss that trains on {self.conditions.config.name}", found, hint)
        self.values = trained
        self.margin = noise_floor(trained)
        self.importance = Importance(self.conditions)

    def shortened(self, found: Simplified) -> Simplified:
        """What is left: terms go first, in order of their share of the gradient, then digits."""
        graph = self._reduced(found.exact.graph, without_terms)
        graph = self._reduced(graph, rounded)
        task = self.conditions.config.name
        loss = found.exact
        if graph != loss.graph:
            short = exact(loss_of(graph, loss.name, loss.source), self.labels).exact.graph
            source = f"{self.original.source}, {BY_EVIDENCE} on {task}".removeprefix(", ")
            loss = loss_of(short, loss.name, source)
        seeds, mean, metric = len(self.seeds), _mean(self.values), self.conditions.metric.name
        evidence = Evidence(task, metric, seeds, self.rate, mean, self.margin, tuple(self.attempts))
        return replace(found, loss=loss, evidence=evidence)

    def _reduced(self, graph: AnyGraph, variations: Variations) -> AnyGraph:
        """Take what is no worse, the least important first, until nothing is left to try."""
        refused: set[str] = set()
        while len(self.attempts) < MOST_ATTEMPTS:
            open_ones = [one for one in of_candidate(graph, variations) if one.change not in refused]
            if not open_ones:
                break
            shares = [self.importance.share(graph, one.graph) for one in open_ones]
            # All numbers are rounded at once, if that will do; terms go in order of their importance.
            chosen = 0 if variations is rounded else shares.index(min(shares))
            attempt = self._attempt(open_ones[chosen], shares[chosen])
            if attempt.kept:
                graph = open_ones[chosen].graph
            else:
                refused.add(attempt.change)
        return graph

    def _attempt(self, variation: Variation, share: float) -> Attempt:
        """Train a shorter form beside the original."""
        (values,) = self._train([loss_of(variation.graph, self.original.name)], self.seeds, self.rate)
        attempt = Attempt(variation.change, share)
        if values is not None:
            sign = 1.0 if self.higher else -1.0
            interval = paired_difference(
                [sign * value for value in values], [sign * value for value in self.values], confidence=CONFIDENCE
            ).interval
            kept = interval.low >= -self.margin
            attempt = replace(attempt, metric=_mean(values), difference=interval.mean, at_worst=interval.low, kept=kept)
        self.attempts.append(attempt)
        if self.progress is not None:
            self.progress(attempt)
        return attempt

    def _best_rate(self) -> float:
        """The learning rate with which the original does best, by seeds that judge nothing else."""
        seeds, base = first("tuning", RATE_SEEDS), self.conditions.base_learning_rate
        rates = [base * factor for factor in RATES]
        found = [self._train([self.original], seeds, rate)[0] for rate in rates]
        sound = [
            (_mean(values) * (1.0 if self.higher else -1.0), rate)
            for values, rate in zip(found, rates, strict=True)
            if values
        ]
        return max(sound)[1] if sound else base

    def _train(self, losses: Sequence[AnyLoss], seeds: Sequence[int], rate: float) -> list[list[float] | None]:
        """Metrics of each loss with every seed on validation data; None for one that failed."""
        parts = [tuple(seeds[at : at + RUNS_AT_ONCE]) for at in range(0, len(seeds), RUNS_AT_ONCE)]
        futures = [
            [
                self.pool.submit(run_job, Job.of(loss, [Hyperparameters({}, rate)], part, self.conditions))
                for part in parts
            ]
            for loss in losses
        ]
        try:
            return [_metrics([future.result()[0] for future in one]) for one in futures]
        except BrokenProcessPool as error:
            found = "one was killed, as happens when memory runs out"
            raise UserError("worker processes that stay alive", found, "run again with fewer workers") from error


def _metrics(trained: Sequence[JobResult]) -> list[float] | None:
    values = [value for one in trained for value in one.metrics]
    sound = [value for value in values if value is not None]
    return sound if len(sound) == len(values) else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
