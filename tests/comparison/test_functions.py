"""A user's own training function is tuned and compared as a bundled task is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import lossearch
from lossearch.comparison.comparison import Comparison
from lossearch.comparison.tuning import Budget
from lossearch.errors import UserError
from lossearch.situations import situation
from lossearch.tasks import Opening, openings
from lossearch.training import seeds

pytestmark = [pytest.mark.xdist_group("compared_functions"), pytest.mark.usefixtures("one_server")]

SCRIPT = """
import torch

def data(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(200, 4, generator=generator)
    noise = 0.5 * torch.randn(200, generator=generator)
    return x, (x[:, 0] + noise > 0).long()

def train(loss, budget, seed, *, learning_rate=1.0, split="validation"):
    with open("calls.txt", "a") as file:
        file.write(f"{split} {seed} {learning_rate:g}\\n")
    x, y = data(seed)
    held_x, held_y = data({"validation": 10**6 + seed, "test": 2 * 10**6}[split])
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02 * learning_rate)
    for _ in range(budget):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    yield {"accuracy": (model(held_x).argmax(1) == held_y).float().mean(), "error": 0.0}

def quick(loss, budget, seed, *, learning_rate=1.0, split="validation"):
    logits = torch.zeros(4, 3, requires_grad=True)
    loss(logits, torch.tensor([0, 1, 2, 0])).backward()
    yield {"accuracy": float(logits.grad.abs().mean())}

def at_own_rate(loss, budget, seed, *, split="validation"):
    yield from train(loss, budget, seed, split=split)

def same(loss, budget, seed, *, learning_rate=1.0, split="validation"):
    torch.manual_seed(0)
    yield from train(loss, budget, 0, learning_rate=learning_rate, split=split)

def without_split(loss, budget, seed, learning_rate=1.0):
    yield 0.5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(SCRIPT, encoding="utf-8")
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    (folder / "calls.txt").unlink(missing_ok=True)
    return folder


def calls(folder: Path) -> list[tuple[str, int, float]]:
    lines = (folder / "calls.txt").read_text().splitlines()
    return [(split, int(seed), float(rate)) for split, seed, rate in map(str.split, lines)]


def compared(losses: list[str], **options: Any) -> Comparison:
    budget = Budget(trials=3, seeds=1, final_seeds=1)
    given: dict[str, Any] = {"metric": "accuracy", "steps": 4, "seeds": 3, "budget": budget, "workers": 1}
    return lossearch.compare("mine.py:train", losses, baselines=False, **(given | options))


MULTIPLES = ["dense: cross_entropy(logits, target)", "dense: 30.0 * cross_entropy(logits, target)"]
FAILS = "dense: sum(target * sign(logits), over=class)"
LOSSES = ["focal(gamma=2)", "brier", *MULTIPLES, FAILS]


@dataclass(frozen=True)
class Once:
    """A comparison of `LOSSES`, where it was kept, and what was done for it: calls of the function, and openings."""

    comparison: Comparison
    out: Path
    calls: list[tuple[str, int, float]]
    openings: tuple[Opening, ...]


@pytest.fixture(scope="module")
def once(one_server: None, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Once:
    """One for all tests, since each starts processes that import torch."""
    out, before = tmp_path_factory.mktemp("compared") / "out", len(openings())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "calls.txt").unlink(missing_ok=True)
        return Once(compared(LOSSES, out=out), out, calls(folder), openings()[before:])


def test_only_the_comparison_asks_for_the_test_split_and_with_seeds_of_its_own(once: Once) -> None:
    assert once.comparison.task == "mine.py:train"
    last_validation = max(place for place, call in enumerate(once.calls) if call[0] == "validation")
    first_test = min(place for place, call in enumerate(once.calls) if call[0] == "test")
    assert first_test > last_validation
    assert {seed for split, seed, _ in once.calls if split == "test"} == {*seeds.first("comparing", 3)}
    assert not {seed for split, seed, _ in once.calls if split == "validation"} & {*seeds.first("comparing", 3)}
    assert once.openings == (Opening("mine.py:train", "compare"),)


def test_a_loss_that_the_function_cannot_use_fails_and_the_others_are_compared(once: Once) -> None:
    *others, failed = sorted(once.comparison.rows, key=lambda row: row.interval is None)
    assert failed.formula == FAILS
    assert "gradient" in failed.message
    assert [(len(row.values), row.interval is not None) for row in others] == [(3, True)] * (len(LOSSES) - 1)


def test_every_metric_of_the_test_split_is_told_and_nothing_is_judged_by_it(once: Once) -> None:
    told = [{"error": (0.0, 0.0, 0.0)} if row.interval else {} for row in once.comparison.rows]
    assert [dict(row.others) for row in once.comparison.rows] == told
    document = json.loads((once.out / "comparison.json").read_text())
    assert [row["others"] for row in document["rows"]] == [
        {name: [*values] for name, values in row.items()} for row in told
    ]
    assert "test error" in once.comparison.to_text()
    assert once.comparison.to_pandas()["others"].tolist() == ["error=0.0" if row else "" for row in told]


def test_a_loss_and_its_multiple_train_alike(once: Once) -> None:
    first, second = (row.values for row in once.comparison.rows if row.formula in MULTIPLES)
    assert first == second


def test_a_comparison_goes_on_unless_the_script_was_changed(here: Path, once: Once) -> None:
    again = compared(LOSSES, out=once.out)
    assert again.rows == once.comparison.rows
    assert len(calls(here)) == 1  # the call that shows at which predictions the function begins
    kept = json.loads((once.out / "losses" / "brier.json").read_text())
    assert str(here) not in json.dumps(kept)
    text = (here / "mine.py").read_text()
    try:
        (here / "mine.py").write_text(text + "\nmore = 1\n")
        with pytest.raises(UserError, match="results with the same settings"):
            compared(LOSSES, out=once.out)
    finally:
        (here / "mine.py").write_text(text)


def test_losses_are_compared_by_a_table_of_metrics_with_their_directions(here: Path) -> None:
    task = {"function": "mine.py:train", "metrics": {"error": "maximize", "accuracy": "maximize"}}
    budget = Budget(trials=2, seeds=1, final_seeds=0)
    comparison = lossearch.compare(task, ["brier"], 2, baselines=False, steps=1, budget=budget, workers=1)
    assert (comparison.metric.name, comparison.metric.higher_is_better) == ("error", True)
    assert list(comparison.rows[0].others) == ["accuracy"]


def test_advice_reads_the_metric_of_a_configured_function(here: Path) -> None:
    task = {"function": "mine.py:train", "metrics": {"accuracy": "maximize", "error": "minimize"}}
    known = situation(task, None, None, {})
    assert (known.metric, known.classes) == ("accuracy", 2)
    assert (
        situation({**task, "metrics": {"own": "minimize"}}, labels=[0, 1], ignore_index=None, facts={}).metric is None
    )


def test_tuning_passes_learning_rates_and_never_opens_the_test_split(here: Path) -> None:
    tuned = lossearch.tune("focal", "mine.py:train", metric="accuracy", steps=4, trials=6, workers=1)
    seen = calls(here)
    assert {split for split, _, _ in seen} == {"validation"}
    assert len({rate for _, _, rate in seen}) > 3
    assert tuned.validation is not None
    assert (tuned.task, tuned.metric.name) == ("mine.py:train", "accuracy")


def test_a_function_without_learning_rate_is_compared_at_its_own(here: Path) -> None:
    given: dict[str, Any] = {"metric": "accuracy", "steps": 2, "baselines": False, "workers": 1}
    budget = Budget(trials=4, seeds=1, final_seeds=1)
    comparison = lossearch.compare("mine.py:at_own_rate", ["brier", "focal"], 3, budget=budget, **given)
    assert {rate for _, _, rate in calls(here)} == {1.0}
    tuned = comparison.results
    assert len({trial.setting.parameters["gamma"] for trial in tuned["focal"].trials}) == 4
    assert [len(trial.metrics) for trial in tuned["brier"].trials] == [2]  # without parameters there is nothing to tune
    assert comparison.to_dict()["settings"]["learning_rate_tuned"] is False
    assert comparison.to_text().count(" not tuned") == 2 + 1
    assert "Learning rates were not tuned, since mine.py:at_own_rate takes none" in comparison.verdict
    assert "def train(loss, budget, seed, *, learning_rate=1.0)" in comparison.verdict
    with pytest.raises(UserError, match=r"learning_rate=1\.0, to tune losses"):
        lossearch.tune("focal", "mine.py:at_own_rate", metric="accuracy", steps=1)


@pytest.mark.thorough
def test_a_function_that_ignores_its_seed_is_told_and_nothing_is_significant(here: Path) -> None:
    budget = Budget(trials=3, seeds=2, final_seeds=0)
    given: dict[str, Any] = {"metric": "accuracy", "steps": 4, "baselines": False, "workers": 1}
    comparison = lossearch.compare("mine.py:same", ["brier", "cross_entropy"], 8, budget=budget, **given)
    other = next(row for row in comparison.rows if row.difference is not None)
    assert (other.p_holm, other.better, comparison.noise_floor) == (1.0, None, None)
    assert "mine.py:same gives the same accuracy with every seed; it does not use `seed`" in comparison.verdict
    assert "8 seeds are one sample" in comparison.to_dict()["verdict"]


@pytest.mark.thorough
def test_baselines_are_those_that_a_function_can_be_given(here: Path) -> None:
    comparison = lossearch.compare(
        "mine.py:quick", metric="accuracy", steps=1, seeds=2, workers=1, budget=Budget(trials=2, seeds=1, final_seeds=0)
    )
    names = {row.loss for row in comparison.rows}
    assert "cross_entropy" in names
    assert len(names) > 5


def test_what_a_function_lacks_is_named(here: Path) -> None:
    with pytest.raises(UserError, match=r'split="validation", to compare losses; found: mine.py:without_split without'):
        lossearch.compare("mine.py:without_split", ["brier"], metric="accuracy", steps=1)
    with pytest.raises(UserError, match=r"budget that mine\.py:train is called with"):
        lossearch.compare("mine.py:train", ["brier"], metric="accuracy")
    with pytest.raises(UserError, match="the direction of the metric 'metric'"):
        lossearch.compare("mine.py:train", ["brier"], steps=1)
    with pytest.raises(UserError, match=r"losses of signature dense; found: giou of box"):
        compared(["brier", "giou"])
    with pytest.raises(UserError, match="for a training function alone"):
        lossearch.compare("digits", ["brier"], metric="accuracy")
