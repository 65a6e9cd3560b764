"""What is known of a task or of labels before advice is given: what can be measured, and what the user says."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossearch.errors import UserError

if TYPE_CHECKING:
    import numpy.typing as npt

    from lossearch.advice import Situation
    from lossearch.engine.setup.subject import FoundTask, TaskLike
    from lossearch.tasks import DescribedTask


def situation(
    task: TaskLike | None,
    labels: str | Path | npt.ArrayLike | None,
    ignore_index: int | None,
    facts: Mapping[str, Any],
) -> Situation:
    """What `advise` knows: what is measured of a task and of labels, and the facts that are given."""
    from lossearch.advice import Situation, measured_labels, read_labels
    from lossearch.advice.rules import check_asked_for
    from lossearch.advice.words import metric_named
    from lossearch.engine.setup.subject import found_subject
    from lossearch.tasks import DescribedTask
    from lossearch.tasks.user.function import is_reference

    given, known = Situation.of(facts), dict[str, Any]()
    if task is not None:
        # Nothing is ranked here, so a function need not tell which way its metric is better.
        own = (isinstance(task, str) and is_reference(task)) or callable(task)
        with found_subject(task, direction="maximize" if own else None) as found:
            if isinstance(found.subject, DescribedTask):
                known.update(_known_of(found.subject))
            else:
                with suppress(UserError):  # a metric that no rule asks for
                    known["metric"] = metric_named(found.subject.metric)
                if labels is None:
                    known |= _known_of_function(found, facts.get("family"))
    if labels is not None:
        import numpy as np

        array = read_labels(labels) if isinstance(labels, (str, Path)) else np.asarray(labels)
        known.update(measured_labels(array, given.family, ignore_index).model_dump(exclude_none=True))
    found = Situation.of({**known, **given.model_dump(exclude_unset=True)})
    check_asked_for(facts, found)
    return found


def _known_of(task: DescribedTask) -> dict[str, Any]:
    """What a task tells, or what is measured of it, and the losses that its slot takes."""
    from lossearch.tasks.base import only_slot

    return {"signature": task.slots[only_slot(task)].signature} | dict(task.facts() or _measured_targets(task))


def _measured_targets(task: DescribedTask) -> dict[str, Any]:
    """What is known of a task that tells nothing itself: what its slot takes, its metric, and its training targets."""
    from lossearch.advice import measured_labels
    from lossearch.advice.words import metric_named
    from lossearch.ir.core.signature import get_signature
    from lossearch.tasks.base import only_slot
    from lossearch.training.untrained import initial_inputs

    slot = only_slot(task)
    signature = get_signature(task.slots[slot].signature)
    known: dict[str, Any] = {"family": signature.family}
    with suppress(UserError):  # a metric that no rule asks for
        known["metric"] = metric_named(task.metric.name)
    targets = [one.name for one in signature.forward_inputs if one.role == "target"]
    if signature.family in ("dense", "regression") and targets:
        given = initial_inputs(task, samples=len(task.draw(0)[0]))[slot].tensors[targets[0]]
        known |= measured_labels(given.numpy(), signature.family).model_dump(exclude_none=True)
    return known


def _known_of_function(found: FoundTask, family: str | None) -> dict[str, Any]:
    """The signature of a training function's loss where its configuration says it, and what is measured of its targets.

    Those are what it gives the loss at its first call.

    Args:
        found: the function.
        family: that the user asks about; it decides where the function takes several losses.

    Raises:
        UserError: none or several of its losses are of that family, or it gives no targets that can be measured.
    """
    from lossearch.advice import measured_labels
    from lossearch.ir.core.signature import get_signature
    from lossearch.tasks.user.config import FunctionConfig, user_task
    from lossearch.training.function_trainer import default_losses, record_first_call

    assert isinstance(found.subject, FunctionConfig)
    said = found.signature or found.one_signature
    with user_task(found.subject, found.time_limit, said or "dense") as task:
        calls = record_first_call(task, default_losses(task), found.steps or 1, found.device)
    families = {slot: get_signature(name).family for slot, name in task.signatures.items()}
    slots = list(families) if family is None or said is None else [s for s in families if families[s] == family]
    if len(slots) != 1:
        losses = ", ".join(f"{slot} of {one}" for slot, one in families.items())
        hint = "name its family: --family NAME (family=…)"
        raise UserError(f"a question about one loss of {task.name}: {losses}", family or "no family", hint)
    (slot,) = slots
    signature = get_signature(task.signatures[slot])
    known = {} if said is None else {"signature": signature.name, "family": signature.family}
    asked = signature.family if said is not None else family or "dense"
    if asked not in ("dense", "regression"):
        return known
    call = calls[slot]
    if asked == "dense":
        targets = [tensor for tensor in call.tensors().values() if not tensor.is_floating_point()]
    else:
        places = [place for place, one in enumerate(signature.forward_inputs) if one.role == "target"] or [1]
        names = {str(place) for place in places} | {signature.forward_inputs[place].name for place in places}
        targets = [tensor for place, tensor in call.tensors().items() if place in names]
    if not targets:
        what = "integer labels or masks" if asked == "dense" else "targets"
        required = f"a loss that {task.name} calls with {what}, which are measured"
        raise UserError(required, call.describe(), "give the labels themselves (labels=…, --labels FILE)")
    return known | measured_labels(targets[0].numpy(), asked).model_dump(exclude_none=True)
