"""Outer loops as trials of Ray Tune: ASHA stops a bad one, and PBT's exploit goes on from a checkpoint."""

from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune import Callback, RunConfig, TuneConfig
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining

import lossearch as ls
from lossearch.errors import UserError
from lossearch.tasks import seal

GOOD = "dense: 1.5 * cross_entropy(2.0 * logits, target)"
BAD = "dense: -1.5 * cross_entropy(2.0 * logits, target)"
CONFIG: dict[str, Any] = {
    "task": {"base": "digits", "train_size": 60, "val_size": 60, "batch_size": 60, "steps": 8},
    "max_candidates": 3,
    "method": {"structure": GOOD, "pairs": 2, "every": 2},
    "evaluation": {"seeds": 1, "variants": 1, "learning_rates": [1.0]},
}


class Results(Callback):
    """Results of trials."""

    def __init__(self) -> None:
        self.of: dict[str, list[dict[str, Any]]] = {}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        self.of.setdefault(trial.trial_id, []).append(result)


def tuned(scheduler: Any, folder: Path, at_once: int, settings: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The results of each trial, those of the good structure first."""
    results = Results()
    found = tune.Tuner(
        ls.meta_trainable(CONFIG),
        param_space=settings,
        tune_config=TuneConfig(
            metric="score", mode="max", scheduler=scheduler, max_concurrent_trials=at_once, reuse_actors=True
        ),
        run_config=RunConfig(storage_path=str(folder), verbose=0, callbacks=[results]),
    ).fit()
    assert not found.errors
    return sorted(results.of.values(), key=lambda told: told[0]["config"]["structure"] == BAD)


def test_a_trial_goes_on_where_a_checkpoint_of_another_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what Ray Tune calls, in this process, which is left as it was: a trial seals the test split."""
    monkeypatch.setattr(seal, "_reason_sealed", None)
    monkeypatch.setenv(seal.VARIABLE, "")
    trainable = ls.meta_trainable(CONFIG)
    whole, other = trainable({"structure": GOOD}), trainable({"structure": BAD})
    told = [whole.train()]
    (tmp_path / "checkpoint").mkdir()
    whole.save_checkpoint(str(tmp_path / "checkpoint"))
    told += [whole.train(), whole.train()]
    assert [one["outer_step"] for one in told] == [0, 2, 4]
    assert [one["done"] for one in told] == [False, False, True]
    assert other.train()["score"] < told[0]["score"]
    assert other.reset_config({"structure": GOOD})
    other.load_checkpoint(str(tmp_path / "checkpoint"))
    for one in told[1:]:
        again = other.train()
        assert {name: again[name] for name in ("score", "outer_step", "formula", "done")} == {
            name: one[name] for name in ("score", "outer_step", "formula", "done")
        }


@pytest.mark.thorough
@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("local_ray")
def test_asha_stops_a_bad_trial(tmp_path: Path) -> None:
    scheduler = ASHAScheduler(grace_period=1, reduction_factor=2, max_t=3)
    good, bad = tuned(scheduler, tmp_path, 1, {"structure": tune.grid_search([GOOD, BAD])})
    assert [one["outer_step"] for one in good] == [0, 2, 4]
    assert len(bad) == 1
    assert bad[0]["score"] < good[0]["score"]
    assert good[-1]["coefficient.c0"] != good[0]["coefficient.c0"]
    assert ls.load(good[-1]["formula"]).signature.name == "dense"


@pytest.mark.thorough
@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("local_ray")
def test_pbt_goes_on_from_the_checkpoint_of_a_better_trial(tmp_path: Path) -> None:
    """A trial that begins anew would tell of outer step 0 once more, and end one checkpoint later."""
    scheduler = PopulationBasedTraining(
        "training_iteration",
        perturbation_interval=1,
        quantile_fraction=0.5,
        hyperparam_mutations={"learning_rate": [0.05, 0.2]},
        synch=True,
    )
    settings = {"structure": tune.grid_search([GOOD, BAD]), "learning_rate": 0.1}
    good, bad = tuned(scheduler, tmp_path, 2, settings)
    assert bad[0]["config"]["structure"] == BAD
    assert [one["config"]["structure"] for one in bad[1:]] == [GOOD] * (len(bad) - 1)
    assert [one["outer_step"] for one in bad] == [0, 2, 4]
    assert bad[1]["config"]["learning_rate"] != 0.1
    assert abs(bad[1]["score"] - good[0]["score"]) < abs(bad[0]["score"] - good[0]["score"])


def test_mistakes_are_told_before_any_trial() -> None:
    with pytest.raises(UserError, match=r"method\.structure"):
        ls.meta_trainable({**CONFIG, "method": {}})
    with pytest.raises(UserError, match="a structure of signature dense"):
        ls.meta_trainable({**CONFIG, "method": {"structure": "huber"}})
