"""The rejection test: whatever the units of predictions, good losses improve the metric and turned ones do not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from lossearch.candidates.rejection import RejectionTest
from lossearch.tasks.base import Metric
from lossearch.training.untrained import LossInputs
from lossearch.zoo.named import graph_of

ERROR = Metric("error", False, 0.0)
NEGATIVE = Metric("negative_error", True)


def _judge(given: Mapping[str, Tensor]) -> Tensor:
    return (given["image"] - given["target"]).abs().mean()


def _test(unit: float, metric: Metric = ERROR, reference: str = "charbonnier") -> RejectionTest:
    """Of images that are off by a tenth of the unit."""
    draw = torch.Generator().manual_seed(0)
    target = unit * torch.rand(4, 1, 8, 8, generator=draw)
    image = target + 0.1 * unit * torch.randn(4, 1, 8, 8, generator=draw)
    inputs = LossInputs({"image": image, "target": target}, ("image",))

    def judge(given: Mapping[str, Tensor]) -> Tensor:
        return _judge(given) if metric is ERROR else -_judge(given)

    return RejectionTest(graph_of(reference), inputs, {}, judge, metric, 40)


@pytest.mark.parametrize("unit", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("metric", [ERROR, NEGATIVE], ids=["bounded", "without an end"])
def test_losses_are_told_from_turned_ones_in_any_unit(unit: float, metric: Metric) -> None:
    found = _test(unit, metric)
    assert found.gain(graph_of("l1")) > 0.5
    assert found.gain(graph_of("reconstruction")) > 0.3
    assert found.gain(graph_of("image: -abs(image - target)")) < 0.0


def test_a_metric_that_the_reference_does_not_improve_rejects_nothing() -> None:
    found = _test(1.0, NEGATIVE, "image: -abs(image - target)")
    assert found.best == found.start
    assert found.gain(graph_of("l1")) == 1.0
