"""A graph as a function of its inputs and of its parameters, differentiable in both."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.rewriting.lowering import label_input, lower
from lossearch.training.graph_loss import Structure, is_row_wise


class ParametricLoss:
    """Mean losses of runs, each with parameters of its own: (values[run, parameter], inputs[run, batch, ...]) -> [run].

    It is lowered with its parameters open, so it takes any values within their bounds.

    Args:
        graph: of any signature, with parameters.
    """

    def __init__(self, graph: Graph) -> None:
        lowered = lower(graph, labels=label_input(graph) is not None)
        row_wise = is_row_wise(lowered.roots)
        axes = lowered.roots[0].axes if row_wise else ()
        names = tuple(parameter.name for parameter in graph.parameters)
        rows: dict[Expr, Expr] = {}
        for parameter in graph.parameters:
            low, high = parameter.lower, parameter.upper
            rows[parameter.node] = Expr.make("parameter", name=parameter.name, axes=axes, lower=low, upper=high)
        roots = tuple(root.substitute(rows) for root in lowered.roots) if axes else lowered.roots
        self.names = names
        self._used = tuple(declared.name for declared in graph.signature.buffers if graph.uses(declared.name))
        self._structure = Structure(graph.signature, roots, names, row_wise)

    def __call__(self, values: Tensor, inputs: tuple[Tensor, ...], buffers: Mapping[str, Tensor]) -> Tensor:
        """Mean losses `[run]`.

        Args:
            values: of the parameters, `[run, parameter]`, in the order of `names`.
            inputs: in the order of the signature, each `[run, batch, ...]`; a target that may be labels as labels.
            buffers: what the signature takes at construction, by name, the same for all runs.

        Raises:
            UserError: the loss uses a buffer that is not given.
        """
        for name in self._used:
            if name not in buffers:
                raise UserError(f"{name} for a loss that uses it", "none", f"give {name}, or use another loss")
        return self._structure.means(inputs, values, {name: buffers[name] for name in self._used})
