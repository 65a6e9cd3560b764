"""Doing jobs in worker processes, with several losses under way at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any, TypeVar

from lossearch.comparison.jobs import Job, JobResult, end_function, run_job
from lossearch.errors import UserError
from lossearch.tasks import forbid_test_split

Result = TypeVar("Result")

Stages = Generator[Sequence[Job], list[list[JobResult]], Result]
"""Yields the jobs of one stage, is sent their results in order, and returns what came of all."""


def drive(
    pending: Mapping[str, Callable[[], Stages[Result]]], executor: Executor, width: int
) -> Iterator[tuple[str, Result]]:
    """Carry several losses through their stages, and give each result as it is ready.

    Another loss is begun only when fewer than `width` jobs are under way, so that results come early.

    Raises:
        UserError: a worker process was killed.
    """
    waiting = iter(pending.items())
    active: dict[str, tuple[Stages[Result], list[Future[list[JobResult]]]]] = {}
    try:
        while True:
            for name, (stages, futures) in list(active.items()):
                if all(future.done() for future in futures):
                    finished = _advance(stages, [future.result() for future in futures], executor)
                    if isinstance(finished, _Finished):
                        del active[name]
                        yield name, finished.result
                    else:
                        active[name] = stages, finished
            under_way = [f for _, futures in active.values() for f in futures if not f.done()]
            ready = any(all(f.done() for f in futures) for _, futures in active.values())
            if not ready and len(under_way) < width and (new := next(waiting, None)) is not None:
                stages = new[1]()
                active[new[0]] = stages, [executor.submit(run_job, job) for job in next(stages)]
            elif not active:
                return
            elif not ready:
                wait(under_way, return_when=FIRST_COMPLETED)
    except BrokenProcessPool as error:
        raise UserError(
            "worker processes that stay alive",
            "one was killed, as happens when memory runs out",
            "run again with fewer workers; with an output directory, finished losses are kept",
        ) from error
    finally:
        for _, futures in active.values():
            for future in futures:
                future.cancel()


@dataclass(frozen=True)
class _Finished:
    result: Any


def _advance(stages: Stages[Any], results: list[list[JobResult]], executor: Executor) -> Any:
    try:
        return [executor.submit(run_job, job) for job in stages.send(results)]
    except StopIteration as stop:
        return _Finished(stop.value)


@contextmanager
def open_executor(workers: int) -> Iterator[Executor]:
    """Worker processes, or for one worker this process itself.

    Raises:
        UserError: fewer than one worker.
    """
    if workers < 1:
        raise UserError("at least one worker", str(workers), "raise workers")
    if workers == 1:
        try:
            yield _InThisProcess()
        finally:
            end_function()  # other workers end with theirs
        return
    with worker_processes(workers) as pool:
        yield pool


@contextmanager
def worker_processes(workers: int) -> Iterator[Executor]:
    """Worker processes from which the test split is sealed; they end with this one.

    On Linux they are forked from a process that has imported PyTorch and outlives them: the first pool of a program
    waits for that, later ones start in milliseconds.
    """
    context = _Forked() if sys.platform == "linux" else _Spawned()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_initialize, initargs=(dict(os.environ),))
    try:
        yield pool
    except BaseException:  # Ctrl-C must not wait for the trainings under way
        for process in context.started:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def default_workers() -> int:
    """One per core."""
    return os.cpu_count() or 1


class _InThisProcess(Executor):
    """Does each job at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def _without_script() -> Iterator[None]:
    """Processes started in the block do not import the script of this one: it needs no `if __name__ == "__main__"`.

    They never see Ctrl-C, which is for their parent: a blocked signal stays blocked in the program that is started.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        sys.modules["__main__"] = main


class _ForkedProcess(ForkServerProcess):
    def start(self) -> None:
        with _without_script():
            super().start()


class _SpawnedProcess(SpawnProcess):
    def start(self) -> None:
        with _without_script():
            super().start()


class _Forked(ForkServerContext):
    """Forks processes from Python's own fork server; knows those that it started."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[_ForkedProcess] = []
        self.set_forkserver_preload([run_job.__module__])  # without effect where the program's fork server runs already

    def Process(self, *args: Any, **kwargs: Any) -> _ForkedProcess:  # pyright: ignore[reportIncompatibleVariableOverride]
        process = _ForkedProcess(*args, **kwargs)
        self.started.append(process)
        return process


class _Spawned(SpawnContext):
    """Starts processes afresh, where a process that has loaded libraries of the system may not be forked."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[_SpawnedProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> _SpawnedProcess:  # pyright: ignore[reportIncompatibleVariableOverride]
        process = _SpawnedProcess(*args, **kwargs)
        self.started.append(process)
        return process


def _initialize(environment: Mapping[str, str]) -> None:
    """Begin as a process that its parent had started itself: the fork server's environment is that of its own start."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    forbid_test_split("it trains what its parent process hands it")


def _end_with_parent() -> None:
    """End this process when its parent was killed, of which the queue it waits at tells nothing."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
