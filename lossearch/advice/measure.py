"""What can be measured of a task on its training split; validation and test stay closed."""

from __future__ import annotations

import torch
from torch import Tensor

from lossearch.advice.situation import Situation
from lossearch.tasks import Task

NEIGHBOURS = 10
MOST_SAMPLES = 4000
FAR = 3.0
NORMAL_DEVIATIONS_PER_MAD = 1.4826


def measured(task: Task) -> Situation:
    """The facts of a bundled task: class frequencies and label noise from its training split, the rest as declared."""
    images, labels = task.train.images, task.train.labels
    counts = torch.bincount(labels, minlength=task.classes).double()
    return Situation(
        family="dense",
        classes=task.classes,
        class_frequencies=tuple((counts / counts.sum()).tolist()),
        label_noise=round(neighbour_disagreement(images, labels, task.classes), 3),
        metric=task.config.metric,
        architecture=task.config.model.name,
        spatial=False,
    )


def neighbour_disagreement(images: Tensor, labels: Tensor, classes: int) -> float:
    """Share of samples whose label is not the majority of their ten nearest neighbours'.

    An upper estimate of label noise: samples that are merely hard count too. The first 4,000 samples are compared.
    """
    rows, labels = images[:MOST_SAMPLES].flatten(1).double(), labels[:MOST_SAMPLES]
    if len(rows) <= NEIGHBOURS:
        return 0.0
    distance = torch.cdist(rows, rows)
    distance.fill_diagonal_(torch.inf)
    nearest = labels[distance.topk(NEIGHBOURS, largest=False).indices]
    votes = torch.nn.functional.one_hot(nearest, classes).sum(1)
    return float((votes.argmax(1) != labels).double().mean())


def foreground_share(labels: Tensor) -> float:
    """Share of elements of integer maps that are not background, class 0."""
    return float((labels != 0).double().mean()) if labels.numel() else 0.0


def outlier_share(targets: Tensor) -> float:
    """Share of numbers more than three robust standard deviations (median absolute deviations) from the median."""
    values = targets.flatten().double()
    if not values.numel():
        return 0.0
    off = (values - values.median()).abs()
    deviation = NORMAL_DEVIATIONS_PER_MAD * off.median()
    return float((off > FAR * deviation).double().mean()) if deviation > 0 else 0.0
