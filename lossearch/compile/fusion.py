"""Speed that needs the whole graph in view, after all rewriting: what one kernel does at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lossearch.ir.expr import Expr, map_nodes, postorder
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
    if node.op not in ("mean", "sum") or node.axes:
        return node
    if node.op == "sum" and node.args[0].op == "mul":
        return _weighted_nll(node)
    if node.args[0].op != "nll":
        return node
    return Expr.make("nll", node.args[0].args, reduction=node.op, contiguous=node.args[0].attr("contiguous"))


def _weighted_nll(node: Expr) -> Expr:
    """Σ w_y·nll(x, y), for weights to which no gradient flows: the kernel has none for them."""
    for entries, chosen in (node.args[0].args, node.args[0].args[::-1]):
        if entries.op == "nll" and chosen.op == "gather" and chosen.args[1] is entries.args[1]:
            weight = chosen.args[0]
            if weight.op == "input" and weight.attr("name") == "class_weight":
                return Expr.make("weighted_nll", (*entries.args, weight), contiguous=entries.attr("contiguous"))
    return node


def fuse_errors(roots: Sequence[Expr]) -> list[Expr]:
    """One reduction over everything instead of two, and squared and Huber errors by one kernel of PyTorch's.

    mean(sum(x)) = sum(x) / size; mean((a - b)²) = mse_loss(a, b); mean(m (|a - b| - m/2)) with m = min(|a - b|, δ) is
    huber_loss(a, b, δ).
    """
    return map_nodes(map_nodes(roots, _merged), _as_error)


def _merged(node: Expr) -> Expr:
    if node.op != "mean" or node.axes or node.args[0].op != "sum":
        return node
    inner, averaged = node.args[0].args[0], node.attr("over")
    if "space" in averaged:  # whose size is one number only where it is flattened
        return node
    leaves = (leaf for leaf in postorder([inner]) if leaf.op == "input" and set(averaged) <= set(leaf.axes))
    leaf = next(leaves, None)
    if leaf is None:
        return node
    return Expr.make("sum", (inner,), over=inner.axes) / Expr.make("size", (leaf,), over=averaged)


def _as_error(node: Expr) -> Expr:
    if node.op not in ("mean", "sum") or node.axes:
        return node
    inner = node.args[0]
    difference, delta = (inner.args[0], math.inf) if inner.op == "square" else _huber(inner)
    if difference is None or difference.op != "sub" or difference.args[0].axes != difference.args[1].axes:
        return node
    return Expr.make("error", difference.args, reduction=node.op, delta=delta)


def _huber(node: Expr) -> tuple[Expr | None, float]:
    """a - b and δ of min(|a - b|, δ)·(|a - b| - min(|a - b|, δ)/2)."""
    for least in node.args if node.op == "mul" else ():
        if least.op == "minimum" and least.args[0].op == "abs" and least.args[1].op == "constant":
            size, delta = least.args
            if node in (least * (size - least / 2.0), (size - least / 2.0) * least):
                return size.args[0], delta.attr("value")
    return None, math.inf
