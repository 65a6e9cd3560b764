"""What the public functions take, and what they say to anything else; a user's function passed as it is."""

import functools
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import lossearch
from lossearch.engine.driver.search import plan_search
from lossearch.errors import UserError

SCRIPT = """
import torch
import lossearch

def train(loss, budget, seed):
    logits = torch.zeros(4, 10, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(logits, torch.arange(4)), logits)
    yield {"accuracy": float(gradient.abs().mean()), "budget": budget}

CONFIG = {
    "task": {"function": train, "metric": "accuracy"},
    "islands": 1,
    "generations": 1,
    "generation_size": 2,
    "evaluation": {"steps": 3, "seeds": 1, "time_limit_s": 60.0},
    "race": {"candidates": 0},
}
"""
SEARCH = """
result = lossearch.search(CONFIG, "run", progress=False)
print(result.best_.name, len(result.front_))
"""


def train(loss: Any, budget: int, seed: int) -> Iterator[float]:
    loss(torch.zeros(4, 10, requires_grad=True), torch.arange(4)).backward()
    yield 1.0


def python(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Run a script as its file."""
    (folder / "script.py").write_text(source, encoding="utf-8")
    return subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.thorough
def test_a_search_over_a_function_of_the_script_itself(tmp_path: Path) -> None:
    guarded = "".join(f"    {line}\n" for line in SEARCH.strip().splitlines())
    done = python(tmp_path, f'{SCRIPT}\nif __name__ == "__main__":\n{guarded}')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("run_1 ")
    assert 'function = "script.py:train"' in (tmp_path / "run" / "config.toml").read_text()


@pytest.mark.parametrize(
    "search",
    [
        pytest.param(SEARCH, id="search", marks=pytest.mark.thorough),
        pytest.param("from lossearch.engine.driver.search import plan_search\nplan_search(CONFIG)\n", id="plan"),
    ],
)
def test_a_script_that_searches_whenever_it_is_imported_is_told(search: str, tmp_path: Path) -> None:
    done = python(tmp_path, SCRIPT + search)
    assert done.returncode != 0
    assert '`if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("one_server")
def test_an_imported_function_goes_by_its_name() -> None:
    task = {"function": train, "metric": "rmse"}
    plan = plan_search({"task": task, "generations": 1, "islands": 1, "evaluation": {"steps": 1}})
    assert any("test_api_mistakes:train" in line for line in plan.lines)
    assert "metric      rmse (lower is better)" in plan.lines


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (5, "a TOML file, a mapping or a SearchConfig; found: 5"),
        (None, "found: None"),
        ([("task", "digits")], "a mapping"),
        (train, r'"function": train'),
        ({"task": train, "generations": 1}, r'"function": train'),
        (
            {"task": {"function": functools.partial(train, threading.Lock())}, "generations": 1},
            "sent to a process of its own",
        ),
        ({"task": {"function": "a.py:f", "metric": train}, "generations": 1}, "found: a function"),
        ({"task": "digits", "generations": {1}}, "found: a set"),
        ({"task": "digits", 1: 2}, "the key 1"),
    ],
)
def test_what_is_no_configuration(config: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        lossearch.search(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "losses", "told"),
    [
        (5, "focal", "a task: its name.*found: 5"),
        (None, "focal", "found: None"),
        (train, "focal", "the direction of the metric 'metric'"),
        ({"function": train, "metric": "accuracy"}, "focal", "the budget that .*train is called with"),
        ("digits", 5, "losses to compare, in a list; found: 5"),
        ("digits", "foca", "did you mean focal"),
        ("digits", [5], "found: '5'"),
    ],
)
def test_what_cannot_be_compared(task: Any, losses: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        lossearch.compare(task, losses, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_loss_may_be_compared_by_its_name_alone() -> None:
    comparison = lossearch.compare("digits", "focal(gamma=1)", 2, baselines="brier", trials=2, steps=5, workers=1)
    assert {row.loss for row in comparison.rows} == {"focal", "brier"}


@pytest.mark.parametrize(("progress", "lines"), [(False, 0), (None, 0), (True, 4)])
def test_progress_of_a_comparison_may_be_a_flag_as_in_a_search(
    progress: bool | None, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lossearch.compare(
        {"base": "digits", "steps": 2}, "focal", 2, trials=2, baselines="cross_entropy", workers=1, progress=progress
    )
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_a_notebook_shows_a_mistake_in_three_lines() -> None:
    with pytest.raises(UserError) as raised:
        lossearch.load("foca")
    name, *parts = raised.value._render_traceback_()  # what IPython asks an exception for
    assert name == "UserError"
    assert [part.partition(":")[0] for part in parts] == ["required", "found", "what to do"]
    assert parts[1].endswith(raised.value.found)
