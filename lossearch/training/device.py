"""Where trainings run: on the CPU or on a GPU, decided in the process that trains."""

from __future__ import annotations

from typing import Literal

import torch

from lossearch.errors import UserError
from lossearch.tasks.base import Task

DeviceName = Literal["auto", "cpu", "cuda"]
"""As configurations have it: "auto" is a GPU where the training process sees one, and the CPU elsewhere."""


def usable_device(name: str) -> str:
    """The device that a name stands for in this process: "auto" becomes "cuda" or "cpu".

    Raises:
        UserError: there is no such device, or a GPU is asked for and this process sees none.
    """
    there = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if there else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise UserError('a device, as "auto", "cpu" or "cuda"', repr(name), "correct device") from error
    if kind == "cuda" and not there:
        raise UserError(
            f'a GPU for device = "{name}", in the process that trains',
            f"none that PyTorch {torch.__version__} can use there",
            'take device = "auto" or "cpu"; on a Ray cluster ask for one per training: resources = { gpu = 1 }',
        )
    return name


def device_of_first_call(asked: str | None) -> str | None:
    """Where a training function is called to see its first predictions: as its trainings are, if this process can.

    Args:
        asked: of trainings, which may run elsewhere; None where the function decides by itself.

    Returns:
        None where it decides by itself here as well. Without a GPU in this process the CPU, as its trainings may ask
        for a GPU that other nodes have, or the function by itself.
    """
    if not torch.cuda.is_available():
        return "cpu"
    return usable_device(asked) if asked == "auto" else asked


def check_takes_device(task: Task, device: str | None) -> None:
    """Raise `UserError` where a device is asked for and the task's trainings cannot be told one."""
    if device is not None and not task.rights.device:
        raise UserError(
            'a training function with device="cpu"',
            f'{task.name} without, and device = "{device}"',
            "add the keyword, or leave device out: the function then decides by itself",
        )
