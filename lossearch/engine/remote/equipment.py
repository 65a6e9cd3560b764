"""What a process needs that works for a search on whatever node, and how it gets ready."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.luggage import Luggage, unpacked
from lossearch.engine.setup.python_path import python_path
from lossearch.ir.core.primitive import PRIMITIVES
from lossearch.tasks import forbid_test_split


@dataclass(frozen=True)
class Equipment:
    """What every process of a search is told.

    Attributes:
        config: in JSON, with the paths that are good where the search was started.
        python_path: folders there from which the user's code can be imported.
        luggage: the user's files, for nodes that do not have them.
        first_call: what a user's function gives its loss at the first call, as `FirstCalls.dumps` writes it.
        settings: environment variables of lossearch, as they are where the search was started.
        threads: of PyTorch; more than a process was given would fight for the cores of others.
    """

    config: str
    python_path: tuple[str, ...]
    luggage: Luggage
    first_call: bytes | None = None
    settings: tuple[tuple[str, str], ...] = ()
    threads: int = 1

    @classmethod
    def of(cls, config: SearchConfig, first_call: bytes | None = None) -> Equipment:
        """The equipment of a search that is started in this process, with absolute paths in its configuration."""
        settings = tuple(sorted(shipped_settings().items()))
        return cls(config.to_json(), python_path(config), Luggage.of(config), first_call, settings)

    def with_threads(self, cpus: float) -> Equipment:
        """The same for a process that is given so many CPUs."""
        return replace(self, threads=max(1, int(cpus)))


@lru_cache(maxsize=1)
def equip(equipment: Equipment) -> SearchConfig:
    """Make this process ready: seal the test split, set variables and threads, and find the user's code.

    Returns:
        The configuration, with paths that are good on this node.
    """
    forbid_test_split()
    os.environ.update(dict(equipment.settings))
    _use_threads(equipment.threads)
    config, folders = unpacked(SearchConfig.parse_json(equipment.config, "the search"), equipment.luggage)
    # At the end: a file of the user's must not take the place of a module that others import.
    for folder in (*folders, *python_path(config), *equipment.python_path):
        if folder not in sys.path:
            sys.path.append(folder)
    PRIMITIVES.extend()
    return config


def shipped_settings() -> dict[str, str]:
    """Environment variables of lossearch, which count on every machine of a search; that of data as absolute path."""
    found = {name: value for name, value in os.environ.items() if name.startswith("LOSSEARCH_")}
    if "LOSSEARCH_DATA" in found:
        found["LOSSEARCH_DATA"] = str(Path(found["LOSSEARCH_DATA"]).expanduser().absolute())
    return found


def visible_gpus() -> str:
    """The GPUs that Ray has given to the task that runs in this process, which may be others than the task before."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")


def _use_threads(count: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)
    with contextlib.suppress(RuntimeError):  # raised where it was set before
        torch.set_num_interop_threads(1)
