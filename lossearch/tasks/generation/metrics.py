"""How generated images are held against real ones, by features of a fixed network."""

from __future__ import annotations

import torch
from torch import Tensor

from lossearch.tasks.base import Metric

NEIGHBOURS = 5
"""Of a real image, the farthest of which bounds what is near to it."""


def frechet_distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared Fréchet distance of two sets of features as if each were normal, at least 0 but for rounding. `[run]`.

    ‖μ₁ - μ₂‖² + tr(C₁ + C₂ - 2·(C₁C₂)^½), as Heusel et al. 2017 with features of Inception. Those here are others, so
    that it is not their FID.

    Args:
        first: `[run, sample, feature]`, at least two samples.
        second: the same.
    """
    one, other = first.double(), second.double()
    mean = (one.mean(-2) - other.mean(-2)).square().sum(-1)
    covariance, another = _covariance(one), _covariance(other)
    # The eigenvalues of C₁C₂ are those of the symmetric C₁^½·C₂·C₁^½.
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp(min=0.0).sqrt().unsqueeze(-2)) @ vectors.mT
    shared = torch.linalg.eigvalsh(root @ another @ root).clamp(min=0.0).sqrt().sum(-1)
    return mean + (_trace(covariance) + _trace(another) - 2.0 * shared)


def coverage(generated: Tensor, real: Tensor) -> Tensor:
    """Share of the real samples with a generated one nearer than their fifth real neighbour, in [0, 1]. `[run]`.

    Diversity: what is never generated is not covered. Naeem et al. 2020.

    Args:
        generated: features `[run, sample, feature]`.
        real: the same, more than five samples.
    """
    radius = torch.cdist(real, real).kthvalue(NEIGHBOURS + 1, -1).values  # the nearest is the sample itself
    return (torch.cdist(real, generated).amin(-1) <= radius).float().mean(-1)


def _covariance(features: Tensor) -> Tensor:
    centred = features - features.mean(-2, keepdim=True)
    return centred.mT @ centred / (features.shape[-2] - 1)


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("frechet_distance", False, 0.0, description="Fréchet distance of features of real and generated images"),
        Metric("coverage", True, 0.0, 1.0, "share of the real images that have a generated one near them"),
        Metric("class_accuracy", True, 0.0, 1.0, "share of the generated images that show the class asked for"),
    )
}
"""By name."""
