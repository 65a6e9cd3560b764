"""The final race of a run: who enters, what is trained, and how it goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Candidate, Evaluation, Origin, Standing
from lossearch.cli.search import print_result
from lossearch.engine.driver.race import hold_race, race_run
from lossearch.engine.driver.result import SearchResult
from lossearch.engine.driver.search import plan_search
from lossearch.engine.setup.begun import continued
from lossearch.engine.setup.config import SearchConfig, validate
from lossearch.engine.setup.parts import make_task, task_facts
from lossearch.errors import UserError
from lossearch.ir.forms.joint import any_to_json
from lossearch.training.seeds import RACING

pytestmark = pytest.mark.usefixtures("one_server")

# By the search's own scores, which are made up; `brier` failed.
SCORES = {"focal": 0.93, "poly1": 0.92, "tversky": 0.91, "cross_entropy": 0.85, "hinge": 0.3, "brier": None}
CONFIG = {
    "task": {"base": "digits_noise", "steps": 12},
    "islands": 1,
    "generations": 1,
    "evaluation": {"steps": 3},
    "race": {"candidates": 2, "seeds": 4},
}
TRAIN = """
from pathlib import Path
import torch

def train(loss, budget, seed):
    with open("calls.txt", "a") as file:
        file.write(f"{budget} {seed}\\n")
    logits = torch.zeros(4, 10, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(logits, torch.arange(4)), logits)
    yield {"accuracy": float(gradient.square().mean()) + seed % 7}
"""


def new_run(folder: Path, config: SearchConfig, scores: dict[str, float | None] = SCORES) -> RunDirectory:
    """A run whose search has ended."""
    run = RunDirectory.create(folder, "task = 'digits'\n")
    (run.path / "resolved.json").write_text(config.to_json())
    name = task_facts(config, make_task(config)).name
    with run.create_archive("accuracy", True) as archive:
        for index, (loss, score) in enumerate(scores.items()):
            graph = zoo.get(loss).graph.frozen()
            row = Candidate(
                origin=Origin(0, 0, index), key=graph.key, graph=any_to_json(graph), text=loss,
                complexity=graph.complexity,
            )  # fmt: skip
            archive.add_candidate(row)
            status = "ok" if score is not None else "diverged"
            archive.add_evaluation(
                Evaluation(key=row.key, task=name, seed=0, budget=3, metric=score, status=status, learning_rate=0.05,
                           step_scale=1.5)
            )  # fmt: skip
    return run


def hold(run: RunDirectory, config: SearchConfig, note: Any = lambda text: None, workers: int = 1) -> None:
    hold_race(run, config, task_facts(config, make_task(config)), workers, note)


def outcome(run: RunDirectory) -> tuple[list[Any], list[Standing], list[str | None]]:
    with run.open_archive(read_only=True) as archive:
        trained = sorted((one.key, one.seed, one.metric, one.status) for one in archive.race_trainings())
        return trained, archive.standings(), [row.candidate.text for row in archive.ranked(9)]


@pytest.mark.thorough
def test_a_race_that_ends_between_blocks_goes_on_and_counts_when_it_has_ended(tmp_path: Path) -> None:
    config = validate(CONFIG)
    whole, broken = new_run(tmp_path / "whole", config), new_run(tmp_path / "broken", config)
    hold(whole, config, workers=2)
    trained, standings, names = outcome(whole)
    # The two best, and the front, which lies below them in complexity: each at the task's full budget.
    assert len(standings) == len({key for key, *_ in trained}) == 3
    assert {standing.budget for standing in standings} == {12}
    assert {standing.before for standing in standings} == {1, 2, 4}
    assert {seed for _, seed, *_ in trained} == set(RACING[:4])
    assert set(names[:3]) == {"focal", "poly1", "cross_entropy"}
    assert names[-1] == "brier"

    def interrupt(text: str) -> None:
        if "after 3 of 4 seeds" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hold(broken, config, interrupt)
    assert outcome(broken)[1:] == ([], ["focal", "poly1", "tversky", "cross_entropy", "hinge", "brier"])
    assert len(outcome(broken)[0]) == 9
    hold(broken, config)
    assert outcome(broken) == (trained, standings, names)


def test_a_race_is_extended_and_remembers_what_it_was_told(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", validate({**CONFIG, "race": {"candidates": 0}}))
    with race_run(run.path, candidates=1, seeds=2, steps=5, workers=1, progress=False).archive as archive:
        first = list(archive.race_trainings())
        assert {(one.seed, one.budget) for one in first} == {(seed, 5) for seed in RACING[:2]}
    with race_run(run.path, seeds=3, workers=1, progress=False).archive as archive:
        assert list(archive.race_trainings())[: len(first)] == first
        assert {standing.seeds for standing in archive.standings()} == {3}
        winner = archive.ranked(1)[0]
    told = continued(run).race
    assert (told.candidates, told.seeds, told.steps) == (1, 3, 5)
    assert run.hall_of_fame.read_text().splitlines()[0].endswith("key,before")
    assert f"{winner.candidate.key},{winner.standing.before}" in run.hall_of_fame.read_text()  # type: ignore[union-attr]


@pytest.mark.thorough
def test_learning_rates_are_moved_and_an_interruption_there_changes_nothing(tmp_path: Path) -> None:
    config = validate({**CONFIG, "evaluation": {"steps": 3, "robustness": 0.5}, "race": {"candidates": 2, "seeds": 2}})
    assert config.race.learning_rates == (0.0625, 0.25, 4.0, 16.0)
    whole, broken = (new_run(tmp_path / name, config) for name in ("whole", "broken"))
    hold(whole, config)

    def rows(run: RunDirectory) -> list[tuple[Any, ...]]:
        with run.open_archive(read_only=True) as archive:
            return sorted((one.key, one.factor, one.seed, one.metric, one.kept) for one in archive.moved_trainings())

    def interrupt(text: str) -> None:
        if "at other learning rates" in text:
            raise KeyboardInterrupt

    trained, standings, names = outcome(whole)
    assert len(rows(whole)) == 4 * len({key for key, *_ in trained}) == 12
    with pytest.raises(KeyboardInterrupt):
        hold(broken, config, interrupt)
    with broken.open_archive() as archive, whole.open_archive(read_only=True) as other:
        archive.add_moved_trainings(other.moved_trainings()[:1])  # as if one had ended by then
    hold(broken, config)
    assert outcome(broken) == (trained, standings, names)
    # Only by rounding: a stack of three runs is not one of four.
    assert [row[:3] for row in rows(broken)] == [row[:3] for row in rows(whole)]
    assert [row[3] for row in rows(broken)] == pytest.approx([row[3] for row in rows(whole)], abs=0.02)


@pytest.mark.thorough
def test_a_users_function_is_called_once_a_seed_with_seeds_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    task = {"function": str(tmp_path / "train.py:train"), "metric": "accuracy", "folder": str(tmp_path)}
    config = validate({**CONFIG, "task": task, "race": {"candidates": 1, "seeds": 2}})
    run = new_run(tmp_path / "run", config, {"cross_entropy": 0.9})
    notes: list[str] = []
    hold(run, config, notes.append)
    assert sorted((tmp_path / "calls.txt").read_text().splitlines()) == [f"3 {seed}" for seed in RACING[:2]]
    trained, (standing,), _ = outcome(run)
    assert standing.metric == pytest.approx(sum(metric for _, _, metric, _ in trained) / 2)
    assert "seed" not in notes[-1]
    (tmp_path / "train.py").write_text(TRAIN.replace(" + seed % 7", ""))
    hold(new_run(tmp_path / "other", config, {"cross_entropy": 0.9}), config, notes.append)
    assert "train.py:train gives the same accuracy with every seed; it does not use `seed`" in notes[-1]


@pytest.mark.thorough
def test_a_race_in_which_all_fail_is_told_where_the_search_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(TRAIN.replace("    yield", "    raise RuntimeError('no disk')\n    yield"))
    monkeypatch.chdir(tmp_path)
    task = {"function": str(tmp_path / "train.py:train"), "metric": "accuracy", "folder": str(tmp_path)}
    config = validate({**CONFIG, "task": task, "race": {"candidates": 1, "seeds": 2}})
    run = new_run(tmp_path / "run", config, {"cross_entropy": 0.9, "focal": 0.8})
    hold(run, config)
    result = SearchResult(run.path)
    assert result.race_failure() == "the one loss that raced failed: RuntimeError: no disk"
    print_result(result)
    told = " ".join(capsys.readouterr().out.split())
    assert "0.8 on validation, higher is better final race" in told
    assert "RuntimeError: no disk. The best of the others is told here, by the search's own scores" in told
    alone = new_run(tmp_path / "alone", config, {"cross_entropy": 0.9})
    hold(alone, config)
    with pytest.raises(UserError, match=r"none of 1: the one loss that raced failed.*no disk.*--changed-script"):
        print_result(SearchResult(alone.path))


def test_who_lasted_before_races_again(tmp_path: Path) -> None:
    config = validate({**CONFIG, "race": {"candidates": 1, "seeds": 2}})
    run = new_run(tmp_path / "run", config)
    with run.open_archive() as archive:
        rows = {row.candidate.text: row for row in archive.ranked(9)}
        name = archive.tasks()[0]
        earlier = Standing(
            key=rows["tversky"].candidate.key, task=name, budget=12, before=3, seeds=2, failed=0, metric=0.99, gap=0.0
        )
        dropped = replace(earlier, key=rows["hinge"].candidate.key, before=5, ruled_out=2, p_value=0.01)
        archive.end_race([earlier, dropped])
    hold(run, config)
    keys = {standing.key for standing in outcome(run)[1]}
    assert rows["tversky"].candidate.key in keys
    assert rows["hinge"].candidate.key not in keys


def test_a_dry_run_says_who_will_race() -> None:
    assert (
        "final race  the best 2 and the front, up to 4 fresh seeds, 12 steps each, then at 4 other learning rates"
        in plan_search(CONFIG).lines
    )
    assert (
        "final race  none: losses are ranked by the search's own scores"
        in plan_search({**CONFIG, "race": {"candidates": 0}}).lines
    )


def test_nothing_to_race_is_told(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", validate(CONFIG), {"brier": None})
    with pytest.raises(UserError, match="a run with losses that were trained to the end"):
        race_run(run.path)
    with pytest.raises(UserError, match=r"race\.seeds"):
        race_run(new_run(tmp_path / "other", validate(CONFIG)).path, seeds=1)
