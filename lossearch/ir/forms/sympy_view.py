"""Graphs in SymPy: symbolic forms and derivatives where every operator is elementwise.

A reduction or contraction has no elementwise form. What is written per element still has one in terms of chosen
quantities: `symbols` maps nodes, such as the true-class probability, to the symbols that stand for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import expand_call
from lossearch.ir.core.operator import OPERATORS


def to_sympy(root: Expr, symbols: Mapping[Expr, sympy.Symbol] | None = None) -> sympy.Expr:
    """The SymPy form of an expression; inputs and parameters become real symbols of their names.

    Primitive calls are opened. Raises `UserError` for an operator that is not elementwise, unless `symbols` covers it.
    """
    forms: dict[Expr, Any] = dict(symbols or {})
    # Whole calls are looked up before they are opened, so that a symbol may stand for one.
    for node in postorder((root,), stop=forms.__contains__):
        if node not in forms:
            forms[node] = _form(node, forms, symbols)
    return forms[root]


def _form(node: Expr, forms: Mapping[Expr, Any], symbols: Mapping[Expr, sympy.Symbol] | None) -> Any:
    if node.op == "constant":
        value = node.attr("value")
        return sympy.Integer(int(value)) if value == int(value) else sympy.Float(value)
    if node.op in ("input", "parameter"):
        return sympy.Symbol(node.attr("name"), real=True)
    operator = OPERATORS[node.op]
    if operator.expand is not None:
        return to_sympy(expand_call(node), symbols)
    if not operator.elementwise:
        raise UserError(
            "an expression of elementwise operators",
            f"{node.op} over {', '.join(node.attr('over'))}" if dict(node.attrs).get("over") else node.op,
            "give a symbol for this node, as in to_sympy(root, {node: Symbol('p')})",
        )
    attributes = [value for _, value in node.attrs]
    return operator.to_sympy(sympy, *(forms[argument] for argument in node.args), *attributes)


def derivative(root: Expr, by: Expr, symbols: Mapping[Expr, sympy.Symbol] | None = None) -> sympy.Expr:
    """The simplified symbolic derivative of `root` by a node, which becomes a symbol if it is not one already."""
    known = dict(symbols or {})
    symbol = known.setdefault(by, sympy.Symbol("x", real=True) if by.args else sympy.Symbol(by.attr("name"), real=True))
    return sympy.simplify(sympy.diff(to_sympy(root, known), symbol))
