"""From a configuration to the parts of a search: task, space, screen, evaluator, method."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lossearch.candidates.function_scoring import FunctionEvaluator
from lossearch.candidates.scoring import CandidateEvaluator, EvaluationConfig
from lossearch.candidates.screen import Screen, check_signature
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.setting import Evaluator, Limits, Screening, Setting
from lossearch.errors import UserError
from lossearch.evolve.method import Method
from lossearch.evolve.methods.registry import make_method
from lossearch.ir.core.primitive import PRIMITIVES
from lossearch.ir.core.signature import get_signature
from lossearch.ir.signatures import DENSE
from lossearch.search_spaces import SearchSpace, load_space
from lossearch.search_spaces.restricted import with_complexity, with_seeds, without
from lossearch.tasks import DescribedTask, UserTask, build_task
from lossearch.tasks.directions import in_words
from lossearch.tasks.user.config import FunctionConfig, user_task
from lossearch.tasks.user.first_call import FirstCall
from lossearch.training.first_lengths import axis_lengths
from lossearch.training.untrained import AnyTask
from lossearch.zoo import names
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
        facts: of the task.
        space: what may be built.
        screen: judges proposals.
        evaluator: trains those that pass.
        hang_limit: seconds after which a training must have ended by itself; None where it has no limit.
        first_call: what a user's function gives its loss at the first call; None for a bundled task.
        notes: by topic, what a user should know of the task's losses and filters before the search begins.
    """

    facts: TaskFacts
    space: SearchSpace
    screen: Screening
    evaluator: Evaluator
    hang_limit: float | None
    first_call: FirstCall | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


def make_task(config: SearchConfig) -> AnyTask:
    """The task that a configuration names; raises `UserError` if it cannot be had."""
    if isinstance(config.task, FunctionConfig):
        _check_function(config.task, config.evaluation)
        return user_task(config.task, config.evaluation.time_limit_s, load_space(config.space).signature)
    for name, given in (
        ("evaluation.stopping.rungs", config.evaluation.stopping.rungs),
        ("max_budget", config.max_budget),
    ):
        if given:
            raise UserError(f"a training function, for {name}", f"the bundled task {config.task}", f"leave {name} out")
    return build_task(config.task)


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
    directions = task.directions if isinstance(task, UserTask) else {}
    metric, higher = task.metric.name, task.metric.higher_is_better
    return TaskFacts(task.name, metric, higher, budget, full, task.describe(), directions)


def reference_name(config: SearchConfig, space: SearchSpace, task: AnyTask | None = None) -> str:
    """The reference loss: the configured one, else the default of a described task's slot, else one of the space.

    Raises:
        UserError: there is none.
    """
    if config.reference is not None:
        return config.reference
    if isinstance(task, DescribedTask) and task.slots[task.slot].signature == space.signature:
        return task.slots[task.slot].default
    if space.signature == DENSE.name and "class" not in space.sorts[space.root]:
        return "cross_entropy"
    known = space.seeds or names(signature=space.signature)
    if not known:
        raise UserError(f"a `reference` loss of signature {space.signature}", "none", "name a loss of that signature")
    return known[0]


def build_parts(config: SearchConfig, first_call: FirstCall | None = None) -> Parts:
    """Everything an island needs; raises `UserError` for whatever in the configuration cannot be had.

    Args:
        config: of the search.
        first_call: what a user's function gives its loss at the first call, where that is known; otherwise the function
            is called to find out.
    """
    PRIMITIVES.extend()
    task = make_task(config)
    space = space_for(task, space_of(config))
    reference = graph_of(reference_name(config, space, task))
    limit = hang_limit(config, task)
    if isinstance(task, DescribedTask):
        screen = Screen(task, space, reference, config.screening)
        evaluator = CandidateEvaluator(task, reference, config.evaluation)
        return Parts(task_facts(config, task), space, screen, evaluator, limit, notes=_notes(task, screen))
    check_signature(space, reference)
    function = FunctionEvaluator(task, reference, config.evaluation, first_call)
    lengths = axis_lengths(function.first_call, reference.signature)
    screen = Screen(task, space, reference, config.screening, lengths)
    return Parts(task_facts(config, task), space, screen, function, limit, function.first_call, _notes(task, screen))


def _notes(task: AnyTask, screen: Screen) -> dict[str, str]:
    left_out = "; ".join(f"without {name}: {reason}" for name, reason in screen.unapplied.items())
    found = {"screening": left_out} if left_out else {}
    if isinstance(task, UserTask) and screen.rejection is not None:
        found["screening"] = f"optimises predictions for accuracy, which stands in for {task.metric.name}"
    if isinstance(task, DescribedTask) and len(task.slots) > 1:
        others = [task.config.losses.get(name, slot.default) for name, slot in task.slots.items() if name != task.slot]
        names = [name for name in task.slots if name != task.slot]
        kept = ", ".join(f"{name} = {loss}" for name, loss in zip(names, others, strict=True))
        found["slot"] = f"{task.slot} is searched; {kept} stay"
    return found


def space_of(config: SearchConfig) -> SearchSpace:
    """The space as the configuration changes it; raises `UserError` for names and seeds that do not fit."""
    space = with_complexity(load_space(config.space), config.complexity)
    return with_seeds(without(space, **config.exclude.model_dump()), config.seeds)


def space_for(task: AnyTask, space: SearchSpace) -> SearchSpace:
    """The space without the seeds that need what the task does not give, such as class weights."""
    given = task.buffers(task.slot)
    missing = [one.name for one in get_signature(space.signature).buffers if one.name not in given]
    kept = tuple(name for name in space.seeds if not any(map(graph_of(name).uses, missing)))
    return space if kept == space.seeds else space.model_copy(update={"seeds": kept})


def hang_limit(config: SearchConfig, task: AnyTask) -> float | None:
    """Generously more than all trainings of one candidate may take; a user's function is killed at its own limit."""
    limit = config.evaluation.time_limit_s
    if limit is None or isinstance(task, UserTask):
        return None
    return _HANG_FACTOR * 2 * limit + _HANG_SLACK


def island_method(config: SearchConfig, space: SearchSpace, island: int, islands: int) -> Method:
    """The search method of one island. Each begins with other seeds of the space, so that they share that work."""
    start = island * len(space.seeds) // islands
    rotated = space.model_copy(update={"seeds": space.seeds[start:] + space.seeds[:start]})
    return make_method(config.method.name, rotated, derived_seed(config.seed, island), **config.method.settings)


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
        audit=config.audit,
        audit_seed=derived_seed(config.seed, island, "audit"),
        keep_full=config.keep_rejected == "full",
        migration_every=config.migration.every if islands > 1 else 0,
        migration_count=config.migration.count,
        shares_seeds=islands > 1,
        stopping=config.evaluation.stopping,
        guard=guard,
    )
