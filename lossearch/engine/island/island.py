"""An island as a Ray Tune trainable: one trial, one process, one step per generation."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import RayError
from ray.tune.result import DONE

from lossearch.engine.island.loop import IslandLoop
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.parts import Parts, build_parts, island_method, island_setting
from lossearch.engine.setup.state import FILE_NAME, IslandState
from lossearch.engine.writer.scribe import RemoteScribe
from lossearch.errors import UserError
from lossearch.tasks import forbid_test_split
from lossearch.tasks.user.first_call import FirstCall


@dataclass(frozen=True)
class Assignment:
    """What every island of a search is told.

    Attributes:
        config: in JSON.
        islands: how many there are.
        writer: name of the writer's actor.
        namespace: of that name.
        states: each island's state to continue from, where there is one.
        python_path: folders from which the user's code can be imported.
        first_call: what a user's function gives its loss at the first call, as `FirstCall.dumps` writes it.
        settings: environment variables of lossearch, as they are where the search was started.
    """

    config: str
    islands: int
    writer: str
    namespace: str
    states: dict[int, str]
    python_path: tuple[str, ...]
    first_call: bytes | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


class Island(tune.Trainable):
    """A long-lived population. `config` holds its number under "island"; see `Assignment` for the rest."""

    def setup(self, config: dict[str, Any], **parameters: Any) -> None:
        """Seal the test split, build the parts, and take up the state, if there is one."""
        forbid_test_split()
        assignment: Assignment = parameters["assignment"]
        os.environ.update(assignment.settings)
        use_one_thread()
        # At the end: a file of the user's must not take the place of a module that others import.
        sys.path.extend(folder for folder in assignment.python_path if folder not in sys.path)
        self.number = int(config["island"])
        self.scribe = RemoteScribe(ray.get_actor(assignment.writer, namespace=assignment.namespace))
        self.first_call = None if assignment.first_call is None else FirstCall.loads(assignment.first_call)
        with self._failures_told():
            self.loop = self.make_loop(SearchConfig.parse_json(assignment.config, "the search"), assignment)
        # What was imported lives as long as the process: collections need not look through it again and again.
        gc.collect()
        gc.freeze()

    def make_loop(self, config: SearchConfig, assignment: Assignment) -> IslandLoop:
        """The loop of this island."""
        parts = self.make_parts(config)
        text = assignment.states.get(self.number)
        state = IslandState(self.number) if text is None else IslandState.loads(text)
        method = island_method(config, parts.space, self.number, assignment.islands)
        setting = island_setting(config, parts, self.number, assignment.islands, Watchdog(parts.hang_limit))
        return IslandLoop(state, method, parts.screen, parts.evaluator, self.scribe, setting)

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
            DONE: report.done,
        }

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
            self.scribe.fail(self.number, RuntimeError("".join(traceback.format_exception(error))))
            raise

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the state as one JSON file."""
        Path(checkpoint_dir, FILE_NAME).write_text(self.loop.save().dumps(), encoding="utf-8")

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Take up a state that `save_checkpoint` wrote."""
        self.loop.load(IslandState.loads(Path(checkpoint, FILE_NAME).read_text(encoding="utf-8")))


class Watchdog:
    """Ends the process when one training takes longer than `limit` seconds; None never does.

    A training looks at its own time limit between steps. This is for one that never comes back from a step: Tune
    starts the island again, and the candidate is recorded as failed if that happens twice.
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit

    def __call__(self, training: bool) -> None:
        if self._limit is None:
            return
        if training:
            # A thread of C, which a training that holds the interpreter's lock cannot keep from running.
            faulthandler.dump_traceback_later(self._limit, exit=True)
        else:
            faulthandler.cancel_dump_traceback_later()


def shipped_settings() -> dict[str, str]:
    """Environment variables of lossearch, which count on every machine of a search; that of data as absolute path."""
    found = {name: value for name, value in os.environ.items() if name.startswith("LOSSEARCH_")}
    if "LOSSEARCH_DATA" in found:
        found["LOSSEARCH_DATA"] = str(Path(found["LOSSEARCH_DATA"]).expanduser().absolute())
    return found


def use_one_thread() -> None:
    """One thread per island: more of them would fight for the cores that other islands use."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError):  # raised where it was set before
        torch.set_num_interop_threads(1)
