"""Losses of boxes as Gaussians, against optimal transport between these Gaussians."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ot.gaussian import bures_wasserstein_distance
from torch import Tensor

from lossearch import zoo

from .samples import ORDINARY

SAMPLES = [sample for sample in ORDINARY["box"]() if sample.differentiable]


def transport(boxes: Tensor, target: Tensor) -> np.ndarray:
    """The Wasserstein distance of each pair of boxes, whose Gaussians have half their sides as standard deviations."""

    def gaussian(box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (box[:2] + box[2:]) / 2, np.diag(((box[2:] - box[:2]) / 2) ** 2)

    pairs = zip(boxes.numpy(), target.numpy(), strict=True)
    found = []
    for box, other in pairs:
        (mean, covariance), (other_mean, other_covariance) = gaussian(box), gaussian(other)
        found.append(bures_wasserstein_distance(mean, other_mean, covariance, other_covariance))
    return np.array(found)


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
def test_distances_are_those_of_optimal_transport(sample) -> None:
    distance = transport(*sample.inputs)
    expected = {
        "gaussian_wasserstein": 1 - 1 / (1 + distance),
        "normalized_wasserstein": 1 - np.exp(-distance / 12.8),
    }
    for name, values in expected.items():
        found = zoo.get(name).to_module(reduction="none")(*sample.inputs)
        np.testing.assert_allclose(found.numpy(), values, rtol=1e-6, atol=1e-7)


def test_disjoint_boxes_are_told_apart_by_their_distance() -> None:
    boxes = torch.tensor([[0.0, 0.0, 2.0, 4.0]], dtype=torch.float64)
    for shift in (10.0, 100.0):
        moved = boxes + torch.tensor([shift, 0.0, shift, 0.0])
        found = zoo.get("normalized_wasserstein").to_module()(moved, boxes).item()
        assert math.isclose(found, 1 - math.exp(-shift / 12.8), rel_tol=1e-9)
