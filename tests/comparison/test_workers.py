"""Worker processes begin as if their parent had started them itself, and end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lossearch.comparison.workers import worker_processes

SCRIPT = """
import os, time
from lossearch.comparison.workers import worker_processes
with worker_processes(1) as pool:  # without `if __name__ == "__main__"`
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def test_workers_find_the_environment_and_folder_of_their_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What their fork server began with, in an earlier pool, does not count."""
    with worker_processes(1) as pool:
        assert pool.submit(os.getenv, "LOSSEARCH_DATA").result() == os.environ.get("LOSSEARCH_DATA")
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with worker_processes(1) as pool:
        assert pool.submit(os.getenv, "LOSSEARCH_DATA").result() == str(tmp_path)
        assert pool.submit(os.getenv, "HOME").result() is None
        assert Path(pool.submit(os.getcwd).result()) == tmp_path
        assert signal.SIGINT in pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, []).result()


@pytest.mark.thorough
def test_workers_end_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        os.kill(worker, 0)
        parent.kill()
        parent.wait()
    for _ in range(600):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.1)
    pytest.fail(f"worker {worker} outlives its parent")
