"""Meta-learning through the command line: a run that goes on exactly, and what commands tell of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lossearch as ls
from lossearch.archive.checkpoints import Checkpoint, checkpoints_of
from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.driver import search as engine

Command = Callable[..., str]

# One worker makes the run, and the tests of this file share it, and Ray with other files.
pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("local_ray")]

STRUCTURE = "dense: 1.5 * cross_entropy(clipped_logits(logits, 4.0), target) - 0.2 * entropy(logits)"
CONFIG: dict[str, Any] = {
    "task": {"base": "digits", "train_size": 60, "val_size": 60, "batch_size": 60, "steps": 8},
    "islands": 1,
    "max_candidates": 5,
    "method": {"structure": STRUCTURE, "pairs": 2, "every": 2, "learning_rate": 0.3, "baselines": False},
    "evaluation": {"seeds": 1, "variants": 1, "learning_rates": [1.0]},
    "race": {"candidates": 0},
}


@pytest.fixture(scope="module")
def run(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ls.meta_learn(CONFIG, tmp_path_factory.mktemp("meta") / "run", progress=False).path


def checkpoints(run: Path) -> list[Checkpoint]:
    with RunDirectory.open(run).open_archive(read_only=True) as archive:
        return checkpoints_of(archive.candidates())[0]


@pytest.mark.thorough
def test_a_run_that_goes_on_ends_as_an_undisturbed_one(run: Path, tmp_path: Path) -> None:
    shorter = ls.meta_learn({**CONFIG, "max_candidates": 2}, tmp_path / "run", progress=False)
    engine.resume(shorter.path, max_candidates=5, progress=False)
    found, undisturbed = checkpoints(shorter.path), checkpoints(run)
    assert [one.step for one in found] == [0, 2, 4, 6, 8]
    assert [one.candidate.key for one in found] == [one.candidate.key for one in undisturbed]
    assert [one.coefficients for one in found] == [one.coefficients for one in undisturbed]
    assert found[-1].total == 8 * 2 * 2 * 8  # outer steps, pairs, two trainings each, steps


def test_a_checkpoint_is_listed_shown_and_exported(run: Path, lossearch: Command, tmp_path: Path) -> None:
    listed = json.loads(lossearch("ls", run, "--format", "json"))
    assert {row["made_by"] for row in listed["candidates"]} == {"hypergradient"}
    by_key = {one.candidate.key: one for one in checkpoints(run)}
    best = by_key[listed["candidates"][0]["key"]]
    shown = lossearch("show", f"{run}@1")
    assert f"outer step:    {best.step} of its island, {best.total} training steps by then" in shown
    for name, value in best.coefficients.items():
        assert f"coefficient:   {name} = {value:g}" in shown
    lossearch("export", f"{run}@1", "-o", tmp_path / "best.py")
    compile((tmp_path / "best.py").read_text(encoding="utf-8"), "best.py", "exec")


def test_the_report_tells_of_the_outer_loop(run: Path, lossearch: Command, tmp_path: Path) -> None:
    lossearch("report", run, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<section id="learning"' in page
    figures = json.loads(page.partition('<script type="application/json" id="figures">')[2].partition("</script>")[0])
    own = checkpoints(run)
    (values,) = figures["outer-values"]["data"]
    assert values["x"] == [2, 4, 6, 8]
    assert values["y"] == pytest.approx([one.value for one in own[1:]], rel=1e-5)
    traces = {trace["name"]: trace["y"] for trace in figures["coefficients"]["data"]}
    assert traces.keys() == own[0].coefficients.keys()
    assert traces["c0"] == pytest.approx([one.coefficients["c0"] for one in own], rel=1e-5)
    assert {one["name"] for one in figures["learned-values"]["data"]} >= {"after 0 steps", "after 8 steps"}


def test_generations_of_meta_learning_are_of_one_candidate(lossearch: Command, tmp_path: Path) -> None:
    path = tmp_path / "meta.toml"
    path.write_text(f"task = 'digits'\nislands = 1\ngenerations = 3\n[method]\nstructure = '{STRUCTURE}'\n")
    plan = lossearch("meta", path, "--dry-run")
    assert "hypergradient" in plan
    assert "3 generations of 1 trained candidates" in plan


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("", "method.structure, the loss whose coefficients are learned"),
        ('[method]\nname = "nsga2"\nstructure = "focal"', "lossearch search"),
        ('[method]\nstructure = "cross_entropy"', "a loss with coefficients"),
        ('[method]\nstructure = "huber"', "a structure of signature dense"),
        ('[method]\nstructure = "focal"\npairs = 0', "method.pairs"),
        ('[method]\nstructure = "focal"\nestimater = "es"', "estimater"),
    ],
)
def test_mistakes_are_told(method: str, told: str, mistake: Command, tmp_path: Path) -> None:
    path = tmp_path / "meta.toml"
    path.write_text(f"task = 'digits'\nislands = 1\ngenerations = 3\n{method}\n")
    assert told in mistake("meta", path, "--dry-run")


def test_a_function_is_told_what_to_do(mistake: Command, tmp_path: Path) -> None:
    script = "import torch\ndef train(loss, budget, seed):\n    x = torch.zeros(4, 3, requires_grad=True)\n"
    (tmp_path / "train.py").write_text(f"{script}    loss(x, torch.arange(4) % 3).backward()\n    yield 0.5\n")
    task = "task = { function = 'train.py:train', metric = 'accuracy' }\nislands = 1\ngenerations = 3\n"
    path = tmp_path / "meta.toml"
    path.write_text(f"{task}[method]\nstructure = 'focal'\n[evaluation]\nsteps = 2\n")
    assert "cma_es" in mistake("meta", path, "--dry-run")
