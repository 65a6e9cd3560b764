"""Hypergradients of an outer step as Ray tasks, one for each task that is learned on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import ray
import torch

from lossearch.engine.remote.equipment import Equipment, equip
from lossearch.engine.remote.repeating import RepeatedTasks
from lossearch.engine.setup.config import ResourcesConfig
from lossearch.engine.setup.parts import build_parts, island_method
from lossearch.errors import UserError
from lossearch.meta.method import Hypergradient
from lossearch.meta.outer_loop import Request
from lossearch.meta.problem import Estimate


class Hypergradients:
    """Answers the requests of outer steps elsewhere; see `lossearch.meta.outer_loop.Estimates`.

    What an answer is depends on its request alone, so neither how many are under way nor where makes a difference.

    Args:
        equipment: of the processes that train.
        resources: of each estimate.
        at_once: most of them at once; None leaves that to Ray.
    """

    def __init__(self, equipment: Equipment, resources: ResourcesConfig, at_once: int | None) -> None:
        self._equipment = ray.put(equipment.with_threads(resources.cpu))
        self._tasks: RepeatedTasks[int] = RepeatedTasks(estimate, resources, at_once)

    def __call__(self, requests: Sequence[Request]) -> list[Estimate]:
        """The answers, in order; that of a task whose process died again and again counts as diverged.

        Raises:
            UserError: an estimate found something that the user must mend.
        """
        for number, request in enumerate(requests):
            self._tasks.submit(number, self._equipment, request)
        found: dict[int, Estimate] = {}
        while len(found) < len(requests):
            for ended in self._tasks.wait():
                found[ended.key] = _lost(requests[ended.key]) if ended.given_up else ended.result
        return [found[number] for number in range(len(requests))]


def estimate(equipment: Equipment, request: Request) -> Estimate:
    """The hypergradient that is asked for, in this process; what this takes is built once for each search."""
    return _learner(equipment).answer(request)


@lru_cache(maxsize=1)
def _learner(equipment: Equipment) -> Hypergradient:
    config = equip(equipment)
    method = island_method(config, build_parts(config), 0, 1)
    if not isinstance(method, Hypergradient):
        raise UserError("meta-learning", f"the method {config.method.name}", "start the search anew")
    return method


def _lost(request: Request) -> Estimate:
    coefficients = len(request.point)
    nothing = torch.full((coefficients,), math.nan, dtype=torch.float64)
    return Estimate(math.nan, torch.zeros(coefficients, dtype=torch.float64), nothing, 0, len(request.seeds))
