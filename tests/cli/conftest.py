from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lossearch.archive.run_directory import RunDirectory
from lossearch.cli.main import app

from .runs import make_run

Command = Callable[..., str]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A finished run that no test changes."""
    return make_run(tmp_path_factory.mktemp("runs") / "first run")


@pytest.fixture
def lossearch() -> Command:
    """Call the command line; its standard output if it succeeds."""

    def call(*arguments: str | Path) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
        return result.stdout

    return call


@pytest.fixture
def mistake() -> Command:
    """Call the command line with a user's mistake; what it says on standard error, in three parts."""

    def call(*arguments: str | Path) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert isinstance(result.exception, SystemExit), f"{result.output}\n{result.exception!r}"
        assert result.exit_code == 2, result.output
        lines = result.stderr.splitlines()
        assert [line[:12] for line in lines if line[:12].rstrip().endswith(":")] == PARTS, result.stderr
        assert all(len(line) > 12 for line in lines), result.stderr
        assert "Traceback" not in result.output
        return result.stderr

    return call


PARTS = ["required:   ", "found:      ", "what to do: "]
