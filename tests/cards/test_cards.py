"""Loss cards: written for losses of runs and others, read with suspicion, and computed again."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import lossearch as facade
from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Candidate, Origin, RaceTraining, Standing
from lossearch.candidates.scoring import CandidateEvaluator, CandidateResult, EvaluationConfig
from lossearch.cards import Card, read_card, verify, write_card
from lossearch.cards.card import FENCE
from lossearch.cli.main import app
from lossearch.comparison.statistics import noise_floor
from lossearch.engine.island.rows import trained_row
from lossearch.errors import UserError
from lossearch.ir.core.joint import AnyGraph, JointGraph
from lossearch.ir.forms.joint import any_to_json, format_any
from lossearch.tasks import build_task, openings
from lossearch.tasks.base import Slot
from lossearch.zoo.named import graph_of

SMALL = {"base": "digits_noise", "steps": 20, "train_size": 200}
CONFIG = 'task = { base = "digits_noise", steps = 20, train_size = 200 }\ngenerations = 1\n'
JOINT = 'task = { base = "digit_scenes", slot = ["classification", "box"] }\ngenerations = 1\n'


def reference(slots: dict[str, Slot], searched: tuple[str, ...]) -> AnyGraph:
    graphs = {slot: graph_of(slots[slot].default) for slot in searched}
    return next(iter(graphs.values())) if len(graphs) == 1 else JointGraph.of(graphs)


def scored_run(path: Path, graph: AnyGraph, config: str = CONFIG, steps: int = 20, seeds: int = 4) -> CandidateResult:
    """A run with one candidate, which is scored as an island scores it."""
    run = RunDirectory.create(path, config)
    values = {"base": "digit_scenes", "slot": ["classification", "box"]} if config is JOINT else SMALL
    task = build_task(values)
    settings = EvaluationConfig(steps=steps, seeds=seeds, variants=1, learning_rates=(2.0,))
    result = CandidateEvaluator(task, reference(dict(task.slots), task.searched), settings).evaluate(graph, 0)
    told: dict[str, Any] = {"text": format_any(graph), "graph": any_to_json(graph), "complexity": graph.complexity}
    row = Candidate(origin=Origin(0, 0, 0), key=graph.key, operator="random", **told)
    trained = trained_row(row, graph, result, task.name, steps)
    with run.create_archive(task.metric.name, task.metric.higher_is_better) as archive:
        archive.add_candidate(trained.candidate)
        archive.add_evaluations(trained.evaluations)
    return result


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "first"
    scored_run(path, zoo.get("focal", gamma=1.5).graph.frozen())
    return path


@pytest.fixture
def card(run: Path, tmp_path: Path) -> Path:
    return write_card(f"{run}@1", tmp_path / "best.py")


def with_facts(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The card with other facts, as somebody edits it."""
    head, facts = path.read_text(encoding="utf-8").split(FENCE)
    values = json.loads(facts.strip().removesuffix("```"))
    change(values)
    path.write_text(f"{head}{FENCE}\n{json.dumps(values)}\n```\n", encoding="utf-8")
    return path


def test_a_card_of_a_run_has_its_score_and_it_comes_out_again(run: Path, card: Path) -> None:
    assert card.name == "best.card.md"
    known, loss = read_card(card), zoo.get("focal", gamma=1.5).graph.frozen()
    assert (known.key, known.signature, known.to_loss().graph) == (loss.key, "dense", loss)
    assert known.score.of == "search"
    assert known.score.noise_floor == noise_floor(known.score.metrics)
    assert known.commands[-1] == "lossearch export first@1 -o best.py --card"
    assert str(run.parent) not in card.read_text(encoding="utf-8")
    opened = len(openings())
    found = verify(card)
    assert len(openings()) == opened
    assert found.agrees
    (check,) = found.checks
    assert (check.equal, check.seeds, check.split) == (4, 4, "validation")
    assert check.found == pytest.approx(known.score.mean, rel=1e-6)


def test_the_score_of_a_final_race_goes_before_that_of_the_search(tmp_path: Path) -> None:
    graph = zoo.get("brier").graph
    scored_run(tmp_path / "raced", graph, seeds=1)
    cell: dict[str, Any] = {"key": graph.key, "task": "digits_noise_custom", "budget": 20}
    with RunDirectory.open(tmp_path / "raced").open_archive() as archive:
        archive.add_race_trainings(RaceTraining(**cell, seed=40_000 + n, metric=0.1 * n) for n in range(5))
        archive.end_race([Standing(**cell, before=1, seeds=4, failed=0, metric=0.15, gap=0.0)])
    score = read_card(write_card(f"{tmp_path / 'raced'}@1", tmp_path / "best.py")).score
    assert (score.of, score.seeds, score.mean) == ("race", (40_000, 40_001, 40_002, 40_003), pytest.approx(0.15))


def test_a_card_of_several_slots(tmp_path: Path) -> None:
    slots = {"classification": zoo.get("focal").graph.frozen(), "box": zoo.get("giou").graph}
    scored_run(tmp_path / "joint", JointGraph.of(slots), JOINT, steps=2, seeds=2)
    card = write_card(f"{tmp_path / 'joint'}@1", tmp_path / "best.py")
    assert read_card(card).signature == {"box": "box", "classification": "dense"}
    found = verify(card)
    assert found.agrees
    assert "no noise floor" in found.notes[-1]
    with pytest.raises(UserError, match="all slots"):
        write_card(f"{tmp_path / 'joint'}@1.box", tmp_path / "box.py")


def test_a_hand_designed_loss_is_trained_for_its_card(tmp_path: Path) -> None:
    card = write_card("focal(gamma=1)", tmp_path / "focal.py", SMALL, steps=10)
    known = read_card(card)
    assert (known.score.of, known.score.steps, len(known.score.metrics)) == ("card", 10, 10)
    assert "--steps 10" in known.commands[-1]
    assert verify(card).agrees
    with pytest.raises(UserError, match="a task to score focal on"):
        write_card("focal", tmp_path / "focal.py")


def test_the_held_out_table_is_kept_and_comes_out_again(run: Path, tmp_path: Path) -> None:
    facade.compare(SMALL, f"{run}@1", 4, trials=2, baselines=["focal"], steps=10, workers=1, out=tmp_path / "there")
    card = write_card(f"{run}@1", tmp_path / "best.py", comparison=tmp_path / "there")
    (table,) = read_card(card).held_out
    assert (table.loss, table.reference, len(table.values)) == ("first_1", "focal", 4)
    opened = len(openings())
    found = verify(card, held_out=True)
    assert [one.by for one in openings()[opened:]] == ["verify"]
    assert (found.checks[0].equal, found.checks[0].split, found.agrees) == (4, "test", True)
    of_focal = read_card(write_card("focal", tmp_path / "focal.py", SMALL, steps=2, comparison=tmp_path / "there"))
    assert of_focal.held_out[0].loss == "focal"
    with pytest.raises(UserError, match=r"a comparison of brier in .*; found: one of "):
        write_card("brier", tmp_path / "b.py", SMALL, steps=2, comparison=tmp_path / "there")


def test_a_table_is_asked_for_that_the_card_lacks(card: Path) -> None:
    with pytest.raises(UserError, match="table on held-out data"):
        verify(card, held_out=True)


def test_another_score_is_told_by_the_exit_status(card: Path) -> None:
    agreeing = CliRunner().invoke(app, ["verify", str(card), "--format", "json"])
    assert agreeing.exit_code == 0
    assert json.loads(agreeing.stdout)[0]["agrees"] is True

    def better(values: dict[str, Any]) -> None:
        values["score"]["metrics"] = [one + 0.3 for one in values["score"]["metrics"]]

    result = CliRunner().invoke(app, ["verify", str(with_facts(card, better))])
    assert result.exit_code == 1
    assert "does not score what its card says" in result.stdout
    assert "go by the facts" in result.stderr


def changed(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        *tables, last = path.split(".")
        for name in tables:
            values = values[name]
        values[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("format", 2), "a loss card of format 1; found: format 2"),
        (changed("formula", "dense: entropy(logits)"), "the formula that the card was written for"),
        (changed("formula", "dense: __import__('os').system('true')"), "required: "),
        (changed("key", "0" * 64), "the formula that the card was written for"),
        (changed("expanded_key", "0" * 64), "primitives"),
        (changed("task.config.family", "unheard"), "the task digits_noise_custom of the card"),
        (changed("task.config.dataset", "unheard"), "the task digits_noise_custom of the card"),
        (changed("task.config.train_size", 300), "the task digits_noise_custom as the card knows it"),
        (changed("task.config", None), "either config or function"),
        (changed("task.function", {"function": "os:system"}), "either config or function"),
        (changed("score.steps", 10**30), "required: "),
        (changed("score.steps", 0), "score.steps"),
        (changed("score.seeds", [1, 1, 2, 3]), "one value for each seed"),
        (changed("score.seeds", list(range(20_000))), "score.seeds"),
        (changed("score.metrics", [0.5]), "one value for each seed"),
        (changed("score.step_scale", None), "step_scale"),
        (changed("score.learning_rate", -1.0), "score.learning_rate"),
        (changed("name", "no name"), "a loss name that is an identifier"),
        (changed("extra", 1), "the unknown field extra"),
    ],
)
def test_a_card_that_was_changed_is_refused(
    card: Path, change: Callable[[dict[str, Any]], None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lossearch.cards.verification.as_scored", lambda *_: pytest.fail("nothing may be trained"))
    with pytest.raises(UserError) as caught:
        verify(with_facts(card, change))
    assert message in str(caught.value)


def test_a_training_function_on_a_card_is_not_called_unless_it_is_named(card: Path) -> None:
    def to_function(values: dict[str, Any]) -> None:
        values["task"] |= {"config": None, "name": "evil.py:train", "function": {"function": "evil.py:train"}}

    with pytest.raises(UserError, match="a card runs no code"):
        verify(with_facts(card, to_function))
    with pytest.raises(UserError, match=r"the training function evil\.py:train; found: the task digits"):
        verify(card, "experiments/smoke.toml")


def test_missing_data_are_told(card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path / "none"))
    config = build_config("fashion")
    with pytest.raises(UserError, match="lossearch data fetch"):
        verify(with_facts(card, lambda values: values.update(task=config)))


def build_config(name: str) -> dict[str, Any]:
    from lossearch.cards.facts import described_task
    from lossearch.tasks import task_config

    return described_task(task_config(name)).model_dump(mode="json")


@pytest.mark.parametrize(
    "content", ["", "# a page\n", FENCE, f"{FENCE}\n{{\n```\n", f"{FENCE}\n[]\n```\n", f"{FENCE}\n" * 2]
)
def test_garbage_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.card.md").write_text(content, encoding="utf-8")
    with pytest.raises(UserError):
        read_card(tmp_path / "x.card.md")


def test_whatever_is_changed_only_a_users_mistake_comes_out(card: Path, tmp_path: Path) -> None:
    text, rng = card.read_text(encoding="utf-8"), random.Random(0)
    start, kept = text.index(FENCE), 0
    for _ in range(300):
        place = rng.randrange(start, len(text))
        odd = rng.choice(("9" * 400, '"', "}", "[", "```\n", FENCE, "\x1b", "null", "1e999", text[start : start + 90]))
        (tmp_path / "x.card.md").write_text(text[:place] + odd + text[place + rng.randrange(9) :], encoding="utf-8")
        try:
            read_card(tmp_path / "x.card.md").to_loss()
            kept += 1
        except UserError:
            pass
    assert kept < 150


def test_text_from_outside_cannot_add_facts(card: Path) -> None:
    from lossearch.cards.markdown import render

    known = read_card(card)
    hostile = f"# x\n{FENCE}\n{{}}\n```\n<script>alert(1)</script>"
    page = render(Card.model_validate({**known.model_dump(), "configuration": hostile, "source": hostile}))
    card.write_text(page, encoding="utf-8")
    assert read_card(card).configuration == hostile
    assert "\n<script>" not in page


def test_a_failed_loss_has_no_card(run: Path, tmp_path: Path) -> None:
    graph = zoo.get("brier").graph
    scored_run(tmp_path / "failed", graph, seeds=1)
    with RunDirectory.open(tmp_path / "failed").open_archive() as archive:
        (known,) = archive.evaluations()
        archive.add_evaluation(replace(known, id=None, seed=1, metric=None, status="diverged"))
    with pytest.raises(UserError, match="which failed in training"):
        write_card(f"{tmp_path / 'failed'}@1", tmp_path / "best.py")
    with pytest.raises(UserError, match="nothing but the loss of a run"):
        write_card(f"{run}@1", tmp_path / "best.py", "digits")
