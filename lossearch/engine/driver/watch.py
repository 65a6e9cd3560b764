"""What the driver watches while islands run: progress, failures, and whether Ray, the writer and all islands live."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial
from ray.tune.stopper import Stopper

from lossearch.engine.driver.display import Display, clock
from lossearch.engine.driver.ending import Ending
from lossearch.engine.driver.pulse import Pulse, feel
from lossearch.engine.remote.placement import has_node_for
from lossearch.engine.setup.config import ResourcesConfig
from lossearch.engine.writer.progress import Progress
from lossearch.engine.writer.scribe import unwrapped

ANSWER_SECONDS = 30.0
"""How long the writer may take for one answer, before it is asked again."""

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
_WRITER_SECONDS = 300.0  # in which the writer must have answered at least once
_WAIT_TOLD_SECONDS = 60.0
_NODES_SECONDS = 10.0
_NO_ISLAND_SECONDS = 600.0  # in which at least one island must have found a CPU


class Watch(Stopper):
    """Polls the writer in a thread: shows progress, and stops all islands once the search has failed.

    Tune asks `stop_all` in every turn of its own loop; the answer costs nothing.

    Args:
        writer: handle of the writer's actor.
        display: shows progress and notes.
        pulse: of the Ray that the search runs on.
        ending: is told when Ray or the writer is gone; Tune's loop may stand still then.
        elsewhere: what a training asks Ray for, where it does not run inside its island.

    Attributes:
        ending: as given.
        failure: what ended the search.
        last: the progress seen last.
    """

    def __init__(
        self, writer: Any, display: Display, pulse: Pulse, ending: Ending, elsewhere: ResourcesConfig | None = None
    ) -> None:
        self.ending = ending
        self.failure: Exception | None = None
        self.last: Progress | None = None
        self._writer, self._display, self._pulse = writer, display, pulse
        self._elsewhere, self._has_node, self._looked_at = elsewhere, True, time.monotonic()
        self._answered_at = time.monotonic()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._poll, "progress"), (self._feel_pulse, "pulse"))
        ]
        for thread in self._threads:
            thread.start()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Whether the search has failed, or is to end."""
        return self.failure is not None or self.ending.asked()

    def end(self) -> None:
        """Stop polling, after a last look."""
        self._ended.set()
        for thread in self._threads:
            if self.ending.lost is None or thread.name != "progress":  # which may wait for an answer that never comes
                thread.join()

    def _poll(self) -> None:
        last = False
        while not last and self.ending.lost is None:
            last = self._ended.wait(_POLL_SECONDS)
            try:
                self._look()
            except (GetTimeoutError, RayActorError) as error:
                _LOG.info("the writer does not answer: %s", error)  # busy, or being started again
                if time.monotonic() - self._answered_at > _WRITER_SECONDS:
                    self.ending.lose(f"the archive's writer has not answered for {clock(_WRITER_SECONDS)} minutes")
            except Exception as error:  # recorded: it ends the search, and the driver raises it
                self.failure = self.failure or error

    def _look(self) -> None:
        references = [self._writer.progress.remote(), self._writer.failure.remote()]
        progress, failure = unwrapped(lambda: ray.get(references, timeout=ANSWER_SECONDS))
        self._answered_at = time.monotonic()
        self.last = progress
        self.failure = self.failure or failure
        self._display.update(progress)
        if self._elsewhere is not None and time.monotonic() - self._looked_at >= _NODES_SECONDS:
            self._look_at_nodes(self._elsewhere)

    def _look_at_nodes(self, resources: ResourcesConfig) -> None:
        """Say when the last node is lost that trainings can run on, and when there is one again."""
        self._looked_at, before = time.monotonic(), self._has_node
        self._has_node = has_node_for(resources)
        if before and not self._has_node:
            self._display.note(f"no node of the cluster has what a training asks for ({resources}): they wait for one")
        elif self._has_node and not before:
            self._display.note(f"a node has what a training asks for ({resources}): they go on")

    def _feel_pulse(self) -> None:
        feel(self._pulse, self._ended, self.ending.lose, self._display.note)

    def __getstate__(self) -> dict[str, Any]:
        # Tune keeps stoppers in its own record of an experiment, which lossearch never restores from.
        return {}


class IslandNotes(tune.Callback):
    """Says which island was lost, that it waits for a CPU, and when it goes on.

    Args:
        note: says a line.
        give_up: ends the search, with the reason.
        most_restarts: how often an island is started again.
        generations: the generation in which each island begins, where that is not the first.
    """

    def __init__(
        self,
        note: Callable[[str], None],
        give_up: Callable[[str], None],
        most_restarts: int,
        generations: Mapping[int, int],
    ) -> None:
        self._note, self._give_up, self._most_restarts, self._first = note, give_up, most_restarts, generations
        self._lost_at: dict[int, float] = {}
        self._waiting_since: dict[int, float] = {}
        self._told: set[int] = set()
        self._ran_at = time.monotonic()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        island = _number(trial)
        if (since := self._lost_at.pop(island, None)) is not None:
            self._note(
                f"island {island} goes on after {clock(time.monotonic() - since)}, in generation {self._next(trial)}"
            )
        elif island in self._told:
            self._note(f"island {island} has started")
        self._told.discard(island)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        if _is_lost(trial):
            island = _number(trial)
            self._lost_at[island] = time.monotonic()
            restart = f"restart {trial.num_failures} of at most {self._most_restarts}"
            self._note(
                f"island {island}{_place(trial)} was lost; it waits for a CPU, to go on in generation"
                f" {self._next(trial)} ({restart}). Nothing that it finished is lost"
            )

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        if _is_lost(trial):
            self._note(f"island {_number(trial)}{_place(trial)} was lost too often, and is not started again")

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        now = time.monotonic()
        waiting = {_number(trial) for trial in trials if trial.status == Trial.PENDING}
        self._waiting_since = {island: self._waiting_since.get(island, now) for island in waiting}
        late = {island for island, since in self._waiting_since.items() if now - since >= _WAIT_TOLD_SECONDS}
        if new := sorted(late - self._told - self._lost_at.keys()):
            self._note(f"not started yet, for want of a CPU or because the machine is busy: {_islands(new)}")
            self._told.update(new)
        if any(trial.status == Trial.RUNNING for trial in trials):
            self._ran_at = now
        elif waiting and now - self._ran_at >= _NO_ISLAND_SECONDS:
            self._give_up(f"no island could be started for {clock(_NO_ISLAND_SECONDS)} minutes")

    def _next(self, trial: Trial) -> int:
        """The generation in which an island goes on: the one after the last that it reported."""
        reported = (trial.last_result or {}).get("generation")
        return self._first.get(_number(trial), 0) if reported is None else int(reported) + 1

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as in `Watch`


def _number(trial: Trial) -> int:
    return int(trial.config["island"])


def _place(trial: Trial) -> str:
    """Where an island ran, as far as it has reported that."""
    result = trial.last_result or {}
    return f" (process {result['pid']} on {result['hostname']})" if "pid" in result and "hostname" in result else ""


def _is_lost(trial: Trial) -> bool:
    """Whether an island's process is gone, or it lost touch; a mistake of its own is told by the writer.

    Tune writes what ended an island into a file, before it tells of it.
    """
    file = trial.pickled_error_file
    if file is None or not Path(file).is_file():
        return False
    error = cloudpickle.loads(Path(file).read_bytes())
    return isinstance(error.cause if isinstance(error, RayTaskError) else error, RayError)


def _islands(numbers: Sequence[int]) -> str:
    return f"island{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
