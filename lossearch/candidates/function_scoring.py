"""Evaluating a candidate by the user's own training function, at the reference loss's step size."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Sequence

from lossearch.archive.failures import headline
from lossearch.candidates.scoring import CandidateResult, EvaluationConfig, scored, without_gradient
from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.graph import Graph
from lossearch.loss import Loss
from lossearch.tasks import UserTask
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.user.first_call import FirstCall
from lossearch.training import seeds
from lossearch.training.step_size import FirstPredictions

_DIGITS = 4  # of a factor that becomes part of a formula: it decides the step size to 1 in 10,000


class FunctionEvaluator:
    """Trains candidates by calling the user's function once per seed, with the loss as a module.

    The function sets its own learning rate, and the constants of a candidate stay as they are: evolution varies them.
    Each candidate is multiplied by the factor that gives it the reference's RMS gradient at the predictions of the
    function's first call. Same arguments, same result.

    Args:
        task: the function.
        reference: the loss at whose step size candidates are trained.
        settings: `steps` is the budget that the function is called with; seeds and time limit count, too.
        first_call: what the function gives its loss at its first call; see `record_first_call`.

    Raises:
        UserError: there is no budget, or the reference has no gradient at the first call.
    """

    def __init__(
        self, task: UserTask, reference: Graph, settings: EvaluationConfig, first_call: FirstCall | None = None
    ) -> None:
        if settings.steps is None:
            raise UserError("evaluation.steps, the budget of a user's function", "none", "set it in the configuration")
        self.task = task
        self.settings = settings
        self.first_call = first_call or record_first_call(task, reference, settings.steps)
        self._budget = settings.steps
        self._predictions = FirstPredictions(self.first_call, reference.signature)
        self._wanted = self._reference_size(reference)

    def evaluate(self, graph: Graph, seed: int) -> CandidateResult:
        """Score a candidate; what the function and the loss do wrong is its outcome. `seed` decides nothing here."""
        start = time.perf_counter()
        factor, bare = _without_factor(graph)
        try:
            size = self._predictions.gradient_rms(bare)
        except UserError as error:  # the loss refuses these inputs
            return CandidateResult(Status.ERROR, None, (), graph, math.nan, 0.0, (), 0.0, str(error))
        if not (math.isfinite(size) and size > 0.0):
            return without_gradient(graph)
        # The scale becomes part of the loss, so that what is exported trains as what was scored.
        scale = math.copysign(float(f"{self._wanted / size:.{_DIGITS}g}"), factor)
        scaled = bare if scale == 1.0 else _times(bare, scale)
        # Expanded: the user's process knows no primitives.
        factory = functools.partial(Loss("candidate", scaled.expanded()).to_module)
        outcomes: list[Outcome] = []
        for training_seed in seeds.first("scoring", self.settings.seeds):
            outcomes.append(self.task.evaluate(factory, self._budget, training_seed))
            if outcomes[-1].status is not Status.OK:
                break  # the candidate has failed, whatever other seeds would give
        return scored(outcomes, scaled, math.nan, scale / factor, time.perf_counter() - start)

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


def record_first_call(task: UserTask, reference: Graph, budget: int) -> FirstCall:
    """What a user's function gives its loss at the first call, from calling it until it gets there.

    It is called as a training is, with the first seed that scores, so that the predictions are those of a training.

    Raises:
        UserError: the function fails before, or never calls its loss.
    """
    factory = functools.partial(Loss("reference", reference.expanded()).to_module)
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
