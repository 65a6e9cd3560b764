"""Probes: fixed inputs on which a candidate's value and gradient are measured and fingerprinted.

Probe inputs come from a counter-based generator of their own, so that a fingerprint is the same in every process.
Rows i and i + half have the same predictions and different targets: equal gradients there mean that a candidate does
not depend on the target.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossearch.compile.interpret import Remembering, evaluate
from lossearch.errors import UserError
from lossearch.ir.graph import Graph
from lossearch.ir.lowering import guard_only, lower
from lossearch.ir.signature import DOMAIN, Signature

SAMPLES = 16
POSITIONS = 2
SIGNIFICANT_DIGITS = 4
SMALLEST_GRADIENT = 1e-9
ENDS = (1.0, 30.0, 300.0, DOMAIN.upper)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """What one forward and backward pass showed.

    Attributes:
        reason: why the candidate is useless, or None.
        fingerprint: SHA-256 of gradient and centred value, up to a positive factor, rounded relatively.
        inverted: whether the gradient pushes the true class down; the fingerprint is then that of the negative.
        gradient_rms: root mean square of ∂ mean(loss) / ∂ prediction.
    """

    reason: str | None
    fingerprint: str = ""
    inverted: bool = False
    gradient_rms: float = 0.0


class Probes:
    """The probe inputs of the dense family for a number of classes."""

    def __init__(self, signature: Signature, classes: int) -> None:
        if signature.name != "dense":
            raise UserError("a search over the signature dense", signature.name, "choose a space of signature dense")
        half = np.random.Generator(np.random.Philox(key=20201)).normal(size=(SAMPLES // 2, classes, POSITIONS))
        scales = np.array([0.1, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 8.0])[:, None, None]
        logits = np.tile(half * scales, (2, 1, 1))
        labels = (np.arange(SAMPLES * POSITIONS).reshape(SAMPLES, POSITIONS) * 7 + 3) % classes
        labels[SAMPLES // 2 :] = (labels[: SAMPLES // 2] + 1 + np.arange(POSITIONS)) % classes
        self.logits = torch.from_numpy(logits).requires_grad_()
        self.target = torch.nn.functional.one_hot(torch.from_numpy(labels), classes).movedim(-1, 1).double()
        self._one_hot = self.target.numpy()
        self.weights = torch.linspace(0.5, 1.5, classes, dtype=torch.float64)
        signs = self.logits[:4].detach().sign()
        ends = torch.cat([signs * end for end in (*ENDS, 0.0)])
        leaves = {"logits": self.logits, "target": self.target, "class_weight": self.weights}
        self._remembered = Remembering(leaves, (POSITIONS,))
        self._seeds: dict[torch.Size, Tensor] = {}
        self.end_logits = ends.float()
        self.end_target = self.target.float().repeat(2, 1, 1)[: len(ends)]

    def measure(self, graph: Graph) -> Probe:
        """Value, gradient and fingerprint of a candidate, in float64.

        The graph is guarded but not rewritten, which is quicker; on these inputs rewriting changes nothing but
        rounding.
        """
        root, *weights = self._remembered(guard_only(graph).roots)
        value = root * weights[0] / weights[0].mean() if weights else root
        if not value.requires_grad:
            return Probe("does not depend on the prediction")
        seed = self._seeds.get(value.shape)
        if seed is None:
            seed = self._seeds[value.shape] = torch.full(value.shape, 1.0 / SAMPLES, dtype=torch.float64)
        (gradient,) = torch.autograd.grad(value, self.logits, seed, retain_graph=True, allow_unused=True)
        if gradient is None:
            return Probe("does not depend on the prediction")
        return self._judge(value.detach().numpy(), gradient.numpy())

    def _judge(self, value: Array, gradient: Array) -> Probe:
        mean = float(np.add.reduce(value, None)) / value.size
        if not math.isfinite(mean) and not np.isfinite(value).all():
            return Probe("the value is not finite on probe inputs")
        size = math.sqrt(np.vdot(gradient, gradient) / gradient.size)
        if not math.isfinite(size):
            return Probe("the gradient is not finite on probe inputs")
        if size < SMALLEST_GRADIENT:
            return Probe("the gradient vanishes on probe inputs")
        half = SAMPLES // 2
        if np.abs(gradient[:half] - gradient[half:]).max() < SMALLEST_GRADIENT * size:
            return Probe("the gradient does not depend on the target")
        # An inverted candidate is measured as what it becomes, its negative.
        inverted = bool(np.vdot(gradient, self._one_hot) > 0.0)
        scale = (-1.0 if inverted else 1.0) * 10.0**SIGNIFICANT_DIGITS / size
        # Without the mean, since a constant in a loss changes nothing.
        features = np.concatenate((gradient.ravel(), value.ravel() - mean))
        features *= scale
        np.rint(features, out=features)
        features += 0.0  # makes -0.0 equal 0.0
        return Probe(None, hashlib.sha256(features.tobytes()).hexdigest(), inverted, size)

    def finite_in_float32(self, graph: Graph) -> bool:
        """Whether value and gradient are finite in float32 up to the ends of the declared domain."""
        logits = self.end_logits.clone().requires_grad_()
        value = self._value(lower(graph), logits, self.end_target)
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        return bool(torch.isfinite(value).all()) and bool(torch.isfinite(gradient).all())

    def _value(self, graph: Graph, logits: Tensor, target: Tensor) -> Tensor:
        inputs = {"logits": logits, "target": target}
        if graph.uses("class_weight"):
            inputs["class_weight"] = self.weights.to(logits.dtype)
        root, weight = evaluate(graph, inputs)
        return root if weight is None else root * weight / weight.mean()
