"""Meta-learning as a search method: every proposal is the loss that some more outer steps have led to."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, model_validator

from lossearch.archive.checkpoints import COEFFICIENT, LEARNED
from lossearch.archive.records import OUTER_STEP
from lossearch.errors import UserError
from lossearch.evolve.method import Method, Proposal
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import AnyGraph, by_slot
from lossearch.meta.estimators.registry import WITHOUT_GRADIENT, EstimatorName, make_estimator
from lossearch.meta.kinds.kind import Coefficients
from lossearch.meta.kinds.registry import Kind, learned, make_kind
from lossearch.meta.outer_loop import Estimates, OuterLoop, OuterStep, Request
from lossearch.meta.outer_optimizers import Adam, OptimizerName, OuterOptimizer, Population
from lossearch.meta.problem import Estimate
from lossearch.meta.second_derivatives import check_twice_differentiable
from lossearch.meta.task_problem import Neutral, TaskProblem
from lossearch.search_spaces.joint import AnySpace, JointSpace
from lossearch.search_spaces.space import SearchSpace
from lossearch.tasks import DescribedTask
from lossearch.tasks.base import Task

MOST_BY_EVOLUTION = 64
"""Coefficients up to which evolution strategies are the default."""


def _kind(given: Any) -> Any:
    """A kind from its name, or from a table with its name and settings."""
    return make_kind(given) if isinstance(given, (str, dict)) else given


class HypergradientSettings(BaseModel):
    """Settings of meta-learning.

    Attributes:
        structure: the loss with which learning begins, a hand-designed one ("taylor") or a text form ("dense: …").
        kind: what of it is learned, a name or a table with a name and settings. "coefficients": its tunable parameters
            and constants; "combination": weights of it and of other losses; "network": a small network for each
            element that is added to it; "edges": a weight on every edge of its expression; "conditioned": coefficients
            that depend on facts of the task.
        estimator: of hypergradients. "es": antithetic evolution strategies over whole trainings, the default for up to
            64 coefficients; "forward", "reverse" and "unrolled": exact, with memory that is flat in the horizon, grows
            with its root, and with it; "truncated": the last `horizon` steps of whole trainings; "nres" and "pes":
            evolution strategies in windows of `horizon` steps; "online": reverse mode in such windows; "implicit" and
            "neumann": at the end of trainings, which have to be converged by then.
        objective: what is lowered on validation data: "loss", the default loss of the task's slot, the name of another
            one, or "metric", the task's own, which evolution strategies allow.
        neutral: how step sizes are taken out: "step" gives the gradient at every update the size that the reference's
            has before training, which "implicit" and "neumann" do not allow; "start" scales the loss once, before
            training, as searches do; "none" does not.
        horizon: steps of a training that are looked at; without it all, as "es" does always.
        shortest: draws the horizon anew at every step, log-uniformly from this share of it.
        steps: of a training; without it those of a full one, of each task.
        tasks: of a distribution, how many are learned on, or all that there are; those on which losses are scored are
            not among them.
        tasks_per_step: how many of them an outer step takes.
        seeds: trainings of a task at each outer step; of "es", "nres" and "pes" times the pairs.
        optimizer: of the coefficients. "adam" follows hypergradients; "cma_es" needs none: it learns a normal
            distribution from how its points rank after whole trainings.
        pairs: of perturbed trainings, of evolution strategies; "cma_es" draws two points for each.
        sigma: of the perturbations, in coordinates: 1 is the width of a coefficient's likely range. Of "cma_es" the
            first standard deviation.
        learning_rate: of Adam, in coordinates.
        inner_learning_rate: factor on the learning rate of the tasks.
        every: outer steps between two proposals.
        patience: proposals in a row without a better score, after which it begins anew from another point.
        spread: standard deviation, in coordinates, of the first point around the structure's own; so that islands begin
            at different points. A new beginning has 0.1 at least.
        baselines: whether the seeds of the space, hand-designed losses, are scored first; each costs as much as one
            proposal's score, without any outer step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    structure: str
    kind: SerializeAsAny[Annotated[Kind, BeforeValidator(_kind)]] = Coefficients()
    estimator: EstimatorName | None = None
    objective: str | None = None
    neutral: Neutral = "step"
    horizon: int | None = Field(default=None, ge=1)
    shortest: float | None = Field(default=None, gt=0.0, le=1.0)
    steps: int | None = Field(default=None, ge=1)
    tasks: int = Field(default=8, ge=1, le=1000)
    tasks_per_step: int = Field(default=2, ge=1)
    seeds: int = Field(default=1, ge=1)
    optimizer: OptimizerName = "adam"
    pairs: int = Field(default=16, ge=1)
    sigma: float = Field(default=0.05, gt=0.0, le=10.0)
    learning_rate: float = Field(default=0.03, gt=0.0, le=10.0)
    inner_learning_rate: float = Field(default=1.0, gt=0.0)
    every: int = Field(default=10, ge=1)
    patience: int = Field(default=10, ge=1)
    spread: float = Field(default=0.0, ge=0.0, le=10.0)
    baselines: bool = True

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.objective == "metric" and self.estimator is not None and self.estimator not in WITHOUT_GRADIENT:
            names = ", ".join(WITHOUT_GRADIENT)
            raise ValueError(f"objective 'metric' needs an estimator without gradients: {names}")
        if self.optimizer == "cma_es":
            if self.estimator not in (None, "es"):
                raise ValueError(f"optimizer 'cma_es' needs no estimator, found {self.estimator!r}: leave it out")
            if "learning_rate" in self.model_fields_set:
                raise ValueError("optimizer 'cma_es' has no learning_rate, its first step is sigma: leave it out")
        if self.estimator in ("implicit", "neumann") and self.neutral == "step":
            told = "'start' or 'none', as trainings whose steps keep one size do not converge"
            raise ValueError(f"estimator {self.estimator!r} needs neutral {told}")
        return self


class Hypergradient(Method):
    """An outer loop, after the seeds. Its proposals are checkpoints: every state resumes exactly.

    Scores come from the tasks and seeds of the search, which the outer loop does not see. Migrants are remembered only.
    """

    Settings = HypergradientSettings

    def __init__(self, space: AnySpace, seed: int, settings: HypergradientSettings) -> None:
        super().__init__(space, seed, settings)
        if isinstance(space, JointSpace):
            hint = "learn one slot at a time, or choose another method"
            raise UserError("one slot for meta-learning", f"those of {space.name}", hint)
        self._settings, self._seed = settings, seed % 2**62
        if not settings.baselines:
            self._seeds.clear()
        self.learnable = learned(settings.kind, settings.structure, space.constants, space.signature)
        self._loop: OuterLoop | None = None
        self._kept: dict[str, Any] | None = None
        self._best_score, self._in_vain, self._begun = -math.inf, 0, 0

    @classmethod
    def space_for(cls, space: SearchSpace, settings: BaseModel) -> SearchSpace:
        """The space, with room for a learned loss that is larger than what it builds, such as a network."""
        assert isinstance(settings, HypergradientSettings)
        graph = learned(settings.kind, settings.structure, space.constants, space.signature).graph
        return space.model_copy(update={"max_nodes": max(space.max_nodes, graph.complexity * 5 // 4)})

    def use(self, task: Task, reference: AnyGraph, device: str) -> None:
        """Take the task to learn on; see `Method.use`."""
        if not isinstance(task, DescribedTask):
            found = f"{task.name}, a training function"
            hint = "search over it with method cma_es, which learns coefficients from its scores"
            raise UserError("a task that describes its training, for meta-learning", found, hint)
        (own,) = by_slot(reference, "").values()
        settings = self._settings
        few = len(self.learnable) <= MOST_BY_EVOLUTION
        name = settings.estimator or ("es" if few or settings.optimizer == "cma_es" else "reverse")
        objective = settings.objective or ("metric" if name == "es" else "loss")
        if objective == "metric" and name not in WITHOUT_GRADIENT:
            hint = f'set estimator to one of {", ".join(WITHOUT_GRADIENT)}, or objective to "loss"'
            raise UserError("an objective with a gradient", f'objective = "metric", with estimator {name}', hint)
        if name == "es" and (settings.horizon is not None or settings.shortest is not None):
            hint = 'leave them out, and shorten trainings by steps; or set another estimator, such as "pes"'
            raise UserError("neither horizon nor shortest with es, which looks at whole trainings", "one of them", hint)
        if name not in WITHOUT_GRADIENT:
            check_twice_differentiable(self.learnable.graph)
        members = task.to_learn_on(settings.tasks)
        problems = [self._problem(member, own, objective, device) for member in members]
        if name != "es" or settings.neutral == "step" or objective != "metric":
            runs = 1 if name == "es" else settings.seeds * (2 * settings.pairs if name in WITHOUT_GRADIENT else 1)
            self._problem(members[0], own, objective, "cpu").check(runs)
        self._loop = OuterLoop(
            self._optimizer(relative=objective != "metric" and name != "es"),
            problems,
            make_estimator(name, settings.pairs, settings.sigma),
            self._first_point(settings.spread),
            seed=self._seed,
            tasks=settings.tasks_per_step,
            seeds=settings.seeds,
            horizon=settings.horizon,
            shortest=settings.shortest,
        )
        if self._kept is not None:
            self._loop.load_state(self._kept)
            self._kept = None

    def answer(self, request: Request) -> Estimate:
        """A hypergradient of an outer step of an equal method, such as one in another process."""
        return self._outer_loop().answer(request)

    def ask_elsewhere(self, estimates: Estimates) -> None:
        """Have hypergradients computed elsewhere, see `OuterLoop.ask`."""
        self._outer_loop().ask(estimates)

    def propose(self) -> Proposal:
        """The loss after some more outer steps; the first proposal is the structure as it is."""
        loop = self._outer_loop()
        if not self._begun:
            self._begun = 1
            return Proposal(self._graph(), LEARNED, numbers={OUTER_STEP: 0.0, **self._coefficients()})
        steps = [loop.step() for _ in range(self._settings.every)]
        return Proposal(self._graph(), LEARNED, numbers=self._told(steps))

    def tell(self, candidate: Proposal, score: float | None, complexity: int) -> None:
        """Learn a score; after many in a row that are no better, the outer loop begins anew."""
        super().tell(candidate, score, complexity)
        if candidate.operator != LEARNED:
            return
        if score is not None and score > self._best_score:
            self._best_score, self._in_vain = score, 0
            return
        self._in_vain += 1
        if self._in_vain >= self._settings.patience:
            self._outer_loop().restart(self._first_point(max(self._settings.spread, 0.1)))
            self._best_score, self._in_vain = -math.inf, 0

    def random_graph(self) -> Graph:
        """The loss at a random point near the structure's own."""
        return self.learnable.read(self._first_point(max(self._settings.spread, 0.1)))

    def state(self) -> dict[str, Any]:
        """As `Method.state`, with that of the outer loop."""
        loop = self._kept if self._loop is None else self._loop.state()
        progress = [None if math.isinf(self._best_score) else self._best_score, self._in_vain, self._begun]
        return {**super().state(), "loop": loop, "progress": progress}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state` was taken."""
        super().load_state(state)
        best, self._in_vain, self._begun = state["progress"]
        self._best_score = -math.inf if best is None else best
        if self._loop is None or state["loop"] is None:
            self._kept = state["loop"]
        else:
            self._loop.load_state(state["loop"])

    def _optimizer(self, relative: bool) -> OuterOptimizer:
        settings = self._settings
        if settings.optimizer == "cma_es":
            return Population(self.learnable, settings.sigma, 2 * settings.pairs)
        return Adam(self.learnable, settings.learning_rate, relative)

    def _problem(self, task: DescribedTask, reference: Graph, objective: str, device: str) -> TaskProblem:
        settings = self._settings
        return TaskProblem(
            task,
            self.learnable,
            steps=settings.steps,
            neutral=settings.neutral,
            objective=objective,
            reference=reference,
            learning_rate=settings.inner_learning_rate,
            device=device,
        )

    def _first_point(self, spread: float) -> list[float]:
        return self.learnable.held([x + spread * self.rng.gauss(0.0, 1.0) for x in self.learnable.start])

    def _graph(self) -> Graph:
        return self.learnable.read(self._outer_loop().point.tolist())

    def _outer_loop(self) -> OuterLoop:
        if self._loop is None:
            raise UserError("a task to learn on", "none", "call use(task, reference, device) first")
        return self._loop

    def _told(self, steps: list[OuterStep]) -> dict[str, float]:
        """What the archive keeps of the outer steps before a proposal, means over them."""
        rows = [asdict(one) for one in steps]

        def mean(name: str) -> float:
            found = [row[name] for row in rows if math.isfinite(row[name])]
            return sum(found) / len(found) if found else math.nan

        numbers = {
            OUTER_STEP: float(steps[-1].number + 1),
            "outer_value": mean("value"),
            "outer_gradient": mean("gradient_norm"),
            "outer_gradient_error": mean("gradient_error"),
            "outer_cost": float(sum(one.cost for one in steps)),
            "outer_diverged": float(sum(one.diverged for one in steps)),
        }
        return {name: value for name, value in {**numbers, **self._coefficients()}.items() if math.isfinite(value)}

    def _coefficients(self) -> dict[str, float]:
        values = self.learnable.numbers_at(self._outer_loop().point.tolist())
        return {f"{COEFFICIENT}{name}": value for name, value in values.items()}
