"""Many copies of one model side by side: parameters as rows of one matrix, and each run's own data order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from lossearch.tasks.classification.models import StackedModule
from lossearch.tasks.classification.task import ClassificationTask
from lossearch.tasks.streams import Stream, generator

Device = str | torch.device


class Stack:
    """A model's parameters, one set per run.

    Args:
        template: the architecture; its own parameters are not used.
        weights: `[run, parameter]`, all parameters of a run in the order of `template.parameters()`.

    Attributes:
        weights: `[run, parameter]`, leaf of the gradient.
    """

    def __init__(self, template: nn.Module, weights: Tensor) -> None:
        self.template = template
        self.weights = weights.requires_grad_()
        # Asked once: a look at a protocol costs as much as a small kernel.
        self._stacked = template if isinstance(template, StackedModule) else None
        self._names = [name for name, _ in template.named_parameters()]
        self._shapes = [parameter.shape for parameter in template.parameters()]
        self._sizes = [shape.numel() for shape in self._shapes]

    def __len__(self) -> int:
        return len(self.weights)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every run on its own images.

        Args:
            images: `[run, batch, channel, height, width]`.

        Returns:
            `logits[run, batch, class]`.
        """
        if self._stacked is not None:
            return self._stacked.stacked_forward(self._named(self.weights), images)
        # On a CPU the grouped convolutions that vmap makes of a stack are slower than one run after the
        # other.
        if self.weights.device.type == "cpu":
            rows = zip(self.weights.unbind(0), images.unbind(0), strict=True)
            return torch.stack([self._call(self._named(row), x) for row, x in rows])
        return vmap(self._call)(self._named(self.weights), images)

    def keep(self, rows: Tensor) -> None:
        """Drop all runs but `rows[kept]` (indices)."""
        self.weights = self.weights.detach()[rows].requires_grad_()

    def _call(self, parameters: dict[str, Tensor], images: Tensor) -> Tensor:
        return functional_call(self.template, parameters, (images,))

    def _named(self, weights: Tensor) -> dict[str, Tensor]:
        parts = weights.split(self._sizes, dim=-1)
        named = zip(self._names, parts, self._shapes, strict=True)
        return {name: part.unflatten(-1, shape) for name, part, shape in named}


class DataOrder:
    """Which samples each run sees at each step: one permutation per seed and epoch, whatever else happens.

    Args:
        seeds: of the runs; runs of one seed see the same batches.
        samples: size of the training split.
        batch_size: samples per step; the last incomplete batch of an epoch is skipped.
        device: where the indices are wanted.
        offsets: index of the first sample of a seed's own training split, where seeds have their own; else 0.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        samples: int,
        batch_size: int,
        device: Device = "cpu",
        offsets: Mapping[int, int] | None = None,
    ) -> None:
        self.seeds = list(seeds)
        self.samples = samples
        self.batch_size = batch_size
        self.device = device
        self.steps_per_epoch = samples // batch_size
        self._offsets = offsets or {}
        self._epoch = -1
        self._order = torch.empty(0)

    def batch(self, step: int) -> Tensor:
        """Indices `[seed, batch]` of step 0, 1, …; `[1, batch]` where all runs have one seed."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._permutations(epoch)
        return self._order[:, position * self.batch_size : (position + 1) * self.batch_size]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all runs but those at `rows`."""
        self.seeds = [self.seeds[row] for row in rows]
        self._epoch = -1

    def _permutations(self, epoch: int) -> Tensor:
        drawn = {
            seed: torch.from_numpy(generator(seed, Stream.ORDER, epoch).permutation(self.samples))
            + self._offsets.get(seed, 0)
            for seed in dict.fromkeys(self.seeds)
        }
        rows = list(drawn.values()) if len(drawn) == 1 else [drawn[seed] for seed in self.seeds]
        return torch.stack(rows).to(self.device)


def initial_weights(task: ClassificationTask, seeds: Sequence[int], device: Device = "cpu") -> Tensor:
    """Initial parameters `[run, parameter]`: a function of each run's seed alone, on every device."""
    drawn = {seed: _draw_weights(task, seed) for seed in dict.fromkeys(seeds)}
    return torch.stack([drawn[seed] for seed in seeds]).to(device)


def template(task: ClassificationTask, device: Device = "cpu") -> nn.Module:
    """The task's architecture, for a `Stack`. Leaves the global generator as it is."""
    return _build(task, 0).to(device)


def _draw_weights(task: ClassificationTask, seed: int) -> Tensor:
    model = _build(task, int(generator(seed, Stream.WEIGHTS).integers(2**63)))
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def _build(task: ClassificationTask, torch_seed: int) -> nn.Module:
    # torch.manual_seed would also reseed every accelerator; modules are built on the CPU: its generator suffices.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_seed)
        return task.build_model()
