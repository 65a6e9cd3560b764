"""Recognising what people do from sensors that they wear, of people that no training saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import nn

from lossearch.tasks.action_recognition.config import ActionRecognitionConfig, action_recognition_config
from lossearch.tasks.action_recognition.models import TemporalCNN
from lossearch.tasks.action_recognition.windows import Part, search_parts, test_part
from lossearch.tasks.classification.labelled import LabelledTask
from lossearch.tasks.classification.statistics import measured_facts
from lossearch.tasks.datasets.data import load_recordings
from lossearch.tasks.described import RecentDraws, Split


class ActionRecognitionTask(LabelledTask):
    """A small convolutional network tells actions from windows of sensor recordings.

    Each sensor is scaled to mean 0 and deviation 1 of the task's own training windows.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.

    Raises:
        UserError: the configuration does not fit, or the data is missing or damaged.
    """

    seen: ClassVar[str] = "windows"

    def __init__(self, spec: str | Mapping[str, Any] | ActionRecognitionConfig) -> None:
        super().__init__(action_recognition_config(spec))
        self._recorded = load_recordings(self.config.dataset)
        train, validation = search_parts(self.config, self._recorded)
        self._mean = train.windows.mean((0, 2), keepdims=True)
        self._deviation = np.maximum(train.windows.std((0, 2), keepdims=True), 1e-12)
        self._wrong = float((train.labels != train.clean_labels).mean())
        self._own = self._split(train), self._split(validation)
        self._redrawn = RecentDraws(self._drawn)

    @property
    def config(self) -> ActionRecognitionConfig:
        """What defines the task."""
        return cast(ActionRecognitionConfig, self._config)

    def class_counts(self) -> Sequence[int]:
        """Of the task's own training windows."""
        return torch.bincount(self._own[0]["labels"], minlength=self.config.classes).tolist()

    def describe(self) -> str:
        """Data and sizes."""
        given = self.config
        train, validation = (len(split) for split in self._own)
        kind = "people" if given.recordings.people else "recordings"
        return (
            f"{self.name}: cnn on {given.dataset}, {train} training windows of {given.train_people} {kind} and"
            f" {validation} validation windows of {given.val_people} others, {given.classes} classes,"
            f" {self._wrong:.0%} wrong labels"
        )

    def build_model(self) -> nn.Module:
        """Convolutions along time."""
        return TemporalCNN(self.config.recordings.sensors, self.config.classes, self.config.channels)

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation windows of a training with this seed."""
        return self._redrawn(seed) if self.config.resample else self._own

    def test_split(self) -> Split:
        """Windows of people that no training and no choice saw."""
        return self._split(test_part(self.config, self._recorded))

    def facts(self) -> Mapping[str, Any]:
        """Class frequencies and an estimate of label noise, of the training split; the metric as configured."""
        train = self._own[0]
        measured = measured_facts(train["windows"], train["labels"], self.config.classes)
        return {**measured, "metric": self.config.metric}

    def _drawn(self, seed: int) -> tuple[Split, Split]:
        train, validation = search_parts(self.config, self._recorded, seed)
        return self._split(train), self._split(validation)

    def _split(self, part: Part) -> Split:
        scaled = (part.windows - self._mean) / self._deviation
        return Split({"windows": torch.from_numpy(scaled), "labels": torch.from_numpy(part.labels)})
