"""Files of the user's, on which a search stands: which of them may have changed when it goes on."""

import json
from pathlib import Path

import pytest
from engine.projects import CONFIG, SPACE, TRAIN, changed, goes_on

from lossearch.engine.driver import search as engine
from lossearch.errors import UserError
from lossearch.report.run_summary import summarize


def edit_file(path: Path, text: str = "\n# edited\n") -> None:
    path.write_text(path.read_text() + text)


def test_a_changed_space_is_refused_and_restoring_it_mends_that(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (project / "narrow.toml").read_text()
    (project / "narrow.toml").write_text(before.replace('"log(E)" = 1.0', '"square(E)" = 1.0'))
    for accept in (False, True):
        with pytest.raises(UserError, match=r"narrow\.toml was changed \(space\)") as caught:
            engine.resume(project / "runs" / "first", changed_script=accept)
        assert "restore the file, or begin a new search" in caught.value.hint
    (project / "narrow.toml").write_text(before)
    assert goes_on(project / "runs" / "first", monkeypatch).space == str(project / "narrow.toml")


def test_a_changed_script_is_refused_until_it_is_accepted_and_that_is_recorded(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = project / "runs" / "first"
    edit_file(project / "train.py", "\nSTEPS = 3\n")
    with pytest.raises(UserError, match=r"train\.py was changed") as caught:
        engine.resume(run)
    assert "--changed-script" in caught.value.hint
    assert json.loads((run / "begun.json").read_text())["changes"] == []
    (run / "first_call.bin").write_bytes(b"of the script before")
    goes_on(run, monkeypatch, changed_script=True)
    assert not (run / "first_call.bin").exists()
    recorded = [{"files": ["train.py was changed"], "candidates": 0}]
    assert json.loads((run / "begun.json").read_text())["changes"] == recorded
    goes_on(run, monkeypatch)  # accepted once, it is how the search goes on
    assert json.loads((run / "begun.json").read_text())["changes"] == recorded
    assert any("another training script after 0 candidates (train.py was changed)" in n for n in summarize(run).notes)


@pytest.mark.parametrize(
    ("statement", "file"),
    [
        ("import helper", "helper.py"),
        ("from parts import model", "parts/model.py"),
        ("import parts.model as m", "parts/__init__.py"),
        ("from parts.deep import thing", "parts/other.py"),  # which parts/deep.py imports
    ],
)
def test_modules_beside_the_script_count_as_part_of_it(
    project: Path, statement: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "parts").mkdir()
    texts = {"helper.py": "size = 3", "parts/__init__.py": "", "parts/model.py": "size = 3", "parts/other.py": "x = 1"}
    for name, text in {**texts, "parts/deep.py": "from .other import x as thing", "unused.py": "size = 3"}.items():
        (project / name).write_text(text)
    (project / "train.py").write_text(f"{statement}\n{TRAIN}")
    run = project / "runs" / "second"
    engine.search(project / "search.toml", run)
    edit_file(project / "unused.py")
    goes_on(run, monkeypatch)
    edit_file(project / file)
    with pytest.raises(UserError, match=f"{file} was changed"):
        engine.resume(run)


def test_a_changed_module_is_noticed_where_the_function_is_named_by_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "jobs.py").write_text(f"import helper\n{TRAIN}")
    (project / "helper.py").write_text("")
    (project / "search.toml").write_text(CONFIG.replace("train.py:train", "jobs:train"))
    monkeypatch.chdir(project)
    run = project / "runs" / "second"
    engine.search("search.toml", run)
    edit_file(project / "jobs.py")
    (project / "helper.py").unlink()
    with pytest.raises(UserError, match=r"helper\.py is gone; jobs\.py was changed"):
        engine.resume(run)


def test_changed_seeds_are_refused(project: Path) -> None:
    (project / "seeds").mkdir()
    (project / "seeds" / "mine.txt").write_text("dense: cross_entropy(logits, target) * 2")
    (project / "narrow.toml").write_text(SPACE.replace('["cross_entropy"]', '["cross_entropy", "seeds/mine.txt"]'))
    (project / "search.toml").write_text('seeds = ["other.txt"]\n' + CONFIG)
    (project / "other.txt").write_text("dense: square(cross_entropy(logits, target))")
    run = project / "runs" / "second"
    engine.search(project / "search.toml", run)
    for name, field in {"seeds/mine.txt": "space", "other.txt": "seeds"}.items():
        before = (project / name).read_text()
        (project / name).write_text(before.replace("cross_entropy", "brier"))
        with pytest.raises(UserError, match=rf"{name} was changed \({field}\)"):
            engine.resume(run)
        (project / name).write_text(before)


def test_a_run_that_kept_no_digests_goes_on_and_keeps_them_from_then_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = project / "runs" / "first"
    changed(lambda values: (values.pop("files"), values.pop("changes")))(run / "begun.json")
    edit_file(project / "train.py")
    goes_on(run, monkeypatch)
    edit_file(project / "train.py")
    with pytest.raises(UserError, match=r"train\.py was changed"):
        engine.resume(run)
