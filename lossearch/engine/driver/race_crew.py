"""Who does the trainings of a final race: processes of this machine, or tasks wherever a Ray cluster has room."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol

from lossearch.comparison.workers import worker_processes
from lossearch.engine.driver.ending import Ending, SearchLost, exits_of_ray
from lossearch.engine.driver.race_jobs import AnyRaceTraining, Job, given_up, race_workers, run_race_job, run_race_task
from lossearch.engine.setup.config import ResourcesConfig, SearchConfig
from lossearch.errors import UserError

Note = Callable[[str], None]


class Crew(Protocol):
    """Trains for a race."""

    def trained(self, jobs: Iterator[Job]) -> Iterable[list[AnyRaceTraining]]:
        """Do jobs, and give what came of each as it ends."""
        ...


OpenCrew = Callable[[int], AbstractContextManager[Crew]]
"""Gets a crew ready for so many jobs."""


def crew_for(
    config: SearchConfig, address: str | None, workers: int | None, run: Path, log: Path, ending: Ending, note: Note
) -> OpenCrew:
    """The crew of a search: of its cluster, where it runs on one or a configuration says what a training asks for.

    A process that is connected to a Ray already uses that one, unless a number of workers is asked for.

    Args:
        config: of the search.
        address: of a Ray cluster, as in `search`.
        workers: processes of this machine, where there is no cluster; None takes as many as there are islands, at most
            one per CPU.
        run: the run directory.
        log: file for what Ray says.
        ending: is told when Ray is gone.
        note: is told when Ray does not answer.
    """
    connected = workers is None and "ray" in sys.modules and sys.modules["ray"].is_initialized()
    if address is None and config.elsewhere is None and not connected:
        return lambda jobs: _processes(min(race_workers(config, workers), jobs))
    resources = config.elsewhere or ResourcesConfig()
    return lambda jobs: _on_ray(config, address, resources, run, log, ending, note)


@contextmanager
def _processes(workers: int) -> Iterator[Crew]:
    with worker_processes(workers) as executor:
        yield _Processes(executor, workers)


class _Processes:
    """Processes of this machine."""

    def __init__(self, executor: Executor, workers: int) -> None:
        self._executor, self._workers = executor, workers

    def trained(self, jobs: Iterator[Job]) -> Iterable[list[AnyRaceTraining]]:
        """See `Crew`; raises `UserError` where a process was killed."""
        under_way: set[Future[list[AnyRaceTraining]]] = set()
        try:
            while True:
                free = self._workers - len(under_way)
                under_way |= {self._executor.submit(run_race_job, job) for job in islice(jobs, free)}
                if not under_way:
                    return
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise UserError(
                "worker processes that stay alive",
                "one of the final race was killed, as happens when memory runs out",
                "go on with fewer workers: lossearch race DIR --workers N; what was trained is kept",
            ) from error


@contextmanager
def _on_ray(
    config: SearchConfig,
    address: str | None,
    resources: ResourcesConfig,
    run: Path,
    log: Path,
    ending: Ending,
    note: Note,
) -> Iterator[Crew]:
    with ending.deferred():
        # Ray takes a second to import, which only those who need it should wait for.
        from ray.exceptions import RayError, RayTaskError

        from lossearch.engine.driver.cluster import ray_session
        from lossearch.engine.driver.pulse import pulse_felt
        from lossearch.engine.remote.placement import check_room, cpus_needed, needs_own_process

    with exits_of_ray(ending), ray_session(address, cpus_needed(0, resources), log, ending.last_acts):
        ending.take_signals()
        check_room(0, resources)
        try:
            with pulse_felt(ending.lose, note):
                yield _Tasks(resources, needs_own_process(config))
        except RayError as error:
            if isinstance(error, RayTaskError):
                raise  # a defect of this package, in another process
            raise SearchLost(run, f"Ray failed in the final race ({type(error).__name__}; see {log})") from error


class _Tasks:
    """Tasks of a Ray cluster: what is lost is trained again, elsewhere if need be."""

    def __init__(self, resources: ResourcesConfig, once: bool) -> None:
        self._resources, self._once = resources, once

    def trained(self, jobs: Iterator[Job]) -> Iterable[list[AnyRaceTraining]]:
        """See `Crew`."""
        from lossearch.engine.remote.repeating import RepeatedTasks

        tasks: RepeatedTasks[Job] = RepeatedTasks(run_race_task, self._resources, once=self._once)
        with contextlib.ExitStack() as stack:
            stack.callback(tasks.cancel)
            for job in jobs:
                tasks.submit(job, job)
            while len(tasks):
                for ended in tasks.wait():
                    yield given_up(ended.key, ended.given_up) if ended.given_up else ended.result
