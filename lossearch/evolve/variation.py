"""Variation: typed mutation and crossover of expression graphs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import accumulate

from lossearch.evolve.grammar import Grammar
from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.graph import expand_call
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.core.places import Place, places, replace_at
from lossearch.ir.core.types import IllTyped
from lossearch.search_spaces.space import Sort

MOST_TRIES = 20
Mutation = Callable[[Expr, Grammar, random.Random], Expr | None]


def _inner(root: Expr, grammar: Grammar) -> list[Expr]:
    """Every node that has a sort, in a process-stable order."""
    return [node for node in root.postorder() if grammar.sort_of(node) is not None and node.op != "input"]


def _choose(root: Expr, grammar: Grammar, rng: random.Random) -> tuple[Expr | None, Sort | None]:
    """A random node with its sort."""
    nodes = _inner(root, grammar)
    node = rng.choice(nodes) if nodes else None
    return node, None if node is None else grammar.sort_of(node)


def _replace(root: Expr, old: Expr, new: Expr, rng: random.Random) -> Expr | None:
    """The expression with `new` for `old`: a constant at one of its places, anything else wherever it is used."""
    try:
        if old.is_constant:
            standing = [place for place in places([root]) if place.constant is old]
            (changed,) = replace_at([root], {rng.choice(standing): new})
        else:
            changed = root.substitute({old: new})
    except IllTyped:
        return None
    same = changed.axes == root.axes and changed.type.kind == root.type.kind
    return changed if same and changed is not root else None


def replace_subtree(root: Expr, grammar: Grammar, rng: random.Random) -> Expr | None:
    """A random subexpression for another of the same sort."""
    old, sort = _choose(root, grammar, rng)
    if old is None or sort is None:
        return None
    return _replace(root, old, grammar.expression(sort, rng.randint(0, 2), rng), rng)


def wrap(root: Expr, grammar: Grammar, rng: random.Random) -> Expr | None:
    """A template around a subexpression: f(x) for x."""
    old, sort = _choose(root, grammar, rng)
    if old is None or sort is None:
        return None
    new = grammar.apply_template(sort, 1, rng, inside=old)
    return None if new is None else _replace(root, old, new, rng)


def hoist(root: Expr, grammar: Grammar, rng: random.Random) -> Expr | None:
    """An argument of the same sort for its user: x for f(x)."""
    old, _ = _choose(root, grammar, rng)
    if old is None:
        return None
    candidates = [argument for argument in old.args if argument.axes == old.axes]
    return _replace(root, old, rng.choice(candidates), rng) if candidates else None


def exchange_operator(root: Expr, grammar: Grammar, rng: random.Random) -> Expr | None:
    """Another elementwise operator over the same arguments."""
    nodes = [node for node in root.postorder() if node.args and OPERATORS[node.op].elementwise]
    if not nodes:
        return None
    old = rng.choice(nodes)
    others = [
        name
        for name, operator in OPERATORS.items()
        if operator.elementwise
        and operator.arity == len(old.args)
        and not operator.attributes
        and name != old.op
        and name not in grammar.excluded
    ]
    if not others:
        return None
    try:
        new = Expr.make(rng.choice(others), old.args)
    except IllTyped:
        return None
    return _replace(root, old, new, rng)


def exchange_arguments(root: Expr, grammar: Grammar, rng: random.Random) -> Expr | None:
    """The two arguments of an operator the other way round."""
    nodes = [n for n in root.postorder() if len(n.args) == 2 and not OPERATORS[n.op].commutative]
    if not nodes:
        return None
    old = rng.choice(nodes)
    try:
        return _replace(root, old, old.with_args(old.args[::-1]), rng)
    except IllTyped:
        return None


def perturb_constants(root: Expr, grammar: Grammar, rng: random.Random) -> Expr | None:
    """Every constant, or one of them, times e^(σ·N), σ drawn once; each place of a constant by itself."""
    standing = places([root])
    if not standing:
        return None
    limits, width = grammar.space.constants, rng.choice((0.05, 0.2, 0.7))
    chosen = standing if rng.random() < 0.5 else [rng.choice(standing)]
    changes: dict[Place, Expr] = {}
    for place in chosen:
        value = place.value
        size = min(max(abs(value) * math.exp(width * rng.gauss(0.0, 1.0)), limits.lower), limits.upper)
        changes[place] = constant(float(f"{math.copysign(size, value):.4g}"))
    try:
        (changed,) = replace_at([root], changes)
    except IllTyped:
        return None
    return changed if changed is not root else None


def open_primitive(root: Expr, grammar: Grammar, rng: random.Random) -> Expr | None:
    """The body of a primitive in place of its call, so that its inside can evolve."""
    nodes = [node for node in root.postorder() if OPERATORS[node.op].expand is not None]
    return _replace(root, old := rng.choice(nodes), expand_call(old), rng) if nodes else None


def add_term(root: Expr, grammar: Grammar, rng: random.Random) -> Expr | None:
    """Another term with a weight: x + c·y."""
    sort = grammar.sort_of(root)
    if sort is None:
        return None
    return root + grammar.constant(rng) * grammar.expression(sort, rng.randint(0, 2), rng)


MUTATIONS: dict[str, tuple[Mutation, float]] = {
    "replace_subtree": (replace_subtree, 2.0),
    "wrap": (wrap, 2.0),
    "hoist": (hoist, 1.5),
    "exchange_operator": (exchange_operator, 1.0),
    "exchange_arguments": (exchange_arguments, 0.3),
    "perturb_constants": (perturb_constants, 4.0),
    "open_primitive": (open_primitive, 0.7),
    "add_term": (add_term, 1.5),
}
"""Every mutation with its relative weight."""

_NAMES = list(MUTATIONS)
_CUMULATIVE = list(accumulate(weight for _, weight in MUTATIONS.values()))


def mutate(root: Expr, grammar: Grammar, rng: random.Random) -> tuple[Expr, str]:
    """A changed, well-typed expression and the name of the mutation."""
    for _ in range(MOST_TRIES):
        name = rng.choices(_NAMES, cum_weights=_CUMULATIVE)[0]
        changed = MUTATIONS[name][0](root, grammar, rng)
        if changed is not None:
            return changed, name
    sort = grammar.sort_of(root) or grammar.space.root
    return grammar.expression(sort, 2, rng), "random"


def crossover(first: Expr, second: Expr, grammar: Grammar, rng: random.Random) -> Expr | None:
    """A subexpression of `second` in `first`, or a weighted sum of both."""
    if rng.random() < 0.4 and first.axes == second.axes and first is not second:
        return first + grammar.constant(rng) * second
    for _ in range(MOST_TRIES):
        old, _ = _choose(first, grammar, rng)
        if old is None:
            return None
        candidates = [node for node in _inner(second, grammar) if node.axes == old.axes and node is not old]
        changed = _replace(first, old, rng.choice(candidates), rng) if candidates else None
        if changed is not None:
            return changed
    return None
