"""How the program starts and ends."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lossearch import __version__
from lossearch.cli import listings
from lossearch.cli.main import app
from lossearch.cli.output import Listing, console, print_error, print_table
from lossearch.errors import UserError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(*command: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_module_is_the_program(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "lossearch", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"lossearch {__version__}\n", "")


def test_the_installed_program_ends_with_two_for_a_mistake(tmp_path: Path) -> None:
    done = run(str(Path(sys.executable).parent / "lossearch"), "show", "focl", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "required:   a hand-designed loss",
        "found:      'focl'",
        "what to do: did you mean focal?",
    ]


def test_output_into_a_closed_pipe_is_no_defect(tmp_path: Path) -> None:
    done = run("bash", "-c", f"{sys.executable} -m lossearch primitives -f json | head -n 1", cwd=tmp_path)
    assert done.stdout == "[\n"
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(listings, "print_listing", interrupt)
    result = CliRunner().invoke(app, ["zoo"])
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(listings, "print_listing", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        CliRunner().invoke(app, ["zoo"], catch_exceptions=False)


def test_a_long_message_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(UserError("a " * 300, "[bold]b[/bold] " * 30, "c"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[1].count("[bold]b[/bold]") == 30


@pytest.mark.parametrize(("name", "coloured"), [("NO_COLOR", False), ("LOSSEARCH_UNRELATED", True)])
def test_colour_is_for_terminals_without_no_color(name: str, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(name, "1")
    for file, expected in ((Terminal(), coloured), (io.StringIO(), False)):
        console(file).print("text", style="red")
        assert ("\x1b[31m" in file.getvalue()) is expected


def test_a_table_that_is_too_wide_for_a_terminal_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    words = ["abcdefghijklmnopqrstuvwxyz" * 2, "0123456789" * 4]
    print_table(Listing("words", ("first", "second"), [dict(zip(("first", "second"), words, strict=True))]).to_table())
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert all(word in "".join(lines) for word in words)
