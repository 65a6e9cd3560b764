"""Families of tasks: named ones, tables, and those that other installed packages add."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lossearch
from lossearch.comparison.tuning import Budget
from lossearch.errors import UserError
from lossearch.tasks import FAMILIES, build_task, task_config, tasks
from lossearch.testing import check_task

MODULE = '''
from typing import Literal

import torch
from torch import nn

from lossearch.tasks import FAMILIES, DescribedTask, Family, Metric, Phase, Slot, TrainingConfig
from lossearch.tasks.described import Split


class LineConfig(TrainingConfig):
    """A line.

    Attributes:
        family: "line".
        slope: of the line.
    """

    family: Literal["line"] = "line"
    slope: float = 2.0

    def ranking_metric(self):
        return Metric("error", False, 0.0)


class LineTask(DescribedTask):
    slots = {"loss": Slot("regression", "mse")}
    metrics = {"error": Metric("error", False, 0.0)}

    def describe(self):
        return f"{self.name}: a line"

    def build_model(self):
        return nn.Linear(1, 1)

    def draw(self, seed):
        return self._points(2 * seed), self._points(2 * seed + 1)

    def test_split(self):
        return self._points(10**9)

    def step(self, model, batch):
        return [Phase({"loss": {"prediction": model(batch["x"]).squeeze(-1), "target": batch["y"]}})]

    def measure(self, model, parts):
        gaps = [(model(part["x"]).squeeze(-1) - part["y"]).abs() for part in parts]
        return {"error": torch.cat(gaps, -1).mean(-1)}

    def _points(self, seed):
        x = torch.randn(50, 1, generator=torch.Generator().manual_seed(seed))
        return Split({"x": x, "y": self.config.slope * x.squeeze(1) + 1.0})


NAMED = {"line": {"steps": 40, "batch_size": 25, "learning_rate": 0.05, "name": "line"}}


def read(values):
    values = dict(values)
    return LineConfig(**{**NAMED.get(values.pop("base", None), {}), **values})


FAMILIES.add("line", Family(LineConfig, LineTask, read, NAMED))
'''


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution with an entry point; what it registers is taken back at the end."""
    (tmp_path / "other_tasks.py").write_text(MODULE)
    metadata = tmp_path / "other_tasks-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other-tasks\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[lossearch.tasks]\nline = other_tasks\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # of islands, which find what is installed, as others do
    FAMILIES.forget_extensions()
    yield
    FAMILIES.pop("line", None)
    sys.modules.pop("other_tasks", None)
    FAMILIES.forget_extensions()


@pytest.mark.usefixtures("other_package")
def test_a_family_of_another_package_is_checked_tuned_and_compared_in_other_processes() -> None:
    assert "line" in tasks()
    task = build_task({"base": "line", "slope": 3.0})
    check_task(task)
    comparison = lossearch.compare(task, ["mse"], baselines=["mae"], seeds=2, budget=Budget(2, 1, 0), workers=2)
    assert {row.loss for row in comparison.rows} == {"mse", "mae"}


@pytest.mark.usefixtures("other_package")
@pytest.mark.thorough
def test_a_family_of_another_package_is_searched_on(tmp_path: Path) -> None:
    result = lossearch.search(
        {
            "task": {"base": "line"},
            "space": "regression",
            "max_candidates": 3,
            "evaluation": {"seeds": 1, "variants": 1, "learning_rates": [1.0]},
            "race": {"candidates": 0},
        },
        out=tmp_path / "run",
        progress=False,
    )
    assert result.best_.signature.name == "regression"


def test_what_is_no_task_is_told_with_those_that_are() -> None:
    with pytest.raises(UserError, match=r"one of the tasks digits, .*diabetes.*'nothing'"):
        task_config("nothing")
    with pytest.raises(UserError, match="a family of tasks"):
        task_config({"family": "nothing", "steps": 3})
    with pytest.raises(UserError, match="a family of tasks"):
        task_config({"family": 3, "steps": 3})
