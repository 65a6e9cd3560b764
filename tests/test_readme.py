"""What README.md shows works as it stands there, with a small search in place of the long one."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lossearch.cli.main import app
from lossearch.engine.driver.search import plan_search

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^    lossearch (.+)$", README, re.MULTILINE)

SMALL = """
task = "digits_noise"
islands = 1
generations = 1
generation_size = 2

[evaluation]
steps = 20
seeds = 1
variants = 1

[race]
candidates = 2
seeds = 2
steps = 20
"""


def test_the_readme_shows_both_faces() -> None:
    assert SNIPPETS
    assert {command.split()[0] for command in COMMANDS} >= {"search", "compare", "export", "report"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_has_these_options(command: str) -> None:
    name, *words = shlex.split(command)
    result = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    for word in words:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", result.output), f"no option {word}"


@pytest.mark.usefixtures("one_server")
def test_the_configuration_of_the_readme_can_be_planned(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    (tmp_path / "search.toml").write_text(text, encoding="utf-8")
    call = "loss(torch.zeros(4, 3, requires_grad=True), torch.arange(4) % 3).backward()"
    train = f"import torch\n\ndef train(loss, budget, seed):\n    {call}\n    yield 0.5\n"
    (tmp_path / "train.py").write_text(train, encoding="utf-8")
    lines = plan_search(tmp_path / "search.toml").lines
    assert any("3 calls of the function with budget 20" in line for line in lines)
    assert any("600 s for each call" in line for line in lines)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_the_python_of_the_readme_runs(number: int, tmp_path: Path) -> None:
    for name in set(re.findall(r"experiments/\w+\.toml", SNIPPETS[number])):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(SMALL, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", SNIPPETS[number]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in re.findall(r'"(\w+\.py)"', SNIPPETS[number]):
        compile((tmp_path / name).read_text(encoding="utf-8"), name, "exec")
