"""What can be measured of labels and other targets to train on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossearch.advice.situation import Situation
from lossearch.errors import UserError

MOST_CLASSES = 100_000
FAR = 3.0
NORMAL_DEVIATIONS_PER_MAD = 1.4826


def measured_labels(labels: npt.NDArray[Any], family: str = "dense", ignore_index: int | None = None) -> Situation:
    """The facts of a user's own labels.

    Args:
        labels: Of the dense family `[sample]` classes or `[sample, height, width]` masks; else any numbers to predict.
        family: Task family.
        ignore_index: Label whose elements count nothing.

    Raises:
        UserError: There are no classes among them, or too many.
    """
    if not np.isfinite(labels).all():
        raise UserError("labels without nan and infinity", "some", "leave out what has no label")
    if family != "dense":
        share = outlier_share(torch.from_numpy(np.ascontiguousarray(labels, np.float64)))
        return Situation(family=family, outlier_share=round(share, 4))
    kept = labels if ignore_index is None else labels[labels != ignore_index]
    whole = kept.astype(np.int64)
    if (whole != kept).any() or not whole.size:
        raise UserError("labels that are whole numbers", "others, or none", "for targets to regress: family regression")
    least, most = int(whole.min()), int(whole.max())
    if least < 0 or most >= MOST_CLASSES:
        hint = "name what stands for no label: --ignore-index N (ignore_index=N)"
        raise UserError(f"classes from 0 to {MOST_CLASSES - 1}", f"labels from {least} to {most}", hint)
    counts = np.bincount(whole.ravel())
    spatial = labels.ndim > 1 and labels.shape[-1] > 1
    return Situation(
        family=family,
        classes=len(counts),
        class_frequencies=tuple((counts / counts.sum()).tolist()),
        foreground_share=round(float((whole != 0).mean()), 4) if spatial else None,
        spatial=spatial,
    )


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
