"""What a training costs, reckoned from its model, so that no machine and nothing else that runs there changes it."""

from __future__ import annotations

from torch.utils.flop_counter import FlopCounterMode

from lossearch.tasks.described import DescribedTask
from lossearch.training.untrained import initial_inputs

STEP_SECONDS = 1e-3
"""Of a step of a small model, whatever it computes: some hundred kernels are started."""

OPERATIONS_PER_SECOND = 2e10
"""Of a core: multiplications and additions of matrix products and convolutions."""


def training_seconds(task: DescribedTask, steps: int) -> float:
    """About how many seconds a training of so many steps takes on one core: for comparing tasks.

    Matrix products and convolutions of a forward pass over one batch are counted; a backward pass takes twice as many.
    """
    with FlopCounterMode(display=False) as counter:
        initial_inputs(task, 0, min(task.config.batch_size, len(task.draw(0)[0])))
    return steps * (STEP_SECONDS + 3 * counter.get_total_flops() / OPERATIONS_PER_SECOND)
