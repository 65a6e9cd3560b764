"""Tasks: datasets with train, validation and test splits, models and metrics."""

from lossearch.tasks.base import Metric, Rights, Slot
from lossearch.tasks.catalogue import FAMILIES, Family, build_task, task_config, tasks
from lossearch.tasks.classification.config import TaskConfig
from lossearch.tasks.classification.task import ClassificationTask, ImageSplit, ImageTestSplit, TaskStatistics
from lossearch.tasks.datasets.data import Arrays, Dataset, datasets
from lossearch.tasks.described import DescribedTask, Phase
from lossearch.tasks.distribution.task import DistributionTask
from lossearch.tasks.metrics import metric, metrics
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.seal import Opening, TestSplitSealed, forbid_test_split, openings
from lossearch.tasks.training_config import TrainingConfig
from lossearch.tasks.user.task import UserTask

Task = ClassificationTask
"""Image classification, made by name or configuration; what every task tells is `lossearch.tasks.base.Task`."""

Split = ImageSplit
TestSplit = ImageTestSplit
"""The splits of image classification by their earlier names."""

__all__ = [
    "FAMILIES",
    "Arrays",
    "ClassificationTask",
    "Dataset",
    "DescribedTask",
    "DistributionTask",
    "Family",
    "ImageSplit",
    "ImageTestSplit",
    "Metric",
    "Opening",
    "Outcome",
    "Phase",
    "Rights",
    "Slot",
    "Split",
    "Status",
    "Task",
    "TaskConfig",
    "TaskStatistics",
    "TestSplit",
    "TestSplitSealed",
    "TrainingConfig",
    "UserTask",
    "build_task",
    "datasets",
    "forbid_test_split",
    "metric",
    "metrics",
    "openings",
    "task_config",
    "tasks",
]
