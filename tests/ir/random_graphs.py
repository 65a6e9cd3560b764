"""Random well-typed graphs over every operator and primitive that is open to users."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import pytest

import lossearch.primitives  # noqa: F401  (registers the primitives)
from lossearch.errors import UserError
from lossearch.ir import OPERATORS, Expr, Graph, Parameter, constant
from lossearch.ir.core.signature import SIGNATURES, Signature
from lossearch.ir.core.types import IllTyped
from lossearch.ir.rewriting.lowering import lower
from lossearch.ir.rewriting.ranges import out_of_range

OF_ONE_LENGTH = ("along",)
"""Operators that fit axes of one length only, which types do not tell."""

NAMES = sorted(name for name, op in OPERATORS.items() if op.arity and not op.internal and name not in OF_ONE_LENGTH)

SEVERAL_AXES = ("sum", "mean", "max", "min", "norm", "contract")
"""Operators that work over several axes at once."""


SINGLE = [("quarter",), ("eighth",), ("sixteenth",)]
"""Axes that have one entry in the inputs of tests."""


def attributes(name: str, args: list[Expr], rng: random.Random) -> dict[str, object]:
    """Values for an operator's attributes that may fit its arguments."""
    axes = args[0].axes or ("batch",)
    found: dict[str, object] = {}
    for key, default in OPERATORS[name].attributes:
        if key == "over":
            count = rng.randint(1, len(axes)) if name in SEVERAL_AXES else 1
            found[key] = tuple(axis for axis in axes if axis in rng.sample(axes, count))
        elif key == "index":
            found[key] = rng.randrange(2)
        elif key in ("lower", "upper"):
            found[key] = round(rng.uniform(-3.0, 0.0) if key == "lower" else rng.uniform(0.1, 3.0), 3)
        elif key == "along":
            found[key] = rng.choice(("width", "height", "depth"))
        elif key == "size":
            found[key] = rng.choice((1, 3, 5))
        elif key == "sigma":
            found[key] = 1.5
        elif key in ("source", "axis"):
            found[key] = rng.choice(axes)
        elif key == "target":
            found[key] = found["source"] + "'"  # type: ignore[operator]
        elif default is not ...:
            found[key] = default
        else:
            raise AssertionError(f"say what {name}'s attribute {key} may be")
    if found.get("over") in SINGLE:
        found = {**found, "index": 0} if "index" in found else found
    return found


GROUP = 500
"""Seeds whose graphs all tests look at in one process, which makes them once."""


def group_of(seed: int) -> str:
    """The group of tests, as xdist knows it, that look at the graph of a seed."""
    return f"random graphs {seed // GROUP}"


def from_seeds(starts: Iterable[int]) -> list[Any]:
    """Parameters of a test that looks at the graphs from each of these seeds on; thorough after the first."""
    marks = {start: [pytest.mark.xdist_group(group_of(start))] for start in starts}
    return [
        pytest.param(start, marks=[*own, *([pytest.mark.thorough] if start else [])]) for start, own in marks.items()
    ]


def random_graph(seed: int, signature: Signature | None = None, steps: int = 40) -> Graph:
    """A graph whose value and gradient are proven finite in float32."""
    return _random_graph(seed, signature, steps)


@lru_cache(maxsize=4 * GROUP)  # of any signature, and of two; 15 kB each
def _random_graph(seed: int, signature: Signature | None, steps: int) -> Graph:
    rng = random.Random(seed)
    signature = signature or rng.choice(list(SIGNATURES.values()))
    parameter = Parameter("alpha", rng.uniform(0.5, 2.0), 0.25, 4.0, tunable=True)
    predictions = [declared.node for declared in signature.forward_inputs]
    pool = [*predictions, *predictions, parameter.node, constant(round(rng.uniform(-3.0, 3.0), 4))]
    while len(pool) < steps + 5:
        pool.append(next(_made(pool, rng)))
    roots = [node for node in reversed(pool) if predictions[0] in node.leaves and node.type.kind == "real"]
    for root in sorted((node for node in roots if out_of_range((node,)) is None), key=lambda node: -node.size):
        graph = Graph(signature, root, (parameter,) if parameter.node in root.leaves else ())
        try:
            lowered = lower(graph.frozen())
        except IllTyped:  # at its default, the parameter makes a divisor zero
            continue
        if any(leaf.op == "input" and leaf.type.kind == "real" for leaf in lowered.root.leaves):
            return graph
    raise AssertionError("the prediction itself is a graph")


def _made(pool: list[Expr], rng: random.Random) -> Iterator[Expr]:
    while True:
        name = rng.choice(NAMES)
        # Later nodes are likelier, so that graphs grow deep.
        some = [node for node in pool if (node.type.kind == "index") == (name == "equal")]
        if not some:
            continue
        args = [some[max(rng.randrange(len(some)) for _ in range(2))] for _ in range(OPERATORS[name].arity)]
        try:
            if name == "fraction":  # of a whole that is no smaller than the part
                args[0] = Expr.make("minimum", args)
            node = Expr.make(name, args, **attributes(name, args, rng))  # type: ignore[arg-type]
        except UserError:
            continue
        if len(node.axes) <= 4 and out_of_range((node,)) is None:
            yield node
