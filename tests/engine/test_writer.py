import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from engine.fakes import BUDGET, TASK, FakeEvaluator, FakeScreen, contents, finish, make_loop, new_run

from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Candidate, Evaluation, Origin
from lossearch.engine.setup.setting import Limits
from lossearch.engine.setup.state import IslandState
from lossearch.engine.writer.exchange import Exchange
from lossearch.engine.writer.messages import Batch, Parcel
from lossearch.engine.writer.writer import ArchiveWriter, hold_writer_lock
from lossearch.errors import UserError

KEY = "ab" * 32


def row(index: int, key: str = KEY) -> Candidate:
    return Candidate(origin=Origin(0, 0, index), key=key, text="t", graph="{}", complexity=3)


def test_islands_take_their_neighbours_elites_once_and_everybodys_fingerprints() -> None:
    exchange = Exchange(3)
    assert exchange.swap(0, Parcel((("a", 1.0),), ("f0",))) == Parcel()
    assert exchange.swap(1, Parcel((("b", 2.0),), ("f1", "f0"))) == Parcel((("a", 1.0),), ("f0",))
    assert exchange.swap(2, Parcel((), ())) == Parcel((("b", 2.0),), ("f0", "f1"))
    assert exchange.swap(1, Parcel((("c", 3.0),), ())) == Parcel()
    assert exchange.swap(2, Parcel((), ())) == Parcel((("c", 3.0),), ())
    exchange.forget(2)
    assert exchange.swap(2, Parcel((), ())) == Parcel((("c", 3.0),), ("f0", "f1"))


def test_an_island_alone_receives_nothing() -> None:
    assert Exchange(1).swap(0, Parcel((("a", 1.0),), ("f",))) == Parcel()


def test_migrants_and_fingerprints_reach_the_other_island(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 2, TASK)
    settings = {"writer": writer, "islands": 2, "migration_every": 1, "migration_count": 3, "shares_seeds": True}
    first, second = (make_loop(run, state=IslandState(k), **settings) for k in (0, 1))  # type: ignore[arg-type]
    first.generation()
    best = first.method.elites(3)
    second.generation()
    received = {graph.key for graph, _ in second.method.elites(32)}
    assert {graph.key for graph, _ in best} <= received
    assert all(graph.key in second.state.seen for graph, _ in best)
    writer.close()


def test_a_seed_that_another_island_trained_is_not_trained_again(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 2, TASK)
    limits = Limits(generations=1, candidates=None, seconds=None, generation_size=10)
    evaluators = FakeEvaluator(), FakeEvaluator()
    for island, evaluator in enumerate(evaluators):
        state = IslandState(island)
        loop = make_loop(
            run, writer=writer, evaluator=evaluator, state=state, limits=limits, islands=2, shares_seeds=True
        )
        finish(loop)
        assert state.trained == 10
        assert len(loop.method.elites(32)) == 10
    assert len(evaluators[0].graphs) == 10
    assert evaluators[1].graphs == []
    writer.close()


def test_a_restarted_island_among_others_supersedes_what_it_did(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 2, TASK)
    loop = make_loop(run, writer=writer, islands=2)
    loop.generation()
    saved = loop.save().dumps()
    loop.generation()
    evaluator = FakeEvaluator()
    again = make_loop(
        run,
        writer=writer,
        islands=2,
        state=IslandState.loads(saved),
        evaluator=evaluator,
        screen=FakeScreen(lambda graph: "no" if graph.complexity % 2 else ""),  # so that it goes another way
    )
    again.generation()
    writer.close()
    with run.open_archive() as archive:
        assert any(candidate.superseded for candidate in archive.candidates())
        archive.check()


def test_a_full_disk_ends_the_search_with_a_message(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 1, TASK)
    pages = writer._archive._connection.execute("PRAGMA page_count").fetchone()[0]
    writer._archive._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then reports a full disk
    loop = make_loop(run, writer=writer, limits=Limits(100, None, None, 50))
    with pytest.raises(UserError, match="free disk space") as caught:
        finish(loop)
    assert "lossearch resume" in caught.value.hint
    assert writer.failure() is caught.value
    writer.close()
    with run.open_archive() as archive:
        archive.check()  # nothing half-written


def test_batches_may_come_twice(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 1, TASK)
    evaluation = Evaluation(key=KEY, task=TASK, seed=0, budget=BUDGET, metric=0.5)
    batch = Batch((row(0), replace(row(1), key="cd" * 32, verdict="probe")), (), (evaluation,))
    for _ in range(2):
        writer.submit(0, batch)
    writer.close()
    with run.open_archive() as archive:
        assert archive.counts().candidates == 2
        assert archive.counts().evaluations == 1


def test_progress_tells_what_is_archived(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 1, TASK)
    assert writer.progress().best is None
    assert writer.progress().overhead is None
    finish(make_loop(run, writer=writer, screen=FakeScreen(lambda g: "no" if g.complexity > 15 else "")))
    progress = writer.progress()
    counts, front = contents(writer._archive)
    assert progress.candidates == len(counts)
    assert progress.trained == 32
    assert progress.rejected == {k: v for k, v in writer._archive.counts().verdicts.items() if k != "accepted"}
    assert [point.text for point in progress.front] == [entry[1] for entry in front]  # type: ignore[index]
    assert progress.best is progress.front[-1]
    assert progress.rate > 0
    writer.close()
    resumed = ArchiveWriter(str(run.path), 1, TASK)
    assert resumed.progress().candidates == progress.candidates
    resumed.close()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 1, TASK)
    with pytest.raises(UserError, match="no other process writes"):
        hold_writer_lock(run.path, patience=0.0)
    writer.close()
    os.close(hold_writer_lock(run.path, patience=0.0))


def test_a_batch_is_read_without_pytorch(tmp_path: Path) -> None:
    """The writer's process is to be there at once, and small."""
    sent: list[Batch] = []

    class Recorder(ArchiveWriter):
        def submit(self, island: int, batch: Batch) -> None:
            sent.append(batch)
            super().submit(island, batch)

    writer = Recorder(str(new_run(tmp_path / "run").path), 1, TASK)
    make_loop(RunDirectory(tmp_path / "run"), writer=writer).generation()
    writer.close()
    (tmp_path / "batches").write_bytes(pickle.dumps(sent))
    code = (
        "import pickle, sys; import lossearch.engine.writer.writer;"
        f"pickle.loads(open({str(tmp_path / 'batches')!r}, 'rb').read()); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
