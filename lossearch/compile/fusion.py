"""Speed that needs the whole graph in view, after all rewriting: what one kernel does at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from lossearch.ir.core.axes import without
from lossearch.ir.core.expr import Expr, constant, map_nodes, postorder
from lossearch.ir.rewriting.simplification import SIMPLIFICATION


def fuse_nll(roots: Sequence[Expr], strict: bool) -> list[Expr]:
    """Entries at labels by PyTorch's negative log-likelihood kernel, with the mean or sum over all of them.

    gather(x, y) = -nll(x, y); mean(nll(x, y)) = nll(x, y, reduction=mean). It pays where spatial axes are not
    flattened. A `strict` kernel refuses every label that is no class, where it otherwise ignores -100.
    """

    def as_nll(node: Expr) -> Expr:
        return _as_nll(node, "yes" if strict else "no")

    return SIMPLIFICATION.rewrite(map_nodes(SIMPLIFICATION.rewrite(map_nodes(roots, as_nll)), _reduced_nll))


def _as_nll(node: Expr, strict: str) -> Expr:
    if node.op != "gather" or node.attr("over") != ("class",):
        return node
    values, labels = node.args
    if values.axes[:2] != ("batch", "class") or labels.axes != (values.axes[0], *values.axes[2:]):
        return node
    # PyTorch's kernel has no backward for values in channels_last, which only a softmax does not pass on.
    contiguous = "yes" if values.op in ("softmax", "log_softmax") else "no"
    return -Expr.make("nll", (values, labels), reduction="none", contiguous=contiguous, strict=strict)


def _reduced_nll(node: Expr) -> Expr:
    if node.op not in ("mean", "sum") or node.axes:
        return node
    if node.op == "sum" and node.args[0].op == "mul":
        return _weighted_nll(node)
    inner = node.args[0]
    return Expr.make("nll", inner.args, **{**dict(inner.attrs), "reduction": node.op}) if inner.op == "nll" else node


def _weighted_nll(node: Expr) -> Expr:
    """Σ w_y·nll(x, y), for weights to which no gradient flows: the kernel has none for them."""
    for entries, chosen in (node.args[0].args, node.args[0].args[::-1]):
        if entries.op == "nll" and chosen.op == "gather" and chosen.args[1] is entries.args[1]:
            weight = chosen.args[0]
            if weight.op == "input" and weight.attr("name") == "class_weight":
                attributes = {key: value for key, value in entries.attrs if key != "reduction"}
                return Expr.make("weighted_nll", (*entries.args, weight), **attributes)
    return node


def fuse_errors(roots: Sequence[Expr]) -> list[Expr]:
    """One reduction over everything instead of two; squared, Huber and binary errors by one kernel of PyTorch's.

    mean(x + y) = mean(x) + mean(y), where a kernel serves one of them; mean(sum(x)) = sum(x) / size; mean((a - b)²) =
    mse_loss(a, b); mean(m (|a - b| - m/2)) with m = min(|a - b|, δ) is huber_loss(a, b, δ); t·softplus(-x) +
    (1 - t)·softplus(x) = binary_cross_entropy_with_logits(x, t).
    """
    parted = map_nodes(map_nodes(roots, _as_binary_nll), _parted)
    return map_nodes(map_nodes(parted, _merged), _as_error)


def _parted(node: Expr) -> Expr:
    """The mean of a sum as a sum of means."""
    if node.op != "mean" or node.axes:
        return node
    terms = _terms(node.args[0], 1.0)
    means = [Expr.make("mean", (term,), over=node.attr("over")) for _, term in terms]
    if len(terms) < 2 or not any(map(_is_error, means)):
        return node
    total, *others = [mean if factor == 1.0 else mean * factor for (factor, _), mean in zip(terms, means, strict=True)]
    for other in others:
        total = total + other
    return total


def _terms(node: Expr, factor: float) -> list[tuple[float, Expr]]:
    """The node as Σ factor · term, of terms with its own axes."""
    first = node.args[0] if node.args else node
    if node.op in ("add", "sub") and first.axes == node.args[1].axes == node.axes:
        return [*_terms(first, factor), *_terms(node.args[1], factor if node.op == "add" else -factor)]
    if node.op == "div" and node.args[1].is_constant:
        return _terms(first, factor / node.args[1].attr("value"))
    return [(factor, node)]


def _is_error(mean: Expr) -> bool:
    """Whether a kernel serves this mean, or the sum that it becomes with the one within."""
    merged = _merged(mean)
    reduced = merged.args[0] if merged.op == "div" else merged
    return _as_error(reduced) is not reduced


def share_orders(roots: Sequence[Expr]) -> list[Expr]:
    """Where several tensors are sorted by one, it is sorted once and they follow."""
    found = Counter((node.args[1], node.attr("over")) for node in postorder(roots) if node.op == "sort_by")
    shared = {order for (order, _), count in found.items() if count > 1}

    def change(node: Expr) -> Expr:
        if node.op != "sort_by" or node.args[1] not in shared:
            return node
        values, key = node.args
        over = node.attr("over")
        ordered = Expr.make("ordered", (key,), over=over)
        if values is key:
            return Expr.make("ordered_values", (ordered,))
        return Expr.make("in_order", (values, Expr.make("ordered_places", (ordered,))), over=over)

    return map_nodes(roots, change) if shared else list(roots)


def fuse_variations(roots: Sequence[Expr]) -> list[Expr]:
    """Σ |∂x| over space from the differences that there are, where `difference` has a zero at the far edge."""
    return map_nodes(roots, _as_variations)


def _as_variations(node: Expr) -> Expr:
    """Σ (|∂_d x| + …) = Σ |∂_d x| + …, a variation for each direction d."""
    if node.op != "sum":
        return node
    over, parts = node.attr("over"), []
    for factor, term in _terms(node.args[0], 1.0):
        inner = term.args[0] if term.op in ("abs", "square") else None
        if inner is None or inner.op != "difference" or inner.axes[-1] not in over:
            return node
        along, power = inner.attr("along"), 1 if term.op == "abs" else 2
        part = Expr.make("variation", inner.args, along=along, power=power)
        if rest := without(over, (inner.axes[-1],)):
            part = Expr.make("sum", (part,), over=rest)
        parts.append(part if factor == 1.0 else part * factor)
    total, *others = parts
    for other in others:
        total = total + other
    return total


def add_at_labels(roots: Sequence[Expr]) -> list[Expr]:
    """x ± 1[y]·v is x with ±v added at the labels, where one-hot vectors serve nothing else."""
    uses = Counter(argument for node in postorder(roots) for argument in node.args if argument.op == "one_hot")

    def change(node: Expr) -> Expr:
        if node.op not in ("add", "sub"):
            return node
        sign = -1.0 if node.op == "sub" else 1.0
        for values, term in [node.args] if node.op == "sub" else [node.args, node.args[::-1]]:
            for one_hot, factor in (term.args, term.args[::-1]) if term.op == "mul" else ((term, constant(1.0)),):
                if one_hot.op != "one_hot" or uses[one_hot] > 1 or one_hot.axes != values.axes:
                    continue
                labels, over = one_hot.args[0], one_hot.attr("over")
                added = constant(sign * factor.attr("value")) if factor.is_constant else factor * sign
                if added.axes in ((), labels.axes):
                    return Expr.make("add_at", (values, labels, added), over=over)
        return node

    return SIMPLIFICATION.rewrite(map_nodes(roots, change))


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


def _as_binary_nll(node: Expr) -> Expr:
    for present, absent in (node.args, node.args[::-1]) if node.op == "add" else ():
        for target, cost in (present.args, present.args[::-1]) if present.op == "mul" else ():
            logits = cost.args[0].args[0] if cost.op == "softplus" and cost.args[0].op == "neg" else None
            if logits is None or logits.axes != target.axes or not 0.0 <= target.lower <= target.upper <= 1.0:
                continue
            rest, other = 1.0 - target, Expr.make("softplus", (logits,))
            if absent in (rest * other, other * rest):
                return Expr.make("binary_nll", (logits, target), reduction="none")
    return node


def _as_error(node: Expr) -> Expr:
    if node.op not in ("mean", "sum") or node.axes:
        return node
    inner = node.args[0]
    if inner.op == "binary_nll":
        return Expr.make("binary_nll", inner.args, reduction=node.op)
    difference, delta = (inner.args[0], math.inf) if inner.op == "square" else _huber(inner)
    if difference is None or difference.op != "sub" or difference.args[0].axes != difference.args[1].axes:
        return node
    return Expr.make("error", difference.args, reduction=node.op, delta=delta)


def _huber(node: Expr) -> tuple[Expr | None, float]:
    """a - b and δ of min(|a - b|, δ)·(|a - b| - min(|a - b|, δ)/2)."""
    for least in node.args if node.op == "mul" else ():
        if least.op == "minimum" and least.args[0].op == "abs" and least.args[1].op == "constant":
            size, delta = least.args
            if delta.attr("value") <= 0.0:  # defined, and zero everywhere; the kernel refuses it
                continue
            if node in (least * (size - least / 2.0), (size - least / 2.0) * least):
                return size.args[0], delta.attr("value")
    return None, math.inf
