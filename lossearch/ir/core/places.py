"""Places of constants: equal numbers are one node, yet each place where one stands is a number of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lossearch.ir.core.expr import Expr, postorder


class Place(NamedTuple):
    """Where a constant stands: as an argument of a node, or by itself as a root.

    A node that several others use is one node, as it is in a formula that names it once; so a constant in it has one
    place there.

    Attributes:
        constant: The node of the number.
        user: The node that it is an argument of; None for a root.
        position: Among the arguments, or among the roots.
    """

    constant: Expr
    user: Expr | None
    position: int

    @property
    def value(self) -> float:
        """The number."""
        return self.constant.attr("value")

    @property
    def is_exponent(self) -> bool:
        """Whether something is raised to it."""
        return self.user is not None and self.user.op == "pow" and self.position == 1


def places(roots: Sequence[Expr]) -> list[Place]:
    """Every place of a constant below some roots, in an order that is the same in every process."""
    nodes = postorder(roots)
    found: dict[Expr, list[Place]] = {node: [] for node in nodes if node.is_constant}
    for node in nodes:
        for position, argument in enumerate(node.args):
            if argument.is_constant:
                found[argument].append(Place(argument, node, position))
    for position, root in enumerate(roots):
        if root.is_constant:
            found[root].append(Place(root, None, position))
    return [place for standing in found.values() for place in standing]


def replace_at(roots: Sequence[Expr], changes: Mapping[Place, Expr]) -> list[Expr]:
    """The roots with other nodes in these places of theirs; raises `IllTyped` where they do not fit."""
    done: dict[Expr, Expr] = {}
    by_user: dict[Expr | None, dict[int, Expr]] = {}
    for place, new in changes.items():
        by_user.setdefault(place.user, {})[place.position] = new
    for node in postorder(roots):
        own = by_user.get(node, {})
        arguments = [own.get(position, done[argument]) for position, argument in enumerate(node.args)]
        done[node] = node.with_args(arguments)
    own = by_user.get(None, {})
    return [own.get(position, done[root]) for position, root in enumerate(roots)]
