"""Seeds by purpose: no two purposes share one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from lossearch import zoo
from lossearch.candidates import scoring as candidate
from lossearch.candidates.scoring import CandidateEvaluator, EvaluationConfig
from lossearch.comparison.tuning import Budget
from lossearch.errors import UserError
from lossearch.tasks import Task
from lossearch.training import seeds
from lossearch.training.plan import Run
from lossearch.training.train import train


def test_all_ranges_are_disjoint() -> None:
    for one, other in itertools.combinations(seeds.RANGES.values(), 2):
        assert not set(one) & set(other)


def test_a_range_ends_before_the_next_one() -> None:
    for purpose, own in seeds.RANGES.items():
        assert seeds.first(purpose, len(own)) == tuple(own)
        with pytest.raises(UserError, match=f"at most {len(own)} seeds for {purpose}"):
            seeds.first(purpose, len(own) + 1)


def test_seeds_of_other_purposes_are_found() -> None:
    for purpose, own in seeds.RANGES.items():
        assert seeds.used_elsewhere(own, purpose) == []
        assert seeds.used_elsewhere([own[-1], own[0], 10**9], "another") == [own[0], own[-1]]


def test_a_tuning_budget_stays_in_its_range() -> None:
    budget = Budget(8, 3, 2)
    assert set(budget.first_seeds).isdisjoint(budget.further_seeds)
    assert set(seeds.TUNING) > {*budget.first_seeds, *budget.further_seeds}


def test_a_search_keeps_to_its_own_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[set[int]] = []

    def recording_train(task: Task, runs: list[Run], *rest: Any, **options: Any) -> Any:
        used.append({run.seed for run in runs})
        return train(task, runs, *rest, **options)

    monkeypatch.setattr(candidate, "train", recording_train)
    evaluator = CandidateEvaluator(
        Task("digits_noise"), zoo.get("cross_entropy").graph, EvaluationConfig(steps=2, seeds=2)
    )
    evaluator.evaluate(zoo.get("focal").graph, 0)
    tuning, scoring = used
    assert tuning <= set(seeds.TUNING_CONSTANTS)
    assert scoring == {0, 1}
    assert scoring <= set(seeds.SCORING)
