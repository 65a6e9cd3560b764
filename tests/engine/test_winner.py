"""The winner of a final race is read back, and its shorter form kept beside it."""

from pathlib import Path
from typing import Any

import pytest

import lossearch
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.simplified import place, shorter_of, was_sought
from lossearch.archive.store import Candidate, Evaluation, Origin, RaceTraining, Standing
from lossearch.cli.losses import _shorter
from lossearch.engine.driver.race import race_run
from lossearch.engine.driver.search import plan_search
from lossearch.engine.driver.winner import shorten_winner
from lossearch.engine.setup.config import SearchConfig, validate
from lossearch.engine.setup.parts import make_task, task_facts
from lossearch.ir.forms.joint import any_to_json
from lossearch.loss import Loss
from lossearch.report.run_summary import summarize
from lossearch.report.winner import winner_of
from lossearch.simplifying import evidence
from lossearch.training.seeds import RACING

WINNER = Loss.from_text(
    "dense: 1.234567 * cross_entropy(logits, target) + 0.5 * cross_entropy(logits, target) + 1e-7 * entropy(logits)"
)
SIMPLE = {"task": {"base": "digits_noise", "steps": 12}, "islands": 1, "generations": 1, "evaluation": {"steps": 3}}
RACE = {"candidates": 1, "seeds": 2}
TRAIN = """
import torch

def train(loss, budget, seed):
    with open("calls.txt", "a") as file:
        file.write(f"{seed}\\n")
    logits = torch.zeros(4, 10, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(logits, torch.arange(4)), logits)
    yield float(gradient.square().mean())
"""


def config_with(race: dict[str, Any], **values: Any) -> SearchConfig:
    return validate({**SIMPLE, **values, "race": {**RACE, **race}})


def raced(folder: Path, config: SearchConfig, loss: Loss = WINNER) -> RunDirectory:
    """A run whose search has ended with one loss, which has raced."""
    run = RunDirectory.create(folder, 'task = "digits_noise"\ngenerations = 1\n')
    (run.path / "resolved.json").write_text(config.to_json())
    facts = task_facts(config, make_task(config))
    graph = loss.graph
    with run.create_archive(facts.metric, facts.higher_is_better) as archive:
        archive.add_candidate(
            Candidate(origin=Origin(0, 0, 0), key=graph.key, graph=any_to_json(graph), complexity=graph.complexity)
        )
        archive.add_evaluation(
            Evaluation(key=graph.key, task=facts.name, seed=0, budget=3, metric=0.5, learning_rate=0.05, step_scale=1.0)
        )
        if config.race.candidates:
            at = {"key": graph.key, "task": facts.name, "budget": facts.full_budget}
            archive.add_race_trainings(
                RaceTraining(**at, seed=seed, metric=0.5, status="ok", seconds=0.0) for seed in RACING[:2]
            )
            archive.end_race([Standing(**at, before=1, seeds=2, failed=0, metric=0.5, gap=0.0)])
    return run


def shorten(run: RunDirectory, config: SearchConfig) -> list[str]:
    notes: list[str] = []
    shorten_winner(run, config, task_facts(config, make_task(config)), 1, notes.append)
    return notes


def test_evidence_is_kept_beside_the_winner_and_told_by_what_is_exported(tmp_path: Path) -> None:
    config = config_with({})
    run = raced(tmp_path / "run", config)
    notes = shorten(run, config)
    shorter = shorter_of(run, WINNER.key)
    assert shorter is not None
    assert "entropy(logits)" not in shorter.loss.to_text().replace("cross_entropy(logits", "")
    assert shorter.exact.count("cross_entropy") == 1
    assert shorter.evidence is not None
    assert shorter.evidence["seeds"] == evidence.FEWEST_SEEDS  # the race has fewer
    assert shorter.loss.to_text() in notes[-1]
    assert lossearch.load(f"{run.path}@1").graph == WINNER.graph

    exported = lossearch.export(f"{run.path}@1", tmp_path / "best.py").read_text(encoding="utf-8")
    docstring = exported.partition('r"""')[2].partition('"""')[0]
    assert shorter.loss.to_text() in " ".join(docstring.split())
    assert shorter.how in " ".join(docstring.split())
    assert dict(_shorter(run, WINNER.key))["simplified"] == shorter.loss.to_text()
    assert winner_of(summarize(run.path)).shorter == (shorter.loss.to_text(), shorter.how)


def test_what_was_sought_is_not_sought_again(tmp_path: Path) -> None:
    config = config_with({"simplify": "exact"})
    run = raced(tmp_path / "run", config)
    assert "equal for every input" in shorten(run, config)[-1]
    assert was_sought(run, WINNER.key, evidence=False)
    assert shorten(run, config) == []
    assert not was_sought(run, WINNER.key, evidence=True)
    assert len(shorten(run, config_with({}))) == 2  # the beginning and what came of it
    assert shorten(run, config_with({})) == []


def test_a_winner_that_has_no_shorter_form_is_one_that_was_read(tmp_path: Path) -> None:
    config = config_with({})
    run = raced(tmp_path / "run", config, lossearch.load("cross_entropy"))
    assert shorten(run, config)[-1] == "nothing shorter than the winner was found"
    assert shorter_of(run, lossearch.load("cross_entropy").key) is None
    assert "shorter form" not in lossearch.export(f"{run.path}@1", tmp_path / "best.py").read_text(encoding="utf-8")


@pytest.mark.usefixtures("one_server")
def test_a_users_function_is_called_for_evidence_only_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    task = {"function": str(tmp_path / "train.py:train"), "metric": "accuracy", "folder": str(tmp_path)}
    config = config_with({}, task=task)
    run = raced(tmp_path / "run", config)
    assert len(shorten(run, config)) == 1
    shorter = shorter_of(run, WINNER.key)
    assert shorter is not None
    assert shorter.evidence is None
    assert not (tmp_path / "calls.txt").exists()
    # This function takes no learning rate, without which losses of another size cannot be trained alike.
    notes = shorten(run, config_with({"simplify": "evidence"}, task=task))
    assert "learning_rate" in notes[1]
    assert "exact form is kept alone" in notes[1]


def test_nothing_is_read_back_where_there_was_no_race_or_it_is_not_wanted(tmp_path: Path) -> None:
    for index, race in enumerate(({"candidates": 0}, {"simplify": "none"})):
        config = config_with(race)
        run = raced(tmp_path / str(index), config)
        assert shorten(run, config) == []
        assert not place(run).exists()
        assert "read back   nothing: the winner stays as it is" in plan_search(config).lines


def test_a_race_that_is_run_later_reads_its_winner_back(tmp_path: Path) -> None:
    config = config_with({"simplify": "exact"})
    run = raced(tmp_path / "run", config)
    race_run(run.path, seeds=3, workers=1, progress=False)
    assert shorter_of(run, WINNER.key) is not None
