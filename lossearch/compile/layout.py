"""Calls as PyTorch's losses take them: by keyword, without a batch, with more axes in front than the signature has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor

from lossearch.compile.targets import CLASS
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import Input, Signature

PLACES = {"input": 0, "input1": 0, "input2": 1, "x1": 0, "x2": 1}
"""PyTorch's names of the inputs of its losses, by place."""

SYNONYMS = {"var": "variance"}
"""PyTorch's names of inputs that have another name here."""


def in_order(signature: Signature, inputs: Sequence[Tensor], named: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """The inputs of a call in the order of the signature; raises `UserError` for a name that is unknown or too many."""
    names = [declared.name for declared in signature.forward_inputs]
    given: dict[str, Tensor] = dict(zip(names, inputs, strict=False))
    extra = list(inputs[len(names) :])
    for spelled, value in named.items():
        name = SYNONYMS.get(spelled, spelled)
        if name not in names and PLACES.get(spelled, len(names)) < len(names):
            name = names[PLACES[spelled]]
        if name not in names:
            raise UserError(f"inputs among {', '.join(names)}", spelled, "correct the name of the argument")
        if name in given or extra:
            raise UserError(f"{name} once", "twice: by its place and by its name", "drop one of them")
        given[name] = value
    if missing := [name for name in names if name not in given]:
        raise UserError(f"{len(names)} inputs ({', '.join(names)})", f"no {missing[0]}", "correct the call")
    return (*(given[name] for name in names), *extra)


@lru_cache(maxsize=1024)
def takes_rows(graph: Graph) -> bool:
    """Whether the batch of a loss may be any number of axes: each row has a loss of its own, and no input has space."""
    inputs = graph.signature.forward_inputs
    if any(one.axes[:1] != ("batch",) or "space" in one.axes or one.labels for one in inputs):
        return False
    nodes = graph.expanded().nodes
    return "batch" in graph.root.axes and not any(
        "batch'" in node.axes or "batch" in _run_over(dict(node.attrs)) for node in nodes
    )


def _run_over(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    over = attributes.get("over")
    return over if isinstance(over, tuple) else ()


@dataclass(frozen=True)
class Layout:
    """How inputs become those of the signature.

    Attributes:
        lead: Lengths of the axes that become the batch; none where there is no batch.
        single: Whether the inputs are elements of a single class, whose axis is missing.
    """

    lead: tuple[int, ...]
    single: bool = False

    def inputs(self, given: Sequence[Tensor]) -> list[Tensor]:
        """The inputs with a batch, or the first one with an axis of one class."""
        if self.single:
            return [given[0].unsqueeze(1), *given[1:]]
        return [self._rows(x) for x in given]

    def sample_weight(self, weight: Tensor | None) -> Tensor | None:
        """A weight of the elements, for the batch that they become."""
        if self.single or not isinstance(weight, Tensor) or tuple(weight.shape) != self.lead:
            return weight
        return self._rows(weight)

    def loss(self, value: Tensor) -> Tensor:
        """The unreduced loss with the axes that were given."""
        return value.squeeze(1) if self.single else value.reshape(self.lead + value.shape[1:])

    def _rows(self, x: Tensor) -> Tensor:
        return x.flatten(0, len(self.lead) - 1) if self.lead else x.unsqueeze(0)


def layout_of(declared: Sequence[Input], inputs: Sequence[Any], classes: int, rows: bool, apart: bool) -> Layout | None:
    """How inputs must be arranged first; None where they have the axes of the signature, or cannot be helped.

    `classes` is how many there are, if tensors given at construction say so, else 0. `rows` is what `takes_rows` says
    of the loss, `apart` what `class_by_class` does.
    """
    if len(inputs) != len(declared) or not all(isinstance(x, Tensor) for x in inputs):
        return None
    first: Tensor = inputs[0]
    axes = declared[0].axes
    if rows:
        lead = tuple(first.shape[: first.dim() - len(axes) + 1])
        fits = all(
            x.dim() == len(lead) + len(one.axes) - 1 and tuple(x.shape[: len(lead)]) == lead
            for one, x in zip(declared, inputs, strict=True)
        )
        return Layout(lead) if fits and first.dim() >= len(axes) - 1 and len(lead) != 1 else None
    if axes[:2] == ("batch", CLASS) and first.dim() == 1:
        shapes = [tuple(x.shape) for x in inputs[1:]]
        if apart and len(first) != classes:
            return Layout((), single=True) if all(shape == first.shape for shape in shapes) else None
        return Layout(()) if all(shape in ((), first.shape) for shape in shapes) else None
    if axes == ("batch", "space") and all(x.dim() == 0 for x in inputs):
        return Layout(())
    return None
