"""The rejection test: a candidate optimises predictions directly, and the metric must improve. Li et al. 2021."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch.compile.interpret import evaluate, weighted
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import DOMAIN, Input, Signature
from lossearch.ir.rewriting.lowering import lower
from lossearch.tasks.base import Metric
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.untrained import AnyTask, LossInputs

WAYS = (8.0, 2.0, 0.5, 0.125)
"""How far predictions move in all, in units of the root mean square of the first gradient; the first suits logits.

A shorter one is taken where the reference gets farther with it: images in [0, 1] are near their targets from the start,
and an absolute error, whose gradient does not shrink on the way, would leap to and fro over them.
"""

Judge = Callable[[Mapping[str, Tensor]], Tensor]
"""The metric that ranks, `[]`, from what a loss is given, by name."""


class RejectionTest:
    """Takes predictions of an untrained network as free variables and descends them along a candidate's gradient.

    Each gradient is divided by the root mean square of the first, so that a candidate's own scale does not matter.

    Args:
        reference: a loss that is known to serve: of a metric without an end to its range, what this one reaches counts
            as all that is possible.
        inputs: what a loss is given at first; targets are taken as true.
        buffers: what losses are made with, by name.
        judge: gives the metric.
        metric: its direction and range.
        steps: of gradient descent; zero accepts everything.
    """

    def __init__(
        self,
        reference: Graph,
        inputs: LossInputs,
        buffers: Mapping[str, Tensor],
        judge: Judge,
        metric: Metric,
        steps: int,
    ) -> None:
        self.steps = steps
        self._signature = reference.signature
        self.inputs = inputs
        self._judge = judge
        self._buffers = {**_neutral_weights(self._signature, inputs.tensors), **buffers}
        self._laid_out = _laid_out(self._signature, inputs.tensors)
        self._shape = next(
            (s for n in self.inputs.free if (s := _space(self._signature[n], self.inputs.tensors[n]))), []
        )
        self.start = self._value(self._laid_out)
        self._better = max if metric.higher_is_better else min
        self._way, reached = self._longest_way(reference) if steps else (WAYS[0], self.start)
        best = metric.upper if metric.higher_is_better else metric.lower
        self.best = best if math.isfinite(best) else self._better(reached, self.start)

    def _longest_way(self, reference: Graph) -> tuple[float, float]:
        """The way on which the reference gets farthest, the longest of equal ones, and where it ends."""
        reached: dict[float, float] = {}
        for way in WAYS:
            self._way = way
            found = self._descended(reference)
            reached[way] = self.start if found is None else self._value(found)
        return self._better(reached.items(), key=lambda item: item[1])

    def gain(self, graph: Graph) -> float:
        """Share of the possible improvement of the metric that optimising predictions reaches; NaN if it diverges."""
        if self.steps == 0 or self.start == self.best:
            return 1.0
        reached = self._descended(graph)
        return math.nan if reached is None else (self._value(reached) - self.start) / (self.best - self.start)

    def _descended(self, graph: Graph) -> dict[str, Tensor] | None:
        """The inputs, with the predictions where descending the loss leads; None where it diverges."""
        lowered, size = lower(graph), 0.0
        inputs = {name: x.clone().requires_grad_(name in self.inputs.free) for name, x in self._laid_out.items()}
        leaves = [inputs[name] for name in self.inputs.free]
        for _ in range(self.steps):
            root, weight = evaluate(lowered, {**inputs, **self._buffers}, shape=self._shape)
            found = torch.autograd.grad(weighted(lowered, root, weight).sum(), leaves, allow_unused=True)
            gradients = [torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)]
            if not size:
                size = float(torch.cat([gradient.flatten() for gradient in gradients]).square().mean().sqrt())
            if not 0.0 < size < math.inf:
                return None
            with torch.no_grad():
                for name, leaf, gradient in zip(self.inputs.free, leaves, gradients, strict=True):
                    leaf.sub_(gradient, alpha=self._way / self.steps / size)
                    if (domain := self._signature[name].domain) != DOMAIN:
                        leaf.clamp_(*domain)
        finite = all(bool(torch.isfinite(leaf).all()) for leaf in leaves)
        return {name: x.detach() for name, x in inputs.items()} if finite else None

    def _value(self, laid_out: Mapping[str, Tensor]) -> float:
        predictions = {name: laid_out[name].reshape(self.inputs.tensors[name].shape) for name in self.inputs.free}
        return float(self._judge({**self.inputs.tensors, **predictions}))


def _space(declared: Input, x: Tensor) -> list[int]:
    """Lengths of an input's spatial axes."""
    return list(x.shape[len(declared.axes) - 1 :]) if "space" in declared.axes else []


def _neutral_weights(signature: Signature, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Class weights of one, for tasks that give none: the test asks where a gradient leads, not what it weighs."""
    scores = [given[one.name] for one in signature.forward_inputs if one.role == "prediction" and "class" in one.axes]
    names = [one.name for one in signature.buffers if one.axes == ("class",)]
    return {name: scores[0].new_ones(scores[0].shape[1]) for name in names} if scores else {}


def _laid_out(signature: Signature, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inputs as programs take them: labels as distributions, spatial axes as one, of length one where there is none."""
    found: dict[str, Tensor] = {}
    for name, x in given.items():
        declared = signature[name]
        if declared.labels and not x.is_floating_point():
            predicted = (one for one in signature.forward_inputs if one.role == "prediction")
            scores = next(given[one.name] for one in predicted if one.axes == declared.axes)
            x = F.one_hot(x, scores.shape[1]).movedim(-1, 1).to(scores.dtype)
        if "space" in declared.axes:
            before = len(declared.axes) - 1
            x = x.flatten(before) if x.dim() > before else x.unsqueeze(-1)
        found[name] = x
    return found


def rejection_test(
    task: AnyTask, slot: str, reference: Graph, inputs: LossInputs | None, steps: int
) -> RejectionTest | None:
    """The rejection test of a task's slot; None where its metric does not follow from what losses are given.

    Args:
        task: judges predictions.
        slot: of the candidates.
        reference: the slot's reference loss.
        inputs: what a loss is given before any training; None where that is not known.
        steps: of gradient descent.
    """
    first = None if inputs is None else task.judge(slot, inputs.tensors)
    if inputs is None or first is None:
        return None
    if not math.isfinite(first):
        required = f"judge() of {task.name} to give a finite {task.judging_metric.name} of untrained predictions"
        raise UserError(required, f"{float(first)}", "mend it, or let it return None where nothing can be judged")

    def judge(given: Mapping[str, Tensor]) -> Tensor:
        value = task.judge(slot, given)
        assert value is not None
        return value

    return RejectionTest(reference, inputs, loss_buffers(task, slot), judge, task.judging_metric, steps)
