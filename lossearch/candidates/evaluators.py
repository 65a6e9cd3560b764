"""What trains candidates of a task."""

from __future__ import annotations

from lossearch.candidates.function_scoring import FunctionEvaluator
from lossearch.candidates.scoring import CandidateEvaluator, EvaluationConfig
from lossearch.ir.core.joint import AnyGraph
from lossearch.tasks.user.first_calls import FirstCalls
from lossearch.tasks.user.task import UserTask
from lossearch.training.untrained import AnyTask


def evaluator_for(
    task: AnyTask, reference: AnyGraph, settings: EvaluationConfig, first_call: FirstCalls | None = None
) -> CandidateEvaluator | FunctionEvaluator:
    """What trains candidates of a task: lossearch itself, or the user's function.

    Args:
        task: what is trained.
        reference: the loss at whose step size candidates are trained, or those of all slots.
        settings: of trainings.
        first_call: what a user's function gives its loss at the first call; None calls it to find out.

    Raises:
        UserError: settings do not fit the task, or a function fails before it calls its loss.
    """
    if isinstance(task, UserTask):
        return FunctionEvaluator(task, reference, settings, first_call)
    return CandidateEvaluator(task, reference, settings)
