"""The splits of all runs of a stack in one tensor for each name, each split once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from lossearch.tasks.described import Split
from lossearch.training.stacked_models import Device


class Gathered:
    """The tensors of every split that a stack's runs use.

    Args:
        seeds: of the runs.
        split: of a run, by its seed; the same object for runs that share one.
        device: where they are wanted.

    Attributes:
        tensors: by name, `[split · sample, ...]`.
        samples: of one split; all are of one size.
        offsets: index of the first sample of a seed's split.
    """

    def __init__(self, seeds: Iterable[int], split: Callable[[int], Split], device: Device) -> None:
        by_seed = {seed: split(seed) for seed in seeds}
        distinct = list({id(one): one for one in by_seed.values()}.values())
        self.samples = len(distinct[0])
        if any(len(one) != self.samples for one in distinct):
            raise ValueError(f"splits of {sorted({len(one) for one in distinct})} samples in one stack")
        place = {id(one): k * self.samples for k, one in enumerate(distinct)}
        self.offsets = {seed: place[id(one)] for seed, one in by_seed.items()}
        self.tensors = {name: _joined([one[name] for one in distinct]).to(device) for name in distinct[0].tensors}

    def at(self, indices: Tensor) -> dict[str, Tensor]:
        """The samples at these indices, by name."""
        return {name: tensor[indices] for name, tensor in self.tensors.items()}

    def parts(self, seeds: Sequence[int], size: int) -> Iterable[dict[str, Tensor]]:
        """The splits of runs with these seeds in parts of `size` samples.

        Returns:
            By name `[run, sample, ...]`, not copied where all runs share a split.
        """
        offsets = [self.offsets[seed] for seed in seeds]
        shared = len(set(offsets)) == 1
        for start in range(0, self.samples, size):
            stop = min(start + size, self.samples)
            if shared:
                part = slice(offsets[0] + start, offsets[0] + stop)
                yield {name: _repeated(tensor[part], len(offsets)) for name, tensor in self.tensors.items()}
            else:
                device = next(iter(self.tensors.values())).device
                first = torch.tensor(offsets, device=device)
                yield self.at(first.unsqueeze(1) + torch.arange(start, stop, device=device))


def _repeated(tensor: Tensor, runs: int) -> Tensor:
    return tensor.expand(runs, *tensor.shape)


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
