"""Graphs as training losses; those of one structure are evaluated together, each with its own constants.

Where no operator reduces over the batch, runs can share one: predictions [run, batch, class] become
[run·batch, class] and each constant one value per row. Elsewhere `torch.func.vmap` runs over predictions and constants.
Either way a run more costs no Python and no kernel launch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.func import vmap

from lossearch.compile.constants import constant_range, parametrised, sign_range
from lossearch.compile.interpret import program
from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.places import Place
from lossearch.ir.rewriting.lowering import lower


class GraphLoss:
    """A graph of the dense family as a function (logits[batch, class], target[batch]) -> scalar mean.

    Parameters of the graph enter with their defaults. `scale` multiplies the loss. Losses of one `group` differ in
    constants and scale only.
    """

    def __init__(self, graph: Graph, class_weight: Tensor | None = None, scale: float = 1.0) -> None:
        if graph.uses("class_weight") and class_weight is None:
            raise UserError("class weights for a loss that uses them", "none", "give class_weight[class]")
        self.class_weight = class_weight
        self.scale = scale
        self.structure, self.constants = split_constants(lower(graph.frozen(), labels=True).roots)

    def scaled(self, scale: float) -> GraphLoss:
        """The same loss times a factor."""
        other = object.__new__(GraphLoss)
        other.__dict__.update(self.__dict__, scale=scale)
        return other

    def to(self, device: str | torch.device) -> GraphLoss:
        """The same loss with its class weights, if it has any, on a device."""
        if self.class_weight is None or self.class_weight.device == torch.device(device):
            return self
        other = self.scaled(self.scale)
        other.class_weight = self.class_weight.to(device)
        return other

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean loss of one run."""
        return self.stacked([self], logits.unsqueeze(0), target.unsqueeze(0))[0]

    @property
    def group(self) -> object:
        """What losses share that can be evaluated together."""
        return self.structure

    @staticmethod
    def stacked(losses: Sequence[GraphLoss], logits: Tensor, target: Tensor) -> Tensor:
        """Mean losses [run] of one group from logits[run, batch, class] and target[run, batch]."""
        constants = tuple([loss.constants for loss in losses])
        means = losses[0].structure.means(logits, target, constants, losses[0].class_weight)
        return means * _table((tuple([loss.scale for loss in losses]),), logits.dtype, logits.device)[0]


class Structure:
    """A lowered loss whose constants are inputs: one value per row, or one per run where rows are mixed."""

    def __init__(self, roots: tuple[Expr, ...], names: tuple[str, ...], row_wise: bool) -> None:
        self.names = names
        self.row_wise = row_wise
        self._program = program(roots, frozenset(names))

    def means(
        self, logits: Tensor, target: Tensor, constants: tuple[tuple[float, ...], ...], class_weight: Tensor | None
    ) -> Tensor:
        """Mean losses [run] from logits[run, batch, class], target[run, batch] and the constants of each run."""
        runs, batch = target.shape
        if self.row_wise:
            rows = _rows(constants, batch, logits.dtype, logits.device)
            return self._mean(logits.flatten(0, 1), target.flatten(), rows, class_weight, runs)
        table = _table(constants, logits.dtype, logits.device)
        if runs == 1:
            return self._mean(logits[0], target[0], table[0].unbind(0), class_weight, 1)

        def mean(logits: Tensor, target: Tensor, constants: Tensor) -> Tensor:
            return self._mean(logits, target, constants.unbind(0), class_weight, 1).squeeze(0)

        return vmap(mean)(logits, target, table)

    def _mean(
        self, logits: Tensor, target: Tensor, constants: Sequence[Tensor], class_weight: Tensor | None, runs: int
    ) -> Tensor:
        """Mean losses [run] of rows [run·batch]."""
        if self._program.flat:
            logits, target = logits.unsqueeze(-1), target.unsqueeze(-1)
            constants = [value.unsqueeze(-1) for value in constants] if self.row_wise else constants
        leaves = {**dict(zip(self.names, constants, strict=True)), "logits": logits, "target": target}
        if class_weight is not None:
            leaves["class_weight"] = class_weight
        root, *weights = self._program.run(leaves, [])
        if not weights:
            return root.reshape(runs, -1).mean(1)
        weight = weights[0].expand_as(root).reshape(runs, -1)
        return (root.reshape(runs, -1) * weight).sum(1) / weight.sum(1)


# Kept, as a training asks for the same ones at every step.


@lru_cache(maxsize=64)
def _table(constants: tuple[tuple[float, ...], ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """`[run, constant]`."""
    return torch.tensor(constants, dtype=dtype, device=device).reshape(len(constants), -1)


@lru_cache(maxsize=64)
def _rows(
    constants: tuple[tuple[float, ...], ...], batch: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, ...]:
    """For each constant its value in every row, `[run·batch]`."""
    return _table(constants, dtype, device).repeat_interleave(batch, 0).T.contiguous().unbind(0)


def _mixes_rows(node: Expr) -> bool:
    """Whether an operator reduces or reorders over the batch, or asks for its size."""
    for _, value in node.attrs if node.args else ():
        names = value if isinstance(value, tuple) else (value,)
        if any(isinstance(name, str) and name.startswith("batch") for name in names):
            return True
    return False


@lru_cache(maxsize=64)
def split_constants(roots: tuple[Expr, ...]) -> tuple[Structure, tuple[float, ...]]:
    """The structure of lowered roots and its constants, each place by itself; equal structures are the same object.

    A constant enters as any of its sign; where that is ill-typed as one of its size too, which fewer losses share; and
    stays in the structure where its exact value matters to the type.
    """
    # A value per element is laid out as a value per row is, since no operator asks for `space` as an axis.
    per_element = ("batch", "space")
    row_wise = roots[0].axes == per_element and not any(map(_mixes_rows, postorder(roots)))
    axes = per_element if row_wise else ()

    def parameters(place: Place, rank: int) -> Iterator[Expr]:
        for low, high in (sign_range(place.value), constant_range(place.value)):
            yield Expr.make("parameter", name=f"c{rank}", axes=axes, lower=low, upper=high)

    replaced, found = parametrised(roots, parameters)
    names = tuple(node.attr("name") for node in found.values())
    return _structure(tuple(replaced), names, row_wise), tuple(place.value for place in found)


@lru_cache(maxsize=64)
def _structure(roots: tuple[Expr, ...], names: tuple[str, ...], row_wise: bool) -> Structure:
    return Structure(roots, names, row_wise)
