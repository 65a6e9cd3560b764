"""The report as a file: offline, well-formed, escaped, every section, and words for whatever is missing."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from report.pages import Page
from report.runs import CONFIG, candidate, compared, empty_run, evaluation, searched_run
from representative import first_of

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Archive, Candidate, FilterCount, Origin
from lossearch.errors import UserError
from lossearch.report import write_report
from lossearch.report.filled import day, duration
from lossearch.search_spaces import load_space

SECTIONS = ("formula", "comparison", "front", "curves", "course", "filters", "hall", "settings")
REFERENCES = {"src", "href", "srcset", "action", "data", "poster", "xlink:href"}
HOSTILE = "<img src=x onerror=alert(1)>&<b>$\\href{x}{y}$</script>"


def report(run: Path) -> tuple[Page, str]:
    path = write_report(run)
    assert path == run / "report.html"
    html = path.read_text(encoding="utf-8")
    return Page(html), html


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched_run(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="module")
def compared_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = searched_run(tmp_path_factory.mktemp("compared") / "digits", 40)
    compared(path)
    return path


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return report(run)[0]


@pytest.fixture(scope="module")
def compared_page(compared_run: Path) -> Page:
    return report(compared_run)[0]


def test_nothing_refers_to_a_network(run: Path, compared_run: Path) -> None:
    for directory in (run, compared_run):
        page, html = report(directory)
        assert "://" not in html
        assert "@import" not in html
        assert "url(" not in html
        found = [value for _, attributes in page.elements for key, value in attributes.items() if key in REFERENCES]
        assert found
        assert all(value and value.startswith("#") for value in found)


def test_plotly_is_carried_once_and_whole(page: Page) -> None:
    from plotly.offline import get_plotlyjs

    text = gzip.decompress(base64.b64decode(page.scripts["plotly"])).decode()
    assert text == get_plotlyjs()
    assert sum(tag == "script" for tag, _ in page.elements) == 3


def test_every_section_is_there_and_linked(page: Page) -> None:
    ids = page.ids()
    assert len(set(ids)) == len(ids)
    assert set(SECTIONS) <= set(ids)
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    assert links == {f"#{name}" for name in SECTIONS}


def test_figures_are_described_and_every_one_has_its_data(compared_page: Page) -> None:
    places = [attributes for _, attributes in compared_page.elements if "data-figure" in attributes]
    assert {place["data-figure"] for place in places} == set(compared_page.figures)
    assert set(compared_page.figures) == {"front", "course", "values", "gradients", "comparison"}
    assert all(place["role"] == "img" and place["aria-label"] for place in places)
    captions = sum(tag == "figcaption" for tag, _ in compared_page.elements)
    assert captions == len(places)
    tags = [tag for tag, _ in compared_page.elements]
    assert tags.count("caption") == tags.count("table") > 3


def resolved(value: Any, key: str = "") -> Any:
    """A figure with its colour names replaced, as the page's script does it."""
    if isinstance(value, dict):
        return {name: resolved(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [resolved(part, key) for part in value]
    return "#123456" if key.endswith("color") and str(value).startswith("--") else value


def test_figures_are_what_plotly_takes(compared_page: Page) -> None:
    known = set(re.findall(r"--[a-z0-9-]+(?=:)", compared_page.style))
    for figure in compared_page.figures.values():
        used = set(re.findall(r'color": "(--[a-z0-9-]+)"', json.dumps(figure)))
        assert used
        assert used <= known
        go.Figure(resolved(figure))  # raises ValueError for anything it does not know


def test_meta_learning_has_a_section_where_there_was_some(tmp_path: Path, page: Page) -> None:
    """Of two islands; numbers that an outer step did not give are gaps."""
    assert "learning" not in page.ids()
    steps = {0: [{}, {"outer_value": 0.5, "outer_gradient": 2.0, "outer_gradient_error": 0.5, "outer_diverged": 3.0}]}
    steps[1] = [{}, {"outer_gradient": 0.0}]
    with empty_run(tmp_path / "run") as archive:
        for island, all_numbers in steps.items():
            for number, numbers in enumerate(all_numbers):
                told = {"outer_step": 10.0 * number, "outer_cost": 640.0 * number, "coefficient.<b>gamma": 1.0 + number}
                loss = zoo.get("focal", gamma=1.0 + number + 0.1 * island)
                row = candidate(loss.graph.frozen(), Origin(island, number, 0), "hypergradient")
                archive.add_candidates([replace(row, numbers={**told, **numbers})])
                archive.add_evaluations([evaluation(row, 0.8 + 0.1 * number - 0.01 * island)])
    learned, text = report(tmp_path / "run")
    places = [attributes["data-figure"] for _, attributes in learned.elements if "data-figure" in attributes]
    assert set(places) == set(learned.figures)
    for figure in learned.figures.values():
        go.Figure(resolved(figure))
    (values,) = learned.figures["outer-values"]["data"]
    assert (values["x"], values["y"]) == ([10], [0.5])
    first, second = learned.figures["outer-gradients"]["data"]
    assert first["error_y"]["array"] == [0.5]
    assert "error_y" not in second
    assert [trace["y"] for trace in learned.figures["outer-scores"]["data"]] == [[0.8, 0.9], [0.79, 0.89]]
    assert [trace["name"] for trace in learned.figures["learned-values"]["data"]] == ["after 10 steps", "after 0 steps"]
    assert "island 0 led to the best score, 90.0 % after 10 of its 10 outer steps" in learned.text
    assert "<b>gamma" not in text


def test_the_front_is_drawn_and_hovers(page: Page, run: Path) -> None:
    with Archive.open(run / "archive.sqlite", read_only=True) as archive:
        front = archive.pareto_front()
        best = archive.ranked(1)[0]
    points, seeds, line = page.figures["front"]["data"]
    assert (line["x"], line["y"]) == ([r.candidate.complexity for r in front], [r.metric for r in front])
    assert len(seeds["x"]) == len(load_space("dense").seeds)
    assert any("made by seed:focal" in text for text in seeds["hovertext"])
    (first,) = [text for text in line["hovertext"] if ", rank 1<br>" in text]
    assert f"made by {best.candidate.operator}" in first
    assert points["name"] == "candidates"


def test_the_formula_is_mathml(page: Page) -> None:
    assert sum(tag == "math" for tag, _ in page.elements) >= 1
    assert "\N{SCRIPT SMALL L}" in page.text


def test_without_a_comparison_nothing_is_claimed(page: Page, run: Path) -> None:
    assert "No comparison on held-out test data has been run, so nothing is proven" in page.text
    assert f"lossearch compare {run}@1 --task digits_noise" in page.text


def test_a_function_is_compared_by_its_configuration(tmp_path: Path) -> None:
    """Of any family: the loss of a regression is drawn over its error."""
    with empty_run(tmp_path / "run", metric="mae", higher_is_better=False) as archive:
        row = candidate(zoo.get("huber").graph.frozen(), Origin(0, 0, 0))
        archive.add_candidates([row])
        metrics = {"mae": 0.5, "<b>R²</b>": 0.12345}
        archive.add_evaluations([replace(evaluation(row, 0.5), task="train.py:train", metrics=metrics)])
    page, text = report(tmp_path / "run")
    run = tmp_path / "run"
    assert f"lossearch compare {run}@1 --task {run}/config.toml --baselines" in page.text
    assert "<b>R²</b>" in page.text
    assert "<b>R²</b>" not in text
    assert text.count(">0.1235<") == 1 + 1  # the front and the hall of fame
    assert {"values", "gradients", "front"} <= page.figures.keys()


def test_a_comparison_gives_the_result(compared_page: Page, compared_run: Path) -> None:
    assert compared_page.text.count("Test nll") == 1
    verdict = json.loads((compared_run / "comparison" / "comparison.json").read_text(encoding="utf-8"))["verdict"]
    assert verdict in compared_page.text
    assert "discovered_1 beats" in verdict
    assert "failed: diverged <after> 10 steps" in compared_page.text
    assert "learning_rate (low)" in compared_page.text
    names = [trace["name"] for trace in compared_page.figures["values"]["data"]]
    assert names[:2] == ["discovered_1", "cross_entropy"]
    dots = compared_page.figures["comparison"]["data"]
    assert [trace["name"] for trace in dots] == ["one seed", "discovered", "tuned hand-designed"]
    assert dots[1]["x"][0] == max(dots[1]["x"] + dots[2]["x"])


def test_what_was_stopped_early_is_counted(page: Page, run: Path) -> None:
    with RunDirectory.open(run).open_archive(read_only=True) as archive:
        count = archive.stopped()
    assert count > 0
    assert f"{count} candidates were stopped early" in page.text


def test_the_funnel_counts(page: Page, run: Path) -> None:
    with Archive.open(run / "archive.sqlite", read_only=True) as archive:
        funnel = archive.funnel()
    for count in funnel:
        assert f"{count.filter.replace('_', ' ')} {count.considered:,} {count.rejected:,}" in page.text


def hostile_run(path: Path) -> Path:
    """Every text that an archive, a configuration or an environment may hold is markup."""
    with empty_run(path, f"# {HOSTILE}\n" + CONFIG) as archive:
        good = candidate(zoo.get("focal").graph, Origin(0, 0, 0), f"mutation:{HOSTILE}")
        row = replace(good, text=f"dense: {HOSTILE}", reason=HOSTILE)
        archive.add_candidate(row)
        archive.add_evaluation(replace(evaluation(row, 0.9), task=HOSTILE))
        archive.add_filter_counts(0, 0, [FilterCount(HOSTILE, 3, 1, 0.1)])
    (path / "env.json").write_text(json.dumps({"python": HOSTILE, HOSTILE: 3}), encoding="utf-8")
    return path


def test_texts_are_escaped(tmp_path: Path) -> None:
    page, html = report(hostile_run(tmp_path / "run <b>&"))
    assert "<img" not in html
    assert not any(tag in ("img", "b") and attributes for tag, attributes in page.elements)
    assert sum(tag == "script" for tag, _ in page.elements) == 3
    assert page.text.count("onerror=alert(1)") >= 5
    hover = page.figures["front"]["data"][-1]["hovertext"][0]
    assert "<img" not in hover
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;" in hover


def test_a_hostile_comparison_is_escaped(tmp_path: Path) -> None:
    run = searched_run(tmp_path / "run", 16)
    path = compared(run)
    document = json.loads(path.read_text(encoding="utf-8"))
    document |= {"verdict": HOSTILE, "task": HOSTILE}
    document["rows"][0] |= {"origin": HOSTILE, "formula": HOSTILE, "parameters": {HOSTILE: 1.0}}
    path.write_text(json.dumps(document), encoding="utf-8")
    page, html = report(run)
    assert "<img" not in html
    assert "alert(1)" in page.text


def test_an_empty_archive_is_said(tmp_path: Path) -> None:
    empty_run(tmp_path / "run").close()
    page, _ = report(tmp_path / "run")
    for words in (
        "The archive is empty",
        "No candidate has a score yet, so there is no result.",
        "There is no front yet",
        "There is no loss to draw yet.",
        "No training has ended with a score yet.",
        "No filter has reported yet",
        "No comparison lies in this run directory.",
    ):
        assert words in page.text
    assert page.figures == {}


def test_no_accepted_candidate_is_said(tmp_path: Path) -> None:
    with empty_run(tmp_path / "run") as archive:
        archive.add_candidate(Candidate(origin=Origin(0, 0, 0), key="ab" * 32, verdict="probe", reason="nan"))
    assert "No candidate has passed the filters yet" in report(tmp_path / "run")[0].text


def test_an_untrained_candidate_is_said(tmp_path: Path) -> None:
    with empty_run(tmp_path / "run") as archive:
        archive.add_candidate(candidate(zoo.get("focal").graph, Origin(0, 0, 0)))
    assert "no training has ended yet" in report(tmp_path / "run")[0].text


def test_failed_trainings_alone_are_said(tmp_path: Path) -> None:
    with empty_run(tmp_path / "run") as archive:
        row = candidate(zoo.get("focal").graph, Origin(0, 0, 0))
        archive.add_candidate(row)
        archive.add_evaluation(evaluation(row, None, "diverged"))
    page, _ = report(tmp_path / "run")
    assert "Every training failed, so there is no score to rank by." in page.text
    assert "diverged 1" in page.text
    assert "no reason was recorded 1" in page.text


def test_failures_are_listed_by_reason(tmp_path: Path) -> None:
    reasons = ("last output:\n| 4 <b>%</b>\nnot finished after 3 s",) * 2 + (
        f'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: {HOSTILE}\nmore',
    )
    with empty_run(tmp_path / "run") as archive:
        for index, (name, reason) in enumerate(zip(("focal", "brier", "poly1"), reasons, strict=True)):
            row = replace(candidate(zoo.get(name).graph.frozen(), Origin(0, 0, index)), reason=reason)
            archive.add_candidate(row)
            archive.add_evaluation(evaluation(row, None, "error"))
    page, html = report(tmp_path / "run")
    assert f"Reason Losses not finished after 3 s 2 ValueError: {HOSTILE} 1" in page.text
    assert HOSTILE not in html


def test_a_resumed_run_is_said(tmp_path: Path) -> None:
    with empty_run(tmp_path / "run") as archive:
        first = candidate(zoo.get("focal").graph, Origin(0, 0, 0))
        archive.add_candidate(first)
        archive.add_evaluation(evaluation(first, 0.8))
        archive.supersede(0, 0)
        again = candidate(zoo.get("brier").graph, Origin(0, 0, 0))
        archive.add_candidate(again)
        archive.add_evaluation(evaluation(again, 0.7))
        archive.add_evaluation(evaluation(again, 0.6))
    page, _ = report(tmp_path / "run")
    assert "resumed after an interruption: 1 of the ranked candidates" in page.text
    assert "1 trainings were repeated with another outcome" in page.text


def test_a_seed_that_stays_best_is_said(tmp_path: Path) -> None:
    with empty_run(tmp_path / "run") as archive:
        row = candidate(zoo.get("focal").graph, Origin(0, 0, 0), "seed:focal")
        archive.add_candidate(row)
        archive.add_evaluation(evaluation(row, 0.8))
    page, _ = report(tmp_path / "run")
    assert "it is focal, with which the search began" in page.text
    assert "\N{GREEK SMALL LETTER GAMMA} = 2" in page.text.replace("=", " = ").replace("  ", " ")


def test_a_metric_of_which_less_is_better(tmp_path: Path) -> None:
    with empty_run(tmp_path / "run", metric="my_error", higher_is_better=False) as archive:
        for index, (name, score) in enumerate((("focal", 3.25), ("brier", 1.5), ("poly1", 7.0))):
            row = candidate(zoo.get(name).graph, Origin(0, 0, index))
            archive.add_candidate(row)
            archive.add_evaluation(evaluation(row, score))
    page, _ = report(tmp_path / "run")
    assert "my_error, lower is better" in page.text
    assert "the best candidate reaches my_error 1.5000" in page.text
    assert page.figures["front"]["layout"]["yaxis"]["title"]["text"] == "my_error, validation (lower is better)"


@pytest.mark.parametrize(
    ("graph", "message"), [(None, "an archived graph"), ("{}", "required:"), ('{"schema": 1, "nodes": 3}', "required:")]
)
def test_a_candidate_that_cannot_be_read_is_said(tmp_path: Path, graph: str | None, message: str) -> None:
    with empty_run(tmp_path / "run") as archive:
        row = replace(candidate(zoo.get("focal").graph, Origin(0, 0, 0)), graph=graph)
        archive.add_candidate(row)
        archive.add_evaluation(evaluation(row, 0.8))
    page, _ = report(tmp_path / "run")
    assert "The best candidate cannot be read. " in page.text
    assert message in page.text
    assert "front" in page.figures


@pytest.mark.parametrize("content", first_of(["{", "", "[]", '{"task": 3}', '{"format": 2}'], 2))
def test_a_damaged_comparison_is_said(tmp_path: Path, content: str) -> None:
    run = searched_run(tmp_path / "run", 16)
    (run / "comparison").mkdir()
    (run / "comparison" / "comparison.json").write_text(content, encoding="utf-8")
    page, _ = report(run)
    assert "The comparison cannot be shown. required: " in page.text
    assert "comparison/comparison.json" in page.text


@pytest.mark.parametrize("content", [None, "{"])
def test_a_missing_environment_is_said(tmp_path: Path, content: str | None) -> None:
    empty_run(tmp_path / "run").close()
    (tmp_path / "run" / "env.json").unlink()
    if content is not None:
        (tmp_path / "run" / "env.json").write_text(content, encoding="utf-8")
    assert "versions" in report(tmp_path / "run")[0].text


def test_a_report_may_be_written_elsewhere(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with empty_run(run) as archive:
        archive.add_candidate(candidate(zoo.get("focal").graph, Origin(0, 0, 0)))
    assert write_report(run, tmp_path / "elsewhere.html") == tmp_path / "elsewhere.html"
    assert "<html" in (tmp_path / "elsewhere.html").read_text()
    assert not (run / "report.html").exists()
    for place in (tmp_path, tmp_path / "none" / "report.html"):
        with pytest.raises(UserError, match="can be written"):
            write_report(run, place)


def test_a_missing_run_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lossearch run"):
        write_report(tmp_path / "none")


def test_many_candidates_are_thinned_out_and_that_is_said(tmp_path: Path) -> None:
    from lossearch.report.figures import MOST_POINTS

    first = candidate(zoo.get("focal").graph, Origin(0, 0, 0))
    rows = [
        replace(first, key=f"{number:064x}", fingerprint=None, origin=Origin(0, number, 0), complexity=3 + number % 20)
        for number in range(3 * MOST_POINTS)
    ]
    with empty_run(tmp_path / "run") as archive:
        archive.add_candidates(rows)
        archive.add_evaluations([evaluation(row, number / 4000) for number, row in enumerate(rows)])
    page, html = report(tmp_path / "run")
    points = page.figures["front"]["data"][0]
    assert len(points["x"]) == MOST_POINTS
    on_front = len(page.figures["front"]["data"][-1]["x"])
    assert points["name"] == f"{MOST_POINTS} of {len(rows) - on_front} candidates"
    assert "Of the 3,000 candidates, 1,000 are drawn" in page.text
    assert "The worst of them lie outside the first view" in page.text
    assert len(html) < 2_600_000


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, "0 s"), (0.0003, "0.3 ms"), (0.62, "0.62 s"), (75.0, "75 s"), (600.0, "10 min"), (9000.0, "2 h 30 min")],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_times_are_in_utc() -> None:
    assert day("2026-03-01T12:30:00+01:00") == "2026-03-01 11:30 UTC"
    assert day(0.0) == "1970-01-01 00:00 UTC"
    assert day("long ago") == "long ago"
