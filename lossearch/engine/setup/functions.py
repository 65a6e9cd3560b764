"""The user's training functions that a search calls."""

from __future__ import annotations

from collections.abc import Mapping

from lossearch.tasks.distribution.config import DistributionConfig
from lossearch.tasks.distribution.function_task import functions_in
from lossearch.tasks.user.config import FunctionConfig
from lossearch.tasks.user.script_files import NamesFunction


def functions_of(task: object, held_out: bool = False) -> Mapping[str, NamesFunction]:
    """The training functions of a search, by the table that names each: `task`, or an option of a distribution's axis.

    Args:
        task: as a search configuration has it; a name has none.
        held_out: whether functions of a distribution that it never draws are named, too.
    """
    if isinstance(task, FunctionConfig):
        return {"task": task}
    if isinstance(task, DistributionConfig):
        return functions_in(task.axes) if held_out else task.functions
    return {}
