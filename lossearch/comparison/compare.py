"""Comparing losses on a task's test split, each tuned with the same budget, over paired seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from lossearch.comparison.assembly import assemble
from lossearch.comparison.checkpoint import Checkpoints, Finished
from lossearch.comparison.comparison import Comparison
from lossearch.comparison.conditions import STACKED, Conditions, Subject, conditions_for
from lossearch.comparison.entries import Entry, entries_for, signature_compared, with_kept
from lossearch.comparison.jobs import RUNS_AT_ONCE, Job, JobResult
from lossearch.comparison.result import Compared
from lossearch.comparison.tuning import Budget, Tuned, tuned_from, tuning
from lossearch.comparison.workers import Stages, default_workers, drive, open_executor
from lossearch.errors import UserError
from lossearch.files import storage_errors
from lossearch.joint_loss import AnyLoss
from lossearch.reading import usable_path
from lossearch.tasks.catalogue import build_task
from lossearch.tasks.described import Split
from lossearch.tasks.training_config import TrainingConfig
from lossearch.training.seeds import COMPARING, first, used_elsewhere
from lossearch.version import __version__


@dataclass(frozen=True)
class ComparisonProgress:
    """A loss has been tuned or tested.

    Attributes:
        phase: "tune" or "test".
        loss: its name.
        done: losses through this phase, those of an earlier, interrupted comparison included.
        total: losses in all.
        metric: on validation or test, mean over seeds; None for a loss that failed.
    """

    phase: Literal["tune", "test"]
    loss: str
    done: int
    total: int
    metric: float | None


def compare(
    task: Subject | TrainingConfig | Mapping[str, Any] | str,
    losses: Sequence[AnyLoss | str] = (),
    seeds: int | Sequence[int] = 10,
    trials: int = Budget.trials,
    baselines: bool | Sequence[AnyLoss | str] = True,
    out: str | Path | None = None,
    workers: int | None = None,
    progress: Callable[[ComparisonProgress], None] | None = None,
    *,
    budget: Budget | None = None,
    steps: int | None = None,
    backend: str = STACKED,
    device: str = "cpu",
    time_limit: float | None = None,
    executor: Executor | None = None,
    confidence: float = 0.95,
    signature: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare losses with tuned hand-designed ones on held-out test data.

    Every loss is tuned on validation data with the same budget (see `lossearch.comparison.tuning.tune`), then trained
    with every seed and judged on the test split, which is opened once, when all losses are tuned. Equal seeds mean
    equal initial weights and data order, whatever the loss, and where the task resamples equal training images and
    labels. Results do not depend on the number of workers.

    Args:
        task: a task, its name, or its configuration; or the configuration of a training function, which must take
            `split`: it is asked for the test split when all losses are tuned, and only here. Where it takes no
            `learning_rate`, every loss is trained at its own rate, and losses' own parameters alone are tuned.
        losses: to be compared; strings are names of hand-designed losses. Where a task's slots are compared together, a
            loss of one slot stands beside the default losses of the others.
        seeds: number of paired seeds, or the seeds themselves; at least two, none of those that a
            search or tuning uses (`lossearch.training.seeds`).
        trials: of the tuning of each loss.
        baselines: hand-designed losses to compare with: True for those that the bundled search space of the task's
            signature starts from, False for none. Where slots are compared together, these are the default losses of
            all, and each slot's beside the defaults of the others. Those that take class weights get the inverse class
            frequencies of the training labels; a training function, which tells none, is compared without them.
        out: directory that keeps the result of every finished loss and, in the end, table, CSV, JSON and figure;
            a comparison that was interrupted goes on from there, and losses that an earlier one with the same settings
            finished there are compared along.
        workers: processes; None takes one per core.
        progress: called when a loss has been tuned or tested.
        budget: of the tuning, in detail; overrides `trials`.
        steps: optimiser steps of every training, or the budget that a function is called with; None takes the task's.
        backend: how losses are evaluated, see `lossearch.comparison.jobs.Conditions`.
        device: where to train; "auto" takes a GPU where this machine has one.
        time_limit: seconds for one call of a function.
        executor: runs the trainings instead of own processes, for example on a cluster.
        confidence: of intervals; 1 - confidence is the level of the tests.
        signature: by slot those of the losses of a function that takes several; None takes those of the first loss.

    Raises:
        UserError: a loss does not fit the task, a setting is out of range, `out` holds results of other settings, or a
            worker process was killed.
        TestSplitSealed: the process has forbidden to open test splits.
    """
    subject = task if isinstance(task, Subject) else build_task(task)
    compared_signature = signature_compared(losses, baselines, subject, signature)
    entries = entries_for(losses, baselines, compared_signature, subject)
    budget = Budget(trials) if budget is None else budget
    chosen = _seeds(seeds)
    conditions = conditions_for(subject, "compare", compared_signature, steps, backend, device, time_limit)
    settings = _settings(budget, chosen, conditions)
    if out is not None:  # known before hours of training, not after
        folder = usable_path(out, "a directory for the comparison")
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    workers = default_workers() if workers is None else workers
    checkpoints = Checkpoints(out, settings)
    entries = with_kept(entries, checkpoints.kept())
    session = _Session(subject, entries, budget, chosen, conditions, checkpoints, progress)
    with open_executor(workers) if executor is None else nullcontext(executor) as pool:
        tuned = session.tune(pool, workers)
        tested = session.test(tuned, pool, workers)
    compared = [_compared(entry, tuned[entry.name], tested.get(entry.name)) for entry in entries]
    comparison = assemble(subject.name, conditions.metric, compared, chosen, settings, confidence)
    comparison = replace(comparison, keys={entry.name: entry.loss.key for entry in entries})
    if out is not None:
        comparison.save(out)
    return comparison


@dataclass
class _Session:
    """One comparison under way."""

    subject: Subject
    entries: Sequence[Entry]
    budget: Budget
    seeds: tuple[int, ...]
    conditions: Conditions
    checkpoints: Checkpoints
    progress: Callable[[ComparisonProgress], None] | None

    def __post_init__(self) -> None:
        self.finished: dict[str, Finished] = {}
        for entry in self.entries:
            self.finished[entry.name] = self.checkpoints.read(entry.name, entry.loss.key)
        self.losses = {entry.name: entry.loss for entry in self.entries}

    def tune(self, executor: Executor, workers: int) -> dict[str, Tuned]:
        """Every loss at its best settings."""
        tuned: dict[str, Tuned] = {}
        pending: dict[str, Callable[[], Stages[Tuned]]] = {}
        for entry in self.entries:
            if trials := self.finished[entry.name].trials:
                tuned[entry.name] = tuned_from(entry.loss, trials, self.conditions)
            else:
                pending[entry.name] = partial(tuning, entry.loss, self.budget, self.conditions)
        for name, result in drive(pending, executor, workers):
            self.checkpoints.write(name, self.losses[name], result.trials, None)
            tuned[name] = result
            self._report("tune", name, len(tuned), result.validation)
        return tuned

    def test(self, tuned: Mapping[str, Tuned], executor: Executor, workers: int) -> dict[str, JobResult]:
        """Every loss for which tuning found settings, trained with every seed and judged on the test split."""
        tested = {name: finished.test for name, finished in self.finished.items() if finished.test is not None}
        names = [entry.name for entry in self.entries if tuned[entry.name].validation is not None]
        if all(name in tested for name in names):
            return tested
        losses = self.losses
        with self.subject.open_test(by="compare") as split:
            pending: dict[str, Callable[[], Stages[JobResult]]] = {
                name: partial(_testing, losses[name], tuned[name], self.seeds, self.conditions, split)
                for name in names
                if name not in tested
            }
            for name, result in drive(pending, executor, workers):
                self.checkpoints.write(name, losses[name], tuned[name].trials, result)
                tested[name] = result
                values = [value for value in result.metrics if value is not None]
                mean = sum(values) / len(values) if len(values) == len(result.metrics) else None
                self._report("test", name, len(tested), mean)
        return tested

    def _report(self, phase: Literal["tune", "test"], name: str, done: int, value: float | None) -> None:
        if self.progress is not None:
            self.progress(ComparisonProgress(phase, name, done, len(self.entries), value))


def _testing(
    loss: AnyLoss, tuned: Tuned, seeds: tuple[int, ...], conditions: Conditions, split: Split | None
) -> Stages[JobResult]:
    parts = [seeds[start : start + RUNS_AT_ONCE] for start in range(0, len(seeds), RUNS_AT_ONCE)]
    results = yield [Job.of(loss, [tuned.setting], part, conditions, "test", split) for part in parts]
    trained = [one for (one,) in results]
    metrics = tuple(value for one in trained for value in one.metrics)
    message = next((one.message for one in trained if one.message), "")
    all_metrics = tuple(metrics for one in trained for metrics in one.all_metrics)
    return JobResult(trained[0].learning_rate, trained[0].step_scale, metrics, message, all_metrics)


def _compared(entry: Entry, tuned: Tuned, tested: JobResult | None) -> Compared:
    if tested is None:
        return Compared(entry.name, entry.source, tuned, (), tuned.message)
    return Compared(entry.name, entry.source, tuned, tested.metrics, tested.message, tested.all_metrics)


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    chosen = first("comparing", seeds) if isinstance(seeds, int) else tuple(seeds)
    if len(chosen) < 2 or len(set(chosen)) < len(chosen):
        raise UserError("at least two seeds, all different", str(list(chosen)), "a comparison needs a spread")
    if shared := used_elsewhere(chosen, "comparing"):
        hint = f"choose from {COMPARING.start} to {COMPARING.stop - 1}"
        raise UserError("seeds that a search or tuning does not use", str(shared), hint)
    return chosen


def _settings(budget: Budget, seeds: tuple[int, ...], conditions: Conditions) -> dict[str, Any]:
    return {
        **conditions.identity(),
        "budget": asdict(budget),
        "seeds": list(seeds),
        "lossearch": __version__,
        "torch": torch.__version__,
    }
