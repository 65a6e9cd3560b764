"""A small network for each element that is added to a loss, as a formula of elementary operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.interval import Interval
from lossearch.ir.core.parameter import REAL, Parameter
from lossearch.ir.core.signature import Signature
from lossearch.ir.operators import functions as fn
from lossearch.meta.kinds.kind import KINDS, Kind
from lossearch.meta.learnable import Learnable
from lossearch.search_spaces.space import Constants
from lossearch.zoo.named import graph_of

_ACTIVATIONS = {"softplus": fn.softplus, "tanh": fn.tanh}
_SPREAD = 1.5  # of initial weights: the middle half of their likely range, where its scale is linear


class Network(Kind):
    """w·L + Σ_h v_h·a(…) with the structure as L: ML³ (Bechtle et al. 2021) with a loss that is known as its start.

    The network sees what belongs to one element: for classes the log-probability and the target of each, over which
    it is summed; for scores that are judged class by class, and wherever prediction and target differ in kind, both of
    them; for numbers their difference. It begins with w = 1 and all v = 0, which is L.

    Attributes:
        hidden: units of a hidden layer.
        layers: hidden layers.
        activation: of hidden units.
        seed: draws the weights of the hidden layers, from -1.5 to 1.5.
    """

    hidden: int = Field(default=8, ge=1, le=64)
    layers: Literal[1, 2] = 1
    activation: Literal["softplus", "tanh"] = "softplus"
    seed: int = Field(default=0, ge=0, lt=2**62)

    def learnable(self, structure: str, constants: Constants) -> Learnable:
        """See `Kind`."""
        base = graph_of(structure)
        made = _Weights(self.seed)
        values: Sequence[Expr] = features(base)
        activation = _ACTIVATIONS[self.activation]
        for layer in range(self.layers):
            values = [
                activation(
                    _sum(
                        [made.drawn(f"w{layer}_{h}_{k}") * x for k, x in enumerate(values)], made.drawn(f"b{layer}_{h}")
                    )
                )
                for h in range(self.hidden)
            ]
        added = _sum([made.out(f"v_{h}") * x for h, x in enumerate(values)])
        # A loss of whole batches takes the mean of its elements; other axes belong to one element, as classes do.
        over = [axis for axis in added.axes if axis not in base.root.axes]
        whole = tuple(axis for axis in over if axis in ("batch", "space"))
        inner = tuple(axis for axis in over if axis not in whole)
        added = fn.sum(added, inner) if inner else added
        added = fn.mean(added, whole) if whole else added
        scale = Parameter("w", 1.0, 0.0, 10.0, tunable=True, search=(0.0, 2.0))
        root = scale.node * base.root + added
        return Learnable(Graph(base.signature, root, (scale, *made.parameters), base.weight))


KINDS.add("network", Network)


def features(base: Graph) -> list[Expr]:
    """What the network of an element sees.

    Raises:
        UserError: the signature has no prediction and target for each element.
    """
    prediction, target = _pair(base.signature)
    if base.signature[target.attr("name")].labels and "class" not in base.root.axes and not _is_bounded(prediction):
        return [fn.log_softmax(prediction, "class"), target]
    if prediction.type.interval == target.type.interval:
        return [prediction - target]
    return [prediction, target]


def _pair(signature: Signature) -> tuple[Expr, Expr]:
    """The prediction and the target of each element: the first two with the same axes."""
    for one in signature.inputs:
        for other in signature.inputs:
            roles = (one.role, other.role)
            if roles == ("prediction", "target") and one.axes == other.axes and other.kind == "real":
                return one.node, other.node
    required = "a signature with a prediction and a target of each element, for a network"
    raise UserError(required, signature.name, "choose another kind of learned loss")


def _is_bounded(node: Expr) -> bool:
    return node.type.interval.magnitude <= Interval(-1.0, 1.0).magnitude


class _Weights:
    """Parameters of a network, in the order in which they are made."""

    def __init__(self, seed: int) -> None:
        self._draw = np.random.Generator(np.random.Philox(key=seed))
        self.parameters: list[Parameter] = []

    def drawn(self, name: str) -> Expr:
        """Of a hidden unit."""
        value = round(float(self._draw.uniform(-_SPREAD, _SPREAD)), 4)
        return self._made(Parameter(name, value, -10.0, 10.0, tunable=True, search=(-3.0, 3.0), defined=REAL))

    def out(self, name: str) -> Expr:
        """Of the last layer."""
        return self._made(Parameter(name, 0.0, -10.0, 10.0, tunable=True, search=(-1.0, 1.0), defined=REAL))

    def _made(self, parameter: Parameter) -> Expr:
        self.parameters.append(parameter)
        return parameter.node


def _sum(terms: Sequence[Expr], start: Expr | None = None) -> Expr:
    total = start
    for term in terms:
        total = term if total is None else total + term
    assert total is not None
    return total
