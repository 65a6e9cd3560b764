"""Several runs on one page: told apart by task, drawn against cost, with words for what cannot be compared."""

from pathlib import Path

import pytest
from report.pages import Page
from report.runs import CONFIG, candidate, empty_run, evaluation, searched_run

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Origin
from lossearch.engine.setup.begun import RESOLVED
from lossearch.engine.setup.config import load_config
from lossearch.errors import UserError
from lossearch.report import write_reports


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one name on one task, and one with hostile words on another."""
    folder = tmp_path_factory.mktemp("several")
    searched_run(folder / "a" / "run", 40)
    searched_run(folder / "b" / "run", 60, seed=1)
    other = CONFIG.replace('"digits_noise"', '"digits"')
    with empty_run(folder / "<b>other", other, metric="my_error", higher_is_better=False) as archive:
        row = candidate(zoo.get("brier").graph, Origin(0, 0, 0), "<i>made")
        archive.add_candidate(row)
        archive.add_evaluation(evaluation(row, 1.5))
    return folder


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    runs = [folder / "a" / "run", folder / "<b>other", folder / "b" / "run"]
    return write_reports(runs, folder / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_runs_on_different_tasks_have_different_figures(page: Page) -> None:
    names = {key: [trace["name"] for trace in figure["data"]] for key, figure in page.figures.items()}
    assert names["course-0"] == ["a/run", "b/run"]
    assert names["course-1"] == ["&lt;b&gt;other"]
    assert names["front-0"] == ["a/run (search)", "b/run (search)"]
    assert page.figures["front-1"]["layout"]["yaxis"]["title"]["text"] == "my_error, validation (lower is better)"
    assert "my_error, lower is better" in page.text


def test_courses_are_drawn_against_the_steps_of_trainings(folder: Path, page: Page) -> None:
    for trace, name in zip(page.figures["course-0"]["data"], ("a", "b"), strict=True):
        with RunDirectory.open(folder / name / "run").open_archive(read_only=True) as archive:
            steps = [one.budget for one in archive.evaluations()]
            course = archive.best_so_far()
        assert trace["x"][:-1] == [sum(steps[:number]) for number, _ in course]
        assert trace["x"][-1] == sum(steps)
        assert f"{sum(steps):,}" in page.text


def test_the_best_run_is_named_and_every_winner_has_its_formula(folder: Path, page: Page) -> None:
    best: dict[str, float] = {}
    for name in ("a", "b"):
        with RunDirectory.open(folder / name / "run").open_archive(read_only=True) as archive:
            (row,) = archive.ranked(1)
        assert row.metric is not None
        best[f"{name}/run"] = row.metric
        assert " ".join((row.candidate.text or "").split()) in page.text
    winner = max(best, key=best.__getitem__)
    assert f"{winner} has the best validation accuracy on digits_noise: {100 * best[winner]:.1f} %" in page.text


def test_only_fields_that_differ_are_listed(page: Page) -> None:
    _, _, listed = page.text.partition("Fields of the configurations")
    assert 'task "digits_noise" "digits" "digits_noise"' in listed
    assert "max_candidates" not in listed


def test_the_page_opens_offline_and_nothing_in_it_is_run(html: str) -> None:
    assert "://" not in html
    assert "<b>other" not in html
    assert "<i>made" not in html


def test_a_run_that_has_not_ended_is_told(folder: Path, tmp_path: Path) -> None:
    empty_run(tmp_path / "begun", 'task = "digits_noise"\nislands = 1\ngenerations = 3\n').close()
    run = RunDirectory.open(tmp_path / "begun")
    (run.path / RESOLVED).write_text(load_config(run.config)[0].to_json(), encoding="utf-8")
    page = Page(write_reports([folder / "a" / "run", run.path], tmp_path / "p.html").read_text(encoding="utf-8"))
    assert "begun has not ended: it is shown as far as it went" in page.text
    assert page.text.count("has not ended") == 1
    assert "no candidate has a score" in page.text


def test_runs_that_cannot_be_compared_are_a_users_mistake(folder: Path, tmp_path: Path) -> None:
    run = folder / "a" / "run"
    with pytest.raises(UserError, match="runs that are all different"):
        write_reports([run, folder / "a" / ".." / "a" / "run"], tmp_path / "p.html")
    with pytest.raises(UserError, match="a file for the report of several runs"):
        write_reports([run, folder / "b" / "run"])
    with pytest.raises(UserError, match="the directory of a lossearch run"):
        write_reports([run, tmp_path / "none"], tmp_path / "p.html")
    with pytest.raises(UserError, match="at least one run"):
        write_reports([])
    assert not (tmp_path / "p.html").exists()
