"""Tasks: datasets with train, validation and test splits, models and metrics."""

from lossearch.tasks.classification.config import TaskConfig, task_config, tasks
from lossearch.tasks.classification.metrics import Metric, metric, metrics
from lossearch.tasks.classification.task import Split, Task, TaskStatistics, TestSplit
from lossearch.tasks.datasets.data import Arrays, Dataset, datasets
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.seal import Opening, TestSplitSealed, forbid_test_split, openings
from lossearch.tasks.user.task import UserTask

__all__ = [
    "Arrays",
    "Dataset",
    "Metric",
    "Opening",
    "Outcome",
    "Split",
    "Status",
    "Task",
    "TaskConfig",
    "TaskStatistics",
    "TestSplit",
    "TestSplitSealed",
    "UserTask",
    "datasets",
    "forbid_test_split",
    "metric",
    "metrics",
    "openings",
    "task_config",
    "tasks",
]
