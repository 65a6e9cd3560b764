"""What losses are given before any training: where their gradients are compared, and from where predictions start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lossearch.errors import UserError
from lossearch.ir.core.signature import get_signature
from lossearch.tasks.described import DescribedTask
from lossearch.tasks.user.task import UserTask
from lossearch.training.stacked_models import DataOrder, Device, Stack, initial_weights, template

SAMPLES = 256
"""Training samples at whose untrained predictions step sizes are measured."""


FUNCTION_CLASSES = 10
"""Classes for which losses are judged where a user's own function does not tell how many it has."""

AnyTask = DescribedTask | UserTask
"""A task that describes its training, or one that trains itself."""


@dataclass(frozen=True)
class LossInputs:
    """What a loss is given at one call.

    Attributes:
        tensors: by the names of its signature, in its order, detached.
        free: names of those that depend on the model: its predictions.
    """

    tensors: Mapping[str, Tensor]
    free: tuple[str, ...]


def initial_inputs(
    task: DescribedTask, seed: int = 0, samples: int | None = None, device: Device = "cpu"
) -> dict[str, LossInputs]:
    """What each slot's loss is given by the untrained model of a run, on the first samples of that run's first epoch.

    Args:
        task: the task.
        seed: of the run.
        samples: at most the size of the training split; None takes 256, or all where there are fewer.
        device: where to compute.

    Returns:
        By slot. Training labels are as they are, noise included.

    Raises:
        UserError: `samples` is out of range.
    """
    train, _ = task.draw(seed)
    total = len(train)
    samples = min(SAMPLES, total) if samples is None else samples
    if not 1 <= samples <= total:
        required = f"samples from 1 to {total}, the size of the training split"
        raise UserError(required, str(samples), "ask for fewer samples")
    indices = DataOrder(task.order, [seed], total, samples).batch(0)[0]
    stack = Stack(template(task, device), initial_weights(task, [seed], device), not task.stackable)
    batch = {name: tensor[indices].to(device) for name, tensor in train.tensors.items()}
    if task.stackable:
        batch = {name: tensor.unsqueeze(0) for name, tensor in batch.items()}
    found: dict[str, LossInputs] = {}
    for phase in task.step(stack, batch):
        for slot, given in phase.inputs.items():
            names = [declared.name for declared in get_signature(task.slots[slot].signature).forward_inputs]
            free = tuple(name for name in names if given[name].requires_grad)
            tensors = {name: (given[name][0] if task.stackable else given[name]).detach() for name in names}
            found[slot] = LossInputs(tensors, free)
    return found


def untrained_inputs(task: AnyTask, slot: str, samples: int, lengths: Mapping[str, int]) -> LossInputs | None:
    """What a slot's loss is given before any training; None where nothing is known of it.

    A user's own function, which has its own network, is stood for by small random class scores with random labels
    where its losses take these alone.

    Args:
        task: the task.
        slot: of the loss.
        samples: at most as many as there are training samples.
        lengths: of axes, as a user's function gives them to its loss.
    """
    if isinstance(task, DescribedTask):
        return initial_inputs(task, 0, min(samples, len(task.draw(0)[0])))[slot]
    signature = get_signature(task.slots[slot].signature)
    if signature.labelled_scores is None:
        return None
    scores, target = (one.name for one in signature.labelled_scores)
    classes = lengths.get("class", FUNCTION_CLASSES)
    draw = np.random.Generator(np.random.Philox(key=20202))
    drawn = torch.from_numpy(0.1 * draw.normal(size=(samples, classes))).float()
    given = {scores: drawn, target: torch.from_numpy(draw.integers(classes, size=samples))}
    return LossInputs({one.name: given[one.name] for one in signature.forward_inputs}, (scores,))
