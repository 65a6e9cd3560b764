"""`make experiments`: its table, what it keeps of each experiment, and the page that is written from that."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report.runs import CONFIG, compared, searched_run

from lossearch import api
from lossearch.comparison.assembly import assemble
from lossearch.comparison.comparison import Comparison
from lossearch.comparison.result import Compared
from lossearch.comparison.transfer import Transfer, transfer
from lossearch.comparison.tuning import Tuned
from lossearch.comparison.tuning_space import Hyperparameters
from lossearch.engine.driver.ending import SearchInterrupted, SearchLost
from lossearch.engine.setup.config import load_config
from lossearch.errors import UserError
from lossearch.experiments import __main__ as command
from lossearch.experiments import experiment, running
from lossearch.experiments.experiment import FOLDER, Experiment, experiments
from lossearch.experiments.outcome import Outcome, TransferOutcome, read_outcome, write_outcome
from lossearch.experiments.results_page import results_page
from lossearch.tasks import metric
from lossearch.tasks.distribution.config import distribution_config
from lossearch.zoo import get

SPREAD = (-0.004, 0.001, 0.003, 0.0, -0.002, 0.004, -0.001, 0.002, 0.005, -0.003)
SMALL = Experiment(name="small", family="classification", seeds=10)


def comparison(gain: float) -> Comparison:
    """The discovered loss is `gain` better than poly1 on each seed, or worse."""

    def judged(name: str, source: str, mean: float) -> Compared:
        tuned = Tuned(
            get("cross_entropy"), 0.1, Hyperparameters({}, 0.1), mean, (), {}, "digits_noise", metric("accuracy")
        )
        values = tuple(mean + (gain if source == "discovered" else 0.0) + spread for spread in SPREAD)
        return Compared(name, source, tuned, values)  # pyright: ignore[reportArgumentType]

    rows = [judged("poly1", "hand-designed", 0.9), judged("small_1", "discovered", 0.9)]
    settings = {"budget": {"trials": 48}, "lossearch": "0.1.0", "torch": "2.13.0"}
    return assemble("digits_noise", metric("accuracy"), rows, tuple(range(len(SPREAD))), settings, 0.95)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that has ended, and was compared."""
    place = searched_run(tmp_path_factory.mktemp("runs") / "small", candidates=30)
    compared(place)
    return place


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Path) -> Path:
    """Run directories, the configuration of the one that is there beside them."""
    monkeypatch.setattr(experiment, "FOLDER", tmp_path)
    (tmp_path / "small.toml").write_text(CONFIG, encoding="utf-8", newline="")
    shutil.copytree(run, tmp_path / "small")
    return tmp_path


def finished(folder: Path, monkeypatch: pytest.MonkeyPatch, gain: float) -> Outcome:
    monkeypatch.setattr(api, "compare", lambda *_, **__: comparison(gain))
    found = running.run_experiment(SMALL, folder)
    assert isinstance(found, Outcome)
    return found


def test_every_experiment_has_a_configuration_that_reads() -> None:
    found = experiments()
    assert len({one.name for one in found}) == len(found) >= 8
    for one in found:
        assert load_config(one.configuration)[0].task
    assert [one.name for one in experiments(["sketches", "digits_noise"])] == ["digits_noise", "sketches"]


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one of the experiments"):
        experiments(["cifar"])
    table = tmp_path / "table.toml"
    table.write_text('[x]\nfamily = "y"\nseeds = 3\n', encoding="utf-8")
    with pytest.raises(UserError, match="greater than or equal to 10"):
        experiments(table=table)
    table.write_text("x = 3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"experiments in table\.toml"):
        experiments(table=table)


@pytest.mark.parametrize(("gain", "verdict", "share"), [(0.02, "win", 1.0), (-0.02, "defeat", 0.0)])
def test_what_came_of_an_experiment_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, gain: float, verdict: str, share: float
) -> None:
    outcome = finished(folder, monkeypatch, gain)
    found = outcome.discovered
    assert outcome.verdict == verdict
    assert found is not None
    assert found.wins == share
    assert outcome.reference == "poly1"
    assert outcome.cost.trained == outcome.cost.trainings > 0
    write_outcome(outcome, folder)
    assert read_outcome(folder / "small.json") == outcome
    page = results_page([outcome])
    assert f"Experiments: 1. Wins: {int(gain > 0)}; defeats: {int(gain < 0)};" in page
    assert f"{gain * 100:+.1f}" in page
    assert "| 100% |" in page if gain > 0 else "| 0% |" in page
    assert outcome.formula in page


def test_what_came_of_many_tasks_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = distribution_config({"base": "noisy_images", "name": "noisy"})
    keys = {"small_1": "a", "poly1": "b"}
    compared = {name: replace(comparison(gain), keys=keys) for name, gain in (("one", 0.02), ("two", 0.0))}
    found = transfer(many, compared, "b")
    asked: dict[str, Any] = {}

    def compare_across(*given: Any, **details: Any) -> Transfer:
        asked.update(details, losses=given[1], seeds=given[2])
        return found

    monkeypatch.setattr(running, "compare_across", compare_across)
    across = SMALL.model_copy(update={"held_out": 2, "trials": 48, "against": ("focal",)})
    outcome = running.run_experiment(across, folder)
    assert isinstance(outcome, TransferOutcome)
    assert (asked["tasks"], asked["trials"], asked["seeds"]) == (2, 48, 10)
    assert asked["losses"] == [f"{folder / 'small'}@1", "focal"]
    assert outcome.verdict == "better than the best hand-designed loss on 1 of 2 tasks, worse on 0"
    write_outcome(outcome, folder)
    assert read_outcome(folder / "small.json") == outcome
    page = results_page([outcome, finished(folder, monkeypatch, 0.02)])
    assert page.index("Losses for many tasks") > page.index("## small")
    assert "| one | poly1 | +0.02" in page
    assert f"| **small_1** | {outcome.aggregates[0].gain.mean:+.2f} [" in page
    assert "Experiments: 1. Wins: 1" in page


def test_no_difference_is_no_win(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = finished(folder, monkeypatch, 0.0)
    assert outcome.verdict == "no difference"
    assert outcome.discovered is not None
    assert outcome.discovered.wins == 0.5


def test_a_run_of_an_edited_configuration_is_not_taken_for_the_present_one(folder: Path) -> None:
    (folder / "small.toml").write_text(CONFIG + "seed = 1\n", encoding="utf-8")
    with pytest.raises(UserError, match="move that folder away"):
        running.run_experiment(SMALL, folder)


def test_a_damaged_outcome_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="outcome of an experiment"):
        read_outcome(tmp_path / "x.json")


def test_one_experiment_that_fails_keeps_no_other_from_running(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = finished(folder, monkeypatch, 0.02)

    def run_one(one: Experiment, _: Path) -> Outcome:
        if one.name == "diabetes_outliers":
            raise UserError("data", "none", "fetch it")
        return done.model_copy(update={"name": one.name})

    monkeypatch.setattr(command, "run_experiment", run_one)
    assert command.main(["digits_noise", "diabetes_outliers", "--results", str(folder)]) == 1
    assert sorted(path.stem for path in (folder / "results").iterdir()) == ["digits_noise"]
    assert "diabetes_outliers did not end" in capsys.readouterr().err
    assert "## digits_noise" in (folder / "RESULTS.md").read_text(encoding="utf-8")


def test_a_damaged_outcome_of_another_experiment_is_told_once_all_have_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = finished(folder, monkeypatch, 0.02)
    monkeypatch.setattr(command, "run_experiment", lambda one, _: done.model_copy(update={"name": one.name}))
    (folder / "results").mkdir()
    (folder / "results" / "old.json").write_text("{}", encoding="utf-8")
    assert command.main(["digits_noise", "sketches", "--results", str(folder)]) == 1
    assert sorted(path.stem for path in (folder / "results").iterdir()) == ["digits_noise", "old", "sketches"]
    assert "outcome of an experiment in old.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("interruption", "status"),
    [(KeyboardInterrupt(), 130), (SearchInterrupted(Path("runs/x"), signal.SIGTERM), 128 + signal.SIGTERM)],
)
def test_an_interruption_says_how_to_go_on(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    interruption: KeyboardInterrupt,
    status: int,
) -> None:
    def interrupted(one: Experiment, _: Path) -> Outcome:
        raise interruption

    monkeypatch.setattr(command, "run_experiment", interrupted)
    assert command.main(["digits_noise", "sketches", "--results", str(folder)]) == status
    told = capsys.readouterr()
    assert "The same command goes on from here" in told.err
    assert "sketches" not in told.out


def test_a_search_that_lost_its_cluster_keeps_no_other_from_running(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(one: Experiment, _: Path) -> Outcome:
        raise SearchLost(Path("runs/x"), "the cluster is gone")

    monkeypatch.setattr(command, "run_experiment", lost)
    assert command.main(["digits_noise", "sketches", "--results", str(folder)]) == 2
    assert capsys.readouterr().err.count("the cluster is gone") == 2


def test_the_page_in_the_repository_is_what_its_outcomes_say(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "results", tmp_path / "results")
    command.write_page(tmp_path)
    assert (tmp_path / "RESULTS.md").read_text(encoding="utf-8") == (FOLDER / "RESULTS.md").read_text(encoding="utf-8")
