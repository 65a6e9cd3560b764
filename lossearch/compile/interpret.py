"""Evaluating a graph without compiling it: for the thousands of candidates a second that a search screens.

Each operator's template is compiled once, as a tiny function; a program is the list of such calls in order, with
shared nodes evaluated once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from torch import Tensor

from lossearch.compile.backend import execute
from lossearch.compile.template import Template, template
from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import Graph

Value = Any
"""A tensor or a Python number."""


def evaluate(
    graph: Graph,
    inputs: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor | float] | None = None,
    shape: Sequence[int] = (),
) -> tuple[Tensor, Tensor | None]:
    """Root and weight of a lowered graph; the weight is None where the graph has none.

    `inputs` has a tensor for each input by name, laid out as the graph's axes say: spatial axes flattened into one,
    last, of length one where there are none; `shape` is the spatial shape, for operators that need it. Parameters
    default to the graph's own values; a tensor in place of a number lets gradients flow to it. Floating inputs share
    one dtype. Raises `UserError` if an input is missing.
    """
    values: dict[str, Value] = {parameter.name: parameter.default for parameter in graph.parameters}
    values.update(parameters or {})
    tensors = frozenset(name for name, value in values.items() if isinstance(value, Tensor))
    root, *weight = program(graph.roots, tensors).run({**values, **inputs}, list(shape))
    return root, weight[0] if weight else None


def weighted(graph: Graph, root: Tensor, weight: Tensor | None) -> Tensor:
    """Each element of the root times its weight, relative to the mean of the weights."""
    if weight is None or graph.weight is None:
        return root
    for rank, axis in enumerate(graph.root.axes):
        if axis not in graph.weight.axes:
            weight = weight.unsqueeze(rank)
    return root * (weight / weight.mean())


@lru_cache(maxsize=16)  # few: each keeps its graph alive, with all that is remembered on the nodes
def program(roots: tuple[Expr, ...], tensors: frozenset[str] = frozenset()) -> Program:
    """The program for some roots; `tensors` names the parameters that will be tensors instead of numbers."""
    return Program(roots, tensors)


class Program:
    """A graph as a list of operator calls on numbered slots.

    `flat` says whether it needs its spatial axes flattened into one, which is there even for no spatial axes.
    """

    def __init__(self, roots: Sequence[Expr], tensors: frozenset[str]) -> None:
        slots: dict[Expr, int] = {}
        numbers: list[bool] = []
        self._constants: list[Value] = []
        self._leaves: list[tuple[int, str]] = []
        self._steps: list[tuple[int, Callable[..., Value], tuple[int, ...]]] = []
        self._like = -1
        self.flat = False
        for slot, node in enumerate(postorder(roots)):
            slots[node] = slot
            self._constants.append(node.attr("value") if node.op == "constant" else None)
            if node.args:
                arguments = tuple([slots[argument] for argument in node.args])
                made = template(node, tuple([numbers[argument] for argument in arguments]))
                numbers.append(made.number)
                self.flat |= made.flat
                self._steps.append((slot, function_of(made, len(arguments)), arguments))
                continue
            numbers.append(node.op == "constant" or (node.op == "parameter" and node.attr("name") not in tensors))
            if node.op != "constant":
                self._leaves.append((slot, node.attr("name")))
            if node.op == "input" and node.type.kind == "real" and self._like < 0:
                self._like = slot
        self._roots = [(slots[root], numbers[slots[root]]) for root in roots]
        if self._like < 0:
            raise UserError("a loss that uses its inputs", "an expression of numbers only", "use a prediction")

    def run(self, leaves: Mapping[str, Value], shape: list[int]) -> list[Tensor]:
        """Values of the roots from inputs and parameters by name."""
        values = self._constants.copy()
        for slot, name in self._leaves:
            if name not in leaves:
                raise UserError(f"an input {name!r}", f"inputs {', '.join(leaves)}", "give every input of the graph")
            values[slot] = leaves[name]
        like = values[self._like]
        for slot, function, arguments in self._steps:
            values[slot] = function(like, shape, *[values[argument] for argument in arguments])
        return [like.new_full((), values[slot]) if number else values[slot] for slot, number in self._roots]


class CachedEvaluator:
    """Evaluates graphs on the same inputs again and again, each node once in its life.

    A changed candidate shares most of its nodes with its parents, so only what is new is computed. Values are kept on
    the nodes, with their autograd history: differentiate with `retain_graph=True`.
    """

    def __init__(self, leaves: Mapping[str, Tensor], shape: Sequence[int] = ()) -> None:
        self._leaves = dict(leaves)
        self._like = next(value for value in self._leaves.values() if value.is_floating_point())
        self._shape = list(shape)

    def __call__(self, roots: Sequence[Expr]) -> list[Tensor]:
        """Values of the roots of a guarded graph without parameters."""
        for node in postorder(roots, stop=lambda node: self in node.memo):
            if self not in node.memo:
                node.memo[self] = self._value(node)
        values = [root.memo[self] for root in roots]
        return [value if isinstance(value, Tensor) else self._like.new_full((), value) for value in values]

    def _value(self, node: Expr) -> Value:
        if node.op == "constant":
            return node.attr("value")
        if not node.args:
            return self._leaves[node.attr("name")]
        values = [argument.memo[self] for argument in node.args]
        made = template(node, tuple([not isinstance(value, Tensor) for value in values]))
        return function_of(made, len(values))(self._like, self._shape, *values)


def function_of(made: Template, arity: int) -> Callable[..., Value]:
    """The template as a function of (tensor of the wanted dtype, spatial shape, arguments)."""
    return _compiled(made.text, made.helper, arity)


@lru_cache(maxsize=2**16)
def _compiled(text: str, helper: str, arity: int) -> Callable[..., Value]:
    arguments = "".join(f", _ARG{position}" for position in range(arity))
    source = f"{helper}\ndef operation(_LIKE, shape{arguments}):\n    return {text}\n"
    return execute(source, f"<lossearch operator {text[:40]}>")["operation"]
