"""An island as a Ray Tune trainable: one trial, one process, one step per generation."""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.result import DONE

from lossearch.engine.island.hypergradients import Hypergradients
from lossearch.engine.island.loop import IslandLoop
from lossearch.engine.island.trainings import Trainings
from lossearch.engine.island.watchdog import Watchdog
from lossearch.engine.remote.equipment import Equipment, equip
from lossearch.engine.remote.placement import needs_own_process
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.parts import Parts, build_parts, island_method, island_setting
from lossearch.engine.setup.state import FILE_NAME, IslandState
from lossearch.engine.writer.scribe import RemoteScribe
from lossearch.errors import UserError
from lossearch.failure_text import traceback_text
from lossearch.meta.method import Hypergradient
from lossearch.tasks.user.first_calls import FirstCalls


@dataclass(frozen=True)
class Assignment:
    """What every island of a search is told.

    Attributes:
        equipment: of all processes of the search.
        islands: how many there are.
        writer: name of the writer's actor.
        namespace: of that name.
        states: each island's state to continue from, where there is one.
    """

    equipment: Equipment
    islands: int
    writer: str
    namespace: str
    states: dict[int, str]


class Island(tune.Trainable):
    """A long-lived population. `config` holds its number under "island"; see `Assignment` for the rest."""

    def setup(self, config: dict[str, Any], **parameters: Any) -> None:
        """Seal the test split, build the parts, and take up the state, if there is one."""
        assignment: Assignment = parameters["assignment"]
        equipment = assignment.equipment
        self.number = int(config["island"])
        self.scribe = RemoteScribe(ray.get_actor(assignment.writer, namespace=assignment.namespace))
        self.first_call = None if equipment.first_call is None else FirstCalls.loads(equipment.first_call)
        with self._failures_told():
            self.loop = self.make_loop(equip(equipment), assignment)
        # What was imported lives as long as the process: collections need not look through it again and again.
        gc.collect()
        gc.freeze()

    def make_loop(self, config: SearchConfig, assignment: Assignment) -> IslandLoop:
        """The loop of this island."""
        parts = self.make_parts(config)
        text = assignment.states.get(self.number)
        state = IslandState(self.number) if text is None else IslandState.loads(text)
        method = island_method(config, parts, self.number, assignment.islands)
        setting = island_setting(config, parts, self.number, assignment.islands, Watchdog(parts.hang_limit))
        elsewhere = None
        if config.elsewhere is not None:
            at_once, once = config.evaluation.concurrent, needs_own_process(config)
            elsewhere = Trainings(assignment.equipment, config.elsewhere, at_once, once)
            if isinstance(method, Hypergradient):
                method.ask_elsewhere(Hypergradients(assignment.equipment, config.elsewhere, at_once))
        return IslandLoop(state, method, parts.screen, parts.evaluator, self.scribe, setting, elsewhere)

    def make_parts(self, config: SearchConfig) -> Parts:
        """Task, screen and evaluator of this island."""
        return build_parts(config, self.first_call)

    def step(self) -> dict[str, Any]:
        """One generation; its report, flat, as Tune's result."""
        with self._failures_told():
            report = self.loop.generation()
        return {
            "generation": report.generation,
            "candidates": report.candidates,
            "trained": report.trained,
            "training_seconds": report.training_seconds,
            "screening_seconds": report.screening_seconds,
            "proposing_seconds": report.proposing_seconds,
            "wall_seconds": report.wall_seconds,
            "cpu_seconds": report.cpu_seconds,
            "overhead": report.overhead,
            **self._best(),
            DONE: report.done,
        }

    def _best(self) -> dict[str, float]:
        """The best score of this island so far, for those who log it; nothing before it has one."""
        elites, higher = self.loop.method.elites(1), self.loop.setting.higher_is_better
        scores = [score if higher else -score for _, score in elites if math.isfinite(score)]
        return {"best": scores[0]} if scores else {}

    @contextlib.contextmanager
    def _failures_told(self) -> Iterator[None]:
        """Let the driver end the search for what a restart would only repeat; a lost process is worth one."""
        try:
            yield
        except RayError:
            raise
        except UserError as error:
            self.scribe.fail(self.number, error)
            raise
        except Exception as error:
            self.scribe.fail(self.number, RuntimeError(traceback_text(error)))
            raise

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the state as one JSON file."""
        Path(checkpoint_dir, FILE_NAME).write_text(self.loop.save().dumps(), encoding="utf-8")

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Take up a state that `save_checkpoint` wrote."""
        self.loop.load(IslandState.loads(Path(checkpoint, FILE_NAME).read_text(encoding="utf-8")))
