"""How many labels are wrong, estimated from training samples and their labels alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NEIGHBOURS = 20
MOST_SAMPLES = 2000


def estimated_noise_rate(samples: Tensor, labels: Tensor, classes: int) -> float:
    """The share of wrong labels by the confident joint (Northcutt et al. 2021), rounded to hundredths.

    What a sample's class is like is told by the labels of its 20 nearest neighbours without its own, which takes the
    place of a cross-fitted classifier. A sample counts for the class that has most of its neighbours, among those whose
    share there is at least the mean share over the samples of that label. Rows of the joint are scaled to how often
    each label occurs; the estimate is what lies off the diagonal. The first 2,000 samples are looked at.

    It is an upper estimate: where classes overlap, samples that are merely hard count too (docs/TASKS.md has its
    error).

    Args:
        samples: `[sample, ...]`.
        labels: `[sample]`, int64.
        classes: how many there are.

    Returns:
        In [0, 1]; 0 for fewer samples than neighbours.
    """
    rows, labels = samples[:MOST_SAMPLES].flatten(1).float(), labels[:MOST_SAMPLES]
    if len(rows) <= NEIGHBOURS:
        return 0.0
    distance = torch.cdist(rows, rows)
    distance.fill_diagonal_(torch.inf)
    near = labels[distance.topk(NEIGHBOURS, largest=False).indices]
    shares = F.one_hot(near, classes).double().mean(1)
    own = F.one_hot(labels, classes).double()
    counts = own.sum(0)
    # A class without samples has no mean share, and none reaches it.
    least = torch.where(counts > 0, (own * shares).sum(0) / counts.clamp(min=1.0), torch.inf)
    reached = shares >= least
    likely = torch.where(reached, shares, -1.0).argmax(1)
    joint = own.T @ (F.one_hot(likely, classes).double() * reached.any(1, keepdim=True))
    right = torch.where(joint.sum(1) > 0, joint.diagonal() / joint.sum(1).clamp(min=1.0), 1.0)
    return round(float(1.0 - (right * counts).sum() / counts.sum()), 2)
