"""The one harness for every hand-designed loss: a row names a loss, its oracle and arguments; the checks are shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lossearch import zoo
from lossearch.loss import Loss

from .samples import ORDINARY, Sample

RELATIVE = 1e-6
BACKENDS = ("eager", "torchscript")


@dataclass(frozen=True)
class Case:
    """One row: a loss with arguments, and its oracle from (prediction, target, **arguments) to the unreduced loss."""

    name: str
    oracle: Callable[..., Tensor]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def loss(self) -> Loss:
        return zoo.get(self.name, **self.arguments)

    @property
    def id(self) -> str:
        given = ", ".join(f"{key}={value}" for key, value in self.arguments.items())
        return f"{self.name}({given})"

    def expected(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.oracle(prediction, target, **self.arguments)

    def samples(self, kind: Mapping[str, Callable[[], list[Sample]]] = ORDINARY) -> list[Sample]:
        return kind[self.loss.signature.name]()


def targets(sample: Sample) -> list[Tensor]:
    """The target in every form that the sample has."""
    return [sample.target] if sample.labels is None else [sample.target, sample.labels]


def value_and_gradient(
    function: Callable[[Tensor, Tensor], Tensor], prediction: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """The unreduced value, and the gradient of a weighted sum of its elements, with weights that tell them apart."""
    leaf = prediction.clone().requires_grad_()
    value = function(leaf, target)
    weights = torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).reshape(value.shape)
    (gradient,) = torch.autograd.grad((value * weights).sum(), leaf)
    return value.detach(), gradient


def close(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-6 of each value, or of the largest where cancellation leaves less."""
    scale = expected.abs().max().item() if expected.numel() else 0.0
    torch.testing.assert_close(found, expected, rtol=RELATIVE, atol=1e-9 * max(scale, 1e-6))


def check_oracle(case: Case, sample: Sample, backend: str) -> None:
    """Value, gradient, mean and sum equal the oracle's."""
    expected, gradient = value_and_gradient(case.expected, sample.prediction, sample.target)
    modules = {reduction: case.loss.to_module(backend, reduction=reduction) for reduction in ("none", "mean", "sum")}
    for target in targets(sample):
        found, found_gradient = value_and_gradient(modules["none"], sample.prediction, target)
        close(found, expected)
        if sample.differentiable:
            close(found_gradient, gradient)
        close(modules["mean"](sample.prediction, target), expected.mean())
        close(modules["sum"](sample.prediction, target), expected.sum())


def check_ignored(case: Case, sample: Sample, backend: str) -> None:
    """Ignored elements leave every reduction inside the loss and out: the mean equals the oracle's over the others."""
    assert sample.labels is not None
    kept = torch.rand(sample.labels.shape, generator=torch.Generator().manual_seed(9)) < 0.7
    kept.view(-1)[0] = True

    def expected(prediction: Tensor, target: Tensor) -> Tensor:
        return torch.cat([case.expected(p, t) for p, t in _kept_parts(case, prediction, target, kept)]).mean()

    module = case.loss.to_module(backend, reduction="mean")
    value, gradient = value_and_gradient(expected, sample.prediction, sample.target)
    found = value_and_gradient(module, sample.prediction, sample.labels.masked_fill(~kept, -100))
    close(found[0], value)
    close(found[1], gradient)
    assert not found[1].movedim(1, -1)[~kept].any()


def _kept_parts(case: Case, prediction: Tensor, target: Tensor, kept: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The kept elements as one batch without space or, where a loss reduces over space alone, per image."""
    if case.loss.root.axes != ("batch", "class") or "space" not in case.loss.signature["target"].axes:
        return [(prediction.movedim(1, -1)[kept], target.movedim(1, -1)[kept])]
    images = [i for i in range(len(kept)) if kept[i].any()]
    return [(prediction[i][:, kept[i]][None], target[i][:, kept[i]][None]) for i in images]


def check_finite(case: Case, sample: Sample, backend: str) -> None:
    """Value and gradient are finite in float32."""
    module = case.loss.to_module(backend, reduction="none")
    for target in targets(sample):
        target = target.float() if target.is_floating_point() else target
        value, gradient = value_and_gradient(module, sample.prediction.float(), target)
        assert value.isfinite().all(), value
        assert gradient.isfinite().all(), gradient


def check_empty(case: Case, sample: Sample, backend: str) -> None:
    """A batch without elements gives a finite value and an empty gradient, whatever the reduction."""
    for reduction in ("none", "mean", "sum"):
        module = case.loss.to_module(backend, reduction=reduction)
        for target in targets(sample):
            value, gradient = value_and_gradient(module, sample.prediction, target)
            assert value.isfinite().all(), (reduction, value)
            assert gradient.shape == sample.prediction.shape


def check_derivatives(case: Case, sample: Sample, backend: str) -> None:
    """First and second derivatives equal finite differences."""
    module = case.loss.to_module(backend, reduction="sum")
    leaf = sample.prediction.clone().requires_grad_()
    for target in targets(sample):
        assert torch.autograd.gradcheck(lambda x, t=target: module(x, t), (leaf,))
        assert torch.autograd.gradgradcheck(lambda x, t=target: module(x, t), (leaf,), atol=1e-4)
