"""Training of a distribution: of each of its tasks, with what comes of them as one result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lossearch.errors import UserError
from lossearch.tasks.distribution.task import DistributionTask, MemberTask
from lossearch.tasks.outcome import Outcome, Status
from lossearch.training.bundled_member import Train
from lossearch.training.fitness import fitness
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.member import Member, or_worst
from lossearch.training.members import members_of
from lossearch.training.plan import Promote, Run
from lossearch.training.stacked_models import Device


@dataclass(frozen=True)
class _OnTask:
    """What came of a run on one task: the outcome, and its gain or rank."""

    outcome: Outcome
    value: float

    @property
    def sound(self) -> bool:
        return self.outcome.status is Status.OK and self.outcome.metric is not None


def train_members(
    distribution: DistributionTask,
    runs: Sequence[Run],
    steps: int | None,
    train: Train,
    device: Device,
    rungs: Sequence[float] = (),
    promote: Promote | None = None,
    **settings: Any,
) -> list[Outcome]:
    """Train every run on every task of a distribution; its metric is what the distribution makes of theirs.

    With `promote`, runs race across tasks. Those tasks come first on which hand-designed losses lie farthest apart, in
    noise floors, per second (`Member.telling`). At each rung `promote` says from the fitness over the tasks so far
    which runs go on; the others end with the status OK, that fitness, and the metrics of these tasks. One that fails on
    a task has failed, and is not trained on others.

    Args:
        distribution: the tasks.
        runs: losses that are graphs; learning rates relative to that at which the reference does best on a task.
        steps: of the first task, the same share of its own budget on each other one; None for their budgets.
        train: trains the runs of one task.
        device: where to train.
        rungs: shares of the tasks after which `promote` is called.
        promote: called with the number of tasks that are done and the fitness of every run, None of one that has ended.
        settings: of `train`.

    Returns:
        One outcome per run. It fails as its first training that does. Its other metrics are those of each task.
    """
    share = 1.0 if steps is None else steps / distribution.budget
    losses = [_graphs(run, distribution) for run in runs]
    factors = [run.learning_rate / distribution.base_learning_rate for run in runs]
    of = [run.seed for run in runs]
    members = members_of(distribution, device, train)
    lengths = [max(1, round(share * member.task.budget)) for member in members]
    order = list(range(len(members)))
    if promote is not None:
        order.sort(key=lambda place: -members[place].telling(lengths[place]))
    looked_at = {max(1, round(rung * len(members))) for rung in rungs}
    found: list[dict[int, _OnTask]] = [{} for _ in runs]
    active = list(range(len(runs)))
    for done, place in enumerate(order, start=1):
        results = _on_task(
            distribution,
            members[place],
            [losses[k] for k in active],
            [factors[k] for k in active],
            [of[k] for k in active],
            lengths[place],
            **settings,
        )
        for k, one in zip(active, results, strict=True):
            found[k][place] = one
        if promote is None or done == len(order):
            continue
        active = [k for k in active if all(one.sound for one in found[k].values())]
        if done in looked_at and active:
            standing = [_fitness(distribution, found[k]) if k in active else None for k in range(len(runs))]
            goes_on = list(promote(done, standing))
            if len(goes_on) != len(runs):
                raise ValueError(f"promote answered for {len(goes_on)} runs of {len(runs)}")
            active = [k for k in active if goes_on[k]]
        if not active:
            break
    names, budget = [member.task.name for member in members], steps or distribution.budget
    return [_together(distribution, names, order, one, budget, promote is not None) for one in found]


def _on_task(
    distribution: DistributionTask,
    member: Member[Any],
    losses: Sequence[Mapping[str, GraphLoss]],
    factors: Sequence[float],
    of: Sequence[int],
    steps: int,
    **settings: Any,
) -> list[_OnTask]:
    """Train runs on one task, and say what they gain there, or how they rank."""
    outcomes = member.trained(losses, factors, of, steps, **settings)
    judge = member.ranks if distribution.fitness == "rank" else member.gains
    values = judge([or_worst(outcome, member.task) for outcome in outcomes], of, steps)
    told = [_named(outcome, member.task) for outcome in outcomes]
    return [_OnTask(outcome, value) for outcome, value in zip(told, values, strict=True)]


def _fitness(distribution: DistributionTask, found: Mapping[int, _OnTask]) -> float:
    """What is made of the results so far, in the order of the tasks, so that it does not depend on which came first."""
    return fitness(distribution.fitness, [found[place].value for place in sorted(found)])


def _graphs(run: Run, distribution: DistributionTask) -> dict[str, GraphLoss]:
    found = {slot: loss for slot, loss in run.losses.items() if slot in distribution.searched}
    if not all(isinstance(loss, GraphLoss) for loss in found.values()):
        kinds = ", ".join(type(loss).__name__ for loss in found.values())
        raise UserError(f"losses as graphs, to train them on all tasks of {distribution.name}", kinds, "use GraphLoss")
    return {slot: loss for slot, loss in found.items() if isinstance(loss, GraphLoss)}


def _named(outcome: Outcome, task: MemberTask) -> Outcome:
    """An outcome whose message says on which task it came about."""
    return replace(outcome, message=f"{task.name}: {outcome.message}") if outcome.message else outcome


def _together(
    distribution: DistributionTask,
    names: Sequence[str],
    order: Sequence[int],
    found: Mapping[int, _OnTask],
    budget: int,
    raced: bool,
) -> Outcome:
    """The outcome of a run over the tasks that it was trained on; of a race with the course of its fitness."""
    ordered = [found[place] for place in sorted(found)]
    seconds = sum(one.outcome.seconds for one in ordered)
    failed = next((one.outcome for one in ordered if not one.sound), None)
    if failed is not None:
        return replace(failed, metric=None, curve=(), seconds=seconds, metrics={})
    metric = _fitness(distribution, found)
    counts = range(1, len(found) + 1) if raced else [len(found)]
    sofar = {count: {place: found[place] for place in order[:count]} for count in counts}
    curve = tuple((round(budget * count / len(order)), _fitness(distribution, one)) for count, one in sofar.items())
    own = {names[place]: one.outcome.metric for place, one in sorted(found.items()) if one.outcome.metric is not None}
    return Outcome(Status.OK, metric, curve, seconds, "", {distribution.metric.name: metric, **own})
