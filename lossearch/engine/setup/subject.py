"""What losses are tuned, compared and advised on, from what a user names: a task, a configuration or a function."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lossearch.archive.run_directory import RunDirectory
from lossearch.comparison.conditions import Subject
from lossearch.engine.setup.begun import BEGUN, continued, located
from lossearch.engine.setup.config import SearchConfig, anchored_function, load_config
from lossearch.engine.setup.given import PICKLED
from lossearch.errors import UserError
from lossearch.search_spaces import load_space
from lossearch.tasks import DescribedTask, TrainingConfig, build_task
from lossearch.tasks.field_error import field_error
from lossearch.tasks.user.config import FunctionConfig
from lossearch.tasks.user.function import is_reference, reference_to
from lossearch.tasks.user.pickled_function import name_of, pickled

TaskLike = str | Path | Mapping[str, Any] | TrainingConfig | FunctionConfig | DescribedTask | Callable[..., Any]
"""A bundled task, its name or its configuration; a search configuration (.toml), whose task is meant; or a training
function, its reference (`train.py:train`), or a mapping that names it with its metric."""

_REQUIRED = "a task: its name, a search configuration (.toml), a mapping or a training function (train.py:train)"


@dataclass(frozen=True)
class FoundTask:
    """A task, and what the configuration that names it says of its trainings.

    Attributes:
        subject: the task.
        steps: budget of a training; None where it is the task's own, or not said.
        time_limit: seconds for one call of a function; None for no limit.
        device: where to train; None where it is not said.
        signature: of the losses of a function that takes several, by slot; None where it is not said.
        one_signature: of the loss of a function that takes one; None where it is not said.
    """

    subject: Subject
    steps: int | None = None
    time_limit: float | None = None
    device: str | None = None
    signature: Mapping[str, str] | None = None
    one_signature: str | None = None


@contextmanager
def found_subject(task: TaskLike, metric: str | None = None, direction: str | None = None) -> Iterator[FoundTask]:
    """The task that a user names, for as long as the block lasts: a function that must be pickled lies in a file.

    Args:
        task: see `TaskLike`.
        metric: of a function that is given by itself or by its reference.
        direction: of that metric, where its name does not tell it.

    Raises:
        UserError: it is none of these, or a metric is given for what has one.
    """
    told = {name: value for name, value in (("metric", metric), ("direction", direction)) if value is not None}
    if isinstance(task, str) and is_reference(task):
        yield FoundTask(_function({"function": task, **told}))
        return
    if isinstance(task, Mapping) and "function" in task:
        task, told = task["function"], {**task, **told}
        if isinstance(task, str):
            yield FoundTask(_function(told))
            return
    if isinstance(task, type | Callable) and not isinstance(task, DescribedTask):
        with tempfile.TemporaryDirectory(prefix="lossearch-") as folder:
            yield FoundTask(_function({**told, "function": _reference(task, Path(folder))}))
        return
    if told:
        found = f"{', '.join(told)} beside {task!r:.80}"
        raise UserError("a metric for a training function alone: others have theirs", found, "leave it out")
    yield _named(task)


def _named(task: object) -> FoundTask:
    if isinstance(task, (DescribedTask, FunctionConfig)):
        return FoundTask(task)
    if isinstance(task, (str, Path)) and Path(task).suffix == ".toml":
        config = _configuration(Path(task))
        steps, limit, device = config.evaluation.steps, config.evaluation.time_limit_s, config.evaluation.device
        if isinstance(config.task, FunctionConfig):
            signatures = {slot: load_space(one).signature for slot, one in config.spaces.items()}
            if isinstance(config.space, dict):
                return FoundTask(config.task, steps, limit, device, signatures)
            return FoundTask(config.task, steps, limit, device, one_signature=signatures.get("", "dense"))
        return FoundTask(build_task(config.task), device=device)
    if isinstance(task, (str, Path)):
        return FoundTask(build_task(str(task)))
    if isinstance(task, (Mapping, TrainingConfig)):
        return FoundTask(build_task(task))
    raise UserError(_REQUIRED, f"{task!r:.80}", "see: lossearch tasks")


def _configuration(path: Path) -> SearchConfig:
    """The search configuration in a file; in a run directory that of the run, with its files where they are now."""
    run = RunDirectory(path.parent)
    if path.name == run.config.name and (run.path / BEGUN).is_file():
        return located(continued(run), run)
    return load_config(path)[0]


def _reference(function: Callable[..., Any], folder: Path) -> str:
    """The name under which other processes find a function; one without is pickled into the folder."""
    known = reference_to(function)
    if known is not None:
        return known
    (folder / PICKLED).write_bytes(pickled(function))
    return f"{folder / PICKLED}:{name_of(function)}"


def _function(values: Mapping[str, Any]) -> FunctionConfig:
    try:
        config = FunctionConfig.model_validate(dict(values))
    except ValidationError as error:
        raise field_error(error, "the task", lambda path: list(FunctionConfig.model_fields)) from error
    return anchored_function(config, Path.cwd())
