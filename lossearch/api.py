"""The public functions: loading, searching, comparing and exporting a loss by what it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossearch.combinations import combine as combine
from lossearch.combinations import layered as layered
from lossearch.errors import UserError
from lossearch.exports import export as export
from lossearch.exports import export_slots as export_slots
from lossearch.joint_loss import AnyLoss, JointLoss
from lossearch.loss import Loss
from lossearch.named_losses import LossLike, Resolved, as_seed, find
from lossearch.named_losses import load as load
from lossearch.named_losses import load_slots as load_slots
from lossearch.situations import situation

if TYPE_CHECKING:
    import numpy.typing as npt

    from lossearch.advice import Advice
    from lossearch.comparison.compare import ComparisonProgress
    from lossearch.comparison.comparison import Comparison
    from lossearch.comparison.tuning import Tuned
    from lossearch.engine.driver.result import SearchResult
    from lossearch.engine.driver.search import ConfigSource, ProgressOption
    from lossearch.engine.outer_trial import OuterTrial
    from lossearch.engine.setup.subject import FoundTask, TaskLike
    from lossearch.simplifying import Attempt, Simplified


def search(
    config: ConfigSource,
    out: str | Path | None = None,
    *,
    address: str | None = None,
    workers: int | None = None,
    seed: int | None = None,
    seed_with: Sequence[LossLike] = (),
    progress: ProgressOption = True,
) -> SearchResult:
    """Search for losses, and keep everything in a new run directory; see `lossearch.engine.driver.search.search`.

    Args:
        config: A TOML file, its content as a mapping, or a configuration. In a mapping, the function of a task may be
            the function itself.
        out: The run directory; None takes the next free `runs/NAME`.
        address: Of a Ray cluster; None uses the one this process is connected to, or starts a local one.
        workers: Islands, in place of the configuration's; None takes those, or else one per CPU.
        seed: In place of the configuration's.
        seed_with: Losses to begin with before those of the configuration, each as `load` takes it.
        progress: Whether to show progress on standard error, or a function to call about once a second.

    Raises:
        UserError: A mistake in the configuration, a missing dataset, a full disk …
    """
    from lossearch.engine.driver.search import search as run

    seeds = [as_seed(loss) for loss in seed_with]
    return run(config, out, address=address, workers=workers, seed=seed, seeds=seeds, progress=progress)


def meta_learn(
    config: ConfigSource,
    out: str | Path | None = None,
    *,
    address: str | None = None,
    workers: int | None = None,
    seed: int | None = None,
    seed_with: Sequence[LossLike] = (),
    progress: ProgressOption = True,
) -> SearchResult:
    """Learn the coefficients of a loss by hypergradients over tasks, and keep everything in a new run directory.

    It is a search whose method is `hypergradient`, see `lossearch.meta.method.HypergradientSettings`: its candidates
    are the losses at checkpoints of the outer loop, scored on tasks and seeds that this does not see. `resume` and
    all that reads a run take it as any other.

    Args:
        config: As of `search`; the table `method` has at least `structure`, the loss whose coefficients are learned.
            Where nothing else is said, `generation_size` is 1.
        out, address, workers, seed, seed_with, progress: As of `search`.

    Raises:
        UserError: As `search`; no structure, or another method.
    """
    from lossearch.engine.driver.search import search as run

    seeds = [as_seed(loss) for loss in seed_with]
    return run(config, out, address=address, workers=workers, seed=seed, seeds=seeds, progress=progress, meta=True)


def meta_trainable(config: ConfigSource) -> type[OuterTrial]:
    """Meta-learning as a trainable of Ray Tune, to tune the settings of its outer loop.

    See `lossearch.engine.outer_trial.meta_trainable`.

    Args:
        config: As of `meta_learn`; a trial's settings take the place of those in its table `method`.

    Raises:
        UserError: As `meta_learn`.
    """
    from lossearch.engine import outer_trial

    return outer_trial.meta_trainable(config)


def advise(
    task: TaskLike | None = None,
    *,
    labels: str | Path | npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    most: int | None = None,
    **facts: Any,
) -> list[Advice]:
    """Hand-designed losses worth starting from, the most advisable first, each with its reasons.

    Args:
        task: A bundled task, its name, or a search configuration (.toml) that names one: its training split is
            measured. A training function of yours, or its reference (`train.py:train`): it is called until it calls
            its loss, and the targets that it gives are measured.
        labels: Your own labels or masks, which are measured: an array or tensor, `[sample]` classes or
            `[sample, height, width]` masks, a `.npy` or `.npz` file, or a folder of mask images.
        ignore_index: Label that stands for none.
        most: Losses at most.
        facts: What is known besides, in place of what is measured: `family` ("segmentation", "regression" …), `metric`,
            `architecture`, `class_frequencies`, `label_noise` …; see `lossearch.advice.Situation`.

    Raises:
        UserError: A fact, metric, family or architecture is unknown or out of range, no rule of the family asks for a
            fact, or labels cannot be read.
    """
    from lossearch.advice import advise as advice_for

    return advice_for(situation(task, labels, ignore_index, facts), most)


def _losses(given: object) -> list[AnyLoss]:
    """One loss or several."""
    if isinstance(given, (Loss, JointLoss, str, Path)):
        return [find(given).loss]
    if not isinstance(given, Iterable):
        raise UserError("losses to compare, in a list", f"{given!r:.80}", 'such as ["focal", "runs/x@1"]')
    return [find(loss).loss for loss in given]


def compare(
    task: TaskLike,
    losses: LossLike | Sequence[LossLike] = (),
    seeds: int | Sequence[int] = 10,
    *,
    metric: str | None = None,
    direction: str | None = None,
    steps: int | None = None,
    trials: int | None = None,
    baselines: bool | LossLike | Sequence[LossLike] = True,
    out: str | Path | None = None,
    workers: int | None = None,
    progress: bool | Callable[[ComparisonProgress], None] | None = None,
    **details: Any,
) -> Comparison:
    """Compare losses with tuned hand-designed ones on held-out test data; see `lossearch.comparison.compare`.

    Args:
        task: A task's name, a search configuration (.toml) whose task is meant, or a configuration. Or a training
            function of yours, or its reference (`train.py:train`), which takes `split`, and `learning_rate` where
            that is to be tuned.
        losses: One or more of what `load` takes.
        seeds: Number of paired seeds, or the seeds themselves.
        metric: What a training function yields that ranks losses, where a configuration does not say it.
        direction: "maximize" or "minimize", where the metric's name does not tell it.
        steps: Budget of every training; None takes the task's or the configuration's.
        trials: Of the tuning of each loss, the same for all.
        baselines: Hand-designed losses to compare with: True for those that searches start from, False for none.
            Others are given as `losses` are.
        out: Directory for table, CSV, JSON and figure; an interrupted comparison goes on from there.
        workers: Processes; None takes one per core.
        progress: Called when a loss has been tuned or tested; True for a line on standard error each time.
        details: As `lossearch.comparison.compare.compare` takes them.

    Raises:
        UserError: A loss or task is unknown or does not fit, or a setting is out of range.
    """
    from lossearch.comparison.compare import compare as run
    from lossearch.engine.setup.subject import found_subject

    if trials is not None:
        details["trials"] = trials
    entrants = _losses(losses)
    others = baselines if isinstance(baselines, bool) else _losses(baselines)
    with found_subject(task, metric, direction) as found:
        details.setdefault("device", found.device or "cpu")
        return run(
            found.subject,
            entrants,
            seeds,
            baselines=others,
            out=out,
            workers=workers,
            progress=(_print_progress if progress else None) if isinstance(progress, bool) else progress,
            steps=found.steps if steps is None else steps,
            time_limit=found.time_limit,
            signature=found.signature,
            **details,
        )


def tune(
    loss: LossLike,
    task: TaskLike,
    *,
    metric: str | None = None,
    direction: str | None = None,
    steps: int | None = None,
    trials: int | None = None,
    workers: int | None = None,
    **details: Any,
) -> Tuned:
    """Find the learning rate and parameters with which a loss serves a task best, on validation data.

    Args:
        loss: What `load` takes.
        task: As `compare` takes it; a training function needs `learning_rate` alone.
        metric: As in `compare`.
        direction: As in `compare`.
        steps: As in `compare`.
        trials: Settings that are tried.
        workers: Processes; None takes one per core.
        details: As `lossearch.comparison.tuning.tune` takes them.

    Raises:
        UserError: The loss or task is unknown or does not fit, or a setting is out of range.
    """
    from lossearch.comparison.entries import placed
    from lossearch.comparison.tuning import Budget
    from lossearch.comparison.tuning import tune as run
    from lossearch.engine.setup.subject import found_subject

    if trials is not None:
        details["budget"] = Budget(trials)
    with found_subject(task, metric, direction) as found:
        budget = found.steps if steps is None else steps
        details.setdefault("device", found.device or "cpu")
        one = placed(find(loss).loss, found.subject, found.signature)
        return run(one, found.subject, steps=budget, time_limit=found.time_limit, workers=workers, **details)


def _print_progress(progress: ComparisonProgress) -> None:
    print(f"{progress.phase} {progress.done}/{progress.total} {progress.loss}", file=sys.stderr)


def simplify(
    loss: LossLike,
    task: TaskLike | None = None,
    *,
    labels: bool | None = None,
    evidence: bool | None = None,
    metric: str | None = None,
    direction: str | None = None,
    steps: int | None = None,
    seeds: int | None = None,
    workers: int | None = None,
    device: str | None = None,
    progress: Callable[[Attempt], None] | None = None,
) -> Simplified:
    """The shortest form of a loss that has its value and gradient, and then what trainings on a task do not miss.

    The shorter form of a run's loss is kept in the run directory (`simplified.json`); `DIR@RANK` stays what was scored.

    Args:
        loss: What `load` takes.
        task: On whose validation data to see what does not matter, as `tune` takes it; None takes a run's own for its
            loss.
        labels: Whether targets are labels, for which more can be taken together; what is found then may differ for soft
            targets. None takes what the run's task gives for a loss of a run, else any target, or labels for a bundled
            task.
        evidence: False for the exact form alone, for which nothing is trained.
        metric: As in `compare`.
        direction: As in `compare`.
        steps: As in `compare`.
        seeds: Pairs of trainings of each shorter form.
        workers: Processes; None takes one per core.
        device: Where to train, "auto", "cpu" or "cuda"; None takes the configuration's, or the CPU.
        progress: Called after each shorter form that was trained.

    Raises:
        UserError: The loss or task is unknown or does not fit, the loss is too large, or `labels` is asked for where no
            target may be labels.
    """
    from lossearch.engine.setup.subject import found_subject
    from lossearch.simplifying import by_evidence, exact, kept_beside, task_of_run
    from lossearch.simplifying.evidence import SEEDS

    found = find(loss)
    if evidence is False and task is not None:
        raise UserError("a task, or no evidence", "both", "leave the task out for the exact form alone")
    given = nullcontext(None)
    if task is not None:
        given = found_subject(task, metric, direction)
    elif found.run is not None and evidence is not False:
        if found.slot:
            whole = str(loss).removesuffix(f".{found.slot}")
            hint = f"simplify {whole}, or take the exact form alone (--exact, evidence=False), or name a task"
            raise UserError("the losses of all slots that its run trained together", str(loss), hint)
        given = nullcontext(task_of_run(found.run))
    elif evidence:
        raise UserError("a task for the evidence", "none", "name it, as in --task digits_noise")
    with given as at:
        if labels is None:
            labels = _labels_known(found, at)
        result = exact(found.loss, labels)
        if at is not None:
            budget = at.steps if steps is None else steps
            result = by_evidence(
                result,
                at.subject,
                seeds=SEEDS if seeds is None else seeds,
                steps=budget,
                time_limit=at.time_limit,
                workers=workers,
                device=device or at.device or "cpu",
                progress=progress,
            )
    if found.run is not None and result.is_shorter and os.access(found.run.path, os.W_OK):
        kept_beside(found.run, result)
    return result


def _labels_known(found: Resolved, at: FoundTask | None) -> bool:
    """Whether targets are known to be labels: of the task that is named, or of the run."""
    from lossearch.simplifying import takes_labels

    known = set() if at is None else {slot.signature for slot in at.subject.slots.values()}
    if known:
        losses = found.loss.losses.values() if isinstance(found.loss, JointLoss) else [found.loss]
        return any(
            one.signature.name in known and any(declared.labels for declared in one.signature.forward_inputs)
            for one in losses
        )
    return found.run is not None and takes_labels(found.run, found.loss, found.slot)
