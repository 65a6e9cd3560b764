"""An island whose trainings run outside of it: what it learns depends on neither their number nor their order."""

import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from engine.fakes import FakeEvaluator, FakeScreen, contents, finish, make_loop, new_run

from lossearch.archive.run_directory import RunDirectory
from lossearch.candidates.scoring import CandidateResult
from lossearch.candidates.stopping import Stops
from lossearch.engine.setup.begun import CHANGEABLE
from lossearch.engine.setup.config import validate
from lossearch.engine.setup.state import IslandState
from lossearch.engine.writer.writer import ArchiveWriter
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph

CONFIG = {"task": "digits_noise", "generations": 1}


class Killed(BaseException):
    """Stands for the end of the process."""


class FakeTrainings:
    """At most `at_once` under way, which end in a random order."""

    def __init__(self, at_once: int, seed: int, kill_after: int | None = None) -> None:
        self.at_once, self.rng, self.kill_after = at_once, random.Random(seed), kill_after
        self.waiting: list[tuple[int, Graph, int]] = []
        self.done: dict[int, CandidateResult] = {}
        self.evaluator = FakeEvaluator()

    def begin(self, number: int, graph: Graph, seed: int, stops: Stops) -> None:
        self.waiting.append((number, graph, seed))

    def result(self, number: int) -> CandidateResult:
        while number not in self.done:
            ended, graph, seed = self.waiting.pop(self.rng.randrange(min(self.at_once, len(self.waiting))))
            self.done[ended] = self.evaluator.evaluate(graph, seed)
            if self.kill_after is not None and len(self.evaluator.graphs) >= self.kill_after:
                raise Killed
        return self.done.pop(number)


def searched(path: Path, at_once: int, seed: int, **changes: Any) -> tuple[list[object], list[object]]:
    run, trainings = new_run(path), FakeTrainings(at_once, seed)
    finish(make_loop(run, elsewhere=trainings, **changes))
    assert not trainings.waiting
    assert not trainings.done
    with run.open_archive() as archive:
        assert archive.counts().disagreements == 0
        return contents(archive)


@pytest.mark.parametrize(("at_once", "seed"), [(1, 0), (3, 1), (8, 2), (100, 3)])
def test_neither_how_many_train_at_once_nor_which_ends_first_makes_a_difference(
    tmp_path: Path, at_once: int, seed: int
) -> None:
    assert searched(tmp_path / "several", at_once, seed) == searched(tmp_path / "one", 1, 7)


def test_rejected_candidates_are_audited_elsewhere_too(tmp_path: Path) -> None:
    def picky(graph: Graph) -> str:
        return "picky" if int(graph.key[:2], 16) < 64 else ""

    changes = {"screen": FakeScreen(picky), "audit": 0.5}
    found = searched(tmp_path / "several", 5, 0, **changes)
    assert found == searched(tmp_path / "one", 1, 1, screen=FakeScreen(picky), audit=0.5)
    with RunDirectory(tmp_path / "several").open_archive(read_only=True) as archive:
        rejected = {candidate.key for candidate in archive.candidates() if candidate.verdict == "rejection"}
        assert rejected & {evaluation.key for evaluation in archive.evaluations()}


@pytest.mark.parametrize("killed_after", [1, 5, 9, 20])
def test_a_killed_island_repeats_its_generation_and_trains_only_what_is_missing(
    tmp_path: Path, killed_after: int
) -> None:
    run = new_run(tmp_path / "killed")
    writer = ArchiveWriter(str(run.path), 1, "fake")
    loop = make_loop(run, writer=writer, elsewhere=FakeTrainings(3, 0, killed_after))
    saved = IslandState(0).dumps()
    with suppress(Killed):
        while not loop.done:
            loop.generation()
            saved = loop.save().dumps()
    assert not loop.done
    writer.close()
    with run.open_archive() as archive:
        archived = archive.counts().accepted
    again = FakeTrainings(2, 1)
    finish(make_loop(run, elsewhere=again, state=IslandState.loads(saved)))
    with run.open_archive() as archive:
        assert contents(archive) == searched(tmp_path / "whole", 1, 2)
        assert len(again.evaluator.graphs) == archive.counts().accepted - archived


@pytest.mark.parametrize(
    ("given", "elsewhere"),
    [
        ({}, None),
        ({"evaluation": {"concurrent": 1}}, None),
        ({"evaluation": {"concurrent": 3}}, "cpu = 1, gpu = 0"),
        ({"resources": {"gpu": 0.5}}, "cpu = 1, gpu = 0.5"),
        ({"resources": {"cpu": 2, "gpu": 2}, "evaluation": {"concurrent": 3}}, "cpu = 2, gpu = 2"),
    ],
)
def test_a_configuration_says_where_trainings_run(given: dict[str, Any], elsewhere: str | None) -> None:
    config = validate({**CONFIG, **given})
    assert config.elsewhere == elsewhere if elsewhere is None else str(config.elsewhere) == elsewhere
    assert config.evaluation.device == ("cuda" if config.resources is not None and config.resources.gpu else None)
    assert {"evaluation.concurrent", "resources.cpu", "resources.gpu"} <= set(CHANGEABLE)


@pytest.mark.parametrize("resources", [{"gpu": 1.5}, {"cpu": -1}, {"gpus": 1}, {"cpu": 2.5}])
def test_resources_that_cannot_be_given_are_refused(resources: dict[str, float]) -> None:
    with pytest.raises(UserError, match="resources"):
        validate({**CONFIG, "resources": resources})
