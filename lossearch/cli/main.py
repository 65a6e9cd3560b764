"""The command `lossearch`: its subcommands, and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lossearch.cli import advise, compare, data, fidelity, listings, losses, search, simplify, verify
from lossearch.cli.output import note, print_error
from lossearch.engine.driver.ending import SearchLost
from lossearch.errors import UserError
from lossearch.version import __version__

USER_MISTAKE = 2
INTERRUPTED = 130

# typer names this class in no version; it is the base of an error that all of them export.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class Commands(TyperGroup):
    """A group of commands that ends with exit code 2 for a user's mistake.

    An interruption ends with 128 and the signal's number (Ctrl-C 130, SIGTERM 143, SIGHUP 129), and a search that lost
    its cluster with 75. A mistake is told in three parts without a traceback. Any other exception is a defect and
    keeps its traceback.
    """

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except UserError as error:
            print_error(error)
            for text in getattr(error, "__notes__", ()):  # how to go on
                note(text)
            code = USER_MISTAKE
        except SearchLost as error:
            note(str(error))
            code = error.exit_code
        except _UsageError as error:
            print_error(_as_user_error(error))
            code = USER_MISTAKE
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            note(str(error) or "interrupted")  # a search says how to go on
            raise typer.Exit(getattr(error, "exit_code", INTERRUPTED)) from None


def _as_user_error(error: Any) -> UserError:
    found = error.format_message().replace("Value error, ", "")  # what newer versions of typer put in front
    context = error.ctx
    if context is None:
        return UserError("a command with its arguments", found, "see: lossearch --help")
    usage = " ".join([context.command_path, *context.command.collect_usage_pieces(context)])
    return UserError(usage, found, f"see: {context.command_path} --help")


app = typer.Typer(
    name="lossearch",
    cls=Commands,
    help="Find, prove and export loss functions for PyTorch models.",
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"lossearch {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find, prove and export loss functions for PyTorch models.

    A LOSS is a hand-designed loss, with arguments if need be ("focal(gamma=2)"), a .json or .txt file, a loss in
    text form ("dense: …"), or a rank in a run (runs/x@1).
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


def _add(panel: str, *commands: Any) -> None:
    for command in commands:
        app.command(rich_help_panel=panel)(command)


_add("Search", search.search, search.meta, search.resume, search.race, search.ls, search.report, fidelity.fidelity)
_add(
    "Losses", losses.show, compare.compare, losses.tune, losses.export, verify.verify, simplify.simplify, advise.advise
)
_add("What there is", listings.zoo, listings.tasks, listings.spaces, listings.primitives)
app.add_typer(data.app, name="data", rich_help_panel="What there is")


def main() -> None:
    """Run the command line."""
    app(prog_name="lossearch")
