"""Checks at stage boundaries: what lowering must have kept and what it must have removed."""

from __future__ import annotations

from lossearch.ir.core.expr import postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.operator import OPERATORS, guard_interval


class VerificationError(AssertionError):
    """A defect of lossearch itself: a rewrite broke a promise. Please report it with the loss's text form."""


def verify_same_type(before: Graph, after: Graph) -> None:
    """Roots keep their axes and kind; the narrower interval of either must overlap the other's."""
    for old, new in zip(before.roots, after.roots, strict=True):
        if old.type.axes != new.type.axes or old.type.kind != new.type.kind:
            raise VerificationError(f"lowering changed the type {old.type} to {new.type} in {old!r}")
        if max(old.lower, new.lower) > min(old.upper, new.upper) + 1e-6 * (1.0 + abs(old.lower)):
            raise VerificationError(f"lowering moved the range {old.type} to {new.type} in {old!r}")


def verify_lowered(graph: Graph) -> None:
    """Only elementary operators remain, and every argument lies in its guarded domain."""
    for node in postorder(graph.roots):
        operator = OPERATORS[node.op]
        if operator.expand is not None:
            raise VerificationError(f"the primitive {node.op} was not expanded")
        domains = operator.domains(*(argument.type.interval for argument in node.args))
        for argument, domain in zip(node.args, domains, strict=False):
            interval = argument.type.interval
            if guard_interval(domain, interval) != interval:
                raise VerificationError(f"{node.op} has an argument in {interval} without its guard")
