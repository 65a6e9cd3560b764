"""Commands on runs: search, resume, list what was found, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossearch.cli.output import Format, FormatOption, Listing, note, print_listing

if TYPE_CHECKING:
    from lossearch.evaluate.archive import Archive

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a run.")]


def ls(
    directory: Directory,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many candidates.")] = 20,
    format: FormatOption = Format.TABLE,
) -> None:
    """List the best candidates of a run."""
    from lossearch.evaluate.run_directory import RunDirectory

    with RunDirectory.open(directory).open_archive(read_only=True) as archive:
        rows = [
            {
                "rank": rank,
                archive.metric: ranked.metric,
                "seeds": ranked.seeds,
                "failed": ranked.failed,
                "budget": ranked.budget,
                "complexity": ranked.candidate.complexity,
                "made_by": ranked.candidate.operator,
                "formula": ranked.candidate.text,
                "key": ranked.candidate.key,
            }
            for rank, ranked in enumerate(archive.ranked(limit), start=1)
        ]
        columns = ("rank", archive.metric, "seeds", "failed", "budget", "complexity", "made_by", "formula", "key")
        counts = archive.counts()
    summary = {
        "candidates_seen": counts.candidates,
        "accepted": counts.accepted,
        "evaluations": counts.evaluations,
        "failed_evaluations": counts.failed,
        "verdicts": dict(counts.verdicts),
    }
    print_listing(Listing("candidates", columns, rows, summary, frozenset({"failed", "budget", "key"})), format)
