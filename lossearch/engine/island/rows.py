"""From proposals, verdicts and trainings to rows of the archive, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from lossearch.archive.records import ACCEPTED, BROKEN
from lossearch.archive.robustness import robust_mean
from lossearch.archive.store import Candidate, Evaluation, Origin
from lossearch.candidates.scoring import CandidateResult
from lossearch.candidates.screen import Verdict
from lossearch.engine.writer.messages import Trained
from lossearch.errors import UserError
from lossearch.evolve.method import Proposal
from lossearch.failure_text import traceback_text
from lossearch.ir.core.joint import AnyGraph
from lossearch.ir.core.types import IllTyped
from lossearch.ir.forms.joint import any_to_json, format_any
from lossearch.tasks import Status

LONGEST_REASON = 2000
"""Characters of a reason that the archive keeps; the end of a traceback says most."""

SPENT = "spent"
"""Name of the budget of all calls for a candidate among the numbers that its row keeps."""

MOST_POINTS = 200
"""Points of a training's curve that the archive keeps."""


def candidate_row(proposal: Proposal, verdict: Verdict, origin: Origin, full: bool) -> Candidate:
    """The row of a screened proposal; its text and graph are written out where `full`, or where all of it is kept."""
    row = Candidate(
        origin=origin,
        key=verdict.key,
        verdict=ACCEPTED if verdict.accepted else verdict.filter,
        reason=verdict.reason,
        fingerprint=verdict.fingerprint,
        complexity=verdict.complexity,
        parents=proposal.parents,
        operator=proposal.operator,
        numbers={**proposal.numbers, **verdict.numbers},
    )
    return dataclasses.replace(row, **_forms(verdict.graph)) if full or row.kept else row


def _forms(graph: AnyGraph) -> dict[str, Any]:
    return {"text": format_any(graph), "graph": any_to_json(graph)}


def rejection_by_error(graph: AnyGraph, error: Exception) -> Verdict:
    """The verdict on a candidate that a filter broke on."""
    return Verdict(False, BROKEN, _trace(error), graph.key, None, graph.complexity, graph)


def ends_search(error: Exception) -> bool:
    """Whether an error is the user's to mend; an ill-typed expression is a candidate's own fault."""
    return isinstance(error, UserError) and not isinstance(error, IllTyped)


def failure(graph: AnyGraph, error: Exception | str) -> CandidateResult:
    """The result of a training that broke."""
    message = error if isinstance(error, str) else _trace(error)
    return CandidateResult(Status.ERROR, None, (), graph, math.nan, 0.0, (), 0.0, message)


def _trace(error: Exception) -> str:
    return traceback_text(error)[-LONGEST_REASON:]


def trained_row(
    row: Candidate,
    graph: AnyGraph,
    result: CandidateResult,
    task: str,
    budget: int,
    complexity: Callable[[AnyGraph], int] = attrgetter("complexity"),
) -> Trained:
    """The training of a candidate: the row of the loss that was scored, with an evaluation per seed.

    Where training tuned the constants, that row is of the tuned loss, with the key of the proposal beside its own.
    `complexity` measures that loss. The evaluation of a candidate that was stopped has the budget that it had reached.
    """
    ok = result.status is Status.OK and result.score is not None and math.isfinite(result.score)
    changed = ok and result.graph.key != graph.key
    reason = f"constants tuned; proposed as {row.key}" if changed else ""
    if not ok:
        reason = result.message[-LONGEST_REASON:] or "the score is not finite"
    if changed:
        row = dataclasses.replace(row, key=result.graph.key, proposal=row.key, fingerprint=None, **_forms(result.graph))
        row = dataclasses.replace(row, complexity=complexity(result.graph))
    numbers = {**row.numbers, SPENT: float(result.spent)} if result.spent else row.numbers
    row = dataclasses.replace(row, reason=reason, numbers=numbers)
    return Trained(row, tuple(_evaluations(row, result, task, budget)))


def _evaluations(row: Candidate, result: CandidateResult, task: str, budget: int) -> list[Evaluation]:
    """One per training seed; a seed without a metric has the status of the failure."""
    metrics = [_finite(metric) for metric in result.metrics] or [None]
    failed = Status.DIVERGED if result.status is Status.OK else result.status
    # Plain text: to read the enumeration, the writer's process would have to import PyTorch.
    return [
        Evaluation(
            key=row.key,
            task=task,
            seed=seed,
            budget=budget if result.stopped is None else result.stopped,
            metric=metric,
            status=failed.value if metric is None else Status.OK.value,
            curve=thinned(result.curve) if seed == 0 else (),
            seconds=result.seconds / len(metrics),
            step_scale=_finite(result.step_scale) or 0.0,
            learning_rate=_finite(result.learning_rate),
            island=row.origin.island,
            metrics=result.all_metrics[seed] if result.all_metrics else {},
            device=result.device,
        )
        for seed, metric in enumerate(metrics)
    ]


def thinned(curve: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """At most `MOST_POINTS` points of a curve, evenly spread, with the first and the last."""
    if len(curve) <= MOST_POINTS:
        return tuple(curve)
    last, gaps = len(curve) - 1, MOST_POINTS - 1
    return tuple(curve[place * last // gaps] for place in range(MOST_POINTS))


def score(evaluations: Sequence[Evaluation], higher_is_better: bool, robustness: float = 0.0) -> float | None:
    """Mean metric over the seeds, turned so that higher is better, moved towards the worst; None if one failed."""
    sign = 1.0 if higher_is_better else -1.0
    merits = [sign * e.metric for e in evaluations if e.succeeded and e.metric is not None]
    return robust_mean(merits, robustness) if len(merits) == len(evaluations) and merits else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
