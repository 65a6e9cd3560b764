"""Speed that needs the whole graph in view, after all rewriting: what one kernel does at once."""

from __future__ import annotations

from collections.abc import Sequence

from lossearch.ir.expr import Expr, map_nodes
from lossearch.ir.simplification import SIMPLIFICATION


def fuse_nll(roots: Sequence[Expr]) -> list[Expr]:
    """Entries at labels by PyTorch's negative log-likelihood kernel, with the mean or sum over all of them.

    gather(x, y) = -nll(x, y); mean(nll(x, y)) = nll(x, y, reduction=mean). It pays where spatial axes are not
    flattened.
    """
    return SIMPLIFICATION.rewrite(map_nodes(SIMPLIFICATION.rewrite(map_nodes(roots, _as_nll)), _reduced_nll))


def _as_nll(node: Expr) -> Expr:
    if node.op != "gather" or node.attr("over") != ("class",):
        return node
    values, labels = node.args
    if values.axes[:2] != ("batch", "class") or labels.axes != (values.axes[0], *values.axes[2:]):
        return node
    # PyTorch's kernel has no backward for values in channels_last, which only a softmax does not pass on.
    contiguous = "yes" if values.op in ("softmax", "log_softmax") else "no"
    return -Expr.make("nll", (values, labels), reduction="none", contiguous=contiguous)


def _reduced_nll(node: Expr) -> Expr:
    if node.op not in ("mean", "sum") or node.axes or node.args[0].op != "nll":
        return node
    return Expr.make("nll", node.args[0].args, reduction=node.op, contiguous=node.args[0].attr("contiguous"))
