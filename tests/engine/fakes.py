"""Parts of an island that cost nothing, and an island in this process."""

from collections.abc import Callable, Container
from dataclasses import replace
from pathlib import Path

from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Archive
from lossearch.candidates.scoring import CandidateResult
from lossearch.candidates.screen import FilterTotals, Verdict, canonical
from lossearch.candidates.stopping import NEVER, Stops
from lossearch.engine.island.loop import IslandLoop
from lossearch.engine.setup.setting import Elsewhere, Limits, Setting
from lossearch.engine.setup.state import IslandState
from lossearch.engine.writer.writer import ArchiveWriter
from lossearch.evolve import make_method
from lossearch.ir.core.graph import Graph
from lossearch.search_spaces import load_space
from lossearch.tasks import Status

TASK = "fake"
SPACE = load_space("dense")
BUDGET = 10


class FakeScreen:
    """Rejects duplicates, and what `judge` names a reason for."""

    def __init__(self, judge: Callable[[Graph], str] = lambda graph: "") -> None:
        self.judge = judge
        self._counts = {"duplicate_key": FilterTotals(), "rejection": FilterTotals()}

    def check(self, graph: Graph, seen: Container[str]) -> Verdict:
        graph = canonical(graph)
        name, reason = ("duplicate_key", "seen") if graph.key in seen else ("rejection", self.judge(graph))
        self._counts[name].considered += 1
        self._counts[name].rejected += bool(reason)
        filter = name if reason else "accepted"
        known = self.fingerprint(graph)
        return Verdict(not reason, filter, reason, graph.key, known, graph.complexity, graph, {"n": 1.0})

    def fingerprint(self, graph: Graph) -> str:
        return "f" + canonical(graph).key[1:]

    def counts(self) -> dict[str, FilterTotals]:
        return self._counts

    def reset_counts(self) -> None:
        self._counts = {name: FilterTotals() for name in self._counts}


class FakeEvaluator:
    """A score that follows from the key alone. `before` is called with the number of the evaluation, from 1."""

    def __init__(self, before: Callable[[int], None] = lambda number: None) -> None:
        self.before = before
        self.graphs: list[Graph] = []

    def evaluate(self, graph: Graph, seed: int, stops: Stops = NEVER) -> CandidateResult:
        self.graphs.append(graph)
        self.before(len(self.graphs))
        metrics = (int(graph.key[:6], 16) / 2**24, int(graph.key[6:12], 16) / 2**24)
        curve = ((BUDGET // 2, metrics[0] / 2), (BUDGET, metrics[0]))
        return CandidateResult(Status.OK, sum(metrics) / 2, metrics, graph, 0.1, 1.0, curve, 0.01, "")


def failing(status: Status) -> CandidateResult:
    """A training that ended badly; `graph` is to be replaced."""
    nan = float("nan")
    return CandidateResult(status, None, (nan, 0.99), None, 0.1, nan, (), 0.01, f"it {status}")  # type: ignore[arg-type]


def new_run(path: Path) -> RunDirectory:
    run = RunDirectory.create(path, "task = 'fake'\n")
    run.create_archive("accuracy", True).close()
    return run


def make_loop(
    run: RunDirectory,
    *,
    writer: ArchiveWriter | None = None,
    evaluator: FakeEvaluator | None = None,
    screen: FakeScreen | None = None,
    state: IslandState | None = None,
    islands: int = 1,
    elsewhere: Elsewhere | None = None,
    **changes: object,
) -> IslandLoop:
    """An island over the real space and the real method, with fakes for what takes time."""
    state = state or IslandState(0)
    limits = Limits(generations=4, candidates=None, seconds=None, generation_size=8)
    setting = Setting(TASK, BUDGET, seed=0, limits=limits)
    return IslandLoop(
        state,
        make_method("regularized_evolution", SPACE, seed=state.island),
        screen or FakeScreen(),
        evaluator or FakeEvaluator(),
        writer or ArchiveWriter(str(run.path), islands, TASK),
        replace(setting, **changes),  # type: ignore[arg-type]
        elsewhere,
    )


def finish(loop: IslandLoop) -> None:
    while not loop.done:
        loop.generation()


def contents(archive: Archive) -> tuple[list[object], list[object]]:
    """Candidates and front, without what depends on the clock."""
    candidates = [(c.origin, c.key, c.verdict, c.operator, c.parents, c.text) for c in archive.candidates()]
    front = [(r.candidate.key, r.candidate.text, r.metric, r.seeds, r.budget) for r in archive.pareto_front()]
    return list(candidates), list(front)
