"""Many copies of one model side by side: parameters as rows of one matrix, and each run's own data order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from lossearch.tasks.described import DescribedTask
from lossearch.tasks.models import StackedModule
from lossearch.tasks.streams import Stream, generator

Device = str | torch.device

Outputs = Any
"""What a model returns: a tensor, or a tuple or mapping of outputs."""

Order = Callable[[int, np.random.Generator], npt.NDArray[np.int64]]
"""How an epoch takes so many samples, see `DescribedTask.order`."""


class Stack:
    """A model's parameters, one set per run. Calling it evaluates every run's model on its own inputs.

    Args:
        template: the architecture; its own parameters are not used.
        weights: `[run, parameter]`, all parameters of a run in the order of `template.parameters()`.
        single: whether the one run that there is is called as if it stood alone, without the axis `run`.

    Attributes:
        weights: `[run, parameter]`, leaf of the gradient.
    """

    def __init__(self, template: nn.Module, weights: Tensor, single: bool = False) -> None:
        self.template = template
        self.weights = weights.requires_grad_()
        self._single = single
        # Asked once: a look at a protocol costs as much as a small kernel.
        self._stacked = template if isinstance(template, StackedModule) else None
        self._names = [name for name, _ in template.named_parameters()]
        self._shapes = [parameter.shape for parameter in template.parameters()]
        self._sizes = [shape.numel() for shape in self._shapes]

    def __len__(self) -> int:
        return len(self.weights)

    def __call__(self, *tensors: Tensor, **options: Any) -> Outputs:
        """Outputs of every run's model.

        Args:
            tensors: each `[run, batch, ...]`; `[batch, ...]` of a single run.
            options: passed to the model as they are.

        Returns:
            The model's outputs, each tensor with the axis `run` first; without it of a single run.
        """
        if self._single:
            return self._call(self._named(self.weights[0]), tensors, options)
        if self._stacked is not None and not options:
            return self._stacked.stacked_forward(self._named(self.weights), *tensors)
        # On a CPU the grouped convolutions that vmap makes of a stack are slower than one run after the
        # other.
        if self.weights.device.type == "cpu":
            rows = zip(self.weights.unbind(0), *(tensor.unbind(0) for tensor in tensors), strict=True)
            return _stacked([self._call(self._named(row), inputs, options) for row, *inputs in rows])
        return vmap(lambda weights, *inputs: self._call(weights, inputs, options))(self._named(self.weights), *tensors)

    def keep(self, rows: Tensor) -> None:
        """Drop all runs but `rows[kept]` (indices)."""
        self.weights = self.weights.detach()[rows].requires_grad_()

    def columns(self, prefix: str) -> slice:
        """The columns of the parameters whose names begin with a prefix; they must lie side by side.

        Raises:
            ValueError: no parameter has such a name, or others lie between them.
        """
        chosen = [name.startswith(prefix) for name in self._names]
        if not any(chosen):
            raise ValueError(f"no parameter's name begins with {prefix!r}: they are {', '.join(self._names)}")
        first, last = chosen.index(True), len(chosen) - chosen[::-1].index(True)
        if not all(chosen[first:last]):
            raise ValueError(f"parameters that begin with {prefix!r} do not lie side by side")
        return slice(sum(self._sizes[:first]), sum(self._sizes[:last]))

    def _call(self, parameters: dict[str, Tensor], inputs: Sequence[Tensor], options: Mapping[str, Any]) -> Outputs:
        return functional_call(self.template, parameters, tuple(inputs), dict(options))

    def _named(self, weights: Tensor) -> dict[str, Tensor]:
        parts = weights.split(self._sizes, dim=-1)
        named = zip(self._names, parts, self._shapes, strict=True)
        return {name: part.unflatten(-1, shape) for name, part, shape in named}


class Watched:
    """A stack that notes which runs gave outputs that are not finite.

    Attributes:
        finite: `[run]`, whether all outputs of a run were finite so far.
    """

    def __init__(self, stack: Stack, single: bool) -> None:
        self._stack = stack
        self._single = single
        self.finite = torch.ones(len(stack), dtype=torch.bool, device=stack.weights.device)

    def __call__(self, *tensors: Tensor, **options: Any) -> Outputs:
        """As the stack."""
        outputs = self._stack(*tensors, **options)
        for output in _tensors(outputs):
            rows = output.unsqueeze(0) if self._single else output
            self.finite &= rows.flatten(1).isfinite().all(1)
        return outputs


def _stacked(outputs: Sequence[Outputs]) -> Outputs:
    """Outputs of several models as those of a stack."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return torch.stack(list(outputs))
    if isinstance(first, Mapping):
        return {name: _stacked([output[name] for output in outputs]) for name in first}
    return tuple(_stacked(parts) for parts in zip(*outputs, strict=True))


def _tensors(outputs: Outputs) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    parts = outputs.values() if isinstance(outputs, Mapping) else outputs
    return [tensor for part in parts for tensor in _tensors(part)]


class DataOrder:
    """Which samples each run sees at each step: one order per seed and epoch, whatever else happens.

    Args:
        order: how an epoch takes the samples.
        seeds: of the runs; runs of one seed see the same batches.
        samples: size of the training split.
        batch_size: samples per step; the last incomplete batch of an epoch is skipped.
        device: where the indices are wanted.
        offsets: index of the first sample of a seed's own training split, where seeds have their own; else 0.
    """

    def __init__(
        self,
        order: Order,
        seeds: Sequence[int],
        samples: int,
        batch_size: int,
        device: Device = "cpu",
        offsets: Mapping[int, int] | None = None,
    ) -> None:
        self.draw_order = order
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
            seed: torch.from_numpy(self.draw_order(self.samples, generator(seed, Stream.ORDER, epoch)))
            + self._offsets.get(seed, 0)
            for seed in dict.fromkeys(self.seeds)
        }
        rows = list(drawn.values()) if len(drawn) == 1 else [drawn[seed] for seed in self.seeds]
        return torch.stack(rows).to(self.device)


def initial_weights(task: DescribedTask, seeds: Sequence[int], device: Device = "cpu") -> Tensor:
    """Initial parameters `[run, parameter]`: a function of each run's seed alone, on every device."""
    drawn = {seed: _draw_weights(task, seed) for seed in dict.fromkeys(seeds)}
    return torch.stack([drawn[seed] for seed in seeds]).to(device)


def template(task: DescribedTask, device: Device = "cpu") -> nn.Module:
    """The task's architecture, for a `Stack`. Leaves the global generator as it is."""
    return _build(task, 0).to(device)


def _draw_weights(task: DescribedTask, seed: int) -> Tensor:
    model = _build(task, int(generator(seed, Stream.WEIGHTS).integers(2**63)))
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def _build(task: DescribedTask, torch_seed: int) -> nn.Module:
    # torch.manual_seed would also reseed every accelerator; modules are built on the CPU: its generator suffices.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_seed)
        return task.build_model()
