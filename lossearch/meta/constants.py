"""Constants of a candidate, moved along hypergradients of one task."""

from __future__ import annotations

from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph, Parameter
from lossearch.ir.core.types import IllTyped
from lossearch.ir.rewriting.ranges import graph_out_of_range
from lossearch.meta.estimators.unrolled import Unrolled
from lossearch.meta.learnable import Learnable, with_open_constants
from lossearch.meta.outer_loop import OuterLoop
from lossearch.meta.outer_optimizers import Adam
from lossearch.meta.second_derivatives import check_twice_differentiable
from lossearch.meta.task_problem import TaskProblem
from lossearch.search_spaces.space import Constants
from lossearch.tasks.described import DescribedTask
from lossearch.training.stacked_models import Device
from lossearch.zoo.named import graph_of

LEARNING_RATE = 0.1
"""Of Adam, in coordinates, whose unit is two powers of ten: few steps have to go far."""


def check_hypergradients(task: DescribedTask) -> None:
    """Raise `UserError` where constants of candidates cannot follow hypergradients of a task."""
    required = "a task whose trainings are functions of their weights, for hypergradients"
    hint = "set hypergradients = 0"
    if not task.single:
        raise UserError(required, f"{task.name}, a distribution of tasks", hint)
    if len(task.searched) != 1:
        raise UserError(required, f"{task.name}, which searches {' and '.join(task.searched)} together", hint)
    (slot,) = task.searched
    default = graph_of(task.slots[slot].default)
    weight = Parameter("weight", 1.0, 0.1, 10.0, tunable=True)
    weighted = Graph(default.signature, weight.node * default.root, (weight, *default.parameters), default.weight)
    try:
        TaskProblem(task, Learnable(weighted)).check(1)
    except UserError as error:
        raise UserError(required, error.found, hint) from None


def _is_twice_differentiable(graph: Graph) -> bool:
    try:
        check_twice_differentiable(graph)
    except UserError:
        return False
    return True


def learned_constants(
    graph: Graph, task: DescribedTask, reference: Graph, steps: int | None, outer_steps: int, seed: int, device: Device
) -> Graph | None:
    """The graph with the constants that some outer steps lead to, each through whole unrolled trainings.

    Args:
        graph: a candidate.
        task: with one slot that is searched, and trainings of one update a step.
        reference: the loss whose gradient gives the size at untrained predictions.
        steps: of a training; None takes the task's budget.
        outer_steps: how many.
        seed: draws the seeds of trainings.
        device: where to train.

    Returns:
        None where it has no constants or no second derivative, or where the constants that were reached make no sound
        loss.
    """
    open_graph = with_open_constants(graph.frozen(), Constants())
    if not open_graph.parameters or not _is_twice_differentiable(graph):
        return None
    learnable = Learnable(open_graph)
    problem = TaskProblem(task, learnable, steps=steps, neutral="start", reference=reference, device=device)
    adam = Adam(learnable, LEARNING_RATE)
    loop = OuterLoop(adam, [problem], Unrolled(), learnable.start, seed=seed, tasks=1, seeds=1)
    for _ in range(outer_steps):
        loop.step()
    try:
        found = learnable.at(loop.point.tolist())
    except (IllTyped, UserError):
        return None
    return found if graph_out_of_range(found) is None else None
