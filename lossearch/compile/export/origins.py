"""What a value of a lowered loss is called: the name of the primitive that it comes from, where it is still there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.core.types import IllTyped
from lossearch.ir.rewriting.lowering import lower


def origins(graph: Graph, roots: Sequence[Expr], labels: bool, masked: bool) -> dict[Expr, str]:
    """Names of nodes below the lowered roots; of several primitives with one value the outermost has its name.

    Lowering has no context but for a softmax that is shared with its logarithm, so that a call lowered by itself
    gives the node that it becomes in the graph.
    """
    calls = list(dict.fromkeys(_calls(graph)))
    exponentials = [node for node in postorder(roots) if node.op == "exp" and node.args[0].op == "log_softmax"]
    shared = {Expr.make("softmax", node.args[0].args, **dict(node.args[0].attrs)): node for node in exponentials}
    found: dict[Expr, str] = {}
    for call in calls:
        try:
            lowered = lower(graph.with_roots([call]), labels, masked).root.substitute(shared)
        except IllTyped:  # as by itself it may not leave elements out
            continue
        if lowered.args:
            found.setdefault(lowered, _name(call, calls))
    return found


def _calls(graph: Graph) -> Iterator[Expr]:
    """Calls of primitives with real values, those in the bodies of others after them."""
    level = list(graph.roots)
    while level:
        calls = [(node, OPERATORS[node.op].expand) for node in postorder(level)]
        level = [expand(*call.args, **dict(call.attrs)) for call, expand in calls if expand is not None]
        yield from (call for call, expand in calls[::-1] if expand is not None and call.type.kind == "real")


def _name(call: Expr, calls: list[Expr]) -> str:
    """The primitive's name; of one input, where there are several such calls, with the input's name in front."""
    same = [other for other in calls if other.op == call.op]
    if len(same) == 1 or len(call.args) != 1 or call.args[0].op != "input":
        return call.op
    return f"{call.args[0].attr('name')}_{call.op.partition('_')[2] or call.op}"
