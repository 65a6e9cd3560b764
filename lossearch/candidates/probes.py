"""Probes: a candidate's value and gradient on fixed inputs, judged and fingerprinted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossearch import zoo
from lossearch.compile.input_checker import least_extent
from lossearch.compile.interpret import CachedEvaluator, evaluate, weighted
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import PROGRESS, Signature
from lossearch.ir.rewriting.lowering import guard_only, lower
from lossearch.training.probe_inputs import LENGTHS, SAMPLES, ProbeInputs, declared_inputs, labelled_inputs

SIGNIFICANT_DIGITS = 4
SMALLEST_GRADIENT = 1e-9

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """What one forward and backward pass showed.

    Attributes:
        reason: why the candidate is useless, or None.
        fingerprint: SHA-256 of gradient and centred value, up to a positive factor, rounded relatively.
        inverted: whether the gradient leads away from the target; the fingerprint is then that of the negative.
        gradient_rms: root mean square of ∂ mean(loss) / ∂ prediction.
    """

    reason: str | None
    fingerprint: str = ""
    inverted: bool = False
    gradient_rms: float = 0.0


class Probes:
    """The probe inputs of a signature. One pass per candidate of class scores, which searches screen by thousands.

    Args:
        signature: of the candidates.
        lengths: of axes, where others than the usual ones are to be probed.
    """

    def __init__(self, signature: Signature, lengths: Mapping[str, int]) -> None:
        self._signature = signature
        labelled = signature.labelled_scores
        self._labels = None if labelled is None else labelled[1].name
        self._windowed = labelled is None and any("space" in declared.axes for declared in signature.inputs)
        self._lengths = {**LENGTHS, **lengths}
        self._sets: dict[int, _ProbeSet] = {}

    def _set_for(self, graph: Graph) -> _ProbeSet:
        """The inputs that are large enough for the graph's windows."""
        extent = least_extent(graph) if self._windowed else 0
        found = self._sets.get(extent)
        if found is None:
            labels = self._labels
            found = self._declared_set(extent) if labels is None else self._labelled_set(labels)
            self._sets[extent] = found
        return found

    def _labelled_set(self, labels: str) -> _ProbeSet:
        inputs = labelled_inputs(self._signature, self._lengths["class"])
        return _ProbeSet(inputs, [-inputs.values[labels].numpy().ravel()])

    def _declared_set(self, extent: int) -> _ProbeSet:
        probe_set = _ProbeSet(declared_inputs(self._signature, extent, self._lengths))
        known = [zoo.get(name).graph.frozen() for name in zoo.names(signature=self._signature.name)]
        gradients = [probe_set.pass_through(graph, False)[1] for graph in known if least_extent(graph) <= extent]
        probe_set.directions = [gradient for gradient in gradients if gradient is not None]
        return probe_set

    def measure(self, graph: Graph) -> Probe:
        """Value, gradient and fingerprint of a candidate, in float64.

        The graph is guarded but not rewritten, which is quicker; on these inputs rewriting changes nothing but
        rounding.
        """
        probe_set = self._set_for(graph)
        value, gradient = probe_set.pass_through(graph, False)
        if gradient is None:
            return Probe("does not depend on the prediction")
        mean = float(np.add.reduce(value, None)) / value.size
        if not math.isfinite(mean) and not np.isfinite(value).all():
            return Probe("the value is not finite on probe inputs")
        size = math.sqrt(np.vdot(gradient, gradient) / gradient.size)
        if not math.isfinite(size):
            return Probe("the gradient is not finite on probe inputs")
        if size < SMALLEST_GRADIENT:
            return Probe("the gradient vanishes on probe inputs")
        if probe_set.change_with_target(graph, gradient) < SMALLEST_GRADIENT * size:
            return Probe("the gradient does not depend on the target")
        # An inverted candidate is measured as what it becomes, its negative.
        inverted = probe_set.leads_away(gradient)
        scale = (-1.0 if inverted else 1.0) * 10.0**SIGNIFICANT_DIGITS / size
        # Without the mean, since a constant in a loss changes nothing.
        features = np.concatenate((gradient, value.ravel() - mean))
        if graph.uses(PROGRESS.name):  # at other progress under the same scale: p·X is not X
            for other in probe_set.at_other_progress:
                value, gradient = other.pass_through(graph, False)
                gradient = np.zeros(0) if gradient is None else gradient
                features = np.concatenate((features, gradient, value.ravel() - np.mean(value)))
        features *= scale
        np.rint(features, out=features)
        features += 0.0  # makes -0.0 equal 0.0
        return Probe(None, hashlib.sha256(features.tobytes()).hexdigest(), inverted, size)

    def finite_in_float32(self, graph: Graph) -> bool:
        """Whether value and gradients are finite in float32 up to the ends of the declared domain."""
        probe_set, lowered = self._set_for(graph), lower(graph)
        for inputs in probe_set.inputs.ends:
            value = weighted(graph, *evaluate(lowered, inputs, shape=probe_set.inputs.shape))
            leaves = [inputs[name] for name in probe_set.inputs.predictions]
            gradients = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
            if not all(bool(torch.isfinite(x).all()) for x in (value, *gradients) if x is not None):
                return False
        return True


OTHER_PROGRESS = (0.03, 0.81)
"""Progress beside `PROBED_PROGRESS`: near the beginning and the end, since a coefficient that changes may be held at a
bound for most of a training."""


@dataclass
class _ProbeSet:
    """Inputs on which candidates are measured, with the values of nodes that earlier candidates had in common.

    `directions` are gradients of losses that lead towards the target, or its negative itself.
    """

    inputs: ProbeInputs
    directions: Sequence[Array] = ()
    _seeds: dict[torch.Size, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._leaves = self.inputs.leaves
        self._remembered = CachedEvaluator(self.inputs.values, self.inputs.shape)
        others = self.inputs.others
        self._with_others = None if others is None else CachedEvaluator(others, self.inputs.shape)

    @cached_property
    def at_other_progress(self) -> tuple[_ProbeSet, ...]:
        """The same inputs, earlier and later in a training."""
        values = self.inputs.values
        progress = [torch.tensor(at, dtype=torch.float64) for at in OTHER_PROGRESS]
        return tuple(_ProbeSet(replace(self.inputs, values={**values, PROGRESS.name: at})) for at in progress)

    def pass_through(self, graph: Graph, others: bool) -> tuple[Array, Array | None]:
        """Value, and ∂ sum(value) / SAMPLES / ∂ predictions in one row; None where nothing leads to them."""
        remembered = self._with_others if others else self._remembered
        assert remembered is not None
        root, *weights = remembered(guard_only(graph).roots)
        value = weighted(graph, root, weights[0] if weights else None)
        if not value.requires_grad:
            return value.numpy(), None
        seed = self._seeds.get(value.shape)
        if seed is None:
            seed = self._seeds[value.shape] = torch.full(value.shape, 1.0 / SAMPLES, dtype=torch.float64)
        found = torch.autograd.grad(value, self._leaves, seed, retain_graph=True, allow_unused=True)
        if len(found) == 1:
            gradient = None if found[0] is None else found[0].numpy().ravel()
        else:
            parts = [torch.zeros_like(x) if g is None else g for x, g in zip(self._leaves, found, strict=True)]
            gradient = np.concatenate([part.numpy().ravel() for part in parts])
        return value.detach().numpy(), gradient

    def change_with_target(self, graph: Graph, gradient: Array) -> float:
        """The largest change of the gradient with the target; infinite where there is no target."""
        if self.inputs.paired:
            half = gradient.size // 2
            return float(np.abs(gradient[:half] - gradient[half:]).max())
        if self._with_others is None:
            return math.inf
        _, other = self.pass_through(graph, True)
        assert other is not None
        return float(np.abs(gradient - other).max())

    def leads_away(self, gradient: Array) -> bool:
        """Whether the gradient points against every direction that is known to lead towards the target."""
        return bool(self.directions) and all(np.vdot(gradient, known) < 0.0 for known in self.directions)
