"""The splits of all runs of a stack in one tensor, each split once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from lossearch.training.plan import LabelledImages
from lossearch.training.stacked_models import Device


class Gathered:
    """Images and labels of every split that a stack's runs use.

    Args:
        seeds: of the runs.
        split: of a run, by its seed; the same object for runs that share one.
        device: where they are wanted.

    Attributes:
        images: `[split · sample, channel, height, width]`.
        labels: `[split · sample]`.
        samples: of one split; all are of one size.
        offsets: index of the first sample of a seed's split.
    """

    def __init__(self, seeds: Iterable[int], split: Callable[[int], LabelledImages], device: Device) -> None:
        by_seed = {seed: split(seed) for seed in seeds}
        distinct = list({id(one): one for one in by_seed.values()}.values())
        self.samples = len(distinct[0].labels)
        if any(len(one.labels) != self.samples for one in distinct):
            raise ValueError(f"splits of {sorted({len(one.labels) for one in distinct})} samples in one stack")
        place = {id(one): k * self.samples for k, one in enumerate(distinct)}
        self.offsets = {seed: place[id(one)] for seed, one in by_seed.items()}
        self.images = _joined([one.images for one in distinct]).to(device)
        self.labels = _joined([one.labels for one in distinct]).to(device)

    def parts(self, seeds: Sequence[int], size: int) -> Iterable[tuple[Tensor, Tensor]]:
        """The splits of runs with these seeds in parts of `size` samples.

        Returns:
            `images[run, sample, channel, height, width]`, not copied where all runs share a split, and
            `labels[sample]`, or `[run, sample]` where they do not.
        """
        offsets = [self.offsets[seed] for seed in seeds]
        shared = len(set(offsets)) == 1
        first = torch.tensor(offsets, device=self.images.device)
        for start in range(0, self.samples, size):
            stop = min(start + size, self.samples)
            if shared:
                images = self.images[offsets[0] + start : offsets[0] + stop]
                yield images.expand(len(offsets), *images.shape), self.labels[offsets[0] + start : offsets[0] + stop]
            else:
                index = first.unsqueeze(1) + torch.arange(start, stop, device=first.device)
                yield self.images[index], self.labels[index]


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
