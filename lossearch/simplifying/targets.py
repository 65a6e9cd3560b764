"""Whether the losses of a run are given labels: what then agrees on labels may be taken together."""

from __future__ import annotations

from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.setup.config import load_config
from lossearch.engine.setup.first_call_file import read_first_call
from lossearch.errors import UserError
from lossearch.ir.core.signature import Signature
from lossearch.joint_loss import AnyLoss, JointLoss
from lossearch.tasks.user.config import FunctionConfig


def takes_labels(run: RunDirectory, loss: AnyLoss, slot: str = "") -> bool:
    """Whether the run's task gives a loss labels: all bundled tasks do, a user's function as it first called one.

    False where the signature knows no labels, and where a damaged run does not tell. Of losses of several slots it is
    whether one of them is given labels.
    """
    if isinstance(loss, JointLoss):
        return any(_takes_labels(run, one.signature, slot) for slot, one in loss.losses.items())
    return _takes_labels(run, loss.signature, slot)


def _takes_labels(run: RunDirectory, signature: Signature, slot: str) -> bool:
    places = [place for place, declared in enumerate(signature.forward_inputs) if declared.labels]
    if not places:
        return False
    try:
        if not isinstance(load_config(run.config)[0].task, FunctionConfig):
            return True
        call = read_first_call(run)
    except UserError:  # what holds for every target holds then
        return False
    given = {} if call is None else (call[slot] if slot else call.only).tensors()
    names = (str(places[0]), signature.forward_inputs[places[0]].name)
    found = [given[name] for name in names if name in given]
    return bool(found) and not found[0].is_floating_point()
