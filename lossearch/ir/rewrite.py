"""Rewriting: rules as rows that state their identity, matched bottom-up to a fixed point.

A rule is written as the identity it uses, in the text form's syntax: `log(softmax(x, over=a)) = log_softmax(x,
over=a)`. On its left side a name stands for any node (`c`, `d` and names ending in `_c` for constants only), the same
name for the same node, and a one-letter attribute for any attribute. Every rule preserves value and gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossearch.errors import UserError
from lossearch.ir.expr import Expr, constant, postorder
from lossearch.ir.operator import OPERATORS
from lossearch.ir.text_parser import Parser, Syntax
from lossearch.ir.types import IllTyped

Bindings = dict[str, Any]
Matcher = Callable[[Expr, Bindings], Iterator[Bindings]]
MOST_STEPS = 200
"""Rewrites of one node after which a table counts as circular."""

MOST_NESTED = 100_000
"""Rewrites that wait for one another after which a table counts as circular: more than a graph is deep."""


@dataclass(frozen=True)
class Rule:
    """One row: the identity, a condition on what the names stand for, and a builder where text cannot say it."""

    identity: str
    when: Callable[[Mapping[str, Any]], bool] | None = None
    build: Callable[[Mapping[str, Any]], Expr | None] | None = None


class Table:
    """A named sequence of rules; tables compose with `+` and earlier rows win."""

    def __init__(self, name: str, rules: Iterable[Rule]) -> None:
        self.name = name
        self.rules = tuple(rules)
        self._by_operator: dict[str, list[_Compiled]] = {}
        self._fits: dict[tuple[str, ...], list[_Compiled]] = {}
        for rule in self.rules:
            compiled = _Compiled(rule)
            self._by_operator.setdefault(compiled.operator, []).append(compiled)

    def __add__(self, other: Table) -> Table:
        return Table(f"{self.name}+{other.name}", self.rules + other.rules)

    def rewrite(self, roots: Sequence[Expr], trace: list[tuple[str, Expr, Expr]] | None = None) -> list[Expr]:
        """Rewrite graphs to the fixed point; `trace` collects (identity, before, after) of what is new.

        Rules are local, so a node's result does not depend on where it stands and is remembered on it.
        """
        # What a rule makes is rewritten before its maker goes on: on a stack of our own, since graphs may be deep.
        stack = [self._all(roots, trace)]
        while stack:
            asked = next(stack[-1], None)
            if asked is None:
                stack.pop()
            elif len(stack) > MOST_NESTED:
                raise RuntimeError(f"table {self.name} does not come to rest")
            else:
                stack.append(self._all(asked, trace))
        return [root.memo[self] for root in roots]

    def _all(self, roots: Sequence[Expr], trace: list[tuple[str, Expr, Expr]] | None) -> Iterator[Sequence[Expr]]:
        """Rewrite every node below `roots`, yielding nodes that must be rewritten first."""
        new = [root for root in roots if self not in root.memo]
        for node in postorder(new, stop=lambda node: self in node.memo):
            if self not in node.memo:
                yield from self._node(node, trace)

    def _node(self, node: Expr, trace: list[tuple[str, Expr, Expr]] | None) -> Iterator[Sequence[Expr]]:
        """Remember on a node what it becomes."""
        try:
            current = node.with_args([argument.memo[self] for argument in node.args])
        except IllTyped:
            node.memo[self] = node  # a rewritten argument has lost the bound that this operator needs
            return
        for _ in range(MOST_STEPS):
            if current is not node and self in current.memo:
                current = current.memo[self]
                break
            step = self._step(current)
            if step is None:
                break
            rule, changed = step
            if trace is not None:
                trace.append((rule.identity, current, changed))
            # The new node's arguments may be new, so they are rewritten first.
            if missing := [argument for argument in changed.args if self not in argument.memo]:
                yield missing
            try:
                current = changed.with_args([argument.memo[self] for argument in changed.args])
            except IllTyped:
                current = changed
                break
        else:
            raise RuntimeError(f"table {self.name} does not come to rest on {node!r}")
        node.memo[self] = current

    def _step(self, node: Expr) -> tuple[Rule, Expr] | None:
        for compiled in self._fitting(node):
            changed = compiled.apply(node)
            if changed is not None and changed is not node:
                return compiled.rule, changed
        return None

    def _fitting(self, node: Expr) -> list[_Compiled]:
        """The rules whose left side has the operators of this node and of its arguments."""
        operators = (node.op, *[argument.op for argument in node.args])
        found = self._fits.get(operators)
        if found is None:
            rules = self._by_operator.get(node.op, ())
            found = self._fits[operators] = [rule for rule in rules if rule.needed.issubset(operators[1:])]
        return found


class _Compiled:
    """A rule with its left side compiled to a matcher and its right side to a builder."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        left, _, right = rule.identity.partition(" = ")
        syntax = _parse(left)
        if syntax.kind != "call" or not right:
            raise UserError("a rule 'operator(…) = …'", rule.identity, "write the identity in text form")
        self.operator = syntax.name
        self.needed = frozenset(filter(None, map(_needed, syntax.args)))
        self.match = _matcher(syntax)
        self.result = None if rule.build else _parse(right)

    def apply(self, node: Expr) -> Expr | None:
        """The rewritten node, or None where the rule does not apply, would change axes or make what is ill-typed."""
        for bindings in self.match(node, {}):
            if self.rule.when is None or self.rule.when(bindings):
                try:
                    changed = self._result(bindings)
                except IllTyped:  # a product of constants that overflows, for example
                    continue
                if changed is not None and changed.type.axes == node.type.axes:
                    return changed
        return None

    def _result(self, bindings: Bindings) -> Expr | None:
        if self.result is not None:
            return _instantiate(self.result, bindings)
        assert self.rule.build is not None
        return self.rule.build(bindings)


def _needed(argument: Syntax) -> str:
    """The operator that an argument must have for its pattern to match, where that can be told."""
    if argument.kind == "call":
        return argument.name
    return "constant" if argument.kind == "number" or _constant_only(argument.name) else ""


def _constant_only(name: str) -> bool:
    return name in ("c", "d") or name.endswith("_c")


def _parse(text: str) -> Syntax:
    parser = Parser(text, "a rule")
    syntax = parser.expression()
    parser.finish()
    return syntax


def _matcher(syntax: Syntax) -> Matcher:
    """A generator of every way to match; commutative arguments are tried in both orders."""
    if syntax.kind == "number":
        wanted = constant(syntax.number)
        return lambda node, bindings: iter((bindings,)) if node is wanted else iter(())
    if syntax.kind == "name":
        return _variable(syntax.name, _constant_only(syntax.name))
    children = [_matcher(argument) for argument in syntax.args]
    attributes = [_attribute(key, value) for key, value in syntax.attrs]
    commutative = OPERATORS[syntax.name].commutative

    def match(node: Expr, bindings: Bindings) -> Iterator[Bindings]:
        if node.op != syntax.name:
            return
        bound = dict(bindings)
        if not all(fits(node, bound) for fits in attributes):
            return
        yield from _match_all(children, node.args, bound)
        if commutative:
            yield from _match_all(children, node.args[::-1], bound)

    return match


def _match_all(children: Sequence[Matcher], args: Sequence[Expr], bindings: Bindings) -> Iterator[Bindings]:
    if not children:
        yield bindings
        return
    for bound in children[0](args[0], bindings):
        yield from _match_all(children[1:], args[1:], bound)


def _variable(name: str, constant_only: bool) -> Matcher:
    def match(node: Expr, bindings: Bindings) -> Iterator[Bindings]:
        known = bindings.get(name)
        if known is node or (known is None and not (constant_only and not node.is_constant)):
            yield bindings if known is node else {**bindings, name: node}

    return match


def _attribute(key: str, value: object) -> Callable[[Expr, Bindings], bool]:
    if isinstance(value, str) and len(value) == 1:
        return lambda node, bindings: bindings.setdefault(value, node.attr(key)) == node.attr(key)
    wanted = (value,) if isinstance(value, str) and key == "over" else value
    return lambda node, bindings: node.attr(key) == wanted


def _instantiate(syntax: Syntax, bindings: Mapping[str, Any]) -> Expr:
    if syntax.kind == "number":
        return constant(syntax.number)
    if syntax.kind == "name":
        return bindings[syntax.name]
    args = [_instantiate(argument, bindings) for argument in syntax.args]
    attrs = {k: bindings[v] if isinstance(v, str) and v in bindings else v for k, v in syntax.attrs}
    return Expr.make(syntax.name, args, **attrs)  # type: ignore[arg-type]
