"""What is emitted for torch.export, which cannot branch on a length, holds on empty axes, too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from compile.agreement import assert_agree, derivatives
from compile.examples import ELEMENTARY, LOGITS, P, flat_inputs, mean_of

from lossearch.compile import compile_source
from lossearch.compile.export.extending import with_neutral_entry
from lossearch.compile.source import Source, emit_roots
from lossearch.ir import OPERATORS, Expr
from lossearch.ir.core.expr import map_nodes
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting.lowering import guard

ALONG_AN_AXIS = [
    name
    for name in ELEMENTARY
    if "over" in dict(OPERATORS[name].attributes)
    and not OPERATORS[name].internal
    and name not in ("select", "along")  # of axes of fixed lengths
]


def over(name: str, axis: str) -> Expr:
    """A loss with the operator along an axis that may be empty."""
    args = [fn.merge(x) if axis == "element" else x for x in (P, LOGITS)[: OPERATORS[name].arity]]
    defaults = {key: value for key, value in OPERATORS[name].attributes if value is not ...}
    node = Expr.make(name, args, **{**defaults, "over": (axis,)})
    return map_nodes([mean_of(node * fn.mean(P, P.axes))], guard)[0]


def of_batch(source: Source, size: int) -> list[Any]:
    values = flat_inputs(0)
    return [values[argument.name][:size] for argument in source.arguments]


@pytest.mark.parametrize("axis", ["batch", "element"])
@pytest.mark.parametrize("name", ALONG_AN_AXIS)
def test_every_operator_is_defined_on_an_empty_axis(name: str, axis: str) -> None:
    """Those that are not by themselves say with which further entry they are."""
    root = over(name, axis)
    plain, extended = (emit_roots([one]) for one in (root, *map_nodes([root], with_neutral_entry)))
    nothing = of_batch(plain, 0)
    value, gradient, product = derivatives(compile_source(extended), nothing)
    assert value.shape == ()
    assert gradient.shape == product.shape == nothing[0].shape
    if OPERATORS[name].neutral:
        with pytest.raises((IndexError, RuntimeError), match=r"empty|non-zero|reduction dim"):
            derivatives(compile_source(plain), nothing)
    else:
        assert extended == plain


@pytest.mark.parametrize("name", [name for name in ALONG_AN_AXIS if OPERATORS[name].neutral])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_neutral_entry_changes_nothing(name: str, size: int) -> None:
    for root in (over(name, "batch"), over(name, "element")):
        plain, extended = (emit_roots([one]) for one in (root, *map_nodes([root], with_neutral_entry)))
        given = of_batch(plain, size)
        assert_agree(derivatives(compile_source(extended), given), derivatives(compile_source(plain), given), name)


@pytest.mark.parametrize("name", [name for name in ALONG_AN_AXIS if OPERATORS[name].neutral])
def test_a_neutral_entry_takes_no_share_of_a_tie(name: str) -> None:
    root = over(name, "batch")
    plain, extended = (emit_roots([one]) for one in (root, *map_nodes([root], with_neutral_entry)))
    given = [torch.zeros_like(x) for x in of_batch(plain, 3)]
    assert_agree(derivatives(compile_source(extended), given), derivatives(compile_source(plain), given), name)
