"""Every rewriting rule fires on an instance of its own left side, and keeps value and gradient there."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from ir.evaluation import inputs, value_and_gradient
from torch import Tensor

from lossearch.ir import Expr, Graph, IllTyped, constant
from lossearch.ir.forms.parser import Parser, Syntax
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting.collecting import DISTRIBUTING, INNER, ON_LABELS, ORDER, SHIFTS, SUMS
from lossearch.ir.rewriting.lowering import GUARDS, label_node
from lossearch.ir.rewriting.rule import Rule, Table
from lossearch.ir.rewriting.simplification import CANONICAL, SIMPLIFICATION
from lossearch.ir.rewriting.speed import LABELS, LINEAR
from lossearch.ir.rewriting.stability import STABILITY
from lossearch.ir.signatures import DENSE

LOGITS, LABEL = DENSE["logits"].node, label_node(DENSE["target"])
PROBABILITY, ONE_HOT = fn.softmax(LOGITS, "class"), Expr.make("one_hot", (LABEL, LOGITS), over=("class",))
MEAN = fn.mean(LOGITS, "class")

REAL = (
    *(LOGITS, PROBABILITY, fn.tanh(LOGITS), PROBABILITY + 1.5, -0.5 - PROBABILITY, fn.square(LOGITS) + 0.1),
    *(ONE_HOT, -ONE_HOT, ONE_HOT * 2.0, ONE_HOT / 4.0),
    *(MEAN, fn.max(PROBABILITY, "class"), fn.square(MEAN), fn.sigmoid(MEAN) + 2.0, -3.0 * fn.sigmoid(MEAN)),
    *(fn.mean(LOGITS, ("batch", "space")), fn.mean(PROBABILITY, ("class", "space")), fn.mean(LOGITS, "space")),
    *(fn.mean(LOGITS, ("batch", "class", "space")), fn.max(PROBABILITY, ("batch", "class", "space"))),
    *map(constant, (0.0, 1.0, 2.0, -3.0)),
)
"""Operands of every kind that conditions tell apart: axes, bounds, one-hot targets and their multiples."""

LABEL_AXIS = ("class",)
AXES = (*((axis,) for axis in LOGITS.axes), ("batch", "space"), ("class", "space"), LOGITS.axes)
CONSTANTS, CONDITIONS = (0.5, 0.25, -0.75, 2.0, 3.0), (fn.less(LOGITS, 0.3), fn.greater(MEAN, 0.1))
BOUNDS = {"lower": (-20.0, -1.0, 0.0, 0.3), "upper": (0.6, 1.0, 5.0, 20.0)}
TRIES, INSTANCES = 20_000, 4

TABLES = {"simplification": SIMPLIFICATION, "stability": STABILITY, "linear": LINEAR, "labels": LABELS}
TABLES["collecting"] = Table("collecting", [*SUMS, *SHIFTS, *INNER, *ORDER])
TABLES |= {"distributing": DISTRIBUTING, "on labels": ON_LABELS}
TABLES["order"] = Table("order", [rule for rule in CANONICAL.rules if rule not in SIMPLIFICATION.rules])
ROWS = [pytest.param(rule, id=f"{name}: {rule.identity}") for name, table in TABLES.items() for rule in table.rules]


def instance(syntax: Syntax, names: dict[str, Expr], attributes: dict[str, object], rng: random.Random) -> Expr:
    """A left side with operands chosen at random where they first occur; raises `IllTyped` where they do not fit."""
    if syntax.kind == "number":
        return constant(syntax.number)
    if syntax.kind == "name":
        if syntax.name not in names:
            only_constants = syntax.name in ("c", "d") or syntax.name.endswith("_c")
            names[syntax.name] = constant(rng.choice(CONSTANTS)) if only_constants else rng.choice(REAL)
        return names[syntax.name]
    given: dict[str, object] = {}
    for key, letter in syntax.attrs:
        assert isinstance(letter, str), "rules leave attributes open"
        choices = AXES if key == "over" else BOUNDS[key]
        given[key] = attributes.setdefault(letter, rng.choice(choices))
    args = [instance(argument, names, attributes, rng) for argument in syntax.args]
    return Expr.make(syntax.name, args, **given)  # type: ignore[arg-type]


def settle(syntax: Syntax, names: dict[str, Expr], attributes: dict[str, object], rng: random.Random) -> None:
    """Decide what only labels and conditions can be; labels are those of classes."""
    labels = {"one_hot": 0, "gather": 1}.get(syntax.name)
    if labels is not None:
        names[syntax.args[labels].name] = LABEL
        attributes.update((letter, LABEL_AXIS) for _, letter in syntax.attrs if isinstance(letter, str))
    if syntax.name == "where":
        names[syntax.args[0].name] = rng.choice(CONDITIONS)
    for argument in syntax.args:
        settle(argument, names, attributes, rng)


def instances(rule: Rule) -> Iterator[tuple[Expr, Expr]]:
    """Left sides at whose root the rule fires, with what it makes of them."""
    syntax, rng, seen = Parser(rule.identity.partition(" = ")[0]).expression(), random.Random(rule.identity), set()
    for _ in range(TRIES):
        names: dict[str, Expr] = {}
        attributes: dict[str, object] = {}
        settle(syntax, names, attributes, rng)
        try:
            node = instance(syntax, names, attributes, rng)
        except IllTyped:
            continue
        if node not in seen:
            seen.add(node)
            trace: list[tuple[str, Expr, Expr]] = []
            (after,) = Table("single", [rule]).rewrite([node], trace)
            if node in [before for _, before, _ in trace] and is_unguarded(node):
                yield node, after


def probe(node: Expr) -> Expr:
    """A node times the logits, so that numbers have a gradient as well; a condition chooses a number."""
    return (fn.where(node, 1.0, -0.5) if node.type.kind == "boolean" else node) * LOGITS


def evaluated(root: Expr) -> tuple[Tensor, Tensor]:
    """Value and gradient with integer labels."""
    graph = Graph(DENSE, root)
    given = inputs(graph, seed=1, scale=1.0)
    return value_and_gradient(graph, {**given, "target": given["target"].argmax(1)})


def is_unguarded(node: Expr) -> bool:
    """Whether no guard changes the value: where a pole is reached, log and log1p are held at values of their own."""
    plain = probe(node)
    (guarded,) = GUARDS([plain])
    return guarded is plain or torch.equal(evaluated(plain)[0], evaluated(guarded)[0])


@pytest.mark.parametrize("rule", ROWS)
def test_a_rule_fires_and_keeps_value_and_gradient(rule: Rule) -> None:
    found = list(islice(instances(rule), INSTANCES))
    assert found, "no instance of its left side satisfies its condition: the rule is dead, or an operand is missing"
    for pair in found:
        (value, slope), (new_value, new_slope) = map(evaluated, GUARDS([probe(node) for node in pair]))
        torch.testing.assert_close(new_value, value, rtol=1e-9, atol=1e-9, msg=lambda text, at=pair: f"{at}: {text}")
        torch.testing.assert_close(new_slope, slope, rtol=1e-7, atol=1e-9, msg=lambda text, at=pair: f"{at}: {text}")
