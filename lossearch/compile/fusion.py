"""Speed that needs the whole graph in view, after all rewriting: what is shared, and what one kernel does at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lossearch.ir.expr import Expr, map_nodes, postorder
from lossearch.ir.lowering import guard
from lossearch.ir.simplification import SIMPLIFICATION
from lossearch.ir.types import IllTyped


def share_softmax(roots: Sequence[Expr]) -> list[Expr]:
    """One pass over the classes where both softmax and log-softmax of the same scores occur.

    exp(gather(log_softmax(x), y)) = gather(softmax(x), y) where nothing else needs the logarithm; otherwise
    softmax(x) = exp(log_softmax(x)).
    """
    current = list(roots)
    pairs: dict[tuple[Expr, object], dict[str, Expr]] = defaultdict(dict)
    for node in postorder(current):
        if node.op in ("softmax", "log_softmax"):
            pairs[node.args[0], node.attrs][node.op] = node
    for pair in pairs.values():
        if len(pair) == 2:
            current = _shared(current, pair["softmax"], pair["log_softmax"])
    return current


def _shared(roots: list[Expr], probability: Expr, log_probability: Expr) -> list[Expr]:
    users: dict[Expr, list[Expr]] = defaultdict(list)
    for node in postorder(roots):
        for argument in node.args:
            users[argument].append(node)
    gathers = users[log_probability]
    chosen = [user for gather in gathers for user in users[gather]]
    only_exp = all(g.op == "gather" and g not in roots for g in gathers) and all(c.op == "exp" for c in chosen)
    if only_exp and log_probability not in roots:
        replaced = {c: c.args[0].with_args((probability, c.args[0].args[1])) for c in chosen}
    else:
        replaced = {probability: Expr.make("exp", (log_probability,))}
    try:
        return map_nodes([root.substitute(replaced) for root in roots], guard)
    except IllTyped:  # exp is not known to sum to one, on which a type further up may rest
        return roots


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
