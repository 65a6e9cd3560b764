"""How a configuration names a training function, and the task that it makes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from torch import Tensor

from lossearch.errors import UserError
from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.directions import Direction, direction_of
from lossearch.tasks.seal import record_opening
from lossearch.tasks.user.function import check_function
from lossearch.tasks.user.script_files import digest, script_files
from lossearch.tasks.user.task import UserTask, short_name


class FunctionConfig(BaseModel):
    """A task that is the user's own function `train(loss, budget, seed) -> iterator of metrics`.

    Its budget is `evaluation.steps`, in the function's own units, which must be given; `evaluation.time_limit_s` bounds
    each call.

    Attributes:
        function: "path/to/file.py:function" or "module:function"; a path is relative to the configuration file.
        metric: name of what ranks losses; the key to look up where the function yields mappings. Without it the first
            of `metrics`.
        direction: which way is better, "maximize" or "minimize". Needed unless `metrics` or the metric's name tells it,
            such as accuracy, dice, iou, psnr or auc, or mae, rmse, loss, perplexity or error.
        metrics: metrics that the function yields, each with its direction, such as
            { val_dice = "maximize", val_loss = "minimize" }; a yield that lacks one is an error. All numbers of a
            yielded mapping are archived, named here or not.
        folder: working directory of the function, relative to the configuration file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    function: str
    metric: str = "metric"
    direction: Direction | None = None
    metrics: dict[str, Direction] = {}
    folder: str = "."

    @model_validator(mode="after")
    def _directed(self) -> Self:
        """What ranks, and its direction, where `metrics` or a name tells them; raises `UserError` where they do not."""
        if self.metrics and "metric" not in self.model_fields_set:
            object.__setattr__(self, "metric", next(iter(self.metrics)))
        told = self.metrics.get(self.metric)
        if told is not None and self.direction not in (None, told):
            found = f'direction = "{self.direction}" and {self.metric} = "{told}" in metrics'
            raise UserError(f"one direction of the metric {self.metric!r}", found, "leave direction out")
        object.__setattr__(self, "direction", direction_of(self.metric, told or self.direction))
        return self

    def __hash__(self) -> int:
        """By what it says, a table of metrics included."""
        return hash(self.model_dump_json())

    @property
    def higher_is_better(self) -> bool:
        """Whether higher values of the metric are better."""
        return self.direction == "maximize"

    @property
    def name(self) -> str:
        """What the task is called in the archive: file or module, and function."""
        return short_name(self.function)

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return Metric(self.metric, self.higher_is_better)

    @property
    def base_learning_rate(self) -> float:
        """What the function takes is a factor on its own."""
        return 1.0

    @property
    def slots(self) -> Mapping[str, Slot]:
        """None: of which signatures a function's losses are, the losses or their space say."""
        return {}

    @property
    def searched(self) -> tuple[str, ...]:
        """None, as `slots`."""
        return ()

    @property
    def searched_signature(self) -> None:
        """None is known, as `slots`."""
        return None

    @property
    def tells_progress(self) -> bool:
        """A function tells its losses none."""
        return UserTask.tells_progress

    def buffers(self, slot: str) -> Mapping[str, Tensor]:
        """None: a function does not tell its class weights."""
        return {}

    @contextlib.contextmanager
    def open_test(self, by: str) -> Iterator[None]:
        """Only the record that the test split is opened: a function has its own, and is told to judge on it.

        Args:
            by: who opens it: "compare".

        Raises:
            TestSplitSealed: this process called `forbid_test_split`.
        """
        record_opening(self.name, by)
        yield

    def identity(self) -> dict[str, Any]:
        """What results with this function depend on, without paths: its name and metric, and its files' digests."""
        files = {name: digest(path) for name, path in script_files(self).items()}
        return {
            "function": short_name(self.function),
            "metric": self.metric,
            "direction": self.direction,
            "files": files,
        }


def user_task(
    config: FunctionConfig, time_limit: float | None = None, signature: str | Mapping[str, str] = "dense"
) -> UserTask:
    """The task of a function.

    Args:
        config: names it.
        time_limit: seconds for one call.
        signature: of the loss that it calls; by slot where it takes several.

    Raises:
        UserError: the function cannot be found.
    """
    # Where the folder is missing, as on a node without it, this process's own takes its place.
    folder = config.folder if os.path.isdir(config.folder) else os.curdir
    with contextlib.chdir(folder):
        check_function(config.function)
    metric, higher, directions = config.metric, config.higher_is_better, config.metrics
    return UserTask(config.function, metric, higher, time_limit, folder, signature, directions)
