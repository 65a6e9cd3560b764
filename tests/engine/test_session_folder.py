"""The temporary folder of a local Ray: nobody else deletes it while it is used, and nothing stays behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lossearch.engine.driver import session_folder as module
from lossearch.engine.driver.session_folder import remove_leftovers, session_folder

HOLDER = """
import sys, time, tempfile
tempfile.tempdir = sys.argv[1]
from lossearch.engine.driver.session_folder import session_folder
with session_folder() as folder:
    (folder / "token").write_text("x")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def parent() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:  # short, as the folder's place must be
        yield Path(folder)


@pytest.fixture
def holder(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that holds a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(parent)], text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def left_behind(folder: Path, **changes: str) -> Path:
    """A folder whose search was killed; what its lock says of system and processes may be changed."""
    folder.mkdir()
    facts = json.loads(module._whereabouts()) | changes
    (folder / "lock").write_text(json.dumps(facts))
    (folder / "session").mkdir()
    return folder


def test_a_folder_lives_as_long_as_its_search(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(parent))
    with session_folder() as folder:
        assert folder.parent == parent
        assert folder.stat().st_mode & 0o777 == 0o700
        remove_leftovers(parent)
        assert folder.is_dir()
    assert list(parent.iterdir()) == []


def test_a_folder_that_another_process_holds_stays_until_that_is_killed(
    parent: Path, holder: tuple[subprocess.Popen[str], Path]
) -> None:
    process, folder = holder
    remove_leftovers(parent)
    assert (folder / "token").is_file()
    process.send_signal(signal.SIGKILL)
    process.wait()
    remove_leftovers(parent)
    assert not folder.exists()


@pytest.mark.parametrize("fact", ["host", "boot", "processes"])
def test_a_folder_of_another_system_or_namespace_stays(parent: Path, fact: str) -> None:
    """Its lock may be held where that is not seen from here, and its process has no number here."""
    elsewhere = left_behind(parent / "lossearch-elsewhere", **{fact: "another"})
    here = left_behind(parent / "lossearch-here")
    remove_leftovers(parent)
    assert elsewhere.is_dir()
    assert not here.exists()


def test_what_is_in_doubt_stays(parent: Path) -> None:
    unlocked, young = parent / "lossearch-99999999-x", parent / "lossearch-young"
    unlocked.mkdir()
    young.mkdir()
    (young / "lock").touch()  # made a moment ago: its search has yet to say where it runs
    link = parent / "lossearch-link"
    link.symlink_to(left_behind(parent / "elsewhere"))
    remove_leftovers(parent)
    assert unlocked.is_dir()
    assert young.is_dir()
    assert (parent / "elsewhere" / "session").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_another_users_folder_stays(parent: Path) -> None:
    folder = left_behind(parent / "lossearch-theirs")
    os.chown(folder, 12345, 12345)
    remove_leftovers(parent)
    assert folder.is_dir()
