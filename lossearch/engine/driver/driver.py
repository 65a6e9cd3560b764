"""The driver of a search: starts the writer and one Tune trial per island, watches them, and ends them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError, RayTaskError
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig
from ray.tune.experiment import Trial
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.driver.display import Display
from lossearch.engine.driver.ending import Ending, SearchLost
from lossearch.engine.driver.loggers import loggers
from lossearch.engine.driver.pulse import Pulse, ray_endpoints
from lossearch.engine.driver.watch import ANSWER_SECONDS, IslandNotes, Watch
from lossearch.engine.island.island import Assignment, Island
from lossearch.engine.remote.equipment import Equipment
from lossearch.engine.remote.placement import check_room
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.parts import TaskFacts
from lossearch.engine.setup.state import IslandState
from lossearch.engine.writer.progress import Progress
from lossearch.engine.writer.writer import ArchiveWriter, hold_writer_lock
from lossearch.errors import UserError
from lossearch.files import RESUME, StorageError, storage_errors, write_atomically

ISLANDS = "islands.json"
"""The file of a run directory that says where the islands' time went."""

_LOCK_SECONDS = 2.0  # after which the user is told
_LOCK_PATIENCE = 90.0
_KEPT_CHECKPOINTS = 2  # the newest may be torn by a kill


@dataclass(frozen=True)
class SearchSession:
    """One session of a search.

    Attributes:
        run: where everything is kept.
        config: what to search.
        facts: of the task.
        islands: how many.
        states: each island's state to continue from, where there is one.
        name: of this session's folder below the checkpoints.
        trainable: the class of the islands.
        first_call: of a user's function, see `Assignment`.
    """

    run: RunDirectory
    config: SearchConfig
    facts: TaskFacts
    islands: int
    states: dict[int, str]
    name: str
    trainable: type[Island] = Island
    first_call: bytes | None = None


def drive(job: SearchSession, namespace: str, display: Display, ending: Ending) -> None:
    """Run the islands until each has reached a limit; `namespace` holds the names of actors.

    Raises:
        UserError: something that the user must mend ended the search, such as a full disk.
        SearchLost: Ray failed, or islands broke more often than they may be started again.
        KeyboardInterrupt: see `ending`.
    """
    try:
        if job.config.elsewhere is not None:
            check_room(job.islands, job.config.elsewhere)
        with display, _writer(job, display) as (writer, name):
            watch = Watch(writer, display, Pulse(ray_endpoints()), ending, job.config.elsewhere)
            _run_islands(job, namespace, display, watch, name)
    except RayError as error:
        if isinstance(error, RayTaskError):
            raise  # a defect of this package, in another process
        raise SearchLost(job.run.path, f"Ray failed ({_first_line(error)}; see {job.run.log})") from error


def _run_islands(job: SearchSession, namespace: str, display: Display, watch: Watch, writer: str) -> None:
    try:
        tuner = _tuner(job, namespace, writer, watch, display)
        with storage_errors(job.run.checkpoints):
            results = tuner.fit()
    except RayError as error:
        if watch.failure is not None:
            raise watch.failure from error
        raise
    finally:
        watch.end()
    if watch.ending.asked():  # and Tune caught what was raised
        raise KeyboardInterrupt
    if watch.failure is not None:
        raise watch.failure
    if results.errors:
        raise _breakdown(job, results.errors) from results.errors[0]
    if watch.last is not None:
        write_atomically(job.run.path / ISLANDS, _account(watch.last))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]:.200}"


def _breakdown(job: SearchSession, errors: Sequence[Exception]) -> Exception:
    """What to tell when islands broke; a disk that is full when states are saved shows in Tune's own errors."""
    if any(os.strerror(errno.ENOSPC) in str(error) for error in errors):
        mend = "free some space"
        hint = f"{mend}, then {RESUME}: nothing is lost"
        return StorageError("free disk space for the islands' states", f"none for {job.run.checkpoints}", hint, mend)
    what = f"{len(errors)} of {job.islands} islands broke more often than they may be started again"
    return SearchLost(job.run.path, f"{what} ({_first_line(errors[0])}; see {job.run.log})")


def _account(progress: Progress) -> str:
    """Where the islands' time went, as JSON."""
    islands = {number: {**asdict(r), "overhead": r.overhead} for number, r in sorted(progress.islands.items())}
    return json.dumps({"overhead": progress.overhead, "islands": islands}, indent=2) + "\n"


@contextlib.contextmanager
def _writer(job: SearchSession, display: Display) -> Iterator[tuple[Any, str]]:
    """The archive's writer, as an actor on this machine, and its name."""
    _await_earlier_writer(job.run.path, display)
    name = f"writer-{uuid.uuid4().hex}"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote: Any = ray.remote(ArchiveWriter)
    actor = remote.options(
        name=name, num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here
    ).remote(str(job.run.path.resolve()), job.islands, job.facts.name)
    try:
        yield actor, name
        ray.get(actor.close.remote(), timeout=ANSWER_SECONDS)
    finally:
        ray.kill(actor)


def _await_earlier_writer(run: Path, display: Display) -> None:
    """Wait for the writer of a search that ended just now: it notices the end of its cluster within a minute or so."""
    try:
        os.close(hold_writer_lock(run, _LOCK_SECONDS))
    except UserError:
        display.note(f"the writer of the search before still runs; waiting up to {_LOCK_PATIENCE:.0f} s for it")
        os.close(hold_writer_lock(run, _LOCK_PATIENCE))


def _tuner(job: SearchSession, namespace: str, writer: str, watch: Watch, display: Display) -> tune.Tuner:
    assignment = Assignment(
        equipment=Equipment.of(job.config, job.first_call),
        islands=job.islands,
        writer=writer,
        namespace=namespace,
        states=job.states,
    )
    generations = {island: IslandState.loads(text).generation for island, text in job.states.items()}
    trainable = tune.with_parameters(job.trainable, assignment=assignment)
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"island": tune.grid_search(list(range(job.islands)))},
        tune_config=TuneConfig(trial_dirname_creator=_folder_name, trial_name_creator=_folder_name),
        run_config=RunConfig(
            name=job.name,
            storage_path=str(job.run.checkpoints.resolve()),
            verbose=0,
            stop=watch,
            callbacks=[
                IslandNotes(display.note, watch.ending.lose, job.config.max_restarts, generations),
                *loggers(job.config.logging.callbacks, job.run.path),
            ],
            failure_config=FailureConfig(max_failures=job.config.max_restarts),
            checkpoint_config=CheckpointConfig(
                num_to_keep=_KEPT_CHECKPOINTS, checkpoint_frequency=1, checkpoint_at_end=True
            ),
        ),
    )


def _folder_name(trial: Trial) -> str:
    return f"island-{trial.config['island']}"
