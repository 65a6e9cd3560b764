"""How many classes a run's losses are drawn over: as many as its task has."""

from __future__ import annotations

from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.setup.config import load_config
from lossearch.engine.setup.first_call_file import read_first_call
from lossearch.errors import UserError
from lossearch.ir.core.signature import Signature
from lossearch.report.sweeps import CLASSES
from lossearch.tasks import task_config
from lossearch.tasks.user.config import FunctionConfig

MOST = 1000
"""Classes of a drawing, at most: more of them change no curve that a person could tell."""


def classes_of(run: RunDirectory, signature: Signature, slot: str = "") -> int:
    """The classes of the run's task: of its data set, or of the predictions that a function gave its loss first.

    Ten where the losses of the signature know no classes, and where a damaged run does not tell.
    """
    axes = signature.forward_inputs[0].axes
    if "class" not in axes:
        return CLASSES
    try:
        task = load_config(run.config)[0].task
        if not isinstance(task, FunctionConfig):
            return min(task_config(task).classes or CLASSES, MOST)
        call = read_first_call(run)
    except UserError:  # a damaged run is reported as far as it can be read
        return CLASSES
    given = {} if call is None else (call[slot] if slot else call.only).tensors()
    shape = given["0"].shape if "0" in given else ()
    found = shape[axes.index("class")] if len(shape) > axes.index("class") else 0
    return min(found, MOST) if found > 1 else CLASSES
