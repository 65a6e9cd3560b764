"""Linear forms: what a sum adds up, each term once with its coefficient, and the one way to write it down.

`3x - (x + 1)/2` and `2.5x - 0.5` have the same linear form, and so the same written form.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lossearch.ir.core.expr import Expr, constant, postorder

DIGITS = 15
"""Digits to which a coefficient is kept: 0.1 + 0.2 is written 0.3."""

_FORM = "linear form"
_LONG = 9
"""Characters of a factor from which its reciprocal is written instead, where that is short: x / 3."""

Terms = Mapping[Expr, float]


@dataclass(frozen=True)
class Linear:
    """Σ coefficient · term + constant, in which no term is a number, a sum or a multiple of another."""

    terms: Terms
    constant: float = 0.0

    def plus(self, other: Linear, factor: float = 1.0) -> Linear:
        """The form of this plus a multiple of the other; terms that cancel are gone."""
        terms = dict(self.terms)
        for term, coefficient in other.terms.items():
            terms[term] = terms.get(term, 0.0) + factor * coefficient
        return _rounded(terms, self.constant + factor * other.constant, (*self.terms.values(), self.constant))

    def times(self, factor: float) -> Linear:
        """The form of a multiple."""
        return _rounded({term: factor * c for term, c in self.terms.items()}, factor * self.constant)

    @property
    def multiple(self) -> tuple[Expr, float] | None:
        """Term and coefficient, where there is one term and no constant."""
        if len(self.terms) != 1 or self.constant:
            return None
        return next(iter(self.terms.items()))

    @property
    def is_finite(self) -> bool:
        """Whether floats hold every coefficient."""
        return all(map(math.isfinite, (*self.terms.values(), self.constant)))


def _rounded(terms: Terms, number: float, before: Iterable[float] = ()) -> Linear:
    """Coefficients to `DIGITS`; what is left of a difference of equal numbers is zero."""
    least = 1e-15 * max(map(abs, before), default=0.0)
    kept = {term: _digits(c) for term, c in terms.items() if abs(c) > least}
    return Linear(kept, _digits(number) if abs(number) > least else 0.0)


def _digits(value: float) -> float:
    """The value to `DIGITS` digits, where that is shorter to write."""
    short = float(f"{value:.{DIGITS}g}")
    return short if len(repr(short)) < len(repr(value)) - 1 else value


def linear(root: Expr) -> Linear:
    """The linear form of a node; iterative, and remembered on the nodes."""
    for node in postorder((root,), stop=lambda node: _FORM in node.memo):
        if _FORM not in node.memo:
            form = _form(node)
            node.memo[_FORM] = form if form.is_finite else Linear({node: 1.0})
    return root.memo[_FORM]


def _form(node: Expr) -> Linear:
    forms = [argument.memo[_FORM] for argument in node.args]
    if node.op == "constant":
        return Linear({}, node.attr("value"))
    if node.op in ("add", "sub"):
        return forms[0].plus(forms[1], 1.0 if node.op == "add" else -1.0)
    if node.op == "neg":
        return forms[0].times(-1.0)
    if node.op in ("mul", "div"):
        return _product(node, *forms)
    if node.op == "sum" and node.attr("over") == (node.args[0].type.simplex,) and not node.axes:
        return Linear({}, 1.0)
    return Linear({node: 1.0})


def _product(node: Expr, first: Linear, second: Linear) -> Linear:
    """A factor that is a number multiplies the form of the other; numbers leave products of multiples."""
    x, y = node.args
    if node.op == "div":
        if not second.terms:
            return first.times(1.0 / second.constant) if second.constant else Linear({node: 1.0})
        above = (constant(1.0), first.constant) if not first.terms else first.multiple or (x, 1.0)
        below = second.multiple or (y, 1.0)
        return Linear({Expr.make("div", (above[0], below[0])): _digits(above[1] / below[1])} if above[1] else {})
    if not second.terms:
        return first.times(second.constant)
    if not first.terms:
        return second.times(first.constant)
    (a, c), (b, d) = first.multiple or (x, 1.0), second.multiple or (y, 1.0)
    return Linear({product((*factors(a), *factors(b))): _digits(c * d)})


def factors(node: Expr) -> list[Expr]:
    """What a chain of products multiplies."""
    found, stack = [], [node]
    while stack:
        node = stack.pop()
        if node.op == "mul":
            stack += node.args[::-1]
        else:
            found.append(node)
    return found


def product(many: Iterable[Expr]) -> Expr:
    """A product in the one order in which it is written: short factors first, equal ones as a square."""
    counts = Counter(many)
    units: list[Expr] = []
    for factor, count in counts.items():
        units += [Expr.make("square", (factor,))] * (count // 2) + [factor] * (count % 2)
    first, *others = sorted(units, key=order)
    for factor in others:
        first = Expr.make("mul", (first, factor))
    return first


def order(node: Expr) -> tuple[bool, int, bytes]:
    """In which order equals are written: numbers last, and what is short before what is long."""
    return node.is_constant, node.size, node.digest


def written(form: Linear) -> Expr:
    """The one expression for a linear form.

    Terms with a common factor share it, those with equal coefficients share that; the largest positive coefficient
    comes first, then the others by size, and the number last.
    """
    form = _with_shared_factors(form)
    parts = _parts(form)
    positive = [part for part in parts if part[0] > 0.0]
    if not positive:
        return -written(form.times(-1.0)) if parts else constant(0.0)
    lead = positive[0]
    result = _scaled(*lead)
    for part in parts:
        if part is not lead:
            coefficient, node = part
            scaled = _scaled(abs(coefficient), node)
            result = result + scaled if coefficient > 0.0 else result - scaled
    return result


Part = tuple[float, Expr | None]
"""A coefficient and what it multiplies; None for the number alone."""


def _parts(form: Linear) -> list[Part]:
    """Terms of equal size as one part, from the largest on, and the number at the end unless it shares a part."""
    by_size: dict[float, list[tuple[float, Expr | None]]] = {}
    for term in sorted(form.terms, key=order):
        coefficient = form.terms[term]
        by_size.setdefault(abs(coefficient), []).append((math.copysign(1.0, coefficient), term))
    number = form.constant
    if abs(number) in by_size and abs(number) != 1.0:
        by_size[abs(number)].append((math.copysign(1.0, number), None))
        number = 0.0
    parts: list[Part] = []
    for size in sorted(by_size, reverse=True):
        group = by_size[size]
        if size == 1.0 or len(group) == 1:
            parts += [(sign * size, term) for sign, term in group]
        else:
            number_inside = sum(sign for sign, term in group if term is None)
            inner = Linear({term: sign for sign, term in group if term is not None}, number_inside)
            sign = 1.0 if any(sign > 0.0 for sign, _ in group) else -1.0
            parts.append((sign * size, written(inner.times(sign))))
    return [*parts, (number, None)] if number else parts


def _scaled(coefficient: float, node: Expr | None) -> Expr:
    if node is None:
        return constant(coefficient)
    if node.op == "div" and node.args[0] is constant(1.0):
        return Expr.make("div", (constant(coefficient), node.args[1]))
    if coefficient == 1.0:
        return node
    inverse = _digits(round(1.0 / coefficient, 12)) if abs(coefficient) > 1e-9 else 0.0
    if len(repr(coefficient)) > _LONG > len(repr(inverse)) and inverse and _digits(1.0 / inverse) == coefficient:
        return Expr.make("div", (node, constant(inverse)))
    return Expr.make("mul", (constant(coefficient), node))


def _with_shared_factors(form: Linear) -> Linear:
    """a·x + b·x = (a + b)·x, until no two terms have a factor in common."""
    while True:
        split = {term: factors(term) for term in form.terms}
        counts = Counter(factor for found in split.values() if len(found) > 1 for factor in set(found))
        shared = [factor for factor, count in counts.items() if count > 1]
        if not shared:
            return form
        factor = min(shared, key=lambda node: (-counts[node], order(node)))
        kept, inside = Linear({}, form.constant), Linear({})
        for term, coefficient in form.terms.items():
            if len(split[term]) > 1 and factor in split[term]:
                others = [*split[term]]
                others.remove(factor)
                inside = inside.plus(Linear({product(others): coefficient}))
            else:
                kept = kept.plus(Linear({term: coefficient}))
        form = kept.plus(linear(factor * written(inside)))
