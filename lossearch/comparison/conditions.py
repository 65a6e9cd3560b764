"""Under which conditions losses are tuned and compared: the task, and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.tasks.base import Metric, require
from lossearch.tasks.described import DescribedTask
from lossearch.tasks.training_config import TrainingConfig
from lossearch.tasks.user.config import FunctionConfig, user_task
from lossearch.training.device import check_takes_device, usable_device
from lossearch.training.function_trainer import record_first_call

STACKED = "stacked"
"""The backend that evaluates all runs of a stack at once."""

Subject = DescribedTask | FunctionConfig
"""What losses are tuned and compared on: a bundled task, or a training function of the user's."""


@dataclass(frozen=True)
class Conditions:
    """Under which conditions all losses of one comparison are trained.

    Attributes:
        config: the task.
        steps: optimiser steps of each training, or the budget that a user's function is called with.
        backend: how losses are evaluated: "stacked" (all runs of a stack at once, where the loss allows it), or a
            backend of `Loss.to_module`.
        device: where to train.
        signature: of the losses.
        time_limit: seconds for one call of a user's function.
        first_call: what a user's function gives its loss at the first call, in the form that `FirstCall.loads` reads.
    """

    config: TrainingConfig | FunctionConfig
    steps: int
    backend: str = STACKED
    device: str = "cpu"
    signature: str = "dense"
    time_limit: float | None = None
    first_call: bytes = b""

    @property
    def metric(self) -> Metric:
        """What losses are ranked by."""
        return self.config.ranking_metric()

    @property
    def base_learning_rate(self) -> float:
        """Around which tuning searches."""
        return self.config.base_learning_rate

    def identity(self) -> dict[str, Any]:
        """What results depend on besides the losses, as plain data without paths."""
        told = {"steps": self.steps, "backend": self.backend, "device": self.device}
        if isinstance(self.config, FunctionConfig):
            return {"task": self.config.identity(), **told}
        return {"task": self.config.model_dump(mode="json"), **told}


def conditions_for(
    subject: Subject,
    purpose: str,
    signature: str,
    steps: int | None = None,
    backend: str = STACKED,
    device: str = "cpu",
    time_limit: float | None = None,
    named: str = "a loss",
) -> Conditions:
    """The conditions of tuning or comparing losses of a signature on a task.

    A user's function is called once until it calls its loss, to see at which predictions it begins.

    Args:
        subject: the task.
        purpose: "tune" or "compare".
        signature: of the losses.
        steps: of every training; None takes the task's budget, which a function does not have.
        backend: see `Conditions`; a function always gets modules.
        device: where to train; "auto" takes a GPU where this machine has one.
        time_limit: seconds for one call of a function.
        named: what a message calls the loss.

    Raises:
        UserError: the task's losses have another signature, or a function does not take what the purpose needs, has no
            budget, or fails before it calls its loss.
    """
    device = usable_device(device)  # this machine's: jobs run in its processes
    if isinstance(subject, DescribedTask):
        slot = subject.slots[subject.slot]
        if signature != slot.signature:
            found = f"{named} of {signature}"
            raise UserError(f"a loss of signature {slot.signature}, as {subject.name} takes", found, "leave it out")
        steps = subject.budget if steps is None else steps
        return Conditions(subject.config, steps, backend, device, signature)
    if steps is None:
        hint = "give steps (--steps), in the function's own units, such as epochs"
        raise UserError(f"the budget that {subject.name} is called with", "none", hint)
    with user_task(subject, time_limit, signature) as task:
        require(task, purpose)
        check_takes_device(task, None if device == "cpu" else device)
        call = record_first_call(task, zoo.get(task.slots[task.slot].default).graph, steps)
    return Conditions(subject, steps, backend, device, signature, time_limit, call.dumps())
