"""What training images and labels tell of a task: how often each class occurs, and how many labels may be wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NEIGHBOURS = 10
MOST_SAMPLES = 4000


def measured_facts(images: Tensor, labels: Tensor, classes: int) -> dict[str, Any]:
    """Facts by the names of `lossearch.advice.Situation`: class frequencies, and an estimate of label noise.

    Args:
        images: `[sample, ...]`.
        labels: `[sample]`, int64.
        classes: how many there are.
    """
    counts = torch.bincount(labels, minlength=classes).double()
    return {
        "family": "dense",
        "classes": classes,
        "class_frequencies": tuple((counts / counts.sum()).tolist()),
        "label_noise": round(neighbour_disagreement(images, labels, classes), 3),
        "spatial": False,
    }


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
