"""Under which conditions losses are tuned and compared: the task, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossearch.errors import UserError
from lossearch.joint_loss import AnyLoss, JointLoss
from lossearch.tasks.base import Metric, require
from lossearch.tasks.described import DescribedTask
from lossearch.tasks.distribution.task import single_task_needed
from lossearch.tasks.training_config import TrainingConfig
from lossearch.tasks.user.config import FunctionConfig, user_task
from lossearch.tasks.user.first_calls import ONE
from lossearch.training.device import check_takes_device, usable_device
from lossearch.training.function_trainer import default_losses, record_first_call

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
        slots: those that are tuned or compared, with the signatures of their losses.
        time_limit: seconds for one call of a user's function.
        first_call: what a user's function gives its loss at the first call, in the form that `FirstCalls.loads` reads.
        learning_rate_tuned: whether tuning chooses learning rates; a function that takes none trains at its own.
    """

    config: TrainingConfig | FunctionConfig
    steps: int
    backend: str = STACKED
    device: str = "cpu"
    slots: tuple[tuple[str, str], ...] = (("loss", "dense"),)
    time_limit: float | None = None
    first_call: bytes = b""
    learning_rate_tuned: bool = True

    @property
    def metric(self) -> Metric:
        """What losses are ranked by."""
        return self.config.ranking_metric()

    @property
    def base_learning_rate(self) -> float:
        """Around which tuning searches."""
        return self.config.base_learning_rate

    @property
    def signature(self) -> str | dict[str, str]:
        """That of the loss that a function takes; by slot where it takes several."""
        signatures = dict(self.slots)
        return signatures[ONE] if signatures.keys() == {ONE} else signatures

    def identity(self) -> dict[str, Any]:
        """What results depend on besides the losses, as plain data without paths."""
        told: dict[str, Any] = {"steps": self.steps, "backend": self.backend, "device": self.device}
        if not self.learning_rate_tuned:
            told["learning_rate_tuned"] = False
        if isinstance(self.config, FunctionConfig):
            return {"task": self.config.identity(), **told}
        return {"task": self.config.model_dump(mode="json"), **told}


def signature_of(loss: AnyLoss) -> str | dict[str, str]:
    """The signature of a loss; by slot that of the losses of several slots."""
    if isinstance(loss, JointLoss):
        return {slot: one.signature.name for slot, one in loss.losses.items()}
    return loss.signature.name


def in_words(signature: str | Mapping[str, str]) -> str:
    """A signature, or those of several slots, for a message."""
    if isinstance(signature, str):
        return signature
    return " and ".join(f"{one} for {slot}" for slot, one in signature.items())


def conditions_for(
    subject: Subject,
    purpose: str,
    signature: str | Mapping[str, str],
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
        signature: of the losses; by slot where several slots' are tuned or compared together.
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
    if not isinstance(subject, FunctionConfig):
        if purpose == "compare" and not subject.single:
            raise single_task_needed(subject)
        wanted = subject.searched_signature
        if signature != wanted:
            required = f"a loss of signature {in_words(wanted)}, as {subject.name} takes"
            one_of_several = isinstance(signature, Mapping) and wanted in signature.values()
            hint = "name one of its slots: DIR@RANK.SLOT" if one_of_several else "leave it out"
            raise UserError(required, f"{named} of {in_words(signature)}", hint)
        steps = subject.budget if steps is None else steps
        slots = tuple((slot, subject.slots[slot].signature) for slot in subject.searched)
        return Conditions(subject.config, steps, backend, device, slots)
    if steps is None:
        hint = "give steps (--steps), in the function's own units, such as epochs"
        raise UserError(f"the budget that {subject.name} is called with", "none", hint)
    with user_task(subject, time_limit, signature) as task:
        require(task, purpose)
        check_takes_device(task, None if device == "cpu" else device)
        call = record_first_call(task, default_losses(task), steps, device)
        slots, tuned = tuple(task.signatures.items()), task.rights.learning_rate
    return Conditions(subject, steps, backend, device, slots, time_limit, call.dumps(), tuned)
