"""Graphs as training losses; those of one structure are evaluated together, each with its own constants.

Where no operator reduces over the batch, runs can share one: predictions [run, batch, class] become
[run·batch, class] and each constant one value per row. Elsewhere `torch.func.vmap` runs over inputs and constants.
Either way a run more costs no Python and no kernel launch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.func import vmap

from lossearch.compile.constants import constant_range, parametrised, sign_range
from lossearch.compile.interpret import program
from lossearch.compile.one_step import is_transformed
from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.places import Place
from lossearch.ir.core.signature import Signature
from lossearch.ir.rewriting.lowering import label_input, lower

SPACE = "space"


class GraphLoss:
    """A graph as a function of its signature's inputs, in their order: (inputs[batch, ...]) -> scalar mean.

    A target that may be labels is given as labels, `[batch, *space]`, int64. Parameters of the graph enter with their
    defaults. `scale` multiplies the loss. Losses of one `group` differ in constants and scale only.

    Args:
        graph: of any signature.
        buffers: what the signature takes at construction, such as class weights, by name.
        scale: factor on the loss.

    Attributes:
        graph: with its parameters at their defaults.

    Raises:
        UserError: the graph uses a buffer that is not given.
    """

    def __init__(self, graph: Graph, buffers: Mapping[str, Tensor] | None = None, scale: float = 1.0) -> None:
        used = [declared.name for declared in graph.signature.buffers if graph.uses(declared.name)]
        given = buffers or {}
        for name in used:
            if name not in given:
                raise UserError(f"{name} for a loss that uses it", "none", f"give {name}, or use another loss")
        self.buffers = {name: given[name] for name in used}
        self.scale = scale
        self.graph = frozen = graph.frozen()
        lowered = lower(frozen, labels=label_input(frozen) is not None)
        self.structure, self.constants = split_constants(frozen.signature, lowered.roots)

    def scaled(self, scale: float) -> GraphLoss:
        """The same loss times a factor."""
        other = object.__new__(GraphLoss)
        other.__dict__.update(self.__dict__, scale=scale)
        return other

    def to(self, device: str | torch.device) -> GraphLoss:
        """The same loss with what it was made with, such as class weights, on a device."""
        if all(buffer.device == torch.device(device) for buffer in self.buffers.values()):
            return self
        return self.with_buffers({name: buffer.to(device) for name, buffer in self.buffers.items()})

    def with_buffers(self, buffers: dict[str, Tensor]) -> GraphLoss:
        """The same loss with other tensors of the same names."""
        other = self.scaled(self.scale)
        other.buffers = buffers
        return other

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The mean loss of one run."""
        return self.stacked([self], *(tensor.unsqueeze(0) for tensor in inputs))[0]

    @property
    def group(self) -> object:
        """What losses share that can be evaluated together."""
        return self.structure

    @staticmethod
    def stacked(losses: Sequence[GraphLoss], *inputs: Tensor) -> Tensor:
        """Mean losses [run] of one group from inputs [run, batch, ...]."""
        constants = tuple([loss.constants for loss in losses])
        means = losses[0].structure.means(inputs, constants, losses[0].buffers)
        return means * _table((tuple([loss.scale for loss in losses]),), means.dtype, means.device)[0]


class Structure:
    """A lowered loss whose constants are inputs: one value per row, or one per run where rows are mixed."""

    def __init__(self, signature: Signature, roots: tuple[Expr, ...], names: tuple[str, ...], row_wise: bool) -> None:
        self.names = names
        self.row_wise = row_wise
        self._program = program(roots, frozenset(names))
        self._root = roots[0]
        self._weight = roots[1] if len(roots) > 1 else None
        declared = signature.forward_inputs
        self._inputs = tuple(one.name for one in declared)
        self._labels = next((place for place, one in enumerate(declared) if one.labels is not None), None)
        # How many axes an input has before its spatial ones; None where it has none. Labels have no class axis.
        self._before_space = tuple(
            len(one.axes) - 1 - (one.labels is not None) if SPACE in one.axes else None for one in declared
        )

    def means(
        self,
        inputs: Sequence[Tensor],
        constants: tuple[tuple[float, ...], ...] | Tensor,
        buffers: Mapping[str, Tensor],
    ) -> Tensor:
        """Mean losses [run] from inputs [run, batch, ...] and the constants of each run, [run, constant] as a tensor.

        They are differentiable in constants that are a tensor.
        """
        first = inputs[0]
        runs = len(first)
        if self._labels is not None and inputs[self._labels].is_floating_point():
            name = self._inputs[self._labels]
            raise UserError(f"{name} as labels, int64", f"{name} of {inputs[self._labels].dtype}", "give class numbers")
        if self.row_wise:
            if isinstance(constants, Tensor):
                shape = runs, first.shape[1]
                rows = [one.unsqueeze(1).expand(shape).reshape(-1) for one in constants.unbind(1)]
            else:
                rows = _rows(constants, first.shape[1], first.dtype, first.device)
            return self._mean([tensor.flatten(0, 1) for tensor in inputs], rows, buffers, runs)
        given = isinstance(constants, Tensor)
        table = constants if given else _table(constants, first.dtype, first.device)
        if runs == 1:
            return self._mean([tensor[0] for tensor in inputs], table[0].unbind(0), buffers, 1)

        def mean(constants: Tensor, *inputs: Tensor) -> Tensor:
            return self._mean(inputs, constants.unbind(0), buffers, 1).squeeze(0)

        return vmap(mean)(table, *inputs)

    def _mean(
        self, inputs: Sequence[Tensor], constants: Sequence[Tensor], buffers: Mapping[str, Tensor], runs: int
    ) -> Tensor:
        """Mean losses [run] of rows [run·batch]."""
        inputs, shape = self._laid_out(inputs)
        if self.row_wise and SPACE in self._root.axes and (self._program.flat or shape):
            constants = [value.unsqueeze(-1) for value in constants]
        leaves = {
            **dict(zip(self.names, constants, strict=True)),
            **dict(zip(self._inputs, inputs, strict=True)),
            **buffers,
        }
        root, *weights = self._program.run(leaves, shape)
        if not weights:
            return root.reshape(runs, -1).mean(1)
        weight = self._like_root(root, weights[0]).reshape(runs, -1)
        return (root.reshape(runs, -1) * weight).sum(1) / weight.sum(1)

    def _laid_out(self, inputs: Sequence[Tensor]) -> tuple[list[Tensor], list[int]]:
        """Inputs as programs take them: spatial axes as one, which there is without any where the program needs it."""
        found: list[Tensor] = []
        shape: list[int] = []
        for tensor, before in zip(inputs, self._before_space, strict=True):
            if before is None:
                found.append(tensor)
                continue
            extents = tensor.shape[before:]
            shape = list(extents) or shape
            flat = tensor.flatten(before) if len(extents) > 1 else tensor
            found.append(flat.unsqueeze(before) if not extents and self._program.flat else flat)
        return found, shape

    def _like_root(self, root: Tensor, weight: Tensor) -> Tensor:
        """A weight with the axes of the root."""
        assert self._weight is not None
        if weight.dim() < root.dim():
            for rank, axis in enumerate(self._root.axes):
                if axis not in self._weight.axes:
                    weight = weight.unsqueeze(rank)
        return weight.expand_as(root)


def _table(constants: tuple[tuple[float, ...], ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """`[run, constant]`."""
    make = _made_table if is_transformed() else _kept_table
    return make(constants, dtype, device)


def _rows(
    constants: tuple[tuple[float, ...], ...], batch: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, ...]:
    """For each constant its value in every row, `[run·batch]`."""
    make = _made_rows if is_transformed() else _kept_rows
    return make(constants, batch, dtype, device)


def _made_table(constants: tuple[tuple[float, ...], ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(constants, dtype=dtype, device=device).reshape(len(constants), -1)


def _made_rows(
    constants: tuple[tuple[float, ...], ...], batch: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, ...]:
    return _table(constants, dtype, device).repeat_interleave(batch, 0).T.contiguous().unbind(0)


# Kept, as a training asks for the same ones at every step. A tensor that is made within a transform of torch.func
# belongs to it, and is of no use after it.
_kept_table, _kept_rows = lru_cache(maxsize=64)(_made_table), lru_cache(maxsize=64)(_made_rows)


def _mixes_rows(node: Expr) -> bool:
    """Whether an operator reduces or reorders over the batch, or asks for its size."""
    for _, value in node.attrs if node.args else ():
        names = value if isinstance(value, tuple) else (value,)
        if any(isinstance(name, str) and name.startswith("batch") for name in names):
            return True
    return False


def is_row_wise(roots: tuple[Expr, ...]) -> bool:
    """Whether each row of the batch has a loss of its own, to which a constant can be laid out as a value per row."""
    nodes = list(postorder(roots))
    if any(map(_mixes_rows, nodes)):
        return False
    axes = roots[0].axes
    # A value per element is laid out as a value per row is, since no operator asks for `space` as an axis.
    return axes == ("batch", SPACE) or (axes == ("batch",) and not any(SPACE in node.axes for node in nodes))


@lru_cache(maxsize=64)
def split_constants(signature: Signature, roots: tuple[Expr, ...]) -> tuple[Structure, tuple[float, ...]]:
    """The structure of lowered roots and its constants, each place by itself; equal structures are the same object.

    A constant enters as any of its sign; where that is ill-typed as one of its size too, which fewer losses share; and
    stays in the structure where its exact value matters to the type.
    """
    row_wise = is_row_wise(roots)
    axes = roots[0].axes if row_wise else ()

    def parameters(place: Place, rank: int) -> Iterator[Expr]:
        for low, high in (sign_range(place.value), constant_range(place.value)):
            yield Expr.make("parameter", name=f"c{rank}", axes=axes, lower=low, upper=high)

    replaced, found = parametrised(roots, parameters)
    names = tuple(node.attr("name") for node in found.values())
    return _structure(signature, tuple(replaced), names, row_wise), tuple(place.value for place in found)


_STRUCTURES: WeakValueDictionary[tuple[Any, ...], Structure] = WeakValueDictionary()
"""Those in use: a second cache would forget structures that the first still gives, and make others of them."""


def _structure(signature: Signature, roots: tuple[Expr, ...], names: tuple[str, ...], row_wise: bool) -> Structure:
    key = (signature, roots, names, row_wise)
    found = _STRUCTURES.get(key)
    if found is None:
        found = _STRUCTURES[key] = Structure(signature, roots, names, row_wise)
    return found
