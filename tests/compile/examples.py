"""Graphs for tests of the compiler: one expression per elementary operator, and the hand-designed losses."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import torch
from ir.random_graphs import attributes
from torch import Tensor

from lossearch.compile import LossModule, build
from lossearch.compile.input_checker import least_extent
from lossearch.errors import UserError
from lossearch.ir import OPERATORS, Expr, Graph, Input, Signature, get_signature
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting.lowering import label_node
from lossearch.loss import Loss

DENSE = get_signature("dense")
LOGITS, TARGET, CLASS_WEIGHT = (DENSE[name].node for name in ("logits", "target", "class_weight"))
LABELS = label_node(DENSE["target"])
P, LOG_P = fn.softmax(LOGITS, "class"), fn.log_softmax(LOGITS, "class")
TRUE_P = fn.sum(TARGET * P, "class")
CROSS_ENTROPY = Graph(DENSE, -fn.sum(TARGET * LOG_P, "class"))

ELEMENTARY = sorted(name for name, op in OPERATORS.items() if op.arity and op.expand is None)


def _places(axis: str) -> Expr:
    return Expr.make("ordered_places", (Expr.make("ordered", (P,), over=(axis,)),))


INTERNAL = {
    "gather": Expr.make("gather", (P, LABELS), over=("class",)),
    "one_hot": Expr.make("one_hot", (LABELS, P), over=("class",)) * P,
    "scatter_sum": Expr.make("scatter_sum", (fn.max(P, "class"), LABELS, P), over=("space",), into=("class",)),
    "label_counts": Expr.make("label_counts", (LABELS, P), over=("batch", "space"), into=("class",)) * P,
    "nll": Expr.make("nll", (LOG_P, LABELS), reduction="none"),
    "weighted_nll": Expr.make("weighted_nll", (LOG_P, LABELS, CLASS_WEIGHT)) * P,
    "binary_nll": Expr.make("binary_nll", (LOG_P, P), reduction="none"),
    "add_at": Expr.make("add_at", (P, LABELS, fn.max(LOG_P, "class")), over=("class",)),
    "ordered": Expr.make("ordered_values", (Expr.make("ordered", (P,), over=("class",)),)) * LOG_P,
    "ordered_values": Expr.make("ordered_values", (Expr.make("ordered", (P,), over=("space",)),)),
    "ordered_places": Expr.make("in_order", (LOG_P, _places("class")), over=("class",)),
    "in_order": Expr.make("in_order", (fn.max(P, "class"), _places("space")), over=("space",)),
    "variation": Expr.make("variation", (P,), along="width", power=2) * P,
    "error": Expr.make("error", (P, LOG_P), reduction="mean", delta=1.0) * P,
    "along": fn.along(P, "class", (0.5, 1.0, -1.5, 2.0, 0.1)) * P,
    "extended": Expr.make("extended", (P,), over=("batch", "space"), value=0.5),
    "equal": fn.where(fn.equal(LABELS, LABELS), P, LOG_P),
}
"""Operators that only lowering and exports make, most over labels, what needs such, or numbers for each entry."""


@cache
def example(name: str) -> Expr:
    """A real expression whose last operator is `name`, on well-behaved values of the dense signature."""
    if name in INTERNAL:
        return INTERNAL[name]
    rng = random.Random(name)
    pairwise = fn.contract(P, fn.rename(LOGITS, "class", "class'"), "space")
    pool = [P, LOG_P, LOGITS, TRUE_P, CLASS_WEIGHT, pairwise, fn.less(P, TRUE_P)]
    for _ in range(1000):
        args = [rng.choice(pool) for _ in range(OPERATORS[name].arity)]
        try:
            node = Expr.make(name, args, **attributes(name, args, rng))  # type: ignore[arg-type]
        except UserError:
            continue
        if (node.axes or name == "size") and LOGITS in node.leaves:
            return fn.where(node, P, LOG_P) if node.type.kind == "boolean" else node
    raise AssertionError(f"no arguments fit {name}")


def mean_of(*nodes: Expr) -> Expr:
    """The sum of the nodes' means over all of their axes, and a term that lets some gradient flow in any case."""
    total = fn.mean(fn.square(LOGITS), ("batch", "class", "space")) * 0.1
    for node in nodes:
        total = total + (fn.mean(node, node.axes) if node.axes else node)
    return total


def flat_inputs(seed: int, shape: tuple[int, ...] = (2, 3), dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Inputs of the dense signature with flattened space, and integer labels."""
    generator = torch.Generator().manual_seed(seed)
    space = int(torch.tensor(shape).prod()) if shape else 1
    logits = torch.randn(4, 5, space, generator=generator, dtype=torch.float64)
    target = torch.softmax(torch.randn(4, 5, space, generator=generator, dtype=torch.float64), 1)
    weight = torch.rand(5, generator=generator, dtype=torch.float64) + 0.5
    floats = {"logits": logits, "target": target, "class_weight": weight}
    labels = torch.randint(5, (4, space), generator=generator)
    return {**{name: value.to(dtype) for name, value in floats.items()}, "labels": labels}


SIZES = {"batch": 4, "class": 5, "coord": 4, "channel": 3, "feature": 6, "component": 3}


def prediction_and_targets(signature: Signature, shape: tuple[int, ...] = (2, 3), seed: int = 0) -> list[list[Tensor]]:
    """Ordinary inputs in float64 of any signature, one list per kind of target that it takes."""
    generator = torch.Generator().manual_seed(seed)
    inputs = [_values(declared, shape, generator) for declared in signature.forward_inputs]
    if signature.name == "box":
        inputs = [torch.cat([box[:, :2], box[:, :2] + box[:, 2:].abs() + 0.1], 1) for box in inputs]
    at = next((n for n, declared in enumerate(signature.forward_inputs) if declared.labels), None)
    if at is None:
        return [inputs]
    soft = torch.softmax(inputs[at], 1)
    return [[*inputs[:at], target, *inputs[at + 1 :]] for target in (soft, soft.argmax(1))]


def _values(declared: Input, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers well inside a declared domain."""
    lengths = [SIZES[axis.rstrip("'")] for axis in declared.axes if axis != "space"]
    lengths += list(shape) if "space" in declared.axes else []
    if declared.kind == "index":
        return torch.randint(0, 3, lengths, generator=generator)
    normal = torch.randn(lengths, generator=generator, dtype=torch.float64)
    lower, upper = declared.domain
    if upper <= 1.0 and not declared.labels:
        return (lower + upper) / 2 + 0.5 * (upper - lower) * torch.tanh(normal)
    return normal.abs() + lower if lower >= 0.0 and not declared.labels else normal


def buffers_of(graph: Graph) -> dict[str, Tensor]:
    """What a module of the graph needs at construction, class weights left aside."""
    found: dict[str, Tensor] = {}
    for declared in graph.signature.buffers:
        # Others tell how many classes or centers there are, whether the graph uses them or not.
        if declared.name == "class_weight":
            continue
        if declared.name in ("class_count", "noise_rate", "progress") and not graph.uses(declared.name):
            continue
        values = _values(declared, (), torch.Generator().manual_seed(9))
        square = len({axis.rstrip("'") for axis in declared.axes}) < len(declared.axes)
        found[declared.name] = values @ values.T + torch.eye(len(values)) if square else values
    return found


def module_of(loss: Loss, backend: str = "eager", **options: Any) -> LossModule:
    """The loss's module, with whatever tensors it takes at construction."""
    weight = torch.linspace(0.5, 1.5, 5) if loss.graph.uses("class_weight") else None
    buffers = {name: value.float() for name, value in buffers_of(loss.graph).items()}
    return build(loss.graph, backend, **{"weight": weight, "buffers": buffers, **options})


def calls_of(loss: Loss) -> list[list[Tensor]]:
    """Sound inputs in float32, for every kind of target that the loss takes."""
    least = least_extent(loss.graph)
    kinds = prediction_and_targets(loss.signature, (max(2, least), max(3, least)))
    return [[x.float() if x.is_floating_point() else x for x in given] for given in kinds]
