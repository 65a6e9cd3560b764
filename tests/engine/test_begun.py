"""How a search began, and what of its configuration may have changed when it goes on. No Ray: islands are left out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine.projects import CONFIG, TRAIN, Begun, changed, edit, function_of, goes_on

from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.driver import search as engine
from lossearch.engine.setup.begun import continued, located
from lossearch.engine.setup.subject import found_subject
from lossearch.errors import UserError
from lossearch.files import StorageError
from lossearch.tasks.user.config import FunctionConfig


def test_a_run_appears_with_all_that_resuming_needs_and_names_no_folder(begun: Begun) -> None:
    run = begun.folder / "runs" / "first"
    names = {path.name for path in run.iterdir()}
    assert {"archive.sqlite", "begun.json", "config.toml", "env.json", "resolved.json"} <= names
    for name in ("resolved.json", "begun.json"):
        assert str(begun.folder.parent) not in (run / name).read_text()


def test_the_configuration_in_a_run_is_a_task_wherever_the_script_lies(project: Path) -> None:
    for path in (project / "search.toml", project / "runs" / "first" / "config.toml"):
        with found_subject(path) as found:
            assert isinstance(found.subject, FunctionConfig)
            assert found.subject.function == f"{project / 'train.py'}:train"
            assert found.subject.folder == str(project)


def test_a_disk_that_is_full_from_the_beginning_leaves_nothing_to_resume(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        hint = "free some space, then `lossearch resume`: nothing is lost"
        raise StorageError("free disk space", "none", hint, "free some space")

    monkeypatch.setattr(engine, "write_beginning", full)
    with pytest.raises(UserError) as caught:
        engine.search(project / "search.toml", project / "runs" / "second")
    assert "resume" not in caught.value.hint
    assert "search again" in caught.value.hint
    assert [path.name for path in (project / "runs").iterdir()] == ["first"]


def test_a_moved_project_goes_on(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    project.rename(moved)
    config = goes_on(moved / "runs" / "first", monkeypatch)
    assert function_of(config) == f"{moved / 'train.py'}:train"
    assert config.space == str(moved / "narrow.toml")


def test_a_copied_project_goes_on_with_its_own_files(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    assert function_of(goes_on(copy / "runs" / "first", monkeypatch)) == f"{copy / 'train.py'}:train"


@pytest.mark.parametrize("where", ["beside", "working directory"])
def test_a_run_that_was_moved_alone_finds_its_files(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    run = tmp_path / "kept" / "deep" / "run"
    run.parent.mkdir(parents=True)
    (project / "runs" / "first").rename(run)
    if where == "beside":
        for name in ("train.py", "narrow.toml"):
            shutil.copy(project / name, run / name)
    else:
        monkeypatch.chdir(project)
    expected = run if where == "beside" else project
    assert function_of(goes_on(run, monkeypatch)) == f"{expected / 'train.py'}:train"


def test_what_was_looked_for_is_named(project: Path) -> None:
    (project / "train.py").unlink()
    with pytest.raises(UserError) as caught:
        engine.resume(project / "runs" / "first")
    assert str(project / "train.py") in caught.value.found
    assert str(project / "runs" / "first" / "train.py") in caught.value.found
    assert "task.function" in str(caught.value)


def test_limits_islands_and_moved_files_may_be_edited(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = project / "runs" / "first"
    (project / "src").mkdir()
    (project / "train.py").rename(project / "src" / "train.py")
    edit(run, "islands = 2\ngenerations = 2", "islands = 5\nmax_candidates = 400")
    edit(run, "time_limit_s = 60.0", "time_limit_s = 90.0")
    edit(run, "train.py", "src/train.py")
    config = goes_on(run, monkeypatch)
    assert (config.islands, config.generations, config.max_candidates) == (5, None, 400)
    assert config.evaluation.time_limit_s == 90.0
    assert function_of(config) == f"{project / 'src' / 'train.py'}:train"
    # An edit counts once: what the command line says afterwards stays.
    assert goes_on(run, monkeypatch, generations=7, workers=3).islands == 3
    again = goes_on(run, monkeypatch)
    assert (again.islands, again.generations, again.max_candidates) == (3, 7, 400)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("seed = 3", "seed = 4", "seed = 4 instead of 3"),
        ("seed = 3", "", "seed = 0 instead of 3"),
        ("steps = 5", "steps = 6", "evaluation.steps"),
        ('metric = "accuracy"', 'metric = "iou"', "task.metric"),
        ("train.py:train", "train.py:other", "task.function"),
        ("train.py:train", "other.py:train", "task.function"),
        ('"narrow.toml"', '"dense"', "space"),
        ("seed = 3", "seed = 3\naudit = 0.5", "audit"),
    ],
)
def test_what_decides_the_results_may_not_be_edited(project: Path, old: str, new: str, field: str) -> None:
    run = project / "runs" / "first"
    before = (run / "resolved.json").read_text()
    edit(run, old, new)
    with pytest.raises(UserError) as caught:
        engine.resume(run)
    assert field in caught.value.found
    assert (run / "resolved.json").read_text() == before


def test_the_command_line_of_the_beginning_is_no_edit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.search(project / "search.toml", project / "runs" / "second", workers=1, seed=9)
    config = goes_on(project / "runs" / "second", monkeypatch)
    assert (config.islands, config.seed) == (1, 9)


def test_what_trainings_ask_for_may_be_edited_but_not_whether_they_leave_their_island(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = CONFIG.replace("seed = 3", "seed = 3\nresources = { cpu = 1 }").replace(
        "steps = 5", "steps = 5\nconcurrent = 2"
    )
    (project / "elsewhere.toml").write_text(given)
    run = project / "runs" / "third"
    engine.search(project / "elsewhere.toml", run)
    edit(run, "resources = { cpu = 1 }", "resources = { cpu = 2, gpu = 0.5 }")
    edit(run, "concurrent = 2", "concurrent = 5")
    config = goes_on(run, monkeypatch)
    assert str(config.elsewhere) == "cpu = 2, gpu = 0.5"
    assert config.evaluation.concurrent == 5
    edit(run, "resources = { cpu = 2, gpu = 0.5 }", "")
    assert str(goes_on(run, monkeypatch).elsewhere) == "cpu = 1, gpu = 0"  # as several at once still need
    edit(run, "concurrent = 5", "")
    with pytest.raises(UserError, match=r"evaluation\.concurrent as it began"):
        engine.resume(run)
    edit(project / "runs" / "first", "steps = 5", "steps = 5\nconcurrent = 2")
    with pytest.raises(UserError, match=r"evaluation\.concurrent = 2 instead of None"):
        engine.resume(project / "runs" / "first")


@pytest.mark.parametrize(
    ("damage", "fragment"),
    [
        (changed(lambda values: values.update(torch="1.0")), "torch '1.0' instead of"),
        (changed(lambda values: values.pop("python")), "python None instead of"),
        (lambda path: path.write_text("[]"), "list"),
        (lambda path: path.write_text("{"), "env.json"),
    ],
)
def test_a_record_of_versions_may_not_be_edited(project: Path, damage: Callable[[Path], None], fragment: str) -> None:
    run = project / "runs" / "first"
    damage(run / "env.json")
    with pytest.raises(UserError) as caught:
        engine.resume(run)
    assert fragment in str(caught.value)


def test_other_versions_than_at_the_beginning_are_told(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = project / "runs" / "first"
    change = changed(lambda values: values.update(torch="1.0"))
    change(run / "env.json")
    begun = json.loads((run / "begun.json").read_text())
    begun["environment"]["torch"] = "1.0"
    (run / "begun.json").write_text(json.dumps(begun))
    continued(RunDirectory.open(run))
    assert "torch 1.0, now" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"given": "x =", "folder": "..", "environment": {}}',
        '{"given": 1}',
        '{"given": "", "folder": "..", "environment": {}, "files": 3}',
        '{"given": "", "folder": "..", "environment": {}, "changes": [{"files": 3}]}',
    ],
)
def test_a_damaged_record_is_told(project: Path, text: str) -> None:
    run = project / "runs" / "first"
    (run / "begun.json").write_text(text)
    with pytest.raises(UserError, match=r"begun\.json"):
        engine.resume(run)


def test_a_run_of_an_earlier_version_goes_on(project: Path) -> None:
    """It has absolute paths and no record of its beginning."""
    run = RunDirectory.open(project / "runs" / "first")
    absolute = located(continued(run), run)
    (run.path / "begun.json").unlink()
    (run.path / "resolved.json").write_text(absolute.to_json())
    assert located(continued(run), run) == absolute


def test_a_function_in_a_mapping_is_kept_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(project)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(TRAIN, str(project / "train.py"), "exec"), namespace)
    engine.search(
        {
            "task": {"function": namespace["train"], "metric": "accuracy"},
            "islands": 1,
            "generations": 1,
            "evaluation": {"steps": 1},
        },
        project / "runs" / "third",
    )
    moved = tmp_path / "moved"
    project.rename(moved)
    monkeypatch.chdir(tmp_path)
    assert function_of(goes_on(moved / "runs" / "third", monkeypatch)) == f"{moved / 'train.py'}:train"
