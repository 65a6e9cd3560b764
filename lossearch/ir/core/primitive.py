"""Primitives: short Python functions over nodes that become named, expandable calls.

Calling a primitive makes one node that carries its name; expanding the node traces the function's body over the
same arguments. The search moves whole primitives, formulas print their names, and lowering inlines them.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, as_expr
from lossearch.ir.core.operator import OPERATORS, ClassWeights, Operator, register
from lossearch.ir.core.types import Type
from lossearch.registry import Registry

P = ParamSpec("P")
Body = Callable[P, Expr]

PRIMITIVES: Registry[Callable[..., Expr]] = Registry("a primitive", group="lossearch.primitives")
"""Every primitive by name: the function that makes a call. Modules in its group may register operators, too."""

get_primitive = PRIMITIVES.find
"""The primitive of this name; raises `UserError` where there is none."""


def primitive(*, family: str, latex: str = "", class_weights: ClassWeights = "") -> Callable[[Body[P]], Body[P]]:
    """Register a function over nodes as a primitive.

    Positional parameters are expressions (numbers are taken as constants); keyword-only parameters are attributes
    (numbers, strings, axes). `latex` writes the call with `{parameter}` placeholders left out: plain LaTeX in the
    primitive's own parameter names, or empty for a function-call form. `class_weights` says how these enter it, see
    `lossearch.ir.core.operator.ClassWeights`.
    """

    def decorate(body: Body[P]) -> Body[P]:
        signature = inspect.signature(body)
        operands = [p for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY]
        keywords = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
        attributes = tuple((p.name, ... if p.default is p.empty else p.default) for p in keywords)
        name, doc = body.__name__, inspect.getdoc(body)
        if not doc:
            raise UserError("a docstring on a primitive", name, "say shapes, ranges and source in one line or more")

        def rule(operator: Operator, arguments: Sequence[Expr], attrs: dict[str, Any]) -> Type:
            return body(*arguments, **attrs).type  # type: ignore[arg-type]

        register(
            Operator(
                name,
                len(operands),
                rule,
                "",
                doc.splitlines()[0],
                latex=latex,
                attributes=attributes,
                expand=body,
                family=family,
                class_weights=class_weights,
            )
        )

        @functools.wraps(body)
        def call(*args: P.args, **kwargs: P.kwargs) -> Expr:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given: dict[str, Any] = bound.arguments
            attrs = {p.name: given[p.name] for p in keywords}
            return Expr.make(name, [as_expr(given[p.name]) for p in operands], **attrs)

        PRIMITIVES.add(name, call)
        return call

    return decorate


def parameter_names(name: str) -> list[str]:
    """Names of a primitive's expression arguments."""
    expand = OPERATORS[name].expand
    assert expand is not None, f"{name} is an elementary operator"
    return [p.name for p in inspect.signature(expand).parameters.values() if p.kind is not p.KEYWORD_ONLY]


def source_of(name: str) -> str:
    """Author and year from the end of a primitive's docstring, or an empty string."""
    expand = OPERATORS[name].expand
    found = re.search(r"([A-Z][\w.]*(?: (?:and|et|al\.|[A-Z][\w.]*))* (?:19|20)\d\d)", inspect.getdoc(expand) or "")
    return found.group(1) if found else ""
