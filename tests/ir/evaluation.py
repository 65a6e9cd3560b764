"""Evaluating graphs on random inputs of a signature, for property tests."""

from __future__ import annotations

import torch
from torch import Tensor

from lossearch.compile.interpret import evaluate
from lossearch.ir import Graph

SIZES = {"batch": 5, "class": 4, "space": 6, "coord": 4, "channel": 3, "feature": 3, "element": 30, "rank": 30}
SIZES |= {"half": 2, "quarter": 1, "eighth": 1, "sixteenth": 1, "component": 3}
SHAPE = (2, 3)


def inputs(graph: Graph, seed: int, scale: float = 2.0, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Random values in each input's domain; a distribution target is one-hot."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for declared in graph.signature.inputs:
        shape = [SIZES[axis.rstrip("'")] for axis in declared.axes]
        if declared.kind == "index":
            found[declared.name] = torch.randint(0, 3, shape, generator=generator)
            continue
        if declared.labels:
            labels = torch.randint(0, SIZES["class"], shape[:1] + shape[2:], generator=generator)
            value = torch.nn.functional.one_hot(labels, SIZES["class"]).movedim(-1, 1).double()
        elif declared.domain.upper <= 1.0:
            middle, half = sum(declared.domain) / 2, (declared.domain.upper - declared.domain.lower) / 2
            value = middle + half * (1.8 * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.9)
        else:
            value = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
            if declared.domain.lower >= 0.0:
                value = value.abs()  # clamped, half of it would lie at the end, where relu has no one slope
            value = value.clamp(*declared.domain)
        found[declared.name] = value.to(dtype)
    return found


def value_and_gradient(graph: Graph, given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Value of the root and ∂ Σ root / ∂ prediction; a gradient of zero where none flows."""
    name = graph.signature.inputs[0].name
    prediction = given[name].clone().requires_grad_()
    root, _ = evaluate(graph, {**given, name: prediction}, shape=SHAPE)
    gradient = torch.zeros_like(prediction)
    if root.requires_grad:
        (found,) = torch.autograd.grad(root.sum(), prediction, allow_unused=True)
        gradient = gradient if found is None else found
    return root.detach(), gradient
