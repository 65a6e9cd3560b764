"""Signals before the islands start: what they leave, and what the user is told."""

import signal
from pathlib import Path
from typing import Any

import pytest
from engine.projects import goes_on

from lossearch.engine.driver import search as engine
from lossearch.engine.driver.ending import SearchInterrupted
from lossearch.engine.setup.begun import write_beginning


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_while_a_search_is_planned_says_that_nothing_was_begun(
    project: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    monkeypatch.setattr(engine, "make_plan", lambda *_: signal.raise_signal(number))
    for start in (engine.search, lambda config, out: engine.plan_search(config)):
        with pytest.raises(SearchInterrupted, match="No run was begun") as caught:
            start(project / "search.toml", project / "runs" / "second")
        assert (caught.value.exit_code, caught.value.path) == (code, None)
    assert [path.name for path in (project / "runs").iterdir()] == ["first"]


def test_a_signal_while_a_run_is_taken_up_again_names_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "make_plan", lambda *_: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SearchInterrupted, match="lossearch resume") as caught:
        engine.resume(project / "runs" / "first")
    assert caught.value.path == project / "runs" / "first"


def test_a_signal_while_the_run_directory_is_made_waits_for_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        write_beginning(*arguments)

    monkeypatch.setattr(engine, "write_beginning", write)
    run = project / "runs" / "second"
    with pytest.raises(SearchInterrupted, match="lossearch resume") as caught:
        engine.search(project / "search.toml", run)
    assert caught.value.path == run
    goes_on(run, monkeypatch)
