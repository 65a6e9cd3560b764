import gc
import os
import signal
from collections.abc import Iterator

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

# No deadline: no test asserts on time. Under CI hypothesis draws the same examples every time by itself.
settings.register_profile("lossearch", deadline=None)
settings.load_profile("lossearch")


def pytest_collection_finish() -> None:
    """Take what was collected, and what was imported for it, out of the garbage collector's sight: it stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for the searches of a test file, which take one that runs already and must leave it running."""
    import ray

    from lossearch.engine.driver.cluster import ray_session

    with ray_session(None, 2, tmp_path_factory.mktemp("ray") / "log.txt"):
        yield
        assert ray.is_initialized()


@pytest.fixture(scope="module")
def one_server() -> Iterator[None]:
    """One process that forks all trainings of a test file: each of its tasks would start one, which takes seconds."""
    from lossearch.tasks.user import server, task

    class Kept(server.Server):
        def close(self) -> None:
            """Go on, for the next task."""

    kept: list[Kept] = []

    def lend() -> Kept:
        if not kept or kept[-1].process.poll() is not None:
            kept.append(Kept())
        return kept[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "Server", lend)
        yield
    for one in kept:
        server.Server.close(one)
