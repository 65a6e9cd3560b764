import csv
import errno
import getpass
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Candidate, Evaluation, Origin
from lossearch.errors import UserError
from lossearch.files import write_atomically

CONFIG = '[search]\nname = "digits"\r\n# ä\n'


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs" / "first", CONFIG)


def test_create_writes_config_and_environment(run: RunDirectory, tmp_path: Path) -> None:
    opened = RunDirectory.open(run.path)
    assert opened.config_text() == CONFIG
    environment = json.loads(run.environment.read_text())
    assert environment["python"] == platform.python_version()
    assert environment["cpu_count"] == os.cpu_count()
    assert environment["torch"].startswith("2.")
    assert environment["ray"]
    assert run.checkpoints.is_dir()
    assert [path.name for path in run.path.parent.iterdir()] == ["first"]


def test_environment_names_neither_user_nor_host(run: RunDirectory) -> None:
    environment = json.loads(run.environment.read_text())
    allowed = {
        "python",
        "lossearch",
        "torch",
        "ray",
        "numpy",
        "scipy",
        "scikit-learn",
        "system",
        "machine",
        "cpu_count",
    }
    assert set(environment) == allowed
    assert platform.node() not in environment.values()
    assert getpass.getuser() not in environment.values()


def test_create_accepts_an_empty_directory_and_refuses_anything_else(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    RunDirectory.create(tmp_path / "empty", CONFIG)
    with pytest.raises(UserError, match="lossearch resume"):
        RunDirectory.create(tmp_path / "empty", "other")
    assert RunDirectory.open(tmp_path / "empty").config_text() == CONFIG
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UserError, match="no directory"):
        RunDirectory.create(tmp_path / "file", CONFIG)
    with pytest.raises(UserError, match="parents are directories"):
        RunDirectory.create(tmp_path / "file" / "run", CONFIG)
    assert (tmp_path / "file").read_text() == "precious"


def test_interrupted_create_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "rename", full_disk)
    with pytest.raises(UserError, match="free some space"):
        RunDirectory.create(tmp_path / "run", CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_open_refuses_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no directory"):
        RunDirectory.open(tmp_path / "missing")
    with pytest.raises(UserError, match="no file"):
        RunDirectory.open(tmp_path)


def test_config_of_another_encoding_is_refused(run: RunDirectory) -> None:
    run.config.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="UTF-8"):
        run.config_text()


def test_moved_run_opens_and_continues(run: RunDirectory, tmp_path: Path) -> None:
    with run.create_archive("accuracy", True) as archive:
        archive.add_candidate(Candidate(origin=Origin(0, 0, 0), key="aa", complexity=2, text="a"))
    moved = Path(shutil.move(run.path, tmp_path / "elsewhere"))
    with RunDirectory.open(moved).open_archive() as archive:
        archive.add_evaluation(Evaluation(key="aa", task="t", seed=0, budget=1, metric=0.5))
        assert archive.ranked(1)[0].candidate.text == "a"
    for path in moved.rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes()


def test_archive_is_neither_made_twice_nor_opened_where_missing(run: RunDirectory) -> None:
    with pytest.raises(UserError, match="no file"):
        run.open_archive()
    run.create_archive("accuracy", True).close()
    with pytest.raises(UserError, match="exists"):
        run.create_archive("accuracy", True)


def test_hall_of_fame_holds_the_query_and_is_replaced_whole(run: RunDirectory) -> None:
    with run.create_archive("accuracy", True) as archive:
        for index, (text, metric) in enumerate({"mean(a, b)": 0.1 + 0.2, 'say "x"': 0.9}.items()):
            archive.add_candidate(
                Candidate(origin=Origin(0, 0, index), key=f"{index:02x}", complexity=index, text=text)
            )
            archive.add_evaluation(Evaluation(key=f"{index:02x}", task="t", seed=0, budget=7, metric=metric))
        run.write_hall_of_fame([])
        run.write_hall_of_fame(archive.hall_of_fame())
    with run.hall_of_fame.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["text"], float(row["metric"])) for row in rows] == [
        ("mean(a, b)", 0.1 + 0.2),
        ('say "x"', 0.9),
    ]
    assert [(row["complexity"], row["seeds"], row["budget"]) for row in rows] == [
        ("0", "1", "7"),
        ("1", "1", "7"),
    ]


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full_disk(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(UserError, match="free some space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


HOLDER = """
import sys
from lossearch.archive.run_directory import RunDirectory
with RunDirectory.open(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_lock_excludes_another_process_and_ends_with_it(run: RunDirectory) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {holder.pid} "), run.lock():
            pass
        holder.kill()
        holder.wait()
    with run.lock(), pytest.raises(UserError, match=f"process {os.getpid()} "), RunDirectory(run.path).lock():
        pass
    with run.lock():
        pass


def test_lock_of_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="check the path"), RunDirectory(tmp_path / "missing").lock():
        pass
