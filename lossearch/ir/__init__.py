"""The graph core: interned, typed nodes, the operator table, primitives, rewriting, and the forms of a graph.

Nothing here imports torch.
"""

# In what order operators are listed decides what a seed of a search draws, so that some are imported before others.
from lossearch.ir.operators import reductions  # noqa: F401  (registers)

# isort: split
from lossearch.ir.operators import pairs  # noqa: F401  (registers)

# isort: split
from lossearch.ir import signatures  # noqa: F401  (registers)
from lossearch.ir.core.axes import Axes
from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.graph import Graph, Parameter
from lossearch.ir.core.interval import Interval
from lossearch.ir.core.operator import OPERATORS, Domain, Helper, Operator
from lossearch.ir.core.primitive import PRIMITIVES, get_primitive, primitive
from lossearch.ir.core.signature import SIGNATURES, Input, Signature, get_signature, register_signature
from lossearch.ir.core.types import IllTyped, Type
from lossearch.ir.forms import json, text  # noqa: F401  (say how a node is pickled and written)
from lossearch.ir.operators import (  # noqa: F401  (they register)
    functions,
    kernels,
    neighbourhood,
    ordering,
    structure,
)
from lossearch.ir.operators.elementwise import elementwise

# isort: split
# They register after all others.
from lossearch.ir.operators import elementwise_functions  # noqa: F401

# isort: split
from lossearch.ir.operators import frequencies, special  # noqa: F401

__all__ = [
    "OPERATORS",
    "PRIMITIVES",
    "SIGNATURES",
    "Axes",
    "Domain",
    "Expr",
    "Graph",
    "Helper",
    "IllTyped",
    "Input",
    "Interval",
    "Operator",
    "Parameter",
    "Signature",
    "Type",
    "constant",
    "elementwise",
    "functions",
    "get_primitive",
    "get_signature",
    "primitive",
    "register_signature",
]
