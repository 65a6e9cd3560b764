"""From a configuration to the parts of a search: task, space, screen, evaluator, method."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lossearch.candidates.evaluators import evaluator_for
from lossearch.candidates.joint_screen import JointScreen
from lossearch.candidates.scoring import EvaluationConfig
from lossearch.candidates.screen import Screen, ScreeningConfig, check_signature
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.setting import Evaluator, Limits, Screening, Setting
from lossearch.engine.setup.spaces import joint_seeds, references, space_for, spaces_of
from lossearch.errors import UserError
from lossearch.evolve.method import Method
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import AnyGraph, JointGraph
from lossearch.ir.core.primitive import PRIMITIVES
from lossearch.ir.signatures import DENSE
from lossearch.meta.methods import make_method, settings_of
from lossearch.search_spaces import SearchSpace, load_space
from lossearch.search_spaces.joint import AnySpace, JointSpace
from lossearch.tasks import build_task
from lossearch.tasks.base import Task
from lossearch.tasks.directions import in_words
from lossearch.tasks.user.config import FunctionConfig, user_task
from lossearch.tasks.user.first_calls import FirstCalls
from lossearch.training.first_lengths import axis_lengths
from lossearch.training.untrained import AnyTask
from lossearch.zoo.named import graph_of

_HANG_FACTOR, _HANG_SLACK = 2.0, 60.0


@dataclass(frozen=True)
class TaskFacts:
    """What the archive and the driver need to know of a task.

    Attributes:
        name: in the archive.
        metric: its name.
        higher_is_better: its direction.
        budget: of a training that scores a candidate.
        full_budget: of a training of the final race.
        description: one line, with sizes.
        directions: of further metrics whose direction the configuration gives.
    """

    name: str
    metric: str
    higher_is_better: bool
    budget: int
    full_budget: int
    description: str
    directions: Mapping[str, str] = field(default_factory=dict)

    @property
    def metric_with_direction(self) -> str:
        """The metric's name with its direction, for a person."""
        return f"{self.metric} ({in_words(self.higher_is_better)})"


@dataclass(frozen=True)
class Parts:
    """Parts of one island.

    Attributes:
        task: what is trained.
        reference: the loss, or those of all slots, at whose step size candidates are trained.
        device: where.
        facts: of the task.
        space: what may be built, or what for each of several slots.
        screen: judges proposals.
        evaluator: trains those that pass.
        hang_limit: seconds after which a training must have ended by itself; None where it has no limit.
        first_call: what a user's function gives its loss at the first call; None for a bundled task.
        notes: by topic, what a user should know of the task's losses and filters before the search begins.
        references: by slot the loss at whose step size candidates are trained.
        left_out: seeds of the space that need what the task does not give, as tables call them.
    """

    task: AnyTask
    reference: AnyGraph
    device: str
    facts: TaskFacts
    space: AnySpace
    screen: Screening
    evaluator: Evaluator
    hang_limit: float | None
    first_call: FirstCalls | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def make_task(config: SearchConfig) -> AnyTask:
    """The task that a configuration names; raises `UserError` if it cannot be had."""
    if isinstance(config.task, FunctionConfig):
        _check_function(config.task, config.evaluation)
        signatures = {slot: load_space(space).signature for slot, space in config.spaces.items()}
        signature = signatures if isinstance(config.space, dict) else signatures.get("", DENSE.name)
        return user_task(config.task, config.evaluation.time_limit_s, signature)
    task = build_task(config.task)
    rungs = config.evaluation.stopping.rungs
    for name, who, given in (
        ("evaluation.stopping.rungs", "or a distribution, ", rungs and not task.stops_scoring),
        ("max_budget", "", config.max_budget),
    ):
        if given:
            found = f"the {task.kind} {task.name}"
            raise UserError(f"a training function, {who}for {name}", found, f"leave {name} out")
    return task


def _check_function(function: FunctionConfig, evaluation: EvaluationConfig) -> None:
    """A user's function has no budget of its own, and its variants are trained one after the other."""
    if evaluation.steps is None:
        raise UserError(
            "evaluation.steps, the budget that the training function is called with",
            f"none for {function.name}",
            "add it, in the function's own units, such as epochs:  [evaluation]  steps = 20",
        )
    if evaluation.rung is not None:
        found = f"evaluation.rung = {evaluation.rung}"
        hint = "leave it out; evaluation.stopping stops calls of a training function"
        raise UserError("a bundled task, to stop variants early by evaluation.rung", found, hint)


def task_facts(config: SearchConfig, task: AnyTask) -> TaskFacts:
    """What the archive and the driver need to know of a task."""
    budget = config.evaluation.steps or task.budget
    assert budget is not None  # see make_task
    full = config.race.steps or task.budget or budget
    metric, higher = task.metric.name, task.metric.higher_is_better
    return TaskFacts(task.name, metric, higher, budget, full, task.describe(), task.directions)


def build_parts(config: SearchConfig, first_call: FirstCalls | None = None) -> Parts:
    """Everything an island needs; raises `UserError` for whatever in the configuration cannot be had.

    Args:
        config: of the search.
        first_call: what a user's function gives its loss at the first call, where that is known; otherwise the function
            is called to find out.
    """
    PRIMITIVES.extend()
    task = make_task(config)
    whole = spaces_of(config, task)
    spaces = {slot: space_for(task, slot, space) for slot, space in whole.items()}
    if len(spaces) == 1:
        method, settings = settings_of(config.method.name, config.method.settings)
        spaces = {slot: method.space_for(space, settings) for slot, space in spaces.items()}
    left_out = [
        space.label(seed) for slot, space in whole.items() for seed in space.seeds if seed not in spaces[slot].seeds
    ]
    named = references(config, task, spaces)
    graphs = {slot: graph_of(name) for slot, name in named.items()}
    for slot, space in spaces.items():
        check_signature(space, graphs[slot])
    reference = JointGraph.of(graphs) if task.several else next(iter(graphs.values()))
    evaluator = evaluator_for(task, reference, config.evaluation, first_call)
    screens = {
        slot: _screen(task, slot, space, graphs[slot], config.screening, evaluator.first_call)
        for slot, space in spaces.items()
    }
    if task.several:
        space, screen = JointSpace.of(spaces, named, joint_seeds(config, spaces)), JointScreen(screens)
    else:
        ((slot, space),) = spaces.items()
        screen = screens[slot]
    return Parts(
        task=task,
        reference=reference,
        device=config.evaluation.device or "cpu",
        facts=task_facts(config, task),
        space=space,
        screen=screen,
        evaluator=evaluator,
        hang_limit=hang_limit(config, task),
        first_call=evaluator.first_call,
        notes=_notes(task, screen),
        references=named,
        left_out=tuple(left_out),
    )


def _screen(
    task: AnyTask,
    slot: str,
    space: SearchSpace,
    reference: Graph,
    settings: ScreeningConfig,
    first_call: FirstCalls | None,
) -> Screen:
    if first_call is None:
        return Screen(task, space, reference, settings, slot=slot)
    call = first_call[slot]
    return Screen(task, space, reference, settings, axis_lengths(call, reference.signature), slot=slot, first_call=call)


def _notes(task: AnyTask, screen: Screen | JointScreen) -> dict[str, str]:
    told = dict(task.notes())
    rejection = told.pop("rejection", "")
    left_out = (f"without {name}: {reason}" for name, reason in screen.unapplied.items())
    screening = "; ".join(filter(None, (rejection if "rejection" in screen.filters else "", *left_out)))
    return {"screening": screening, **told} if screening else told


def hang_limit(config: SearchConfig, task: Task) -> float | None:
    """Generously more than all trainings of one candidate may take; None where the task ends them itself."""
    limit = config.evaluation.time_limit_s
    if limit is None or task.ends_late_trainings:
        return None
    return _HANG_FACTOR * 2 * limit + _HANG_SLACK


def island_method(config: SearchConfig, parts: Parts, island: int, islands: int) -> Method:
    """The search method of one island. Each begins with other seeds of the space, so that they share that work."""
    rotated = parts.space.rotated(island * len(parts.space.seeds) // islands)
    seed = derived_seed(config.seed, island)
    method = make_method(config.method.name, rotated, seed, **config.method.settings)
    method.use(parts.task, parts.reference, parts.device)
    return method


def derived_seed(seed: int, island: int, purpose: str = "method") -> int:
    """A seed of its own for each island and purpose; the same in every process."""
    digest = hashlib.sha256(f"{seed}:{island}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def island_limits(config: SearchConfig, island: int, islands: int) -> Limits:
    """When an island ends; candidates and the budget of all calls are shared out evenly."""

    def share(total: int | None) -> int | None:
        return None if total is None else total // islands + (island < total % islands)

    candidates, budget = share(config.max_candidates), share(config.max_budget)
    return Limits(config.generations, candidates, config.time_limit_s, config.generation_size, budget)


def island_setting(
    config: SearchConfig, parts: Parts, island: int, islands: int, guard: Callable[[bool], None]
) -> Setting:
    """Settings of one island."""
    return Setting(
        task=parts.facts.name,
        budget=parts.facts.budget,
        seed=config.seed,
        limits=island_limits(config, island, islands),
        higher_is_better=parts.facts.higher_is_better,
        robustness=config.evaluation.robustness,
        audit=config.audit,
        audit_seed=derived_seed(config.seed, island, "audit"),
        keep_full=config.keep_rejected == "full",
        migration_every=config.migration.every if islands > 1 else 0,
        migration_count=config.migration.count,
        shares_seeds=islands > 1,
        stopping=config.evaluation.stopping,
        guard=guard,
    )
