"""Masks: a graph in which ignored elements count for nothing, made of what each operator's row says of them."""

from __future__ import annotations

from lossearch.ir.core.axes import Axes
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.interval import UNIT
from lossearch.ir.core.operator import OPERATORS, axes_in
from lossearch.ir.core.types import IllTyped
from lossearch.ir.operators.masks import each_alone, refusal, restricted


def mask_node(axes: Axes) -> Expr:
    """The mask input: one where an element is kept, zero where it is ignored."""
    return Expr.make("input", name="mask", axes=axes, lower=UNIT.lower, upper=UNIT.upper)


def apply_mask(graph: Graph, mask: Expr) -> tuple[Graph, Expr | None]:
    """The graph in which ignored elements influence nothing, and which elements of its root are kept, if that matters.

    A mean divides by the kept elements. Raises `IllTyped` where elements are no longer in their places when they are
    reduced, and for an operator whose row does not say how it leaves elements out.
    """
    check_places(graph, mask, reduced=False)
    done: dict[Expr, tuple[Expr, Expr | None]] = {}
    for node in graph.nodes:
        arguments = [done[argument] for argument in node.args]
        changed, masks = node.with_args([value for value, _ in arguments]), [kept for _, kept in arguments]
        if not node.args:
            shared = set(mask.axes) & set(node.axes)
            done[node] = node, restricted(mask, node.axes) if shared else None
        elif all(kept is None for kept in masks):
            done[node] = changed, None
        elif OPERATORS[node.op].elementwise:
            done[node] = each_alone(changed, masks)
        elif (way := OPERATORS[node.op].masked) is not None:
            done[node] = way(changed, masks)
        else:
            raise refusal(node)
    for root in graph.roots:
        if done[root][0].axes != root.axes:  # a count, say, that is one number only where every image has as many
            raise refusal(root)
    return graph.with_roots(done[root][0] for root in graph.roots), done[graph.root][1]


def check_places(graph: Graph, mask: Expr, reduced: bool) -> None:
    """Raise `IllTyped` where a mask over an axis matters once elements are ordered along it.

    They are no longer where the mask says, unless the ordered axis has a new name. With `reduced` it matters for the
    elements of the loss too.
    """
    masked = {*mask.axes, "element"} if {"batch", "space"} <= set(mask.axes) else set(mask.axes)
    ordered: dict[Expr, set[str]] = {}
    for node in graph.nodes:
        over = set(axes_in(dict(node.attrs).get("over", ())))
        inside = set[str]().union(*[ordered[argument] for argument in node.args])
        if wrong := inside & over & masked:
            raise _out_of_place(*wrong)
        if node.op in ("sort", "sort_by"):
            inside |= over
        ordered[node] = inside & set(node.axes)
    if reduced and (wrong := ordered[graph.root] & masked):
        raise _out_of_place(*wrong)


def _out_of_place(*axes: str) -> IllTyped:
    return IllTyped(
        "elements in their places, to tell those that are ignored",
        f"a loss that orders them along {', '.join(sorted(axes))}",
        f"name the ordered axis anew, rename(sort(…), {min(axes)}, rank), or give no labels to ignore",
    )
