"""A search over a user's own training function, by the island's loop."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from engine.fakes import finish

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.driver.search import plan_search
from lossearch.engine.island.loop import IslandLoop
from lossearch.engine.setup.config import load_config
from lossearch.engine.setup.parts import build_parts, island_method, island_setting
from lossearch.engine.setup.state import IslandState
from lossearch.engine.writer.writer import ArchiveWriter
from lossearch.errors import UserError
from lossearch.failure_text import headline

pytestmark = [pytest.mark.xdist_group("user_function"), pytest.mark.usefixtures("one_server")]

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
    return run_search(folder)


def run_search(folder: Path) -> RunDirectory:
    config, text = load_config(folder / "search.toml")
    run = RunDirectory.create(folder / "run", text)
    run.create_archive("accuracy", True).close()
    parts = build_parts(config)
    writer = ArchiveWriter(str(run.path), 1, parts.facts.name)
    setting = island_setting(config, parts, 0, 1, lambda _: None)
    method = island_method(config, parts, 0, 1)
    finish(IslandLoop(IslandState(0), method, parts.screen, parts.evaluator, writer, setting))
    writer.close()
    return run


def test_a_function_runs_in_the_folder_of_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / "data").mkdir(parents=True)
    elsewhere.mkdir()
    (project / "data" / "labels.txt").write_text("0 1 2")
    (project / "by_name.py").write_text(
        "import torch\nfrom pathlib import Path\nFOUND = Path('data/labels.txt').read_text()\n"
        "def train(loss, budget, seed):\n"
        "    labels = torch.tensor([int(label) for label in Path('data/labels.txt').read_text().split()])\n"
        "    loss(torch.rand(3, 3, requires_grad=True), labels).backward()\n    yield 0.5\n"
    )
    table = CONFIG.replace("generation_size = 6", "generation_size = 2")
    monkeypatch.chdir(elsewhere)
    for function in ("by_name:train", "by_name.py:train"):
        path = project / "search.toml"
        path.write_text(table.replace("train.py:train", function))
        config, _ = load_config(path)
        evaluator = build_parts(config).evaluator
        outcome = evaluator.evaluate(zoo.get("cross_entropy").graph, 0)
        assert outcome.score == 0.5, outcome.message
        sys.modules.pop("by_name")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(project)])


@pytest.mark.thorough
def test_a_module_is_found_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "named.py").write_text(
        "import torch\ndef train(loss, budget, seed):\n    loss(torch.rand(3, 3), torch.arange(3))\n    yield 0.5\n"
    )
    (tmp_path / "search.toml").write_text(CONFIG.replace("train.py:train", "named:train"))
    command = Path(sys.executable).with_name("lossearch")  # whose folder, not this one, comes first in sys.path
    done = subprocess.run(
        [command, "search", "search.toml", "--dry-run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "first call of its loss, with inputs [3, 3] and [3]" in done.stdout


def test_a_training_function_becomes_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(os.sep)  # paths are relative to the configuration
    with search(tmp_path, odd=False).open_archive() as archive:
        assert archive.counts().statuses == {"ok": 6}
        ranked = archive.ranked(6)
    assert ranked[0].metric is not None
    assert ranked[0].metric > 0.6
    assert {row.budget for row in ranked} == {3}


REGRESSION = """
import torch

def train(loss, budget, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(64, 3, generator=generator)
    truth = inputs @ torch.tensor([1.0, -2.0, 0.5])
    wrong = torch.where(torch.rand(64, generator=generator) < 0.2, 50.0, 0.0)
    weights = torch.zeros(3, requires_grad=True)
    for _ in range(budget):
        (gradient,) = torch.autograd.grad(loss(inputs @ weights, truth + wrong), weights)
        weights = (weights - gradient).detach().requires_grad_()
    yield float((inputs @ weights - truth).detach().abs().mean())
"""


def test_a_function_of_another_family_searches_that_familys_losses(tmp_path: Path) -> None:
    table = 'space = "regression"' + CONFIG.replace("steps = 3", "steps = 40").replace(
        'metric = "accuracy"', 'direction = "minimize"'
    )
    (tmp_path / "search.toml").write_text(table.replace("generation_size = 6", "generation_size = 9"))
    (tmp_path / "train.py").write_text(REGRESSION)
    assert (
        "scaled to the gradient of mse at the function's first call of its loss, with inputs [64] and [64]"
        in "\n".join(plan_search(tmp_path / "search.toml").lines)
    )
    with run_search(tmp_path).open_archive() as archive:
        ranked = archive.ranked(20)
        made = {row.candidate.operator for row in ranked}
    errors = {row.candidate.operator: row.metric for row in ranked}
    assert made > {f"seed:{name}" for name in ("mse", "mae", "huber")}
    robust, mse = errors["seed:mae"], errors["seed:mse"]
    assert robust is not None
    assert mse is not None
    assert robust < mse / 2  # a fifth of the targets is far off
    assert {row.budget for row in ranked} == {40}


@pytest.mark.thorough
def test_one_that_hangs_is_stopped_and_recorded(tmp_path: Path) -> None:
    with search(tmp_path, odd=True).open_archive() as archive:
        statuses = archive.counts().statuses
        assert statuses["timeout"] >= 1
        assert statuses["ok"] >= 1
        assert sum(statuses.values()) == 6
        assert "3 s" in next(row.candidate.reason for row in archive.ranked(6) if row.metric is None)


CURVES = """
import torch

def train(loss, budget, seed, learning_rate=1.0):
    logits = torch.linspace(-1, 1, 24).reshape(8, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, torch.arange(8) % 3), logits)
    quality = float(gradient.double().abs().max() * 1e4) % 1.0  # differs from loss to loss, no better one learns slower
    for count in range(1, 9):
        yield {"accuracy": quality * count / 8 / learning_rate, "progress": count}
"""
STOPPING = """
[evaluation]
steps = 40
seeds = 2
stopping = { rungs = [0.25, 0.5], least = 4 }
"""


def island_of(folder: Path, run: RunDirectory, writer: ArchiveWriter, state: IslandState) -> IslandLoop:
    config, _ = load_config(folder / "search.toml")
    parts = build_parts(config)
    setting = island_setting(config, parts, 0, 1, lambda _: None)
    return IslandLoop(state, island_method(config, parts, 0, 1), parts.screen, parts.evaluator, writer, setting)


def begun(folder: Path, config: str) -> tuple[RunDirectory, ArchiveWriter]:
    folder.mkdir()
    (folder / "train.py").write_text(CURVES)
    (folder / "search.toml").write_text(config)
    run = RunDirectory.create(folder / "run", config)
    run.create_archive("accuracy", True).close()
    return run, ArchiveWriter(str(run.path), 1, "train.py:train")


def told(run: RunDirectory) -> list[tuple[str, int, int, float | None]]:
    with run.open_archive() as archive:
        return [(e.key, e.seed, e.budget, e.metric) for e in archive.evaluations()]


@pytest.mark.thorough
def test_what_lags_behind_is_stopped_ranks_last_and_is_told(tmp_path: Path) -> None:
    config = CONFIG.partition("[evaluation]")[0].replace("generations = 1", "generations = 4") + STOPPING
    run, writer = begun(tmp_path / "whole", config)
    loop = island_of(tmp_path / "whole", run, writer, IslandState(0))
    finish(loop)
    with run.open_archive() as archive:
        ranked, stopped = archive.ranked(99), archive.stopped()
        words = [archive.stopped_early(row) for row in ranked]
        assert archive.counts().statuses == {"ok": sum(row.seeds for row in ranked)}
    budgets = [row.budget for row in ranked]
    assert budgets == sorted(budgets, reverse=True)
    assert set(budgets) <= {40, 20, 10}
    assert 0 < stopped == sum(budget < 40 for budget in budgets) < len(budgets) - 6  # none of the first generation
    assert [word is not None for word in words] == [budget < 40 for budget in budgets]
    assert f"stopped early, at a budget of {budgets[-1]} of 40" == words[-1]
    assert {row.seeds for row in ranked if row.budget < 40} == {1}
    assert loop.state.spent == sum(row.budget * row.seeds for row in ranked)

    # Killed in the third generation, after its first two have been saved: what was archived is taken from there.
    run2, writer2 = begun(tmp_path / "killed", config)
    loop = island_of(tmp_path / "killed", run2, writer2, IslandState(0))
    loop.generation()
    loop.generation()
    saved = loop.save().dumps()
    loop.generation()
    finish(island_of(tmp_path / "killed", run2, writer2, IslandState.loads(saved)))
    assert told(run2) == told(run)
    for one in (writer, writer2):
        one.close()


@pytest.mark.thorough
def test_variants_that_lag_behind_each_other_are_stopped(tmp_path: Path) -> None:
    rates = "learning_rates = [1.0, 2.0, 3.0]"
    config = CONFIG.partition("[evaluation]")[0] + STOPPING.replace("seeds = 2", f"seeds = 1\n{rates}")
    run, writer = begun(tmp_path / "variants", config.replace("generations = 1", "generations = 2"))
    loop = island_of(tmp_path / "variants", run, writer, IslandState(0))
    loop.generation()
    assert loop.state.spent == 6 * 4 * 40
    # The first learning rate is the best one here, so that the others end at the first rung.
    loop.generation()
    assert 6 * 4 * 40 < loop.state.spent <= 6 * 4 * 40 + 6 * (40 + 10 + 10 + 40)
    writer.close()


def test_a_search_ends_with_its_budget_for_all_calls(tmp_path: Path) -> None:
    config = CONFIG.partition("[evaluation]")[0].replace("generations = 1", "max_budget = 600")
    run, writer = begun(tmp_path / "budget", config + STOPPING)
    loop = island_of(tmp_path / "budget", run, writer, IslandState(0))
    finish(loop)
    assert 600 <= loop.state.spent < 600 + 80  # the last candidate's calls are made
    assert loop.done
    writer.close()


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("return 0.5", "ok", ""),
        ("return None", "error", "it returned None"),
        ("yield None", "error", "found: None"),
        ('yield {"loss": 0.5}', "error", "required: a mapping with the metric 'accuracy'; found: the keys ['loss']"),
        ("loss(); yield 0.5", "error", "required: 2 inputs"),
    ],
)
def test_what_a_function_does_is_the_candidates_outcome(tmp_path: Path, body: str, status: str, told: str) -> None:
    call = "loss(torch.rand(8, 3, requires_grad=True), torch.arange(8) % 3)"
    code = f"import torch\ndef train(loss, budget, seed):\n    {call}\n    {body}\n"
    (tmp_path / "train.py").write_text(code)
    (tmp_path / "search.toml").write_text(CONFIG.replace("generation_size = 6", "generation_size = 2"))
    with run_search(tmp_path).open_archive() as archive:
        assert archive.counts().statuses == {status: 2}
        assert all(told in headline(row.candidate.reason) for row in archive.ranked(2) if told)


def test_a_plan_tells_what_happens_to_a_function(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "settings.py").write_text("ODD = False")
    (tmp_path / "search.toml").write_text(CONFIG)
    text = "\n".join(plan_search(tmp_path / "search.toml").lines)
    assert "training    1 calls of the function with budget 3" in text
    assert "settings of constants" not in text
    assert "scaled to the gradient of cross_entropy" in text
    assert "time limit  3 s for each call" in text
    (tmp_path / "search.toml").write_text(CONFIG.replace("time_limit_s = 3.0", ""))
    assert "a call that hangs is never ended" in "\n".join(plan_search(tmp_path / "search.toml").lines)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("seeds = 1", r"required: evaluation\.steps.*none for train.py:train.*steps = 20"),
        (
            "steps = 3\nlearning_rates = [1.0, 2.0]",
            r"a training function with learning_rate=1\.0.*evaluation\.learning_rates",
        ),
        ("steps = 3\nrung = 0.5", r"evaluation\.rung"),
        ("steps = 3\nstopping = { rungs = [1.0] }", r"evaluation\.stopping\.rungs"),
    ],
)
def test_what_a_function_needs_and_does_not_do_is_told(tmp_path: Path, given: str, told: str) -> None:
    (tmp_path / "train.py").write_text("def train(loss, budget, seed):\n    yield 0.5\n")
    (tmp_path / "search.toml").write_text(CONFIG.partition("[evaluation]")[0] + f"[evaluation]\n{given}\n")
    with pytest.raises(UserError, match=told):
        plan_search(tmp_path / "search.toml")
