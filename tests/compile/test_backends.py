"""Every backend computes the same value, gradient and Hessian-vector product."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from compile.examples import ELEMENTARY, INTERNAL, P, example, flat_inputs, groups, mean_of, prediction_and_targets
from ir.random_graphs import random_graph
from torch import Tensor
from torch.func import grad, vmap

from lossearch import zoo
from lossearch.compile import build, compile_source
from lossearch.compile import inductor as inductor_backend
from lossearch.compile.backend import Function
from lossearch.compile.source import Source, emit_roots
from lossearch.compile.torchscript import quick_start
from lossearch.errors import UserError
from lossearch.ir import OPERATORS, Expr, functions as fn
from lossearch.ir.lowering import guard, lower
from lossearch.ir.expr import map_nodes

BACKENDS = ("torchscript", "compile")
SHAPE = [2, 3]

# torch's own: functorch and inductor script functions of theirs when first used.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def source_for(*roots: Expr) -> Source:
    """The function of guarded expressions over the dense signature."""
    return emit_roots(map_nodes(roots, guard), ["logits", "target", "class_weight"])


def arguments(source: Source, seed: int = 0) -> list[Any]:
    """Arguments of a function of dense inputs, integer labels where the graph has them."""
    values: dict[str, Any] = {**flat_inputs(seed), "shape": SHAPE}
    names = [argument.name for argument in source.arguments]
    labelled = "torch.Tensor" and any(name in source.text for name in ("gather(", "scatter", "nll_loss", "count_labels"))
    if labelled and "target" in names:
        values["target"] = values["labels"]
    return [values[name] for name in names]
