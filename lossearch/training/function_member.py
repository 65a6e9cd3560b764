"""A training function of the user's as one task of a distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.tasks.distribution.function_task import FunctionTask, of_option
from lossearch.tasks.outcome import Outcome, Status
from lossearch.training.function_trainer import FunctionTrainer
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.member import RATES, WITHOUT_GRADIENT, Losses, Member
from lossearch.training.stacked_models import Device


class FunctionMember(Member[Graph]):
    """A training function of a distribution. Every training is a call of it, one after the other.

    Losses are trained at the reference's RMS gradient at the function's first call, which is made with the budget of
    the option, whatever that of a training. Learning rates are passed to a function that takes `learning_rate`; one
    that does not trains at its own, whatever rate is asked for.

    Args:
        task: the function.
        panel: losses that others are held against, by slot; the first is the reference.
        device: where to train; a function that does not take `device` decides by itself.
    """

    task: FunctionTask

    def __init__(self, task: FunctionTask, panel: Sequence[Mapping[str, Graph]], device: Device) -> None:
        super().__init__(task, [{slot: GraphLoss(graph) for slot, graph in graphs.items()} for graphs in panel])
        (self._slot,) = task.searched
        self._reference, self._device = panel[0][self._slot], str(device)
        self._trainers: dict[int, FunctionTrainer] = {}

    @property
    def rates(self) -> Sequence[float]:
        """Factors on the function's learning rate that are tried: its own alone where it takes none."""
        return RATES if self.task.rights.learning_rate else (1.0,)

    def limit(self, seconds: float | None) -> None:
        """Bound every call from now on, unless the option has a limit of its own."""
        if self.task.config.time_limit_s is None:
            self.task.function.time_limit = seconds

    def begin(self) -> FunctionTrainer:
        """What trains with the budget of the option, after a call of the function that shows how it begins.

        Raises:
            UserError: the function fails before it calls its loss, or the reference has no gradient there.
        """
        budget = self.task.budget
        if budget not in self._trainers:
            try:
                self._trainers[budget] = FunctionTrainer(
                    self.task.function, self._reference, budget, device=self._device
                )
            except UserError as error:
                raise of_option(error, self.task.name) from error
        return self._trainers[budget]

    def trained(
        self, losses: Sequence[Losses], factors: Sequence[float], of: Sequence[int], steps: int, **settings: Any
    ) -> list[Outcome]:
        """As `Member.trained`; the setting `time_limit` bounds a call, unless the option has a limit of its own."""
        self.limit(settings.get("time_limit"))
        return super().trained(losses, factors, of, steps, **settings)

    def telling(self, steps: int) -> float:
        """0: what a call costs is not known beforehand, so that functions come after all bundled tasks."""
        return 0.0

    def _placed(self, losses: Losses) -> Graph | Outcome:
        trainer = self.begin()
        try:
            scaled = trainer.scaled(losses[self._slot].graph)
        except UserError as error:  # the loss refuses what the function gives it
            return Outcome(Status.ERROR, None, (), 0.0, str(error))
        if scaled is None:
            return WITHOUT_GRADIENT
        assert isinstance(scaled.graph, Graph)
        return scaled.graph

    def _run(self, runs: Sequence[tuple[Graph, float, int]], steps: int, **settings: Any) -> list[Outcome]:
        trainer, tunes = self._with_budget(steps), len(self.rates) > 1
        known: dict[tuple[str, float, int], Outcome] = {}  # of a function without learning rates many are the same call
        keys = [(graph.key, rate if tunes else 1.0, seed) for graph, rate, seed in runs]
        for key, (graph, _, seed) in zip(keys, runs, strict=True):
            if key not in known:
                given: dict[str, Any] = {"learning_rate": key[1]} if tunes else {}
                (known[key],) = trainer.train(graph, [seed], device=self._device, **given)
        return [known[key] for key in keys]

    def _with_budget(self, steps: int) -> FunctionTrainer:
        first = self.begin()
        if steps not in self._trainers:
            task, call = self.task.function, first.first_call
            self._trainers[steps] = FunctionTrainer(task, self._reference, steps, call)
        return self._trainers[steps]
