"""What networks predict before any training: where gradients of losses are compared."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lossearch.errors import UserError
from lossearch.tasks.classification.task import ClassificationTask
from lossearch.tasks.user.task import UserTask
from lossearch.training.stacked_models import DataOrder, Device, Stack, initial_weights, template

FUNCTION_CLASSES = 10
"""Classes for which losses are judged before a user's own function sees them."""


def initial_predictions(task: ClassificationTask, seed: int, n: int, device: Device = "cpu") -> tuple[Tensor, Tensor]:
    """What the untrained network of a run predicts on the first `n` images of that run's first epoch.

    Args:
        task: the task.
        seed: of the run.
        n: number of images, at most the size of the training split.
        device: where to compute.

    Returns:
        `logits[batch, class]`, detached, and `target[batch]` (training labels, noise included).

    Raises:
        UserError: `n` is out of range.
    """
    train, _ = task.draw(seed)
    samples = len(train)
    if not 1 <= n <= samples:
        raise UserError(f"n from 1 to {samples}, the size of the training split", str(n), "ask for fewer images")
    indices = DataOrder([seed], samples, n).batch(0)[0]
    stack = Stack(template(task, device), initial_weights(task, [seed], device))
    with torch.no_grad():
        logits = stack.forward(train.images[indices].to(device).unsqueeze(0))[0]
    return logits, train.labels[indices].to(device)


def untrained_predictions(
    task: ClassificationTask | UserTask, samples: int, classes: int = FUNCTION_CLASSES
) -> tuple[Tensor, Tensor]:
    """Predictions of an untrained network, `logits[batch, class]`, with their `labels[batch]`.

    For a user's own function they are small random numbers over so many classes.
    """
    if isinstance(task, ClassificationTask):
        return initial_predictions(task, 0, min(samples, len(task.train)))
    draw = np.random.Generator(np.random.Philox(key=20202))
    logits = torch.from_numpy(0.1 * draw.normal(size=(samples, classes))).float()
    return logits, torch.from_numpy(draw.integers(classes, size=samples))
