"""What a training asks Ray for, and whether a cluster has that at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ray

from lossearch.engine.setup.config import ResourcesConfig, SearchConfig
from lossearch.engine.setup.cpus import own_cpus
from lossearch.errors import UserError
from lossearch.tasks.user.config import FunctionConfig


def as_task(function: Callable[..., Any], resources: ResourcesConfig, once: bool = False) -> Any:
    """A function as a Ray task with these resources, which runs in any node that has room for it.

    Ray repeats nothing by itself; `lossearch.engine.remote.repeating` does.

    Args:
        function: the function.
        resources: of each call.
        once: whether each call has a process of its own.
    """
    # Tune has what an island starts run within the island's own share, unless told otherwise.
    options = {"max_retries": 0, "scheduling_strategy": "DEFAULT", "max_calls": int(once)}
    return ray.remote(num_cpus=resources.cpu, num_gpus=resources.gpu, **options)(function)


def needs_own_process(config: SearchConfig) -> bool:
    """Whether a training needs a process of its own.

    A bundled task uses the GPU in the process that it was given one in, and the next training may be given another one.
    A user's function is called in a process of its own anyway.
    """
    gpu = config.elsewhere is not None and config.elsewhere.gpu > 0.0
    return gpu and not isinstance(config.task, FunctionConfig)


def cpus_needed(islands: int, resources: ResourcesConfig | None) -> int:
    """CPUs that a Ray of one's own counts.

    One for each island; where trainings run beside the islands, which wait for them meanwhile, all of the machine's
    more.
    """
    return islands if resources is None else islands + max(own_cpus(), math.ceil(resources.cpu))


def _alive() -> list[dict[str, float]]:
    """What each living node has, whoever uses it now."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def has_node_for(resources: ResourcesConfig) -> bool:
    """Whether a node of the cluster has what a training asks for, whoever uses it now."""
    return any(has.get("CPU", 0.0) >= resources.cpu and has.get("GPU", 0.0) >= resources.gpu for has in _alive())


def check_room(islands: int, resources: ResourcesConfig) -> None:
    """See that a training finds room beside the islands, in the Ray that this process is connected to.

    Raises:
        UserError: no node has what a training asks for, or the islands take all CPUs.
    """
    alive = _alive()
    if not has_node_for(resources):
        nodes = "; ".join(f"cpu = {has.get('CPU', 0.0):g}, gpu = {has.get('GPU', 0.0):g}" for has in alive)
        raise UserError(
            f"a node of the Ray cluster with what a training asks for: {resources}",
            f"nodes with {nodes}",
            "ask for less (resources in the configuration), or start such a node",
        )
    cpus = sum(has.get("CPU", 0.0) for has in alive)
    needed = islands + resources.cpu
    if cpus < needed:
        raise UserError(
            f"{needed:g} CPUs in the Ray cluster, 1 for each island and {resources.cpu:g} for a training",
            f"{cpus:g}",
            "search with fewer islands (--workers), or ask for less (resources in the configuration)",
        )
