"""A project with a training script, a space and a run that was begun, and what its tests do with them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lossearch.engine.driver import search as engine
from lossearch.engine.setup.config import SearchConfig
from lossearch.tasks.user.config import FunctionConfig
from lossearch.tasks.user.first_calls import FirstCalls

CONFIG = """
space = "narrow.toml"
islands = 2
generations = 2
seed = 3

[task]
function = "train.py:train"
metric = "accuracy"

[evaluation]
steps = 5
time_limit_s = 60.0
"""
SPACE = """
name = "narrow"
signature = "dense"
seeds = ["cross_entropy"]

[sorts]
E = ["batch", "space"]

[terminals.E]
"true_class_probability(logits, target)" = 1.0

[templates.E]
"log(E)" = 1.0
"""
TRAIN = """
import torch

def train(loss, budget, seed):
    loss(torch.zeros(4, 3, requires_grad=True), torch.arange(4) % 3).backward()
    yield 0.5
"""


@dataclass(frozen=True)
class Begun:
    """A folder with a run that was begun, whose islands have not done anything, and what its function gives a loss."""

    folder: Path
    first_call: FirstCalls


def edit(run: Path, old: str, new: str) -> None:
    text = (run / "config.toml").read_text()
    assert old in text
    (run / "config.toml").write_text(text.replace(old, new))


def function_of(config: SearchConfig) -> str:
    assert isinstance(config.task, FunctionConfig)
    return config.task.function


def goes_on(run: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> SearchConfig:
    """With what configuration `resume` runs the islands."""
    found: list[SearchConfig] = []
    monkeypatch.setattr(engine, "_run", lambda run, config, *rest: found.append(config))
    engine.resume(run, **options)
    return found[0]


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))

    return apply
