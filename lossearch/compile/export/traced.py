"""torch.export: a standalone module traced for one rank, with every length free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from lossearch.compile.input_checker import least_extent, numbers_given
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import Input
from lossearch.ir.rewriting.lowering import label_input

# Lengths of the example, but for axes along which a loss has numbers of its own; all distinct, so that tracing takes no
# two axes for one.
_LENGTHS = {"batch": 3, "class": 5, "feature": 6, "channel": 7, "coord": 4, "component": 2}
_SPATIAL = (8, 9, 10)

PLANE = 2
"""Spatial axes of what has neighbours, unless it is told."""


def traced(
    name: str, module: nn.Module, graph: Graph, labels: bool | None, rank: int | None, lengths: Mapping[str, int]
) -> ExportedProgram:
    """The program of a module for `rank` spatial axes and, where the signature has them, labels or probabilities.

    `lengths` gives those of axes that the module's own tensors fix. Raises `UserError`, with the loss's `name`, where
    torch.export cannot trace it with its batch and space free.
    """
    target = label_input(graph)
    if labels is None:
        labels = target is not None
    if labels and target is None:
        raise UserError("labels=False", "labels=True", f"signature {graph.signature.name} has no integer labels")
    spatial = any("space" in declared.axes for declared in graph.signature.forward_inputs)
    if rank is None:
        rank = PLANE if spatial and _windowed(graph) else 0 if labels else graph.signature.rank
    most = len(_SPATIAL) if spatial else 0
    if not 0 <= rank <= most:
        raise UserError(f"rank in [0, {most}]", str(rank), "give the number of spatial axes")
    inputs = graph.signature.forward_inputs
    # Longer than the windows that must fit inside, or tracing would take every image for a small one.
    sides = [side + least_extent(graph) for side in _SPATIAL[:rank]]
    examples = tuple(
        _example(declared, labels, sides, {**_LENGTHS, **numbers_given(graph), **lengths}) for declared in inputs
    )
    dims = tuple(_free(declared, labels, rank) for declared in inputs)
    module.eval()
    try:
        return torch.export.export(module, examples, dynamic_shapes=dims)
    except _refusals() as error:
        required = f"loss {name} in operations that torch.export can trace for any batch and space"
        hint = "export it to .pt (TorchScript) or .py instead"
        raise UserError(required, str(error).strip().splitlines()[0], hint) from error


def _windowed(graph: Graph) -> bool:
    """Whether a loss looks at neighbours, which only several spatial axes have."""
    return any({"along", "size"} & dict(node.attrs).keys() for node in graph.expanded().nodes)


def _refusals() -> tuple[type[Exception], ...]:
    """How torch.export says that a program fixes a length, branches on values, or has an operation it cannot trace."""
    # Seconds to import, so only once something was raised: torch.export has imported them by then.
    from torch._dynamo.exc import Unsupported
    from torch._dynamo.exc import UserError as DynamoUserError
    from torch._subclasses.fake_tensor import UnsupportedOperatorException
    from torch.fx.experimental.symbolic_shapes import ConstraintViolationError, GuardOnDataDependentSymNode

    return (
        DynamoUserError,
        Unsupported,
        UnsupportedOperatorException,
        ConstraintViolationError,
        GuardOnDataDependentSymNode,
    )


def _axes(declared: Input, labels: bool, rank: int) -> list[str]:
    """One name per dimension."""
    kept = [a for a in declared.axes if a != "space" and not (labels and a == declared.labels)]
    return kept + ["space"] * (rank if "space" in declared.axes else 0)


def _example(declared: Input, labels: bool, sides: Sequence[int], lengths: dict[str, int]) -> Tensor:
    spatial = iter(sides)
    shape = [next(spatial) if axis == "space" else lengths[axis] for axis in _axes(declared, labels, len(sides))]
    if (labels and declared.labels) or declared.kind == "index":
        return torch.zeros(shape, dtype=torch.int64)
    return torch.full(shape, 0.5)


def _free(declared: Input, labels: bool, rank: int) -> dict[int, object]:
    """Batch and space must come out free; an axis of fixed meaning may come out fixed."""
    free = ("batch", "space")
    return {d: Dim.DYNAMIC if a in free else Dim.AUTO for d, a in enumerate(_axes(declared, labels, rank))}
