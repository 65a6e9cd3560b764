import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

# Set before torch, matplotlib or ray are first imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

# A shell starts what it runs in the background with SIGINT ignored, nohup with SIGHUP, and so would be all that tests
# start: they send both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from lossearch.tasks.user.server import Server

# No deadline: no test asserts on time. Under CI hypothesis draws the same examples every time by itself.
settings.register_profile("lossearch", deadline=None)
settings.load_profile("lossearch")


def pytest_collection_finish() -> None:
    """Take what was collected, and what was imported for it, out of the garbage collector's sight: it stays."""
    gc.collect()
    gc.freeze()


shared_ray = contextlib.ExitStack()
"""Ends the Ray that the tests of the group "ray" share, if it runs."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """End the shared Ray before a test outside of its group, which would find it and must not."""
    if not any("ray" in mark.args for mark in item.iter_markers("xdist_group")):
        shared_ray.close()


def pytest_sessionfinish() -> None:
    shared_ray.close()


@pytest.fixture(scope="module")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for the searches of all test files of the group "ray": they take it, and must leave it running."""
    import ray

    from lossearch.engine.driver.cluster import ray_session

    if not ray.is_initialized():
        shared_ray.enter_context(ray_session(None, 2, tmp_path_factory.mktemp("ray") / "log.txt"))
    yield
    assert ray.is_initialized()


@pytest.fixture(scope="session")
def kept_servers() -> Iterator[Callable[[], "Server"]]:
    """Lends processes that fork trainings, which take seconds to start: one for all of the same PYTHONPATH."""
    from lossearch.tasks.user import server

    class Kept(server.Server):
        def close(self) -> None:
            """Go on, for the next task, unless an error breaks off what is under way."""
            if sys.exc_info()[0] is not None:
                super().close()

    kept: dict[frozenset[tuple[str, str]], Kept] = {}

    def lend() -> Kept:
        key = frozenset((name, os.environ[name]) for name in os.environ if name.startswith(("PYTHON", "LOSSEARCH_")))
        if key not in kept or kept[key].connection.closed or kept[key].process.poll() is not None:
            kept[key] = Kept()
        return kept[key]

    yield lend
    for one in kept.values():
        server.Server.close(one)


@pytest.fixture(scope="module")
def one_server(kept_servers: Callable[[], "Server"]) -> Iterator[None]:
    """One process that forks all trainings of a test file, and of others: each of its tasks would start one."""
    from lossearch.tasks.user import task

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "Server", kept_servers)
        # A task that an error leaves has no training under way, unlike one that an error breaks off.
        patch.setattr(task.UserTask, "__exit__", lambda self, *_: setattr(self, "_server", None))
        yield
