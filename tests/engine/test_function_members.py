"""Distributions with training functions of the user's among their tasks, from the configuration to comparisons."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine.fakes import finish

from lossearch.across import compare_across
from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.island.loop import IslandLoop
from lossearch.engine.setup.begun import files_now, located, write_beginning
from lossearch.engine.setup.begun_files import digests_of
from lossearch.engine.setup.config import anchored, load_config, parse_written, validate
from lossearch.engine.setup.functions import functions_of
from lossearch.engine.setup.luggage import Luggage, unpacked
from lossearch.engine.setup.parts import build_parts, island_method, island_setting
from lossearch.engine.setup.state import IslandState
from lossearch.engine.writer.writer import ArchiveWriter
from lossearch.errors import UserError
from lossearch.tasks import DistributionTask, build_task
from lossearch.tasks.distribution.reading import read_distribution
from lossearch.training.function_trainer import FunctionTrainer
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.plan import Run
from lossearch.training.train import train
from lossearch.zoo.named import graph_of

pytestmark = [pytest.mark.xdist_group("user_function"), pytest.mark.usefixtures("one_server")]

TRAIN = """
import torch

TRUTH = torch.randn(5, 10, generator=torch.Generator().manual_seed(9))

def drawn(count, generator):
    images = torch.randn(count, 5, generator=generator)
    return images, (images @ TRUTH + torch.randn(count, 10, generator=generator)).argmax(1)

def train(loss, budget, seed, *, learning_rate=1.0, split="validation"):
    generator = torch.Generator().manual_seed(seed)
    images, labels = drawn(64, generator)
    weights = torch.zeros(5, 10, requires_grad=True)
    for _ in range(budget):
        (gradient,) = torch.autograd.grad(loss(images @ weights, labels), weights)
        weights = (weights - 4.0 * learning_rate * gradient).detach().requires_grad_()
    images, labels = drawn(200 if split == "validation" else 300, generator)
    yield float(((images @ weights).argmax(1) == labels).float().mean())

def plain(loss, budget, seed):
    yield from train(loss, budget, seed)

def fails(loss, budget, seed):
    raise RuntimeError("no data here")
"""
DIGITS = 'base = "digits", train_size = 100, val_size = 100, steps = 5'
TABLE = f"""
name = "mixed"
family = "distribution"
tasks = 2
axes.data.digits = {{ {DIGITS} }}
axes.data.mine = {{ function = "train.py:train", metric = "accuracy", steps = 3 }}
"""
CONFIG = f"""
islands = 1
generations = 2
generation_size = 2
screening.rejection_steps = 10
[task]
{TABLE}
[evaluation]
seeds = 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "search.toml").write_text(CONFIG)
    return tmp_path


def mixed(folder: Path, **option: Any) -> DistributionTask:
    config = read_distribution(folder / "search.toml")
    axes = {**config.axes["data"], "mine": {**config.axes["data"]["mine"], **option}}
    found = build_task(config.model_copy(update={"axes": {"data": axes}}))
    assert isinstance(found, DistributionTask)
    return found


def test_a_function_is_one_task_whatever_other_axes_say(folder: Path) -> None:
    noise = {"clean": {}, "symmetric": {"noise": "symmetric", "noise_rate": 0.2}}
    config = read_distribution(folder / "search.toml", tasks=3)
    wide = config.model_copy(update={"axes": {**config.axes, "noise": noise}})
    assert {one.name for one in wide.drawn()} == {"digits+clean", "digits+symmetric", "mine"}
    # On the other side of a boundary that a function does not cross, it would be a task that a search has seen.
    beyond = wide.model_copy(update={"held_out": {"noise": ("symmetric",)}, "part": "held_out", "tasks": 1})
    assert [one.name for one in beyond.drawn()] == ["digits+symmetric"]
    own = wide.model_copy(update={"held_out": {"data": ("mine",)}, "part": "held_out", "tasks": 1})
    assert [one.name for one in own.drawn()] == ["mine"]


@pytest.mark.parametrize("function", [pytest.param("train", marks=pytest.mark.thorough), "plain"])
def test_gains_of_a_function_are_those_of_its_calls(folder: Path, function: str) -> None:
    task = mixed(folder, function=f"{folder / 'train.py'}:{function}")
    (member,) = task.functions
    losses = {name: graph_of(name) for name in ("cross_entropy", "brier")}
    runs = [Run(GraphLoss(graph), 1.0, seed) for graph in losses.values() for seed in (0, 1)]
    outcomes = train(task, runs)
    trainer = FunctionTrainer(member.function, losses["cross_entropy"], 3)
    scaled = {name: trainer.scaled(graph) for name, graph in losses.items()}

    def called(name: str, seeds: list[int], rate: float) -> list[float]:
        found = scaled[name]
        assert found is not None
        return [one.metric or 0.0 for one in trainer.train(found.graph, seeds, learning_rate=rate)]

    rates = [4.0**power for power in range(-3, 4)] if function == "train" else [1.0]
    best = max(rates, key=lambda rate: np.mean(called("cross_entropy", [30_000, 30_001], rate)))
    reference = called("cross_entropy", list(range(8)), best)
    floor = 1.96 * np.std(reference, ddof=1) * np.sqrt(2 / 8)
    other = called("brier", [0, 1], best)
    assert [one.metrics["mine"] for one in outcomes] == [*reference[:2], *other]
    assert [one.metric for one in outcomes[:2]] == [0.0, 0.0]
    for k, outcome in enumerate(outcomes[2:]):
        (alone,) = train(mixed_without(task), [Run(GraphLoss(losses["brier"]), 1.0, k)])
        assert alone.metric is not None
        assert outcome.metric == pytest.approx((alone.metric + (other[k] - reference[k]) / floor) / 2)


def mixed_without(task: DistributionTask) -> DistributionTask:
    config = task.config.model_copy(update={"axes": {"data": {"digits": mixed_options(task)["digits"]}}, "tasks": 1})
    found = build_task(config)
    assert isinstance(found, DistributionTask)
    return found


def mixed_options(task: DistributionTask) -> dict[str, dict[str, Any]]:
    return task.config.model_dump()["axes"]["data"]


def island(folder: Path, name: str, state: IslandState | None = None) -> tuple[RunDirectory, IslandLoop, ArchiveWriter]:
    config, text = load_config(folder / "search.toml")
    if (folder / name).exists():
        run = RunDirectory(folder / name)
    else:
        run = RunDirectory.create(folder / name, text)
        run.create_archive("gain", True).close()
    parts = build_parts(config)
    setting = island_setting(config, parts, 0, 1, lambda _: None)
    writer = ArchiveWriter(str(run.path), 1, parts.facts.name)
    method = island_method(config, parts, 0, 1)
    return run, IslandLoop(state or IslandState(0), method, parts.screen, parts.evaluator, writer, setting), writer


def told(run: RunDirectory) -> list[tuple[str, int, int, float | None]]:
    with run.open_archive() as archive:
        return [(one.key, one.seed, one.budget, one.metric) for one in archive.evaluations()]


@pytest.mark.thorough
def test_a_search_over_both_kinds_resumes_exactly(folder: Path) -> None:
    (folder / "search.toml").write_text(CONFIG.replace("train.py:train", "train.py:plain"))
    whole, loop, writer = island(folder, "whole")
    finish(loop)
    writer.close()
    cut, loop, writer = island(folder, "cut")
    loop.generation()
    saved = loop.save().dumps()
    writer.close()
    _, again, writer = island(folder, "cut", IslandState.loads(saved))
    finish(again)
    writer.close()
    assert told(cut) == told(whole)
    assert len(told(whole)) == 8
    with whole.open_archive() as archive:
        assert archive.other_metrics(archive.ranked(1)[0]).keys() == {"digits", "mine"}


def test_a_changed_script_is_met_and_a_moved_one_found(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    written = parse_written(CONFIG, "search.toml")
    config = anchored(written, folder)
    run = RunDirectory.create(folder / "run", CONFIG)
    write_beginning(run, run.path, written, folder, digests_of(config))
    found = located(written, run)
    assert found.task == config.task
    assert files_now(run, found, changed_script=False)[1] == []
    luggage = Luggage.of(config)
    (folder / "train.py").write_text(TRAIN + "# other\n")
    with pytest.raises(UserError, match=r"train\.py was changed"):
        files_now(run, found, changed_script=False)
    assert files_now(run, found, changed_script=True)[1] == ["train.py was changed"]
    elsewhere, (scripts,) = unpacked(config, luggage)
    (function,) = functions_of(elsewhere.task).values()
    assert function.function == f"{scripts}/train.py:train"
    assert Path(scripts, "train.py").read_text() == TRAIN


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"stepz": 3}, r"unknown field axes\.data\.mine\.stepz"),
        ({"steps": None}, r"axes\.data\.mine\.steps"),
        ({"metric": "quality"}, r"direction of the metric 'quality'.*option mine"),
        ({"function": "train.py:trian"}, r"'trian'.*option mine"),
        ({"function": "train.py:fails"}, r"no data here.*option mine"),
        ({"signature": "regression"}, r"mine with loss of regression; .*set its signature = \"dense\""),
        ({"signature": "nonsense"}, r"'nonsense'.*option mine"),
    ],
)
def test_a_function_that_does_not_fit_is_told_by_its_option(folder: Path, option: dict[str, Any], message: str) -> None:
    config, _ = load_config(folder / "search.toml")
    values = config.model_dump(mode="json", exclude_unset=True)
    mine = values["task"]["axes"]["data"]["mine"] | option
    values["task"]["axes"]["data"]["mine"] = {name: value for name, value in mine.items() if value is not None}
    with pytest.raises(UserError, match=message):
        build_parts(anchored(validate(values), folder))


def test_functions_alone_and_functions_to_learn_on_are_refused(folder: Path) -> None:
    config = read_distribution(folder / "search.toml", tasks=1)
    axes = {"data": {"mine": config.axes["data"]["mine"]}}
    alone = build_task(config.model_copy(update={"axes": axes}))
    with pytest.raises(UserError, match="functions alone: mine"):
        alone.draw(0)
    first = build_task(config)
    assert isinstance(first, DistributionTask)
    if first.functions:  # the other one of the two tasks is drawn to learn on
        assert [one.name for one in first.to_learn_on(4)] == ["digits"]
    else:
        with pytest.raises(UserError, match="training function mine among those of mixed"):
            first.to_learn_on(4)


def test_a_comparison_on_functions_needs_their_test_metric(folder: Path) -> None:
    config = read_distribution(folder / "search.toml", tasks=1)
    held_out: dict[str, Any] = config.model_dump() | {"held_out": {"data": ["mine"]}}
    found = compare_across(held_out, "brier", 4, trials=2, workers=1, baselines=False)
    (comparison,) = found.comparisons.values()
    assert {row.loss for row in comparison.rows} == {"brier", "cross_entropy"}
    assert all(torch.tensor(row.values).mul(300).frac().abs().max() < 1e-3 for row in comparison.rows)  # of 300 samples
    held_out["axes"]["data"]["mine"]["function"] = f"{folder / 'train.py'}:plain"
    with pytest.raises(UserError, match="found: mine without; add it"):
        compare_across(held_out, "brier", 4, workers=1)
    with pytest.raises(UserError, match="units of their own"):
        compare_across(held_out | config.model_dump(include={"axes"}), "brier", 4, workers=1, steps=3)
