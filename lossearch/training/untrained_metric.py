"""The metric of a network that was not trained, and how much of a training's gain over it another one keeps."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lossearch.tasks.described import DescribedTask
from lossearch.training.stacked_data import Gathered
from lossearch.training.stacked_models import Device, Stack, initial_weights, template

_PART = 1024  # samples evaluated at once


def untrained_metrics(task: DescribedTask, seed: int, device: Device = "cpu") -> dict[str, float]:
    """The ranking metric of the untrained network of a run on its validation data, by name.

    Of a distribution that of each member, by the member's name.
    """
    return {name: _untrained_metric(member, seed, device) for name, member in task.ranked_by.items()}


@torch.no_grad()
def _untrained_metric(task: DescribedTask, seed: int, device: Device) -> float:
    held_out = Gathered([seed], lambda one: task.draw(one)[1], device)
    stack = Stack(template(task, device), initial_weights(task, [seed], device), not task.stackable)
    parts = held_out.parts([seed], _PART)
    if not task.stackable:
        parts = ({name: tensor[0] for name, tensor in part.items()} for part in parts)
    return float(task.measure(stack, parts)[task.metric.name].reshape(-1)[0])


def kept_gain(untrained: Mapping[str, float], own: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The share of what a training gained over the untrained network that another one has, where it is smallest.

    0 where the first gained nothing, or not in the direction of the second.

    Args:
        untrained: metrics by name.
        own: those of the first training, which gained what counts as 1.
        other: those of the second.
    """
    gains = [(own[name] - start, other[name] - start) for name, start in untrained.items()]
    return min(0.0 if gained == 0.0 else reached / gained for gained, reached in gains)
