"""Whatever happened to the file of an archive: what reads it works, or ends with a `UserError`."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from engine.fakes import FakeScreen, finish, make_loop, new_run
from representative import thorough_unless

from lossearch.archive.run_directory import RunDirectory
from lossearch.cli.losses import _provenance
from lossearch.cli.output import Format
from lossearch.cli.search import ls
from lossearch.engine.driver.result import SearchResult
from lossearch.engine.writer.writer import ArchiveWriter
from lossearch.errors import UserError
from lossearch.named_losses import find
from lossearch.report.run_summary import summarize


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = new_run(tmp_path_factory.mktemp("archive") / "run")
    writer = ArchiveWriter(str(run.path), 1, "fake")
    finish(make_loop(run, writer=writer, screen=FakeScreen(lambda graph: "no" if graph.complexity % 3 == 0 else "")))
    writer.close()
    return run.path


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> RunDirectory:
    return RunDirectory(shutil.copytree(sound, tmp_path / "run"))


def list_table(run: RunDirectory) -> None:
    ls(run.path, 20, Format.TABLE)


def list_json(run: RunDirectory) -> None:
    ls(run.path, 20, Format.JSON)


def show(run: RunDirectory) -> None:
    for rank in (1, 2, 9):
        list(_provenance(find(f"{run.path}@{rank}")))


def summary(run: RunDirectory) -> None:
    summarize(run.path)


def result(run: RunDirectory) -> None:
    found = SearchResult(run.path)
    try:
        _ = found.front_, found.audit(), found.best_
    finally:
        found.close()


def check(run: RunDirectory) -> None:
    with run.open_archive(read_only=True) as archive:
        archive.check()


READERS = (list_table, list_json, show, summary, result, check)


def told(reader: Callable[[RunDirectory], None], run: RunDirectory) -> bool:
    try:
        reader(run)
    except UserError:
        return True
    return False


def test_a_sound_archive_is_read(run: RunDirectory) -> None:
    assert not any(told(reader, run) for reader in READERS)


def damaged(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        kind, place = rng.random(), rng.randrange(len(changed))
        if kind < 0.6:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind < 0.9:
            size = min(rng.choice((1, 4, 16, 512)), len(changed) - place)
            changed[place : place + size] = rng.randbytes(size)
        else:
            del changed[max(1, place) :]
    return bytes(changed)


@pytest.mark.thorough
def test_flipped_bits_are_told_or_do_not_matter(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    content = run.archive.read_bytes()
    noticed = 0
    for seed in range(24):
        run.archive.write_bytes(damaged(content, random.Random(seed)))
        noticed += sum([told(reader, run) for reader in READERS])
    assert noticed > 24


VALUES = [
    "x'00ff'",
    "'text'",
    "CAST(x'ff' AS TEXT)",
    "-1",
    "9223372036854775807",
    "1e308",
    "9e999",
    "NULL",
    "''",
    "'[1]'",
]
COLUMNS = [
    ("structure", ("key", "fingerprint", "text", "graph", "complexity", "accepted")),
    ("candidate", ("structure_id", "island", "position", "verdict", "reason", "operator", "parents", "numbers")),
    ("evaluation", ("task", "budget", "seed", "metric", "status", "curve", "seconds", "step_scale", "timestamp")),
    ("score", ("task", "budget", "seeds", "failed", "merit", "complexity")),
    ("filter_count", ("filter", "considered", "rejected", "seconds")),
    ("tally", ("kind", "name", "n")),
    ("meta", ("value",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "columns"), [pytest.param(*one, marks=thorough_unless(one[0] == "evaluation")) for one in COLUMNS]
)
def test_a_value_of_another_kind_in_any_column_is_told_or_does_not_matter(
    run: RunDirectory, table: str, columns: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    content = run.archive.read_bytes()
    noticed = 0
    for number, column in enumerate(columns):
        for value in VALUES[number % 4 :: 4]:
            run.archive.write_bytes(content)
            connection = sqlite3.connect(run.archive)
            try:
                connection.execute(f"UPDATE OR IGNORE {table} SET {column} = {value}")
                connection.commit()
            except sqlite3.IntegrityError:  # the database itself refuses it
                continue
            finally:
                connection.close()
            noticed += sum([told(reader, run) for reader in READERS])
    assert noticed > 0
