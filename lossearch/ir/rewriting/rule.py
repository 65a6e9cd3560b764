"""Rewriting: rules as rows that state their identity, matched bottom-up to a fixed point.

A rule is written as the identity it uses, in the text form's syntax: `log(softmax(x, over=a)) = log_softmax(x,
over=a)`. On its left side a name stands for any node (`c`, `d` and names ending in `_c` for constants only), the same
name for the same node, and a one-letter attribute for any attribute. Every rule preserves value and gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.core.types import IllTyped
from lossearch.ir.forms.parser import Parser, Syntax
from lossearch.ir.rewriting.matching import Bindings, Match, builder, matcher, operator_of

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


@dataclass(frozen=True)
class EachOperator:
    """Rows of one kind: the rule that `make` gives for an operator's name, if any, for each operator that there is.

    Operators that are registered later, as those of other packages are, have theirs from then on.
    """

    make: Callable[[str], Rule | None]


class Table:
    """A named sequence of rules; tables compose with `+` and earlier rows win."""

    def __init__(self, name: str, rows: Iterable[Rule | EachOperator]) -> None:
        self.name = name
        self.rows = tuple(rows)
        self._by_operator: dict[str, list[_Compiled]] = {}
        self._fits: dict[tuple[str, ...], list[_Compiled]] = {}
        self._operators: frozenset[str] = frozenset()

    def __add__(self, other: Table) -> Table:
        return Table(f"{self.name}+{other.name}", self.rows + other.rows)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule, with those of each operator that is registered now."""
        found: list[Rule] = []
        for row in self.rows:
            if isinstance(row, Rule):
                found.append(row)
            else:
                found += filter(None, map(row.make, OPERATORS))
        return tuple(found)

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
            self._take_in_operators()
            rules = self._by_operator.get(node.op, ())
            found = self._fits[operators] = [rule for rule in rules if rule.needed.issubset(operators[1:])]
        return found

    def _take_in_operators(self) -> None:
        """Have the rules of operators that were registered since."""
        if self._operators != OPERATORS.keys():
            self._operators = frozenset(OPERATORS)
            self._by_operator.clear()
            self._fits.clear()
            for rule in self.rules:
                compiled = _compiled(rule)
                self._by_operator.setdefault(compiled.operator, []).append(compiled)


class _Compiled:
    """A rule with the operators it needs at once, and with its sides as code once it is first tried."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        left, _, right = rule.identity.partition(" = ")
        self.left = _parse(left)
        if self.left.kind != "call" or not right:
            raise UserError("a rule 'operator(…) = …'", rule.identity, "write the identity in text form")
        self.right = None if rule.build else _parse(right)
        self.operator = self.left.name
        self.needed = frozenset(filter(None, map(operator_of, self.left.args)))

    @cached_property
    def match(self) -> Match:
        """Every way to match a node of the rule's operator."""
        return matcher(self.left)

    @cached_property
    def build(self) -> Callable[[Bindings], Expr | None]:
        """The right side from what was bound."""
        if self.rule.build is not None:
            return self.rule.build
        assert self.right is not None
        return builder(self.right)

    def apply(self, node: Expr) -> Expr | None:
        """The rewritten node, or None where the rule does not apply, would change axes or make what is ill-typed."""
        for bindings in self.match(node):
            if self.rule.when is None or self.rule.when(bindings):
                try:
                    changed = self.build(bindings)
                except IllTyped:  # such as a product of constants that overflows, or a bound that is lost
                    continue
                if changed is not None and changed.type.axes == node.type.axes:
                    return changed
        return None


@cache
def _compiled(rule: Rule) -> _Compiled:
    """The rule's one compiled form, whichever tables it stands in."""
    return _Compiled(rule)


def _parse(text: str) -> Syntax:
    parser = Parser(text, "a rule")
    syntax = parser.expression()
    parser.finish()
    return syntax
