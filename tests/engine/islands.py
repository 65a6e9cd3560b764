"""Islands with an odd part, for searches on Ray."""

import functools
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from ray import cloudpickle

from lossearch.candidates.scoring import CandidateEvaluator
from lossearch.engine.driver import driver
from lossearch.engine.driver.result import SearchResult
from lossearch.engine.driver.search import search
from lossearch.engine.island.island import Assignment, Island
from lossearch.engine.island.loop import IslandLoop
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.parts import Parts
from lossearch.errors import UserError
from lossearch.tasks import Task, TestSplitSealed


def search_with(trainable: type[Island], config: Mapping[str, Any], out: Path) -> SearchResult:
    """A search whose islands are of another class. It writes its notes beside the run directory."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not have the tests on their path
    trainable = cast("type[Island]", type(trainable.__name__, (trainable,), {"folder": str(out.parent)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "SearchSession", functools.partial(driver.SearchSession, trainable=trainable))
        return search(config, out, progress=False)


class PryingIsland(Island):
    """Tries to open the test split, and notes what happened."""

    folder = ""

    def step(self) -> dict[str, Any]:
        evaluator = self.loop.evaluator
        assert isinstance(evaluator, CandidateEvaluator)
        assert isinstance(evaluator.task, Task)
        try:
            with evaluator.task.open_test(by="search") as split:
                found = f"opened {len(split)} images"
        except TestSplitSealed as error:
            found = str(error)
        Path(self.folder, f"pry-{self.number}.txt").write_text(found)
        result = super().step()
        elites = [{"key": graph.key, "merit": merit} for graph, merit in self.loop.method.elites(8)]
        Path(self.folder, f"elites-{self.number}.json").write_text(json.dumps(elites))
        return result

    @staticmethod
    def notes(folder: Path, island: int) -> list[dict[str, Any]]:
        return json.loads((folder / f"elites-{island}.json").read_text())


class _Hanging:
    """Hangs once: on the second candidate of the first process."""

    def __init__(self, evaluator: Any, folder: Path) -> None:
        self._evaluator, self._note = evaluator, folder / "hung.txt"
        self._number = 0
        with (folder / "processes.txt").open("a") as file:
            print(os.getpid(), file=file)

    def evaluate(self, graph: Any, seed: int, stops: Any) -> Any:
        self._number += 1
        if self._number == 2 and not self._note.exists():
            self._note.write_text(graph.key)
            time.sleep(600.0)
        return self._evaluator.evaluate(graph, seed, stops)


class HangingIsland(Island):
    """One of its trainings never comes back; the watchdog is impatient."""

    folder = ""

    def make_parts(self, config: SearchConfig) -> Parts:
        parts = super().make_parts(config)
        return replace(parts, evaluator=_Hanging(parts.evaluator, Path(self.folder)), hang_limit=2.0)


class MistakenIsland(Island):
    """Misses something that only its own machine lacks."""

    folder = ""

    def make_loop(self, config: SearchConfig, assignment: Assignment) -> IslandLoop:
        raise UserError("a dataset on this node", "none", "fetch it there")
