"""The graph core: interned, typed nodes, the operator table, primitives, rewriting, and the forms of a graph.

Nothing here imports torch.
"""

from lossearch.ir import elementwise, kernels, neighbourhood, ordering, reductions, signatures, structure  # noqa: F401  (registers)
from lossearch.ir.axes import Axes
from lossearch.ir.expr import Expr, constant
from lossearch.ir.graph import Graph, Parameter
from lossearch.ir.interval import Interval
from lossearch.ir.operator import OPERATORS, Domain, Operator
from lossearch.ir.primitive import PRIMITIVES, get_primitive, primitive
from lossearch.ir.signature import SIGNATURES, Input, Signature, get_signature, register_signature
from lossearch.ir.types import IllTyped, Type

__all__ = [
    "OPERATORS",
    "PRIMITIVES",
    "SIGNATURES",
    "Axes",
    "Domain",
    "Expr",
    "Graph",
    "IllTyped",
    "Input",
    "Interval",
    "Operator",
    "Parameter",
    "Signature",
    "Type",
    "constant",
    "get_primitive",
    "get_signature",
    "primitive",
    "register_signature",
]
