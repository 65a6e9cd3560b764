"""A search over a user's own training function, by the island's loop."""

import importlib
import os
from pathlib import Path

import pytest
from engine.fakes import finish
from typer.testing import CliRunner

import lossearch
from lossearch import zoo
from lossearch.cli.main import app
from lossearch.engine.config import load_config
from lossearch.engine.loop import IslandLoop
from lossearch.engine.parts import build_parts, island_method, island_setting
from lossearch.engine.plan import make_plan
from lossearch.engine.state import IslandState
from lossearch.engine.writer import ArchiveWriter
from lossearch.errors import UserError
from lossearch.evaluate.run_directory import RunDirectory
from lossearch.search_spaces import load_space

TRAIN = """
import time
import torch
import settings

def train(loss, budget, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(32, 5, generator=generator)
    labels = images[:, :3].argmax(1)
    weights = torch.zeros(5, 3, requires_grad=True)
    for step in range(budget):
        value = loss(images @ weights, labels)
        if settings.ODD and step == 1 and float(value) > 1.0:
            time.sleep(600)
        if settings.ODD and float(value) < 0.0:
            raise RuntimeError("a negative loss")
        (gradient,) = torch.autograd.grad(value, weights)
        weights = (weights - gradient).detach().requires_grad_()
        yield {"accuracy": float(((images @ weights).argmax(1) == labels).float().mean())}
"""
CONFIG = """
islands = 1
generations = 1
generation_size = 6

[task]
function = "train.py:train"
metric = "accuracy"

[evaluation]
steps = 3
seeds = 1
time_limit_s = 3.0
"""


def search(folder: Path, odd: bool) -> RunDirectory:
    (folder / "train.py").write_text(TRAIN)
    (folder / "settings.py").write_text(f"ODD = {odd}")
    (folder / "search.toml").write_text(CONFIG)
    config, text = load_config(folder / "search.toml")
    run = RunDirectory.create(folder / "run", text)
    run.create_archive("accuracy", True).close()
    parts = build_parts(config)
    writer = ArchiveWriter(str(run.path), 1, parts.facts.name)
    setting = island_setting(config, parts, 0, 1, lambda _: None)
    method = island_method(config, parts.space, 0, 1)
    finish(IslandLoop(IslandState(0), method, parts.screen, parts.evaluator, writer, setting))
    writer.close()
    return run


def test_a_training_function_becomes_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(os.sep)  # paths are relative to the configuration
    with search(tmp_path, odd=False).open_archive() as archive:
        assert archive.counts().statuses == {"ok": 6}
        ranked = archive.ranked(6)
    assert ranked[0].metric is not None
    assert ranked[0].metric > 0.6
    assert {row.budget for row in ranked} == {3}


def test_losses_that_need_class_weights_are_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "settings.py").write_text("ODD = False")
    (tmp_path / "search.toml").write_text(CONFIG)
    config, _ = load_config(tmp_path / "search.toml")
    seeds = build_parts(config).space.seeds
    assert set(load_space("dense").seeds) - set(seeds) == {"weighted_cross_entropy"}
    (line,) = [line for line in make_plan(config, 1).lines if line.startswith("space")]
    assert f"{len(seeds)} seeds (without weighted_cross_entropy: your function tells no class weights)" in line


def test_one_that_hangs_is_stopped_and_recorded(tmp_path: Path) -> None:
    with search(tmp_path, odd=True).open_archive() as archive:
        statuses = archive.counts().statuses
        assert statuses["timeout"] >= 1
        assert statuses["ok"] >= 1
        assert sum(statuses.values()) == 6
        assert "3 s" in next(row.candidate.reason for row in archive.ranked(6) if row.metric is None)


def test_a_function_that_does_not_yield_ends_the_search(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def train(loss, budget, seed):\n    return 1.0\n")
    (tmp_path / "search.toml").write_text(CONFIG)
    config, _ = load_config(tmp_path / "search.toml")
    parts = build_parts(config)
    graph = island_method(config, parts.space, 0, 1).ask().graph
    with pytest.raises(UserError, match="use yield"):
        parts.evaluator.evaluate(graph, 0)


STEPS = """
import torch

SIZES = []

def train(loss, budget, seed):
    logits = torch.linspace(-0.1, 0.1, 40).reshape(8, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, torch.arange(8) % 5), logits)
    yield {"rms": float(gradient.square().mean().sqrt())}
"""


def test_the_size_of_its_gradient_gives_a_loss_no_advantage(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(STEPS)
    (tmp_path / "search.toml").write_text(CONFIG.replace('metric = "accuracy"', 'metric = "rms"'))
    config, _ = load_config(tmp_path / "search.toml")
    evaluator = build_parts(config).evaluator
    graph = zoo.get("cross_entropy").graph
    results = [evaluator.evaluate(graph.with_roots([graph.root * factor]), 0) for factor in (1.0, 1000.0, 1e-3)]
    expected = evaluator.evaluate(graph, 0)
    for result in results:
        assert result.score == pytest.approx(expected.score, rel=1e-2)
        assert result.graph.complexity <= graph.complexity + 2


FAILURES = {
    "raises": ("raise ValueError('my own bug')\n    yield 0.5", "my own bug"),
    "nan": ("yield float('nan')", "nan"),
    "hangs": ("import time\n    time.sleep(600)\n    yield 0.5", "1 s"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_function_that_never_gives_a_metric_ends_the_command_with_what_it_said(kind: str, tmp_path: Path) -> None:
    body, said = FAILURES[kind]
    (tmp_path / "train.py").write_text(f"def train(loss, budget, seed):\n    {body}\n")
    text = CONFIG.replace("time_limit_s = 3.0", "time_limit_s = 1.0").replace(
        "generation_size = 6", "generation_size = 2"
    )
    (tmp_path / "search.toml").write_text(text)
    result = CliRunner().invoke(app, ["search", str(tmp_path / "search.toml"), "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "a candidate that was trained to the end" in result.stderr
    assert said in " ".join(result.stderr.split())
    with RunDirectory.open(tmp_path / "run").open_archive(read_only=True) as archive:
        assert archive.failures()


def test_a_function_needs_a_budget(tmp_path: Path) -> None:
    (tmp_path / "search.toml").write_text(CONFIG.replace("steps = 3\n", ""))
    with pytest.raises(UserError, match=r"evaluation\.steps is required"):
        load_config(tmp_path / "search.toml")


@pytest.mark.parametrize("config", [5, len])
def test_what_is_no_configuration_is_refused(config: object) -> None:
    with pytest.raises(UserError, match="a search configuration"):
        lossearch.search(config)  # type: ignore[arg-type]


def test_the_function_itself_may_stand_in_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(STEPS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    train = importlib.import_module("mine").train
    config = {
        "task": {"function": train, "metric": "rms"},
        "islands": 1,
        "generations": 1,
        "generation_size": 2,
        "evaluation": {"steps": 1, "seeds": 1},
    }
    result = lossearch.search(config, tmp_path / "run", progress=False)
    assert result.best_.signature.name == "dense"
