"""Several tasks as one: a training of it is a training of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.catalogue import FAMILIES, Family, build_task
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase, Split
from lossearch.tasks.distribution.config import NAMED, DistributionConfig, distribution_config
from lossearch.tasks.distribution.function_task import FunctionMemberConfig, FunctionTask
from lossearch.tasks.distribution.sampling import Drawn, values_of
from lossearch.tasks.streams import Stream, generator
from lossearch.zoo.named import graph_of

MemberTask = DescribedTask | FunctionTask
"""One task of a distribution: a bundled one, or a training function of the user's."""


class DistributionTask(DescribedTask):
    """The tasks that a distribution draws, as one task.

    Its trainings are those of its members (`lossearch.training.across_tasks`), and its metric is made of theirs. Where
    losses are looked at without a training, as filters do, the first bundled member stands for all. With a training
    function among them losses are told no facts of tasks, such as class weights, as a function tells none.

    Args:
        config: what is drawn.

    Raises:
        UserError: options do not make a task, data is missing, or tasks differ in their slots or in the signatures of
            these.
    """

    kind = "distribution"
    single = False
    stops_scoring = True
    buffers_vary = True

    def __init__(self, config: DistributionConfig) -> None:
        super().__init__(config)
        self._distribution = config
        drawn = config.drawn()
        for one in drawn:
            if isinstance(one, DistributionConfig):
                raise UserError("single tasks in a distribution", f"the distribution {one.name}", "draw from its axes")
        self._members = tuple(map(_built, drawn))
        self._first = (*self.bundled, *self._members)[0]
        if self.bundled:
            self.stackable = self.lead.stackable
        if self.functions:
            self.tells_progress = self.buffers_vary = False
            self.ends_late_trainings = True
        wanted = {name: slot.signature for name, slot in self.slots.items()}
        for member in self.members:
            given = {name: slot.signature for name, slot in member.slots.items()}
            if given != wanted or member.searched != self.searched:
                required = f"tasks with the slots of {self._first.name}: {_told(wanted)}"
                hint = "leave the option out"
                if isinstance(member, FunctionTask) and len(wanted) == 1:
                    hint += f', or set its signature = "{next(iter(wanted.values()))}", if it calls such a loss'
                raise UserError(required, f"{member.name} with {_told(given)}", hint)

    @property
    def members(self) -> tuple[MemberTask, ...]:
        """The tasks that were drawn."""
        return self._members

    @property
    def bundled(self) -> tuple[DescribedTask, ...]:
        """Those members that describe their training."""
        return tuple(member for member in self._members if isinstance(member, DescribedTask))

    @property
    def functions(self) -> tuple[FunctionTask, ...]:
        """Those members that are training functions of the user's."""
        return tuple(member for member in self._members if isinstance(member, FunctionTask))

    @property
    def ranked_by(self) -> Mapping[str, DescribedTask]:
        """Each bundled member under its own name, which its metric has among those of a training."""
        return {member.name: member for member in self.bundled}

    @property
    def lead(self) -> DescribedTask:
        """The bundled member that stands for all where nothing is trained.

        Raises:
            UserError: all members are functions.
        """
        if self.bundled:
            return self.bundled[0]
        required = "a bundled task among those that a distribution draws: it stands for all where nothing is trained"
        hint = "add a bundled task to the axes, or raise tasks; over one function alone search without a distribution"
        raise UserError(required, f"functions alone: {', '.join(one.name for one in self.members)}", hint)

    @property
    def fitness(self) -> str:
        """What is made of the members' metrics."""
        return self._distribution.fitness

    @cached_property
    def panel(self) -> tuple[Mapping[str, Graph], ...]:
        """The losses that others are held against, each by slot of those that are searched; the first is the reference.

        Raises:
            UserError: the configuration names losses of another signature, or for several slots at once.
        """
        slots = {slot: self.slots[slot] for slot in self.searched}
        if not self._distribution.panel:
            return ({slot: graph_of(one.default) for slot, one in slots.items()},)
        if len(slots) > 1:
            found = f"panel = {list(self._distribution.panel)}"
            raise UserError(f"no panel where {' and '.join(slots)} are searched together", found, "leave it out")
        ((slot, one),) = slots.items()
        graphs = {name: graph_of(name) for name in self._distribution.panel}
        for name, graph in graphs.items():
            if graph.signature.name != one.signature:
                raise UserError(
                    f"a panel of signature {one.signature}", f"{name} of {graph.signature.name}", "correct it"
                )
            told = [buffer.name for buffer in graph.signature.buffers if graph.uses(buffer.name)]
            if self.functions and told:
                required = (
                    f"a panel without {', '.join(told)}, which the function {self.functions[0].name} does not tell"
                )
                raise UserError(required, name, "name another loss")
        return tuple({slot: graph} for graph in graphs.values())

    @property
    def slots(self) -> Mapping[str, Slot]:
        """Those of every member."""
        return self._first.slots

    @property
    def searched(self) -> tuple[str, ...]:
        """Those of every member."""
        return self._first.searched

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """What ranks losses, then each member's own metric."""
        ranking = self._distribution.ranking_metric()
        return {ranking.name: ranking, **{one.name: one.metric for one in self.members}}

    @property
    def budget(self) -> int:
        """Steps of the first bundled member; another number of steps is the same share of each member's own."""
        return self.lead.budget

    @property
    def base_learning_rate(self) -> float:
        """See `DistributionConfig.base_learning_rate`."""
        return self.config.base_learning_rate

    def describe(self) -> str:
        """How many tasks, and which."""
        names = ", ".join(member.name for member in self.members)
        return f"{len(self.members)} tasks of {self.name}, part {self._distribution.part}: {names}"

    def build_model(self) -> nn.Module:
        """That of the first member."""
        return self.lead.build_model()

    def draw(self, seed: int) -> tuple[Split, Split]:
        """The splits of the first member."""
        return self.lead.draw(seed)

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """A step of the first member."""
        return self.lead.step(model, batch)

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """Not of a single model: `lossearch.training.train` measures each member's."""
        raise TypeError(f"{self.name} is measured by its members")

    def test_split(self) -> Split:
        """None: each task has its own."""
        raise single_task_needed(self)

    def to_learn_on(self, count: int) -> list[DescribedTask]:
        """Tasks of the search part other than those that score losses.

        Raises:
            UserError: the distribution has no other tasks.
        """
        scoring, given = {values_of(member.config) for member in self.members}, self._distribution
        draw = int(generator(given.draw_seed, Stream.TASKS, 1).integers(2**62))
        update = {"part": "search", "boundary": None, "draw_seed": draw, "tasks": count + len(scoring)}
        wider = given.model_copy(update=update)
        drawn = DistributionTask(wider.model_copy(update={"tasks": wider.available()}))
        others = [member for member in drawn.members if values_of(member.config) not in scoring][:count]
        for member in others:
            if isinstance(member, FunctionTask):
                found = f"the training function {member.name} among those of {self.name}"
                hint = "leave its option out, or search with method cma_es, which learns coefficients from scores"
                raise UserError("tasks that describe their training, to learn on", found, hint)
        if others:
            return [member for member in others if isinstance(member, DescribedTask)]
        required = f"a distribution with other tasks to learn on than the {len(scoring)} that score losses"
        raise UserError(required, f"{self.name}, all of whose tasks score losses", "lower tasks, or add options")

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """The metric of the first member, whose predictions these are."""
        return self.lead.judge(slot, inputs)

    @property
    def judging_metric(self) -> Metric:
        """That of the first member."""
        return self.lead.judging_metric

    def buffers(self, slot: str) -> Mapping[str, Tensor]:
        """Those of the first member; none beside a training function, which tells none."""
        return {} if self.functions else self.lead.buffers(slot)

    def facts(self) -> Mapping[str, Any]:
        """Those of the first member."""
        return self.lead.facts()

    @cached_property
    def other_losses(self) -> Mapping[str, Any]:
        """Those of the first member."""
        return self.lead.other_losses


def single_task_needed(task: DescribedTask) -> UserError:
    """For what opens the test split of one task."""
    hint = "lossearch compare LOSS --distribution FILE [--held-out] compares on each of its tasks"
    return UserError("a single task, with a test split", f"the distribution {task.name}", hint)


def _built(config: Drawn) -> MemberTask:
    return FunctionTask(config) if isinstance(config, FunctionMemberConfig) else build_task(config)


def _told(signatures: Mapping[str, str]) -> str:
    return ", ".join(f"{name} of {signature}" for name, signature in signatures.items())


FAMILIES.add("distribution", Family(DistributionConfig, DistributionTask, distribution_config, NAMED))
