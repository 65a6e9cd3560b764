"""Families of described tasks: how each is configured and built, and which of its tasks have names.

Another package adds a family by an entry point of the group `lossearch.tasks` that names a module, which calls
`FAMILIES.add("name", Family(...))` as it is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lossearch.errors import UserError
from lossearch.registry import Registry
from lossearch.tasks.action_recognition import config as action_recognition
from lossearch.tasks.action_recognition.task import ActionRecognitionTask
from lossearch.tasks.classification import config as classification
from lossearch.tasks.classification.task import ClassificationTask
from lossearch.tasks.cross_modal import config as cross_modal
from lossearch.tasks.cross_modal.task import CrossModalTask
from lossearch.tasks.described import DescribedTask
from lossearch.tasks.detection import config as detection
from lossearch.tasks.detection.task import DetectionTask
from lossearch.tasks.generation import config as generation
from lossearch.tasks.generation.kinds import generation_task
from lossearch.tasks.metric_learning import config as metric_learning
from lossearch.tasks.metric_learning.task import MetricLearningTask
from lossearch.tasks.regression import config as regression
from lossearch.tasks.regression.task import RegressionTask
from lossearch.tasks.restoration import config as restoration
from lossearch.tasks.restoration.task import RestorationTask
from lossearch.tasks.segmentation import config as segmentation
from lossearch.tasks.segmentation.task import SegmentationTask
from lossearch.tasks.self_supervised import config as self_supervised
from lossearch.tasks.self_supervised.task import SelfSupervisedTask
from lossearch.tasks.tabular import config as tabular
from lossearch.tasks.tabular.task import TabularTask
from lossearch.tasks.time_series import config as time_series
from lossearch.tasks.time_series.task import TimeSeriesTask
from lossearch.tasks.tracking import config as tracking
from lossearch.tasks.tracking.task import TrackingTask
from lossearch.tasks.training_config import TrainingConfig

CLASSIFICATION = "classification"
"""The family of a table that names none."""


@dataclass(frozen=True)
class Family:
    """A family of tasks.

    Attributes:
        config: of one task, with a field `family` that holds the family's name (image classification has none).
        build: makes the task of a configuration.
        read: the configuration that a task's name or a table of values means.
        named: values of the tasks that have names.
    """

    config: type[TrainingConfig]
    build: Callable[[Any], DescribedTask]
    read: Callable[[Mapping[str, Any]], TrainingConfig]
    named: Mapping[str, Mapping[str, Any]]


FAMILIES: Registry[Family] = Registry("a family of tasks", where="see: lossearch tasks", group="lossearch.tasks")
"""Every family by name."""

FAMILIES.add(
    CLASSIFICATION,
    Family(classification.TaskConfig, ClassificationTask, classification.task_config, classification.NAMED),
)
FAMILIES.add(
    "regression",
    Family(regression.RegressionConfig, RegressionTask, regression.regression_config, regression.NAMED),
)
FAMILIES.add(
    "segmentation",
    Family(segmentation.SegmentationConfig, SegmentationTask, segmentation.segmentation_config, segmentation.NAMED),
)
FAMILIES.add(
    "detection",
    Family(detection.DetectionConfig, DetectionTask, detection.detection_config, detection.NAMED),
)
FAMILIES.add(
    "metric_learning",
    Family(
        metric_learning.MetricLearningConfig,
        MetricLearningTask,
        metric_learning.metric_learning_config,
        metric_learning.NAMED,
    ),
)
FAMILIES.add(
    "time_series",
    Family(time_series.TimeSeriesConfig, TimeSeriesTask, time_series.time_series_config, time_series.NAMED),
)
FAMILIES.add(
    "action_recognition",
    Family(
        action_recognition.ActionRecognitionConfig,
        ActionRecognitionTask,
        action_recognition.action_recognition_config,
        action_recognition.NAMED,
    ),
)
FAMILIES.add(
    "restoration",
    Family(restoration.RestorationConfig, RestorationTask, restoration.restoration_config, restoration.NAMED),
)
FAMILIES.add(
    "self_supervised",
    Family(
        self_supervised.SelfSupervisedConfig,
        SelfSupervisedTask,
        self_supervised.self_supervised_config,
        self_supervised.NAMED,
    ),
)
FAMILIES.add(
    "cross_modal",
    Family(cross_modal.CrossModalConfig, CrossModalTask, cross_modal.cross_modal_config, cross_modal.NAMED),
)
FAMILIES.add(
    "generation",
    Family(generation.GenerationConfig, generation_task, generation.generation_config, generation.NAMED),
)
FAMILIES.add(
    "tabular_classification",
    Family(tabular.TabularConfig, TabularTask, tabular.tabular_config, tabular.NAMED),
)
FAMILIES.add(
    "tracking",
    Family(tracking.TrackingConfig, TrackingTask, tracking.tracking_config, tracking.NAMED),
)


def tasks() -> dict[str, TrainingConfig]:
    """Every named task's configuration, in listing order."""
    return {name: family.read({"base": name}) for family in _families() for name in family.named}


def task_config(spec: str | Mapping[str, Any] | TrainingConfig) -> TrainingConfig:
    """The configuration that `spec` means.

    Args:
        spec: a task's name; or a table of values, of which `base` names a task whose values the others override, or
            `family` the family; or a configuration, returned as it is.

    Raises:
        UserError: no such task or family, or a value that does not fit.
    """
    if isinstance(spec, TrainingConfig):
        return spec
    values = {"base": spec} if isinstance(spec, str) else dict(spec)
    base = values.get("base")
    if base is None:
        FAMILIES.extend()
        return FAMILIES.find(values.get("family", CLASSIFICATION)).read(values)
    for family in _families():
        if base in family.named:
            return family.read(values)
    known = [name for family in _families() for name in family.named]
    raise UserError(f"one of the tasks {', '.join(known)}", f"{base!r:.80}", "see: lossearch tasks")


def build_task(spec: str | Mapping[str, Any] | TrainingConfig) -> DescribedTask:
    """The task that `spec` means, with its data.

    Raises:
        UserError: as `task_config`, or the data is missing or damaged.
    """
    config = task_config(spec)
    FAMILIES.extend()
    return FAMILIES.find(getattr(config, "family", CLASSIFICATION)).build(config)


def _families() -> Iterator[Family]:
    FAMILIES.extend()
    return iter(FAMILIES.values())
