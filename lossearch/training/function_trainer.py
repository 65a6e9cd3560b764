"""Training with a user's own function, at the reference loss's step size."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lossearch.archive.failures import headline
from lossearch.compile.module import LossModule
from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.graph import Graph
from lossearch.loss import Loss
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.user.first_call import FirstCall
from lossearch.tasks.user.server import OnMetric
from lossearch.tasks.user.task import UserTask
from lossearch.training import seeds
from lossearch.training.step_size import FirstPredictions

_DIGITS = 4  # of a factor that becomes part of a formula: it decides the step size to 1 in 10,000


@dataclass(frozen=True)
class Scaled:
    """A loss at the reference's step size.

    Attributes:
        graph: the loss times a factor, so that what is exported trains as what was scored.
        scale: by how much it differs from the loss as it was given.
    """

    graph: Graph
    scale: float


class FunctionTrainer:
    """Calls a user's function with losses that are scaled to the reference's RMS gradient at its first call.

    Args:
        task: the function.
        reference: the loss at whose step size others are trained.
        budget: that the function is called with.
        first_call: what the function gives its loss at its first call; None calls it to find out.

    Raises:
        UserError: the function fails before it calls its loss, or the reference has no gradient there.
    """

    def __init__(self, task: UserTask, reference: Graph, budget: int, first_call: FirstCall | None = None) -> None:
        self.task = task
        self.budget = budget
        self.first_call = first_call or record_first_call(task, reference, budget)
        self._predictions = FirstPredictions(self.first_call, reference.signature)
        self._wanted = self._reference_size(reference)

    def scaled(self, graph: Graph) -> Scaled | None:
        """A loss at the reference's step size; None for one without a finite gradient at the first call.

        Losses that differ in a constant factor become the same loss.

        Raises:
            UserError: the loss refuses the inputs of the first call.
        """
        factor, bare = _without_factor(graph)
        size = self._predictions.gradient_rms(bare)
        if not (math.isfinite(size) and size > 0.0):
            return None
        scale = math.copysign(float(f"{self._wanted / size:.{_DIGITS}g}"), factor)
        return Scaled(bare if scale == 1.0 else _times(bare, scale), scale / factor)

    def train(
        self, graph: Graph, training_seeds: Sequence[int], watch: OnMetric | None = None, **keywords: Any
    ) -> list[Outcome]:
        """One call for each seed, up to the first that fails: the loss has failed then, whatever others would give.

        Args:
            graph: as `scaled` gives it.
            training_seeds: passed to the function.
            watch: is told the metrics of the first call; where it returns False, that call is stopped, and no other is
                made.
            keywords: `learning_rate`, `split` and `device`, for functions that take them.
        """
        factory = loss_factory(graph)
        outcomes: list[Outcome] = []
        stopped = False

        def on_metric(count: int, value: float) -> bool:
            nonlocal stopped
            stopped = watch is not None and not watch(count, value)
            return not stopped

        for seed in training_seeds:
            first = on_metric if not outcomes and watch is not None else None
            outcomes.append(self.task.evaluate(factory, self.budget, seed, first, **keywords))
            if stopped or outcomes[-1].status is not Status.OK:
                break
        return outcomes

    def _reference_size(self, reference: Graph) -> float:
        shapes = f"at the inputs of your function's first call of its loss, {self.first_call.describe()}"
        hint = "name another reference in the configuration, or correct how the function calls its loss"
        try:
            size = self._predictions.gradient_rms(reference)
        except UserError as error:
            raise UserError(f"a reference that is defined {shapes}", str(error), hint) from error
        if not (math.isfinite(size) and size > 0.0):
            raise UserError(f"a reference with a gradient {shapes}", f"a gradient of size {size:g}", hint)
        return size


def loss_factory(graph: Graph) -> Callable[[], LossModule]:
    """What makes a loss's module in the process of a user's function, which knows no primitives: it is expanded."""
    return functools.partial(Loss("candidate", graph.expanded()).to_module)


def record_first_call(task: UserTask, reference: Graph, budget: int) -> FirstCall:
    """What a user's function gives its loss at the first call, from calling it until it gets there.

    It is called as a training is, with the first seed that scores, so that the predictions are those of a training.

    Raises:
        UserError: the function fails before, or never calls its loss.
    """
    factory = loss_factory(reference)
    (seed,) = seeds.first("scoring", 1)
    found = task.first_call(factory, budget, seed)
    if isinstance(found, FirstCall):
        return found
    required = f"a training function that calls its loss, with budget {budget} and seed {seed}"
    if found.status is Status.OK:
        hint = "call the loss that it is given; a larger evaluation.steps may be needed"
        raise UserError(required, f"{task.function} ended without a call", hint)
    hint = "mend it: before a search it is called until it calls its loss, to see at which predictions it begins"
    raise UserError(required, f"{headline(found.message)}{_place(found.message)}", hint)


def _place(message: str) -> str:
    """Where an exception was raised, of a message with a traceback."""
    frames = [line.strip() for line in message.splitlines() if line.startswith('  File "')]
    return f" ({frames[-1]})" if frames else ""


def _without_factor(graph: Graph) -> tuple[float, Graph]:
    """A constant that multiplies the whole loss, and the rest: losses that differ in that alone are trained alike."""
    factor, root = 1.0, graph.root
    while (parts := _factor_of(root)) is not None and math.isfinite(factor * parts[0]) and factor * parts[0] != 0.0:
        factor, root = factor * parts[0], parts[1]
    weights: Sequence[Expr] = graph.roots[1:]
    return factor, graph if root is graph.root else graph.with_roots([root, *weights])


def _factor_of(root: Expr) -> tuple[float, Expr] | None:
    if root.op == "neg":
        return -1.0, root.args[0]
    if root.op == "mul" and _is_constant(root.args[0]) and not _is_constant(root.args[1]):
        return root.args[0].attr("value"), root.args[1]
    if root.op == "mul" and _is_constant(root.args[1]) and not _is_constant(root.args[0]):
        return root.args[1].attr("value"), root.args[0]
    if root.op == "div" and _is_constant(root.args[1]) and root.args[1].attr("value") != 0.0:
        return 1.0 / root.args[1].attr("value"), root.args[0]
    return None


def _is_constant(node: Expr) -> bool:
    return node.op == "constant"


def _times(graph: Graph, factor: float) -> Graph:
    """The graph with its value, but no weight of the mean over it, multiplied."""
    root, *weights = graph.roots
    return graph.with_roots([constant(factor) * root, *weights])
