"""The worked examples: a script becomes a task in a few lines, is searched, and is given what was found."""

from __future__ import annotations

import difflib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lossearch.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guide" / "8-two-examples.md").read_text(encoding="utf-8")
MOST_CHANGED_LINES = 10

_IMPORT = "import torch\nfrom best import "
SMALL = """
islands = 1
generations = 1
generation_size = 3
"""
WITHOUT_LOSSEARCH = (
    "import runpy, sys; sys.modules['lossearch'] = None; runpy.run_path('train.py', run_name='__main__')"
)


@dataclass(frozen=True)
class Example:
    """A folder of `examples/`.

    Attributes:
        name: of the folder.
        criterion: the loss of the original script, as it stands there.
        baseline: the same, as lossearch calls it.
        metric: how the original script prints its metric on test data.
    """

    name: str
    criterion: str
    baseline: str
    metric: str

    def read(self, file: str) -> str:
        """The text of one of its files."""
        return (ROOT / "examples" / self.name / file).read_text(encoding="utf-8")


EXAMPLES = (
    Example("segmentation", "nn.CrossEntropyLoss()", "cross_entropy", r"IoU (0\.\d+) on test data"),
    Example("lightning", "nn.MSELoss()", "mse", r"mae\W+(\d\.\d+)"),
)
each = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)


@each
def test_a_script_becomes_a_task_in_ten_lines(example: Example) -> None:
    before, after = (example.read(file).splitlines() for file in ("train.py", "task.py"))
    spans = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    # A line that is put in another's place is one change.
    changed = sum(max(b - a, d - c) for tag, a, b, c, d in spans if tag != "equal")
    assert 0 < changed <= MOST_CHANGED_LINES


@each
def test_the_guide_shows_what_changed(example: Example) -> None:
    before, after = (example.read(file).splitlines() for file in ("train.py", "task.py"))
    names = (f"examples/{example.name}/{file}" for file in ("train.py", "task.py"))
    difference = difflib.unified_diff(before, after, *names, n=1, lineterm="")
    assert "```diff\n" + "\n".join(difference) + "\n```" in PAGE


@pytest.mark.thorough
@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("local_ray", "one_server")
@each
def test_what_is_found_serves_the_original_script(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / example.name
    shutil.copytree(ROOT / "examples" / example.name, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    Path("small.toml").write_text(_small(example), encoding="utf-8")

    _lossearch("search", "small.toml", "--out", "found")
    few = ("--seeds", "2", "--trials", "2", "--workers", "1")
    _lossearch("compare", "found@1", example.baseline, "--task", "small.toml", *few)
    compared = json.loads(Path("found/comparison/comparison.json").read_text(encoding="utf-8"))
    found, baseline = compared["rows"]
    assert {found["source"], baseline["source"]} == {"discovered", "hand-designed"}
    for row in (found, baseline):
        assert None not in row["values"], row["message"]
        assert row["validation"] not in row["values"]  # measured on other data than those of the tuning

    _lossearch("export", "found@1", "-o", "best.py")
    (name,) = re.findall(r"^class (\w+Loss)\(", Path("best.py").read_text(encoding="utf-8"), re.MULTILINE)
    original = example.read("train.py")
    assert original.count(example.criterion) == 1
    changed = original.replace(example.criterion, f"{name}()").replace("import torch\n", f"{_IMPORT}{name}\n", 1)
    Path("train.py").write_text(changed, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", WITHOUT_LOSSEARCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(example.metric, done.stdout), done.stdout


def _small(example: Example) -> str:
    """The example's configuration, with a search that takes seconds."""
    lines = example.read("search.toml").partition("[race]")[0].splitlines()
    kept = [line for line in lines if not line.startswith(("generation", "steps"))]
    text = "\n".join(kept).replace("[evaluation]", "[evaluation]\nsteps = 2")
    return SMALL + text + "\n\n[race]\ncandidates = 0\n"


def _lossearch(*arguments: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
