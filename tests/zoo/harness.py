"""The one harness for every hand-designed loss: a row names a loss, its oracle and arguments; the checks are shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lossearch import zoo
from lossearch.compile import LossModule
from lossearch.compile.input_checker import least_extent
from lossearch.ir.core.axes import without
from lossearch.loss import Loss

from .samples import ORDINARY, Sample

RELATIVE = 1e-6
BACKENDS = ("eager", "torchscript")


@dataclass(frozen=True)
class Case:
    """One row: a loss with arguments, and its oracle from (*inputs, **arguments, **buffers) to the unreduced loss.

    `twice` is false where the second derivative vanishes or does not exist, so that there is nothing to check. Where
    the loss weighs its elements, `weight` gives the oracle's weights from the inputs, in a shape that broadcasts to
    the unreduced loss. Where the mean over kept elements is neither that over one batch of them nor over images,
    `of_kept` gives it from (*inputs, kept, **arguments).
    """

    name: str
    oracle: Callable[..., Tensor]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weight: Callable[..., Tensor] | None = None
    twice: bool = True
    of_kept: Callable[..., Tensor] | None = None

    @cached_property
    def loss(self) -> Loss:
        return zoo.get(self.name, **self.arguments)

    @property
    def id(self) -> str:
        given = ", ".join(f"{key}={value}" for key, value in self.arguments.items())
        return f"{self.name}({given})"

    def expected(self, sample: Sample, *inputs: Tensor) -> Tensor:
        return self.oracle(*inputs, **self.arguments, **self.buffers(sample))

    def buffers(self, sample: Sample) -> dict[str, Tensor]:
        """Those of the sample's that the loss takes."""
        return {name: value for name, value in sample.buffers.items() if self.loss.graph.uses(name)}

    def average(self, batches: Sequence[Sequence[Tensor]], values: Sequence[Tensor]) -> Tensor:
        """The mean over some batches taken together, of which the oracle gave `values`: Σ weight·loss / Σ weight."""
        if self.weight is None:
            return torch.cat([value.flatten() for value in values]).mean()
        weights = [self.weight(*x).expand_as(value).sum() for x, value in zip(batches, values, strict=True)]
        total = torch.stack([value.sum() for value in values]).sum()
        return total / torch.stack(weights).sum() if any(weights) else total  # zero, where nothing counts

    def samples(self, kind: Mapping[str, Callable[[], list[Sample]]] = ORDINARY) -> list[Sample]:
        """Those of the loss's signature that are as long along every spatial axis as it needs."""
        least, spatial = least_extent(self.loss.graph), len(without(self.loss.signature.inputs[0].axes, ("space",)))
        samples = kind[self.loss.signature.name]()
        return [s for s in samples if not least or min(s.prediction.shape[spatial:], default=0) >= least]

    @property
    def has_true_gradient(self) -> bool:
        """Whether nothing made of predictions is held, which finite differences cannot know.

        Where something is, the oracle holds it too, so that `check_oracle` compares the gradient.
        """
        predictions = {i.node for i in self.loss.signature.inputs if i.role == "prediction"}
        nodes = self.loss.graph.expanded().nodes
        return not any(node.op == "stop_gradient" and node.leaves & predictions for node in nodes)

    @cached_property
    def predictions(self) -> list[int]:
        """Places of the inputs to which gradients flow."""
        return [n for n, i in enumerate(self.loss.signature.forward_inputs) if i.role == "prediction"]


class Modules:
    """The modules of a case on one backend. Each serves one sample after another, as in a training."""

    def __init__(self, case: Case, backend: str) -> None:
        self.case, self._backend = case, backend
        self._made = dict[tuple[str, torch.dtype], LossModule]()

    def __call__(self, reduction: str, sample: Sample, dtype: torch.dtype = torch.float64) -> LossModule:
        """The module for this reduction with parameters and buffers of `dtype`; another where a sample has buffers."""
        key, buffers = (reduction, dtype), self.case.buffers(sample)
        if buffers or key not in self._made:
            module = self.case.loss.to_module(self._backend, reduction=reduction, buffers=buffers)
            self._made[key] = module.to(dtype)
        return self._made[key]


def forms(sample: Sample) -> list[tuple[Tensor, ...]]:
    """The inputs with the target in every form that the sample has."""
    if sample.labels is None:
        return [sample.inputs]
    return [sample.inputs, (sample.inputs[0], sample.labels, *sample.inputs[2:])]


def value_and_gradient(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], wrt: Sequence[int] = (0,)
) -> tuple[Tensor, list[Tensor]]:
    """The unreduced value, and the gradients of a weighted sum of its elements, with weights that tell them apart."""
    leaves = [x.clone().requires_grad_() if n in wrt else x for n, x in enumerate(inputs)]
    value = function(*leaves)
    weights = torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).reshape(value.shape)
    sources = [leaves[n] for n in wrt]
    gradients = torch.autograd.grad((value * weights).sum(), sources, allow_unused=True)
    found = [torch.zeros_like(x) if g is None else g for x, g in zip(sources, gradients, strict=True)]
    return value.detach(), found


def close(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-6 of each value, or of the largest where cancellation leaves less."""
    scale = expected.abs().max().item() if expected.numel() else 0.0
    torch.testing.assert_close(found, expected, rtol=RELATIVE, atol=1e-9 * max(scale, 1e-6))


def check_oracle(modules: Sequence[Modules], sample: Sample) -> None:
    """Value, gradients, mean and sum of one case on each backend equal the oracle's."""
    case = modules[0].case
    expected, gradients = value_and_gradient(lambda *x: case.expected(sample, *x), sample.inputs, case.predictions)
    total, mean = expected.sum(), case.average([sample.inputs], [expected])
    for module in modules:
        for inputs in forms(sample):
            found, found_gradients = value_and_gradient(module("none", sample), inputs, case.predictions)
            close(found, expected)
            if sample.differentiable:
                for mine, theirs in zip(found_gradients, gradients, strict=True):
                    close(mine, theirs)
            close(module("sum", sample)(*inputs), total)
            close(module("mean", sample)(*inputs), mean)


def check_ignored(modules: Sequence[Modules], sample: Sample) -> None:
    """Ignored elements leave every reduction inside the loss and out: the mean equals the oracle's over the others."""
    case = modules[0].case
    assert sample.labels is not None
    kept = torch.rand(sample.labels.shape, generator=torch.Generator().manual_seed(9)) < 0.7
    kept.view(-1)[0] = True

    def expected(*inputs: Tensor) -> Tensor:
        if case.of_kept is not None:
            return case.of_kept(*inputs, kept, **case.arguments)
        parts = _kept_parts(case, inputs, kept)
        return case.average(parts, [case.expected(sample, *part) for part in parts])

    value, gradient = value_and_gradient(expected, sample.inputs)
    labels = sample.labels.masked_fill(~kept, -100)
    for module in modules:
        found = value_and_gradient(module("mean", sample), (sample.prediction, labels, *sample.inputs[2:]))
        close(found[0], value)
        close(found[1][0], gradient[0])
        assert not found[1][0].movedim(1, -1)[~kept].any()


def _kept_parts(case: Case, inputs: Sequence[Tensor], kept: Tensor) -> list[tuple[Tensor, ...]]:
    """The kept elements as one batch without space or, where a loss reduces over space alone, per image."""
    prediction, target, *others = inputs
    if case.loss.root.axes != ("batch", "class") or "space" not in case.loss.signature["target"].axes:
        whole = [prediction, target, *others]
        return [tuple((x if x.shape == kept.shape else x.movedim(1, -1))[kept] for x in whole)]
    images = [i for i in range(len(kept)) if kept[i].any()]
    return [(prediction[i][:, kept[i]][None], target[i][:, kept[i]][None]) for i in images]


def check_finite(modules: Modules, sample: Sample) -> None:
    """Value and gradients are finite in float32."""
    module = modules("none", sample, torch.float32)
    for inputs in forms(sample):
        given = [x.float() if x.is_floating_point() else x for x in inputs]
        value, gradients = value_and_gradient(module, given, modules.case.predictions)
        assert value.isfinite().all(), value
        for gradient in gradients:
            assert gradient.isfinite().all(), gradient


def check_autocast(modules: Modules, sample: Sample) -> None:
    """Value and gradients of bfloat16 predictions are finite under autocast, which leaves the loss in float32."""
    predictions, module = modules.case.predictions, modules("none", sample, torch.float32)
    for inputs in forms(sample):
        given = [x.float() if x.is_floating_point() else x for x in inputs]
        given = [x.bfloat16() if n in predictions else x for n, x in enumerate(given)]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value, gradients = value_and_gradient(module, given, predictions)
        assert value.dtype == torch.float32
        assert value.isfinite().all(), value
        for gradient in gradients:
            assert gradient.dtype == torch.bfloat16
            assert gradient.isfinite().all(), gradient


def check_empty(modules: Modules, sample: Sample) -> None:
    """A batch without elements gives a finite value and an empty gradient, whatever the reduction."""
    predictions = modules.case.predictions
    for reduction in ("none", "mean", "sum"):
        for inputs in forms(sample):
            value, gradients = value_and_gradient(modules(reduction, sample), inputs, predictions)
            assert value.isfinite().all(), (reduction, value)
            assert gradients[0].shape == inputs[predictions[0]].shape


def check_derivatives(modules: Modules, sample: Sample) -> None:
    """First and second derivatives equal finite differences."""
    module, wrt = modules("sum", sample), modules.case.predictions
    for inputs in forms(sample):

        def function(*leaves: Tensor, inputs: Sequence[Tensor] = inputs) -> Tensor:
            given = dict(zip(wrt, leaves, strict=True))
            return module(*(given.get(n, x) for n, x in enumerate(inputs)))

        leaves = tuple(inputs[n].clone().requires_grad_() for n in wrt)
        assert torch.autograd.gradcheck(function, leaves)
        if modules.case.twice:
            assert torch.autograd.gradgradcheck(function, leaves, atol=1e-4)
