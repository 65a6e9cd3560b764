"""What all classifiers have in common, whatever it is that they look at."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.class_weights import inverse_frequencies
from lossearch.tasks.classification.noise_estimate import estimated_noise_rate
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase
from lossearch.tasks.metrics import metric

TOLD = ("accuracy", "balanced_accuracy", "worst_class_recall", "calibration_error")
"""Metrics that are archived and told beside the one that ranks."""


class LabelledTask(DescribedTask):
    """A network gives logits of classes, the loss is given them with the labels, and the metrics follow from both.

    Attributes:
        seen: the name of the tensor that the network is called with; the labels are called "labels".
    """

    seen: ClassVar[str] = "images"

    @abstractmethod
    def class_counts(self) -> Sequence[int]:
        """How many training samples each class has, wrong labels included."""

    @property
    def slots(self) -> Mapping[str, Slot]:
        """One: logits and labels."""
        return {"loss": Slot("dense", "cross_entropy")}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The one that is configured, and those that are told beside it."""
        ranking = self.config.ranking_metric()
        return {ranking.name: ranking} | {name: metric(name) for name in TOLD}

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """Logits and labels."""
        return (Phase({"loss": {"logits": model(batch[self.seen]), "target": batch["labels"]}}),)

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """The metrics of the logits of all samples."""
        pairs = [(model(part[self.seen]), part["labels"]) for part in parts]
        logits, labels = (torch.cat(tensors, 1) for tensors in zip(*pairs, strict=True))
        return {name: metric(name)(logits, labels) for name in self.metrics}

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor:
        """The metric follows from logits and labels alone."""
        ranking = metric(self.config.ranking_metric().name)
        return ranking(inputs["logits"].unsqueeze(0), inputs["target"].unsqueeze(0))[0]

    def buffers(self, slot: str) -> Mapping[str, Tensor]:
        """Class weights (inverse frequencies of the training labels), noise rate, and class counts where all occur."""
        counts = self.class_counts()
        weights = inverse_frequencies([count / sum(counts) for count in counts])
        given = {"class_weight": weights, "noise_rate": torch.tensor(self.noise_rate)}
        return {**given, "class_count": torch.tensor(counts).float()} if min(counts) > 0 else given

    @cached_property
    def noise_rate(self) -> float:
        """Estimated from the training split of the first seed, as `estimated_noise_rate` says."""
        train, _ = self.draw(0)
        return estimated_noise_rate(train[self.seen], train["labels"], len(self.class_counts()))
