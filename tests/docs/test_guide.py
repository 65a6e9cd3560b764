"""Every code block of the guide works: the pages run in their order, in one folder, as a reader would."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lossearch.cli.main import app
from lossearch.ir.core.primitive import PRIMITIVES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted((DOCS / "guide").glob("*.md"))


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        kind: Its language: `python` and `console` blocks are run.
        note: What follows the language: `file=NAME` for a block that becomes a file, `elsewhere` for commands that need
            other machines or that other tests run.
        text: Its lines.
    """

    kind: str
    note: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^```(\S*) ?([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert text.count("\n```") == 2 * len(fences)  # none is left open
    return (Block(*fence) for fence in fences)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader follows the guide."""
    return tmp_path


@pytest.fixture(autouse=True)
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where the reader does; `pip install` puts packages into a folder there and asks no index."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("PIP_TARGET", str(site))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_DEPS", "1")
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # pip takes 0 here for the flag --no-build-isolation
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")


def run_python(script: Path) -> None:
    """Run a script: in this process, which has imported torch, unless processes that it starts import it again."""
    if "__main__" not in script.read_text(encoding="utf-8"):
        runpy.run_path(str(script))
        return
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


def run_command(line: str) -> None:
    """Run a command: lossearch's in this process."""
    program, *arguments = shlex.split(line)
    if program == "lossearch":
        PRIMITIVES.forget_extensions()  # a package may have been installed since
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
        return
    assert program == "pip"
    done = subprocess.run(
        [sys.executable, "-m", program, *arguments], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("one_server")
@pytest.mark.thorough
def test_every_page_does_what_it_says(folder: Path) -> None:
    """All in one test: each page stands on files and runs of those before it."""
    for page in PAGES:
        follow(page, folder)


def follow(page: Path, folder: Path) -> None:
    """Do what a page says, block by block."""
    for number, block in enumerate(blocks(page)):
        if block.note.startswith("file="):
            (folder / block.note.removeprefix("file=")).write_text(block.text, encoding="utf-8")
        elif block.kind == "python":
            script = folder / f"{page.stem}_{number}.py"
            script.write_text(block.text, encoding="utf-8")
            run_python(script)
        elif block.kind == "toml":  # a part of a file
            tomllib.loads(block.text)
        elif block.kind != "diff":
            assert block.kind == "console"
            for line in block.text.splitlines() if block.note != "elsewhere" else ():
                run_command(line)


@pytest.mark.parametrize("page", [*PAGES, DOCS / "README.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_index_lists_every_page_in_order() -> None:
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\(guide/([\w-]+\.md)\)", text) == [page.name for page in PAGES]
    assert "docs/README.md" in (DOCS.parent / "README.md").read_text(encoding="utf-8")
