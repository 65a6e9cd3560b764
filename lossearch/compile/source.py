"""From a graph to the source of one torch function: straight-line code that feeds every backend and export."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lossearch.compile.names import ENTRIES, Names, safe
from lossearch.compile.template import ATOM, UNARY, template
from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.core.types import IllTyped
from lossearch.ir.operators.kernels import STRICT

LONGEST = 84
"""Longest expression on one line; with indentation and a name it stays near 100 characters."""

LONGEST_LINE = 116
"""Longest head of a function that is not broken, and longest line that returns several results."""

LONGEST_INLINE = 56
"""Longest subexpression that is not given a line of its own."""


@dataclass(frozen=True)
class Argument:
    """An argument of an emitted function: the graph's name for it, its name in the source, and its type there."""

    name: str
    variable: str
    annotation: str = "Tensor"


@dataclass(frozen=True)
class Source:
    """A torch function as text.

    Attributes:
        name: Name of the function.
        arguments: Its arguments in order: inputs, then parameters, then the spatial shape where it is used.
        body: Lines without indentation; the last returns the result or results.
        helpers: Sources of functions that the body calls.
        flat: Whether the spatial axes of its inputs must have been flattened into one.
        doc: Docstring, or nothing.
        results: How many it returns.
        products: Whether an operator multiplies matrices or convolves, which autocast would do in half precision.
        scatters: Whether an operator or its gradient writes to places it computes.
        strict: Whether a kernel refuses every label that is no class.
    """

    name: str
    arguments: tuple[Argument, ...]
    body: tuple[str, ...]
    helpers: tuple[str, ...] = ()
    flat: bool = False
    doc: str = ""
    results: int = 1
    products: bool = False
    scatters: bool = False
    strict: bool = False

    @cached_property
    def text(self) -> str:
        """Helpers and function, for a namespace that has torch, F, math, Tensor and List."""
        typed = [f"{argument.variable}: {argument.annotation}" for argument in self.arguments]
        returned = "Tensor" if self.results == 1 else f"tuple[{', '.join(['Tensor'] * self.results)}]"
        lines = [f'"""{self.doc}"""'] if self.doc else []
        function = "".join(f"{line}\n" for line in definition(self.name, typed, returned, [*lines, *self.body]))
        return "".join(f"{helper.strip()}\n\n\n" for helper in self.helpers) + function

    @cached_property
    def key(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def definition(name: str, arguments: Sequence[str], returned: str, body: Sequence[str], indent: int = 0) -> list[str]:
    """The lines of a function, its head broken as formatters break it where it is longer than a line may be."""
    indented = [f"    {line}" if line else "" for line in body]
    joined = ", ".join(arguments)
    head = f"def {name}({joined}) -> {returned}:"
    if len(head) + indent <= LONGEST_LINE:
        return [head, *indented]
    broken = [joined] if len(joined) + 4 + indent <= LONGEST_LINE else [f"{argument}," for argument in arguments]
    return [f"def {name}(", *[f"    {line}" for line in broken], f") -> {returned}:", *indented]


def emit(graph: Graph, name: str = "loss", doc: str = "") -> Source:
    """The source of a lowered graph: root, and weight where there is one, from inputs and parameters.

    Inputs other than the signature's (labels, mask, weights) follow the signature's own. Learnable parameters are
    tensors, others Python floats. Raises `UserError` for a graph that uses no input.
    """
    learnable = {parameter.name for parameter in graph.parameters if parameter.learnable}
    return emit_roots(graph.roots, [declared.name for declared in graph.signature.inputs], learnable, name, doc)


def emit_roots(
    roots: Sequence[Expr],
    order: Sequence[str] = (),
    learnable: frozenset[str] | set[str] = frozenset(),
    name: str = "loss",
    doc: str = "",
    nouns: Mapping[Expr, str] | None = None,
) -> Source:
    """The source of several expressions at once; `order` names the inputs that come first, `nouns` some values."""
    leaves = [node for node in postorder(roots) if node.op in ("input", "parameter")]
    arguments = _arguments(leaves, order, learnable)
    like = next((a.variable for leaf, a in arguments.items() if _is_float_tensor(leaf, a)), None)
    if like is None:
        raise IllTyped("a loss that uses its inputs", "an expression of numbers only", "use a prediction")
    writer = _Writer(roots, arguments, like, nouns or {})
    for node in postorder(roots):
        writer.visit(node)
    results = writer.results()
    used = tuple(arguments.values()) + ((Argument("shape", "shape", "List[int]"),) if writer.shape else ())
    body = (*writer.lines, f"return {results}")
    return Source(
        name,
        used,
        body,
        helpers=tuple(writer.helpers),
        flat=writer.flat,
        doc=doc,
        results=len(roots),
        products=writer.products,
        scatters=writer.scatters,
        strict=writer.strict,
    )


def _is_float_tensor(leaf: Expr, argument: Argument) -> bool:
    return leaf.op == "input" and leaf.type.kind == "real" and argument.annotation == "Tensor"


def _arguments(
    leaves: Sequence[Expr], order: Sequence[str], learnable: frozenset[str] | set[str]
) -> dict[Expr, Argument]:
    ranks = {name: rank for rank, name in enumerate(order)}
    found: dict[Expr, Argument] = {}
    taken: set[str] = set()
    for leaf in sorted(leaves, key=lambda leaf: (leaf.op, ranks.get(leaf.attr("name"), len(ranks)))):
        name = leaf.attr("name")
        variable = safe(name)
        while variable in taken:
            variable += "_"
        taken.add(variable)
        is_number = leaf.op == "parameter" and name not in learnable
        found[leaf] = Argument(name, variable, "float" if is_number else "Tensor")
    return found


@dataclass(frozen=True)
class _Value:
    """Source of a node's value: text, binding strength, whether it is a Python number."""

    text: str
    strength: int
    number: bool
    named: bool


@dataclass
class _Writer:
    roots: Sequence[Expr]
    arguments: Mapping[Expr, Argument]
    like: str
    nouns: Mapping[Expr, str]
    lines: list[str] = field(default_factory=list)
    helpers: dict[str, None] = field(default_factory=dict)
    values: dict[Expr, _Value] = field(default_factory=dict)
    flat: bool = False
    shape: bool = False
    products: bool = False
    scatters: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        self.uses = Counter(argument for node in postorder(self.roots) for argument in node.args)
        self.uses.update(self.roots)
        self.names = Names((argument.variable for argument in self.arguments.values()), self.nouns)
        self.columns: dict[tuple[Expr, object], tuple[str, ...] | str] = {}
        entries = {node for node in postorder(self.roots) if node.op == "select"}
        taken = Counter((node.args[0], node.attr("over")) for node in entries)
        self.unbound = {key: count for key, count in taken.items() if count > 1}

    def visit(self, node: Expr) -> None:
        """Write the node's value as an expression, and as a line of its own where it is shared."""
        if not node.args:
            self.values[node] = self._leaf(node)
            return
        if node.op == "select" and (node.args[0], node.attr("over")) in self.unbound:
            self.values[node] = self._entry(node)
            return
        made = template(node, tuple([self.values[argument].number for argument in node.args]))
        self.flat, self.shape = self.flat or made.flat, self.shape or made.shape
        self.products = self.products or OPERATORS[node.op].products(node)
        self.scatters = self.scatters or OPERATORS[node.op].scatters(node)
        self.strict = self.strict or STRICT in node.attrs
        if made.helper:
            self.helpers[made.helper] = None
        for argument, count in zip(node.args, made.counts, strict=True):
            if count > 1:
                self._assign(argument)
        if made.text == "_ARG0":  # its axes have other names, the value has not
            if self.uses[node] > 1:
                self._assign(node.args[0])
            self.values[node] = self.values[node.args[0]]
            return
        text = self._fill(node)
        for argument in sorted(node.args, key=lambda argument: -len(self.values[argument].text)):
            if len(text) <= LONGEST and len(self.values[argument].text) <= LONGEST_INLINE:
                break
            self._assign(argument)
            text = self._fill(node)
        self.values[node] = _Value(text, made.strength, made.number, False)
        if self.uses[node] > 1:
            self._assign(node)

    def results(self) -> str:
        """What is returned for the roots; the longest have lines of their own where all do not fit on one."""
        for root in sorted(self.roots, key=lambda root: -len(self.values[root].text)):
            found = ", ".join(map(self._result, self.roots))
            if len(found) <= LONGEST_LINE - len("    return "):
                return found
            self._assign(root)
        return ", ".join(map(self._result, self.roots))

    def _entry(self, node: Expr) -> _Value:
        """One of several entries of an axis: they are taken apart at once, so that there is one step back."""
        argument, over = node.args[0], node.attr("over")
        key = argument, over
        if key not in self.columns:
            self._assign(argument)
            whole, dim = self.values[argument].text, argument.axes.index(over[0])
            entries = ENTRIES.get(over[0], ())
            if self.unbound[key] == len(entries):
                found = tuple(self.names.fresh(node, f"{whole}_{entry}") for entry in entries)
                self.lines.append(f"{', '.join(found)} = {whole}.unbind({dim})")
            else:
                name = self.names.fresh(node, f"{whole}_entries")
                self.lines.append(f"{name} = {whole}.unbind({dim})")
                found = name
            self.columns[key] = found
        known, index = self.columns[key], node.attr("index")
        return _Value(known[index] if isinstance(known, tuple) else f"{known}[{index}]", ATOM, False, True)

    def _result(self, root: Expr) -> str:
        """What is returned for a root: always a tensor."""
        value = self.values[root]
        return f"{self.like}.new_full((), {value.text})" if value.number else value.text

    def _leaf(self, node: Expr) -> _Value:
        if node.op == "constant":
            text = repr(node.attr("value"))
            return _Value(text, UNARY if text[0] == "-" else ATOM, True, True)
        argument = self.arguments[node]
        return _Value(argument.variable, ATOM, argument.annotation == "float", True)

    def _fill(self, node: Expr) -> str:
        values = [self.values[argument] for argument in node.args]
        made = template(node, tuple([value.number for value in values]))
        weak = [value.strength < needed for value, needed in zip(values, made.required, strict=True)]
        texts = [f"({v.text})" if brackets else v.text for v, brackets in zip(values, weak, strict=True)]
        return made.fill(texts, self.like)

    def _assign(self, node: Expr) -> None:
        value = self.values[node]
        if not value.named:
            name = self.names.fresh(node)
            self.lines.append(f"{name} = {value.text}")
            self.values[node] = _Value(name, ATOM, value.number, True)
