"""What a search would do, found out by building every part of it once."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from lossearch.candidates.scoring import EvaluationConfig
from lossearch.candidates.stopping import StoppingConfig
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.parts import Parts, TaskFacts, build_parts, island_method
from lossearch.errors import UserError
from lossearch.tasks.user.config import FunctionConfig
from lossearch.tasks.user.first_calls import FirstCalls

READ_BACK = {
    "evidence": "the winner's shortest form with the same value and gradient, and what of it trainings do not miss",
    "exact": "the winner's shortest form with the same value and gradient",
    "none": "nothing: the winner stays as it is",
}
"""What is done with the winner of the race, by how it is read back."""


@dataclass(frozen=True)
class SearchPlan:
    """What a search would do.

    Attributes:
        facts: of the task.
        lines: in words, one fact a line.
        islands: how many.
        first_call: what a user's function gives its loss at the first call; None for a bundled task.
    """

    facts: TaskFacts
    lines: tuple[str, ...]
    islands: int
    first_call: FirstCalls | None = None


_LOGGERS = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
"""By callback of `logging.callbacks` the package that it needs."""


def make_plan(config: SearchConfig, islands: int, first_call: FirstCalls | None = None) -> SearchPlan:
    """Build every part once, so that what cannot work fails before anything starts, and say what will happen.

    Args:
        config: of the search.
        islands: how many.
        first_call: see `build_parts`.

    Raises:
        UserError: something that the configuration names cannot be had, or does not fit.
    """
    _check_loggers(config)
    parts = build_parts(config, first_call)
    method = island_method(config, parts, 0, islands)
    method.random_graph()  # raises where the space can make none
    size = config.generation_size
    limits = [
        f"{config.generations} generations of {size} trained candidates on each island" if config.generations else "",
        f"{config.max_candidates} candidates, rejected ones included" if config.max_candidates else "",
        f"a budget of {config.max_budget} for all calls together" if config.max_budget else "",
        f"{config.time_limit_s:g} s" if config.time_limit_s else "",
    ]
    lines = (
        f"task        {parts.facts.description}",
        f"metric      {parts.facts.metric_with_direction}",
        f"space       {parts.space.name}: {len(parts.space.seeds)} seeds{_left_out(parts)},"
        f" at most {parts.space.max_nodes} operators",
        *_changes(config),
        *(f"{topic:<11} {note}" for topic, note in parts.notes.items()),
        f"method      {config.method.name} ({type(method).__name__})",
        f"islands     {islands}",
        *_places(config),
        f"ends after  {' or '.join(filter(None, limits))}",
        *_training(config, parts),
        f"final race  {_race(config, parts.facts)}",
        f"read back   {READ_BACK[config.read_back]}",
        f"seed        {config.seed}",
    )
    return SearchPlan(parts.facts, lines, islands, parts.first_call)


def _check_loggers(config: SearchConfig) -> None:
    for name in config.logging.callbacks:
        if find_spec(_LOGGERS[name]) is None:
            hint = f'pip install "lossearch[{name}]", or leave {name} out'
            raise UserError(f"the package {_LOGGERS[name]}, for logging.callbacks", "none", hint)


def _changes(config: SearchConfig) -> list[str]:
    """What the configuration changes in the space."""
    exclude = config.exclude
    left_out = [*exclude.losses, *exclude.primitives, *exclude.operators]
    counts = ", ".join(f"{name} {count}" for name, count in config.complexity.items())
    return [
        *([f"without     {', '.join(left_out)}"] if left_out else []),
        *([f"complexity  counts {counts}, other operators 1 each"] if counts else []),
    ]


def _left_out(parts: Parts) -> str:
    told = "your function" if parts.first_call is not None else "the task"
    return f" (without {', '.join(parts.left_out)}: {told} does not tell what they use)" if parts.left_out else ""


def _race(config: SearchConfig, facts: TaskFacts) -> str:
    """Who is trained once more before the search ends."""
    race = config.race
    if not race.candidates:
        return "none: losses are ranked by the search's own scores"
    moved = 0 if isinstance(config.task, FunctionConfig) else len(race.learning_rates)
    rates = f", then at {moved} other learning rates" if moved else ""
    many = f"up to {race.seeds} fresh seeds, {facts.full_budget} steps each"
    return f"the best {race.candidates} and the front, {many}{rates}"


def _tuning(evaluation: EvaluationConfig) -> str:
    """What is tried of a candidate before a function scores it."""
    rates, tries = len(evaluation.learning_rates), evaluation.variants * len(evaluation.learning_rates)
    if tries == 1:
        return "constants and learning rate as they are"
    return f"one call before for each of {evaluation.variants} settings of constants x {rates} learning rates"


def _stopping(stopping: StoppingConfig, what: str) -> list[str]:
    """When trainings are stopped, after shares of what they consist of."""
    if not stopping.rungs:
        return []
    shares = ", ".join(f"{rung:.0%}" for rung in stopping.rungs)
    among = f"the best {stopping.keep:.0%} of earlier ones there, once {stopping.least} got so far"
    return [f"stopping    after {shares} of {what}, where a candidate is not among {among}"]


def _places(config: SearchConfig) -> list[str]:
    """Where trainings run, where that is not on the CPU and inside the islands."""
    at_once, device = config.evaluation.concurrent, config.evaluation.device
    many = "as many at once as there is room for" if at_once is None else f"{at_once} at once of each island"
    asks = f"as Ray tasks with {config.elsewhere}, {many}" if config.elsewhere else ""
    on = f"on device {device}" if device else ""
    told = ", ".join(part for part in (asks, on) if part)
    return [f"trainings   {told}"] if told else []


def _seeds(evaluation: EvaluationConfig) -> str:
    """How many, and what is made of them."""
    moved = evaluation.robustness and evaluation.seeds > 1
    return f"{evaluation.seeds} seeds" + (
        f", scores moved by {evaluation.robustness:g} towards the worst" if moved else ""
    )


def _training(config: SearchConfig, parts: Parts) -> list[str]:
    """How a candidate is trained."""
    evaluation, facts = config.evaluation, parts.facts
    if not isinstance(config.task, FunctionConfig):
        tuning = f"{evaluation.variants} settings of constants x {len(evaluation.learning_rates)} learning rates"
        trained = f"training    {facts.budget} steps, {_seeds(evaluation)}, {tuning}"
        return [trained, *_stopping(evaluation.stopping, "the tasks, the most telling first")]
    limit = evaluation.time_limit_s
    assert parts.first_call is not None
    inputs, place = parts.first_call.describe(), "the function's first call of its loss, with inputs"
    if parts.first_call.described:
        place = "what its describe() gives, inputs"
    return [
        f"training    {evaluation.seeds} calls of the function with budget {facts.budget}, seeds from 0 on;"
        f" {_tuning(evaluation)}",
        *_stopping(evaluation.stopping, "a call's yields"),
        f"step size   scaled to the gradient of {' and '.join(parts.references.values())} at {place} {inputs}",
        f"time limit  {'none: a call that hangs is never ended' if limit is None else f'{limit:g} s for each call'}",
    ]
