"""The driver of a search: starts the writer and one Tune trial per island, watches them, and ends them."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import GetTimeoutError, RayActorError
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig
from ray.tune.experiment import Trial
from ray.tune.stopper import Stopper
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lossearch.engine.config import FunctionConfig, SearchConfig
from lossearch.engine.display import Display
from lossearch.engine.island import Assignment, Island
from lossearch.engine.parts import TaskFacts
from lossearch.engine.progress import Progress
from lossearch.engine.scribe import unwrapped
from lossearch.engine.writer import ArchiveWriter, hold_writer_lock
from lossearch.errors import UserError
from lossearch.evaluate.run_directory import RunDirectory, storage_errors, write_atomically

ISLANDS = "islands.json"
"""The file of a run directory that says where the islands' time went."""

_LOG = logging.getLogger(__name__)
_LOCK_PATIENCE = 60.0
_POLL_SECONDS = 1.0
_ANSWER_SECONDS = 30.0
_KEPT_CHECKPOINTS = 2  # the newest may be torn by a kill


@dataclass(frozen=True)
class Job:
    """One session of a search.

    Attributes:
        run: where everything is kept.
        config: what to search.
        facts: of the task.
        islands: how many.
        states: each island's state to continue from, where there is one.
        name: of this session's folder below the checkpoints.
        trainable: the class of the islands.
    """

    run: RunDirectory
    config: SearchConfig
    facts: TaskFacts
    islands: int
    states: dict[int, str]
    name: str
    trainable: type[Island] = Island


def drive(job: Job, namespace: str, display: Display) -> None:
    """Run the islands until each has reached a limit; `namespace` holds the names of actors.

    Raises:
        UserError: something that the user must mend ended the search, such as a full disk.
        RuntimeError: an island broke more often than it may be started again.
    """
    with _writer(job) as (writer, name), display:
        watch = _Watch(writer, display)
        try:
            tuner = _tuner(job, namespace, name, watch)
            with storage_errors(job.run.checkpoints):
                results = tuner.fit()
        finally:
            watch.end()
        if watch.failure is not None:
            raise watch.failure
        if results.errors:
            raise _breakdown(job, results.errors) from results.errors[0]
        if watch.last is not None:
            write_atomically(job.run.path / ISLANDS, _account(watch.last))


def _breakdown(job: Job, errors: Sequence[Exception]) -> Exception:
    """What to tell when islands broke; a disk that is full when states are saved shows in Tune's own errors."""
    if any(os.strerror(errno.ENOSPC) in str(error) for error in errors):
        hint = "free some space, then `lossearch resume`: nothing is lost"
        return UserError("free disk space for the islands' states", f"none for {job.run.checkpoints}", hint)
    return RuntimeError(f"{len(errors)} of {job.islands} islands broke; see {job.run.log}")


def _account(progress: Progress) -> str:
    """Where the islands' time went, as JSON."""
    islands = {number: {**asdict(r), "overhead": r.overhead} for number, r in sorted(progress.islands.items())}
    return json.dumps({"overhead": progress.overhead, "islands": islands}, indent=2) + "\n"


@contextlib.contextmanager
def _writer(job: Job) -> Iterator[tuple[Any, str]]:
    """The archive's writer, as an actor on this machine, and its name."""
    # The writer of a search that was killed just now may still be ending.
    os.close(hold_writer_lock(job.run.path, _LOCK_PATIENCE))
    name = f"writer-{uuid.uuid4().hex}"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote: Any = ray.remote(ArchiveWriter)
    actor = remote.options(
        name=name, num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here
    ).remote(str(job.run.path.resolve()), job.islands, job.facts.name)
    try:
        yield actor, name
        ray.get(actor.close.remote(), timeout=_ANSWER_SECONDS)
    finally:
        ray.kill(actor)


def _tuner(job: Job, namespace: str, writer: str, watch: _Watch) -> tune.Tuner:
    assignment = Assignment(
        config=job.config.to_json(),
        islands=job.islands,
        writer=writer,
        namespace=namespace,
        states=job.states,
        python_path=_python_path(job.config),
    )
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
            failure_config=FailureConfig(max_failures=job.config.max_restarts),
            checkpoint_config=CheckpointConfig(
                num_to_keep=_KEPT_CHECKPOINTS, checkpoint_frequency=1, checkpoint_at_end=True
            ),
        ),
    )


def _folder_name(trial: Trial) -> str:
    return f"island-{trial.config['island']}"


def _python_path(config: SearchConfig) -> tuple[str, ...]:
    """Folders from which islands can import the user's code: this process's own, and the function's."""
    folders: Sequence[str] = [str(Path.cwd())]
    if isinstance(config.task, FunctionConfig):
        place = Path(config.task.function.rpartition(":")[0])
        folders = [*([str(place.resolve().parent)] if place.suffix == ".py" else []), *folders]
    return tuple(folders)


class _Watch(Stopper):
    """Polls the writer in a thread: shows progress, and stops all islands once the search has failed.

    Tune asks `stop_all` in every turn of its own loop; the answer costs nothing.

    Attributes:
        failure: what ended the search.
        last: the progress seen last.
    """

    def __init__(self, writer: Any, display: Display) -> None:
        self.failure: Exception | None = None
        self.last: Progress | None = None
        self._writer, self._display = writer, display
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="progress", daemon=True)
        self._thread.start()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Whether the search has failed."""
        return self.failure is not None

    def end(self) -> None:
        """Stop polling, after a last look."""
        self._ended.set()
        self._thread.join()

    def _poll(self) -> None:
        last = False
        while not last:
            last = self._ended.wait(_POLL_SECONDS)
            try:
                self._look()
            except (GetTimeoutError, RayActorError) as error:
                _LOG.info("the writer does not answer: %s", error)  # busy, or being started again
            except Exception as error:  # recorded: it ends the search, and the driver raises it
                self.failure = self.failure or error

    def _look(self) -> None:
        references = [self._writer.progress.remote(), self._writer.failure.remote()]
        progress, failure = unwrapped(lambda: ray.get(references, timeout=_ANSWER_SECONDS))
        self.last = progress
        self.failure = self.failure or failure
        self._display.update(progress)

    def __getstate__(self) -> dict[str, Any]:
        # Tune keeps stoppers in its own record of an experiment, which lossearch never restores from.
        return {}
