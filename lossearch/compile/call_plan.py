"""What a loss module runs for one kind of call: a compiled function, and what it has to be given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lossearch.compile.backend import Backend, Function, compile_source
from lossearch.compile.class_weights import attribute
from lossearch.compile.one_step import full_precision
from lossearch.compile.reduction import Reduction
from lossearch.compile.variant import SAMPLE_WEIGHT, Variant, source_of
from lossearch.ir.core.graph import Graph


@dataclass(frozen=True)
class CallPlan:
    """A compiled function, the names of its arguments, and which of them need preparing.

    Attributes:
        function: takes `arguments` by position.
        precise: runs in its place under autocast: its gradients keep their precision there too.
        arguments: names of inputs, buffers and parameters, in order.
        buffers: those of them that the module holds.
        flat: whether the function takes one axis in place of the spatial ones.
        shape: whether its last argument is the list of their lengths.
        spatial: names of what has spatial axes.
        strict: whether the function refuses every label that is no class.
    """

    function: Function
    precise: Function
    arguments: list[str]
    buffers: list[str]
    flat: bool
    shape: bool
    spatial: frozenset[str]
    strict: bool

    def flatten(self, values: dict[str, Tensor], shape: tuple[int, ...]) -> None:
        """Give what has spatial axes, of these lengths, one in their place; one of a single entry where there are none.

        Does nothing for a function that takes them as they are.
        """
        if self.flat and len(shape) != 1:
            for name in self.spatial & values.keys():
                values[name] = _flat(values[name], -len(shape))

    def call(self, values: dict[str, Tensor], shape: tuple[int, ...], autocast: bool) -> Tensor:
        """The function's result for values by name, with spatial axes of these lengths before they were flattened."""
        function = self.precise if autocast else self.function
        if self.shape:
            return function(*[values[name] for name in self.arguments[:-1]], list(shape))
        return function(*[values[name] for name in self.arguments])

    def shortcut(
        self, module: nn.Module, inputs: Sequence[str], shape: tuple[int, ...], dtype: torch.dtype
    ) -> Function:
        """What takes a module's inputs of one shape as they are: the function behind nothing but flattening.

        Args:
            module: has the buffers, which are looked up at each call, since they may have been moved or replaced.
            inputs: names of what is given by position.
            shape: lengths of the spatial axes.
            dtype: that of floating-point inputs.
        """
        function, names, last = self.function, self.arguments, -len(shape)
        flattened = self.spatial if self.flat and len(shape) != 1 else ()
        if names == list(inputs) and not any(name in flattened for name in names):
            return function
        at = {name: rank for rank, name in enumerate(inputs)}
        if self.buffers or self.shape:
            ends = [list(shape)] if self.shape else []
            steps = [(at.get(n, -1), attribute(n), n in flattened) for n in names[: len(names) - len(ends)]]

            def call(*inputs: Tensor) -> Tensor:
                given = [inputs[i] if i >= 0 else getattr(module, held).to(dtype) for i, held, _ in steps]
                given = [_flat(x, last) if flat else x for x, (_, _, flat) in zip(given, steps, strict=True)]
                return function(*given, *ends)

            return call
        places = [(at[name], name in flattened) for name in names]
        return lambda *inputs: function(*[_flat(inputs[i], last) if flat else inputs[i] for i, flat in places])


def plan_call(
    graph: Graph,
    variant: Variant,
    reduction: Reduction,
    backend: Backend,
    *,
    held: Iterable[str] = (),
    spatial: frozenset[str] = frozenset(),
) -> CallPlan:
    """Compile what a kind of call needs.

    Args:
        graph: the loss, without unset parameters.
        variant: the kind of call.
        reduction: of the loss's elements.
        backend: that compiles.
        held: names of the signature's buffers that the module holds.
        spatial: names of the signature's inputs with spatial axes.
    """
    source = source_of(graph, variant, reduction)
    arguments = [argument.name for argument in source.arguments]
    function = compile_source(source, backend)
    return CallPlan(
        function=function,
        precise=full_precision(function, is_one_step=backend == "compile") if source.products else function,
        arguments=arguments,
        buffers=[name for name in held if name in arguments],
        flat=source.flat,
        shape=source.arguments[-1].variable == "shape",
        spatial=spatial | ({"mask", SAMPLE_WEIGHT} if "space" in variant.sample_weight else {"mask"}),
        strict=source.strict,
    )


def _flat(x: Tensor, last: int) -> Tensor:
    """One axis instead of the spatial ones from `last` on, or a single entry where there are none."""
    return x.flatten(last) if last else x.unsqueeze(-1)
