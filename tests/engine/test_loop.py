import json
import statistics
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from engine.fakes import TASK, FakeEvaluator, FakeScreen, contents, failing, finish, make_loop, new_run

from lossearch.candidates.scoring import CandidateResult
from lossearch.candidates.screen import FILTERS
from lossearch.candidates.stopping import NEVER, Stops
from lossearch.engine.driver.result import Audit, SearchResult
from lossearch.engine.island.rows import MOST_POINTS, thinned
from lossearch.engine.setup.setting import Limits
from lossearch.engine.setup.state import IslandState, newest_states
from lossearch.engine.writer.messages import AUDITED_FILTERS
from lossearch.engine.writer.same_failure import LOSSES
from lossearch.engine.writer.writer import ArchiveWriter
from lossearch.errors import UserError
from lossearch.evolve.method import Proposal
from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.types import IllTyped
from lossearch.ir.forms.text import parse_graph
from lossearch.tasks import Status

ONE_GENERATION = Limits(generations=1, candidates=None, seconds=None, generation_size=10)


class Killed(BaseException):
    """Stands for the end of the process."""


def uninterrupted(path: Path) -> tuple[list[object], list[object]]:
    run = new_run(path)
    finish(make_loop(run))
    with run.open_archive() as archive:
        return contents(archive)


def test_a_long_curve_is_kept_by_some_of_its_points() -> None:
    curve = tuple((step, step / 7) for step in range(1, 100_001))
    kept = thinned(curve)
    assert len(kept) == MOST_POINTS
    assert (kept[0], kept[-1]) == (curve[0], curve[-1])
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(kept)]
    assert max(gaps) - min(gaps) <= 1
    assert set(kept) <= set(curve)
    for length in (0, 1, 2, MOST_POINTS, MOST_POINTS + 1):
        assert len(thinned(curve[:length])) == min(length, MOST_POINTS)


def test_an_archive_without_its_log_holds_all_that_a_saved_state_knows(tmp_path: Path) -> None:
    """What a power cut leaves: states on disk, and of the archive as little as its own file."""
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 1, "fake")
    loop, kept = make_loop(run, writer=writer), []
    while not loop.done:
        loop.generation()
        kept.append((loop.save(), loop.save().dumps(), run.archive.read_bytes()))
    writer.close()
    whole = uninterrupted(tmp_path / "whole")
    marks = [0]
    for number, (_, saved, content) in enumerate(kept):
        copy = new_run(tmp_path / f"copy-{number}")
        copy.archive.write_bytes(content)
        with copy.open_archive(read_only=True) as archive:
            marks.append(archive.mark())
        assert IslandState.loads(saved).archived == marks[-1] > marks[-2]
        finish(make_loop(copy, state=IslandState.loads(saved)))
        with copy.open_archive() as archive:
            assert contents(archive) == whole


@pytest.mark.parametrize("islands", [1, 2])
@pytest.mark.parametrize("back_to", [0, 1, 3])
def test_an_island_goes_back_to_where_the_archive_is(tmp_path: Path, back_to: int, islands: int) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), islands, "fake")
    loop, states, archives = make_loop(run, writer=writer, islands=islands), [IslandState(0).dumps()], [b""]
    archives[0] = run.archive.read_bytes()
    while not loop.done:
        loop.generation()
        states.append(loop.save().dumps())
        archives.append(run.archive.read_bytes())
    writer.close()
    for log in run.path.glob("archive.sqlite-*"):
        log.unlink()
    run.archive.write_bytes(archives[back_to])
    for number, saved in enumerate(states):
        place = run.checkpoints / "session-0000" / "island-0" / f"checkpoint_{number:06}"
        place.mkdir(parents=True)
        (place / "island.json").write_text(saved)

    with run.open_archive(read_only=True) as archive:
        found = newest_states(run.checkpoints, archive.mark())
    assert found.gone_back == (0,)
    state = IslandState.loads(found.states[0].text)
    assert state.generation == back_to
    finish(make_loop(run, state=state, islands=islands))
    with run.open_archive() as archive:
        assert contents(archive) == uninterrupted(tmp_path / "whole")


@pytest.mark.parametrize("killed_in", [1, 3, 8, 9, 20, 31])
def test_resume_after_a_kill_equals_the_uninterrupted_search(tmp_path: Path, killed_in: int) -> None:
    def kill(number: int) -> None:
        if number == killed_in:
            raise Killed

    run = new_run(tmp_path / "killed")
    writer = ArchiveWriter(str(run.path), 1, "fake")
    loop, saved = make_loop(run, writer=writer, evaluator=FakeEvaluator(kill)), IslandState(0).dumps()
    with suppress(Killed):
        while not loop.done:
            loop.generation()
            saved = loop.save().dumps()
    assert not loop.done
    writer.close()

    again = FakeEvaluator()
    finish(make_loop(run, evaluator=again, state=IslandState.loads(saved)))
    with run.open_archive() as archive:
        assert contents(archive) == uninterrupted(tmp_path / "whole")
        # What was archived before the kill was not trained again.
        assert len(again.graphs) == archive.counts().accepted - (killed_in - 1)
        assert archive.counts().disagreements == 0


def test_without_any_checkpoint_everything_is_replayed_from_the_archive(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 1, "fake")
    finish(make_loop(run, writer=writer))
    writer.close()
    with run.open_archive() as archive:
        before = contents(archive)
    again = FakeEvaluator()
    finish(make_loop(run, evaluator=again))
    assert again.graphs == []
    with run.open_archive() as archive:
        assert contents(archive) == before


class Awkward(FakeEvaluator):
    """Fails in another way each time, and then works."""

    def evaluate(self, graph: Graph, seed: int, stops: Stops = NEVER) -> CandidateResult:
        number = len(self.graphs)
        good = super().evaluate(graph, seed, stops)
        match number:
            case 0:
                raise ValueError("boom")
            case 1:
                raise IllTyped("a well-typed expression", "another", "none")
            case 2:
                return replace(failing(Status.DIVERGED), graph=graph)
            case 3:
                return replace(failing(Status.OUT_OF_MEMORY), graph=graph)
            case 4:
                return replace(good, score=float("nan"), metrics=(float("nan"), float("nan")))
            case _:
                return good


def test_a_candidate_that_fails_is_an_outcome_ranked_last(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    finish(make_loop(run, evaluator=Awkward(), limits=ONE_GENERATION))
    with run.open_archive() as archive:
        ranked = archive.ranked(20)
        assert [row.metric is None for row in ranked] == [False] * 5 + [True] * 5
        failed = {row.candidate.reason.splitlines()[-1] for row in ranked[5:] if row.candidate.reason}
        assert any("boom" in reason for reason in failed)
        statuses = archive.counts().statuses
        assert statuses["error"] == 2
        assert statuses["out_of_memory"] == 1
        assert statuses["diverged"] == 3  # one seed of the first, both of the NaN
        assert all(row.metric is not None for row in archive.pareto_front())


def test_a_mistake_of_the_user_ends_the_generation(tmp_path: Path) -> None:
    def mistake(number: int) -> None:
        raise UserError("a function", "none", "write one")

    loop = make_loop(new_run(tmp_path / "run"), evaluator=FakeEvaluator(mistake))
    with pytest.raises(UserError, match="write one"):
        loop.generation()


def test_a_candidate_that_kills_its_process_twice_is_recorded_and_left(tmp_path: Path) -> None:
    def die(number: int) -> None:
        if number == 3:
            raise Killed

    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 1, "fake")  # outlives the island, as its actor does
    for first_to_train in (3, 1):
        evaluator = FakeEvaluator(lambda n, first=first_to_train: die(n + 3 - first))
        with pytest.raises(Killed):
            make_loop(run, writer=writer, evaluator=evaluator, limits=ONE_GENERATION).generation()
    last = FakeEvaluator()
    make_loop(run, writer=writer, evaluator=last, limits=ONE_GENERATION).generation()
    assert len(last.graphs) == 7
    writer.close()
    with run.open_archive() as archive:
        (dead,) = [row for row in archive.ranked(20) if row.metric is None]
        assert "died 2 times" in dead.candidate.reason


def test_a_filter_that_breaks_rejects_the_candidate(tmp_path: Path) -> None:
    def judge(graph: Graph) -> str:
        if graph.complexity > 12:
            raise ZeroDivisionError("in a filter")
        return ""

    run = new_run(tmp_path / "run")
    finish(make_loop(run, screen=FakeScreen(judge)))
    with run.open_archive() as archive:
        broken = list(archive.candidates(verdict="error"))
        assert broken
        assert all("ZeroDivisionError: in a filter" in one.reason and one.text for one in broken)
        assert all(archive.evaluation(c.key, "fake", 0, 10) is None for c in broken)


def test_a_method_is_told_why_a_candidate_has_no_score(tmp_path: Path) -> None:
    judged = FakeScreen(lambda graph: "too dull" if graph.complexity > 6 else "")
    loop = make_loop(new_run(tmp_path / "run"), screen=judged, evaluator=Awkward(), limits=ONE_GENERATION)
    told: list[tuple[bool, str]] = []
    tell = loop.method.tell

    def recorded(candidate: Proposal, score: float | None, complexity: int) -> None:
        told.append((score is not None, candidate.reason))
        tell(candidate, score, complexity)

    loop.method.tell = recorded  # type: ignore[method-assign]
    finish(loop)
    assert all(bool(reason) != scored for scored, reason in told)
    reasons = {reason.splitlines()[-1] for _, reason in told if reason}
    assert "rejection: too dull" in reasons
    assert "ValueError: boom" in reasons


class Tuning(FakeEvaluator):
    """Changes the constants of every second candidate, as real evaluations do."""

    def evaluate(self, graph: Graph, seed: int, stops: Stops = NEVER) -> CandidateResult:
        result = super().evaluate(graph, seed, stops)
        return replace(result, graph=graph.map(_nudged)) if int(graph.key[0], 16) % 2 else result


def _nudged(node: Expr) -> Expr:
    return constant(node.attr("value") * 1.5) if node.is_constant and node.attr("value") == 2.0 else node


def test_what_is_archived_is_the_loss_that_was_scored(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 1, "fake")
    loop = make_loop(run, writer=writer, evaluator=Tuning())
    finish(loop)
    writer.close()
    with run.open_archive() as archive:
        before = contents(archive)
        accepted = list(archive.candidates(verdict="accepted"))
        tuned = [c for c in accepted if c.proposal is not None]
        assert tuned
        # What behaves as a loss that was tuned is not tried again.
        assert all(loop.screen.fingerprint(parse_graph(c.text or "")) in loop.state.seen for c in tuned)
        assert all(parse_graph(c.text or "").key == c.key for c in accepted)
        assert all(list(archive.evaluations(c.key)) for c in accepted)
        known = {c.key for c in accepted}
        assert {parent for c in accepted for parent in c.parents} <= known
    again = Tuning()
    finish(make_loop(run, evaluator=again))  # from the archive, under the key it was proposed with
    assert again.graphs == []
    with run.open_archive() as archive:
        assert contents(archive) == before


def test_every_filter_that_judges_is_audited() -> None:
    recognising = {"type", "duplicate_key", "known", "duplicate_fingerprint"}
    assert set(FILTERS) - recognising == AUDITED_FILTERS


def test_audited_rejects_are_trained_and_stay_rejected(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    screen = FakeScreen(lambda graph: "too large" if graph.complexity > 10 else "")
    evaluator = FakeEvaluator()
    finish(make_loop(run, screen=screen, evaluator=evaluator, audit=0.5, audit_seed=7))
    with run.open_archive() as archive:
        rejected = list(archive.candidates(verdict="rejection"))
        audited = [c for c in rejected if list(archive.evaluations(c.key))]
        assert 0 < len(audited) < len(rejected)
        assert all(c.graph for c in audited)
        assert len(evaluator.graphs) == len(audited) + archive.counts().accepted
        assert not {c.key for c in audited} & {row.candidate.key for row in archive.ranked(100)}
        median = statistics.median(row.metric for row in archive.ranked(100) if row.metric is not None)
        means = [statistics.fmean(e.metric or 0.0 for e in archive.evaluations(c.key)) for c in audited]
    result = SearchResult(run.path)
    assert result.audit() == [Audit("rejection", len(audited), sum(mean > median for mean in means))]
    result.close()


def test_limits(tmp_path: Path) -> None:
    def totals(name: str, limits: Limits) -> IslandState:
        loop = make_loop(new_run(tmp_path / name), limits=limits)
        finish(loop)
        return loop.state

    assert totals("generations", Limits(3, None, None, 5)).trained == 15
    assert totals("candidates", Limits(None, 17, None, 5)).candidates == 17
    short = totals("seconds", Limits(None, None, 1e-6, 5))
    assert short.candidates == 1


def test_a_space_in_which_nothing_passes_comes_to_an_end(tmp_path: Path) -> None:
    limits = Limits(generations=1, candidates=None, seconds=None, generation_size=1)
    run = new_run(tmp_path / "run")
    loop = make_loop(run, screen=FakeScreen(lambda graph: "no"), limits=limits)
    finish(loop)
    assert loop.state.trained == 0
    assert loop.state.candidates == 500


def test_where_the_time_went_adds_up(tmp_path: Path) -> None:
    loop = make_loop(new_run(tmp_path / "run"))
    report = loop.generation()
    parts = report.training_seconds + report.screening_seconds + report.proposing_seconds
    assert 0 < parts <= report.wall_seconds
    assert 0 <= report.overhead <= 1
    assert json.loads(loop.save().dumps())["version"] == 3


class _Failing(FakeEvaluator):
    """Ends each training with the reason that `reason` gives for its number; None trains it."""

    def __init__(self, reason: Callable[[int], str | None]) -> None:
        super().__init__()
        self.reason = reason

    def evaluate(self, graph: Graph, seed: int, stops: Stops = NEVER) -> CandidateResult:
        trained = super().evaluate(graph, seed, stops)
        reason, nan = self.reason(len(self.graphs)), float("nan")
        return (
            trained if reason is None else replace(failing(Status.ERROR), graph=graph, message=reason, metrics=(nan,))
        )


def test_a_search_ends_early_when_every_training_fails_for_one_reason(tmp_path: Path) -> None:
    evaluator = _Failing(lambda number: f"ValueError: no masks for seed {number}")
    writer_run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(writer_run.path), 1, TASK)
    with pytest.raises(UserError, match=r"none of the first 12, .*: ValueError: no masks for seed 12 \(.*dense: "):
        finish(make_loop(writer_run, writer=writer, evaluator=evaluator))
    assert len(evaluator.graphs) == LOSSES
    assert isinstance(writer.failure(), UserError)
    assert writer_run.open_archive(read_only=True).counts().failed == LOSSES
    writer.close()


@pytest.mark.parametrize(
    "reason",
    [lambda number: f"{'odd' if number % 2 else 'even'}", lambda number: None if number == 3 else "always the same"],
)
def test_a_search_goes_on_while_reasons_differ_or_something_trains(
    tmp_path: Path, reason: Callable[[int], str | None]
) -> None:
    evaluator = _Failing(reason)
    finish(make_loop(new_run(tmp_path / "run"), evaluator=evaluator))
    assert len(evaluator.graphs) == 32
