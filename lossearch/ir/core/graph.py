"""A graph: what is compiled. Root expression, signature, parameters, and the weight of each element."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, Remembered, constant, map_nodes, postorder
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.core.parameter import Parameter
from lossearch.ir.core.signature import Signature
from lossearch.ir.core.types import IllTyped


@dataclass(frozen=True)
class Graph:
    """An expression with its signature and parameters.

    The root may keep axes: the final reduction belongs to the module. `weight`, if there is one, says with which
    weight each element of the root enters it: mean = Σ weight·root / Σ weight.
    """

    signature: Signature
    root: Expr
    parameters: tuple[Parameter, ...] = ()
    weight: Expr | None = None

    def __post_init__(self) -> None:
        if self.root.type.kind != "real":
            raise IllTyped("a loss with real values", str(self.root.type), "end with a real expression")
        if self.weight is not None and not set(self.weight.axes) <= set(self.root.axes):
            raise IllTyped(
                f"a weight with axes among [{', '.join(self.root.axes)}]", str(self.weight.type), "reduce the weight"
            )
        _check_names(self)

    @property
    def roots(self) -> tuple[Expr, ...]:
        """Root and, where there is one, weight."""
        return (self.root,) if self.weight is None else (self.root, self.weight)

    def with_roots(self, roots: Iterable[Expr]) -> Graph:
        """The same graph with other expressions; parameters that no longer occur are dropped."""
        root, *weights = roots
        if (root, *weights) == self.roots:
            return self
        parameters = self.parameters
        if parameters:
            used = {leaf.attr("name") for end in (root, *weights) for leaf in end.leaves if leaf.op == "parameter"}
            parameters = tuple(parameter for parameter in parameters if parameter.name in used)
        return Graph(self.signature, root, parameters, weights[0] if weights else None)

    def map(self, change: Callable[[Expr], Expr]) -> Graph:
        """Rebuild every node bottom-up."""
        return self.with_roots(map_nodes(self.roots, change))

    def expanded(self) -> Graph:
        """Every primitive call replaced by its body."""
        return self._expanded

    @cached_property
    def _expanded(self) -> Graph:
        return self.with_roots(EXPANSION(self.roots))

    def bind(self, values: Mapping[str, float]) -> Graph:
        """The same graph with new defaults for the named parameters.

        A value outside a parameter's bounds, for which the loss is defined nevertheless, widens them. Raises
        `UserError` for unknown names, and where the loss is not defined.
        """
        known = {parameter.name for parameter in self.parameters}
        if unknown := set(values) - known:
            raise UserError(
                f"parameters among {sorted(known) or 'none'}", ", ".join(sorted(unknown)), "correct the name"
            )
        changed = tuple(p.at(values[p.name]) if p.name in values else p for p in self.parameters)
        widened = {p.node: q.node for p, q in zip(self.parameters, changed, strict=True) if p.node is not q.node}
        root, *weights = [root.substitute(widened) for root in self.roots] if widened else self.roots
        return Graph(self.signature, root, changed, weights[0] if weights else None)

    def frozen(self) -> Graph:
        """Parameters that are not learnable replaced by their defaults as constants."""
        fixed = {p.node: constant(p.default) for p in self.parameters if not p.learnable}
        if not fixed:
            return self
        return self.with_roots([root.substitute(fixed) for root in self.roots])

    @property
    def nodes(self) -> list[Expr]:
        """Every distinct node, arguments first."""
        return postorder(self.roots)

    @cached_property
    def complexity(self) -> int:
        """Distinct operators after expansion: what a reader of the formula has to take in."""
        return sum(1 for node in self.expanded().nodes if node.args)

    def complexity_with(self, weights: Mapping[str, int]) -> int:
        """As `complexity`, each operator counted as the weights say, 1 where they say nothing.

        A primitive that has a weight counts that much, and not what it is made of.
        """
        closed = {name for name in weights if OPERATORS[name].expand is not None}
        nodes = postorder(_opened(self.roots, closed)) if closed else self.expanded().nodes
        return sum(weights.get(node.op, 1) for node in nodes if node.args)

    @cached_property
    def key(self) -> str:
        """Structural SHA-256 over signature, roots, and parameter defaults; the same in every process."""
        # Ranges to search are told only where there are any, so that documents from before there were keep their key.
        searched = [f"{p.name}:{p.search!r}" for p in self.parameters if p.search is not None]
        text = "|".join((self.signature.name, *(root.key for root in self.roots), repr(self.parameters), *searched))
        return hashlib.sha256(text.encode()).hexdigest()

    def uses(self, name: str) -> bool:
        """Whether an input of this name occurs."""
        return any(leaf.attr("name") == name for leaf in self._leaves if leaf.op == "input")

    @cached_property
    def _leaves(self) -> frozenset[Expr]:
        return self.root.leaves if self.weight is None else self.root.leaves | self.weight.leaves


def expand_call(node: Expr) -> Expr:
    """The body of a primitive call, all the way down; other nodes unchanged."""
    expand = OPERATORS[node.op].expand
    return node if expand is None else EXPANSION([expand(*node.args, **dict(node.attrs))])[0]


def _opened(roots: Sequence[Expr], closed: Collection[str]) -> Sequence[Expr]:
    """The expressions with every primitive call replaced by its body, but for those of `closed`."""
    while True:
        bodies: dict[Expr, Expr] = {}
        for node in postorder(roots):
            expand = OPERATORS[node.op].expand
            if expand is not None and node.op not in closed:
                bodies[node] = expand(*node.args, **dict(node.attrs))
        if not bodies:
            return roots
        roots = [root.substitute(bodies) for root in roots]


EXPANSION = Remembered(expand_call)
"""Primitive calls replaced by their bodies throughout a graph."""


def _made_by_lowering(node: Expr, inputs: Mapping[str, Expr]) -> bool:
    """A mask, or integer labels in place of a distribution."""
    return node.op == "input" and (
        node.attr("name") == "mask" or (node.type.kind == "index" and node.attr("name") in inputs)
    )


def _check_names(graph: Graph) -> None:
    """Every leaf must be the signature's or a declared parameter's own node, and every parameter must occur."""
    _check_leaves(graph.signature, graph.parameters, graph._leaves)


@lru_cache(maxsize=4096)
def _check_leaves(signature: Signature, parameters: tuple[Parameter, ...], leaves: frozenset[Expr]) -> None:
    inputs = signature.nodes()
    declared = {parameter.name: parameter.node for parameter in parameters}
    if len(declared) != len(parameters) or declared.keys() & inputs.keys():
        raise UserError("distinct names for inputs and parameters", ", ".join(declared), "rename a parameter")
    used: set[str] = set()
    for leaf in leaves:
        name = leaf.attr("name")
        known = inputs if leaf.op == "input" else declared
        if known.get(name) is not leaf and not _made_by_lowering(leaf, inputs):
            raise UserError(
                f"an {leaf.op} of signature {signature.name} or a declared parameter",
                f"{leaf.op} {name!r}",
                f"inputs: {', '.join(inputs)}; parameters: {', '.join(declared) or 'none'}",
            )
        used.add(name)
    if unused := declared.keys() - used:
        raise UserError("parameters that occur in the expression", ", ".join(sorted(unused)), "remove them")
