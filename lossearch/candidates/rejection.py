"""The rejection test: a candidate optimises predictions directly, and the metric must rise. Li et al. 2021."""

from __future__ import annotations

import torch
from torch import Tensor

from lossearch.compile.interpret import evaluate
from lossearch.ir.core.graph import Graph
from lossearch.ir.rewriting.lowering import lower

LONGEST_WAY = 8.0
"""How far the logits move in all, in units of the root mean square of the first gradient."""


class RejectionTest:
    """Takes predictions of an untrained network as free variables and descends them along a candidate's gradient.

    Each gradient is divided by the root mean square of the first, so that a candidate's own scale does not matter.

    Args:
        logits: `[batch, class]`.
        labels: `[batch]`, taken as true.
        steps: of gradient descent; zero accepts everything.
    """

    def __init__(self, logits: Tensor, labels: Tensor, steps: int) -> None:
        self.steps = steps
        self.logits = logits.unsqueeze(-1)
        self.labels = labels
        self.target = torch.nn.functional.one_hot(labels, logits.shape[1]).to(logits.dtype).unsqueeze(-1)
        self.start = self._accuracy(self.logits)
        self.step = LONGEST_WAY / max(steps, 1)

    def _accuracy(self, logits: Tensor) -> float:
        return float((logits.squeeze(-1).argmax(1) == self.labels).float().mean())

    def gain(self, graph: Graph) -> float:
        """Share of the possible improvement in accuracy that optimising the predictions reaches; NaN if it diverges."""
        if self.steps == 0 or self.start == 1.0:
            return 1.0
        lowered = lower(graph)
        weights = torch.ones(self.target.shape[1])
        logits, size = self.logits.clone().requires_grad_(), 0.0
        for _ in range(self.steps):
            inputs = {"logits": logits, "target": self.target, "class_weight": weights}
            root, weight = evaluate(lowered, inputs)
            total = root.sum() if weight is None else (root * weight).sum()
            (gradient,) = torch.autograd.grad(total, logits)
            size = size or float(gradient.square().mean().sqrt())
            if not 0.0 < size < float("inf"):
                return float("nan")
            logits = (logits.detach() - self.step * gradient / size).requires_grad_()
        if not bool(torch.isfinite(logits).all()):
            return float("nan")
        return (self._accuracy(logits) - self.start) / (1.0 - self.start)
