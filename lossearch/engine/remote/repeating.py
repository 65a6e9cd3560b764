"""Calls of a function as Ray tasks: what is lost with a process or a node is repeated, elsewhere if need be."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from lossearch.engine.remote.placement import as_task
from lossearch.engine.setup.config import ResourcesConfig
from lossearch.errors import UserError

Key = TypeVar("Key", bound=Hashable)

MOST_CRASHES = 2
"""A call during which its process died this often is not tried again: it may well have been the cause."""

MOST_LOSSES = 10
"""Nor is one whose node was lost this often. Fewer losses say nothing of the call: nodes are preempted."""


@dataclass(frozen=True)
class Ended(Generic[Key]):
    """A call that is over.

    Attributes:
        key: as it was submitted.
        result: what the function returned; None where the call was given up.
        given_up: why it was not tried again; empty where it returned.
    """

    key: Key
    result: Any
    given_up: str = ""


class RepeatedTasks(Generic[Key]):
    """Calls of one function, at most so many under way at once, the first submitted first.

    A call whose node was lost, as when it is preempted, starts again wherever there is room. One whose process died is
    repeated once: something from outside may have killed it, or the function itself, which a second death tells.

    Args:
        function: to be called; arguments and results must be picklable.
        resources: of each call.
        at_once: calls under way at once; None submits all, and lets Ray decide.
        once: whether each call has a process of its own.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        resources: ResourcesConfig,
        at_once: int | None = None,
        once: bool = False,
    ) -> None:
        self._task = as_task(function, resources, once)
        self._at_once = at_once
        self._waiting: deque[tuple[Key, tuple[Any, ...]]] = deque()
        self._under_way: dict[Any, tuple[Key, tuple[Any, ...]]] = {}
        self._crashes: Counter[Key] = Counter()
        self._losses: Counter[Key] = Counter()

    def __len__(self) -> int:
        """Calls that are not over."""
        return len(self._waiting) + len(self._under_way)

    def submit(self, key: Key, *arguments: Any) -> None:
        """Call the function with these arguments, as soon as there is room."""
        self._waiting.append((key, arguments))
        self._fill()

    def wait(self) -> list[Ended[Key]]:
        """Wait until something happens to a call; the calls that are over since.

        Raises:
            UserError: the function raised one.
            RayError: the function raised something else, or Ray itself fails.
        """
        if not self._under_way:
            return []
        ready, _ = ray.wait(list(self._under_way), num_returns=1)
        # What ended at the same time is taken along.
        more, _ = ray.wait(list(self._under_way), num_returns=len(self._under_way), timeout=0)
        ended = [one for reference in {*ready, *more} if (one := self._ended(reference)) is not None]
        self._fill()
        return ended

    def cancel(self) -> None:
        """Give up all calls that are not over."""
        self._waiting.clear()
        for reference in self._under_way:
            ray.cancel(reference, force=True)
        self._under_way.clear()

    def _fill(self) -> None:
        while self._waiting and (self._at_once is None or len(self._under_way) < self._at_once):
            key, arguments = self._waiting.popleft()
            self._under_way[self._task.remote(*arguments)] = key, arguments

    def _ended(self, reference: Any) -> Ended[Key] | None:
        """The end of a call; None where it is repeated."""
        key, arguments = self._under_way.pop(reference)
        try:
            return Ended(key, ray.get(reference))
        except RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise
        except (WorkerCrashedError, OutOfMemoryError) as error:
            self._crashes[key] += 1
            if self._crashes[key] >= MOST_CRASHES:
                why = " (the last time for want of memory)" if isinstance(error, OutOfMemoryError) else ""
                return Ended(key, None, f"the process that trained it died {MOST_CRASHES} times{why}")
        except (NodeDiedError, ObjectLostError):
            self._losses[key] += 1
            if self._losses[key] >= MOST_LOSSES:
                return Ended(key, None, f"the node that trained it was lost {MOST_LOSSES} times")
        self._waiting.appendleft((key, arguments))
        return None
