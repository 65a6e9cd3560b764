"""Commands on runs: search, resume, list what was found, report."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossearch.cli.output import Format, FormatOption, Listing, print_fields, print_listing, say, short
from lossearch.engine.driver.streams import if_anybody_reads

if TYPE_CHECKING:
    from lossearch.engine.driver.result import SearchResult

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a run.")]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="Of a Ray cluster to search on; without it a local Ray is started.")
]

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="Configuration of the search (.toml).")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Run directory to make; the next free runs/NAME by default.")
]
IslandsOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Islands, in place of the configuration's.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="In place of the configuration's.")]
SeedWithOption = Annotated[
    list[str] | None,
    typer.Option(
        "--seed-with",
        metavar="LOSS",
        help="Begin with this loss, before the configuration's: a name, a text form, a file, or DIR@RANK;"
        " may be given several times.",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Check everything and say what would be done; train and write nothing.")
]


def search(
    config: ConfigArgument,
    out: OutOption = None,
    address: AddressOption = None,
    workers: IslandsOption = None,
    seed: SeedOption = None,
    seed_with: SeedWithOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Search for a loss.

    The configuration of a training function of yours says `direction = "minimize"` or `"maximize"`, unless the name of
    its metric tells which way is better (accuracy, dice, psnr …; mae, rmse, error, loss …).
    """
    _search(config, out, address, workers, seed, seed_with, dry_run, meta=False)


def meta(
    config: ConfigArgument,
    out: OutOption = None,
    address: AddressOption = None,
    workers: IslandsOption = None,
    seed: SeedOption = None,
    seed_with: SeedWithOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Learn a loss's coefficients by gradient over tasks.

    The table `method` of the configuration says `structure = "…"`, the loss that it begins with: a hand-designed one
    with parameters, or a text form whose constants are learned. What is learned is scored on tasks and seeds that the
    outer loop does not see. All commands on runs take such a run.
    """
    _search(config, out, address, workers, seed, seed_with, dry_run, meta=True)


def _search(
    config: Path,
    out: Path | None,
    address: str | None,
    workers: int | None,
    seed: int | None,
    seed_with: list[str] | None,
    dry_run: bool,
    meta: bool,
) -> None:
    from lossearch.engine.driver import search as engine
    from lossearch.named_losses import as_seed

    seeds = [as_seed(loss) for loss in seed_with or ()]
    if dry_run:
        plan = engine.plan_search(config, address=address, workers=workers, seed=seed, seeds=seeds, meta=meta)
        say("\n".join(plan.lines))
        return
    print_result(engine.search(config, out, address=address, workers=workers, seed=seed, seeds=seeds, meta=meta))


def resume(
    directory: Directory,
    address: AddressOption = None,
    generations: Annotated[int | None, typer.Option("--generations", min=1, help="A new limit.")] = None,
    max_candidates: Annotated[int | None, typer.Option("--max-candidates", min=1, help="A new limit.")] = None,
    max_budget: Annotated[
        int | None, typer.Option("--max-budget", min=1, help="A new limit, of all calls of a function together.")
    ] = None,
    time_limit: Annotated[float | None, typer.Option("--time-limit", help="A new limit, in seconds.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Another number of islands.")] = None,
    changed_script: Annotated[
        bool,
        typer.Option(
            "--changed-script",
            help="Go on although the training script was changed; scores before and after need not compare.",
        ),
    ] = False,
) -> None:
    """Go on with a search that was interrupted, or search longer; limits may be edited in DIR/config.toml, too."""
    from lossearch.engine.driver import search as engine

    print_result(
        engine.resume(
            directory,
            address=address,
            generations=generations,
            max_candidates=max_candidates,
            max_budget=max_budget,
            time_limit_s=time_limit,
            workers=workers,
            changed_script=changed_script,
        )
    )


def race(
    directory: Directory,
    candidates: Annotated[
        int | None, typer.Option("--candidates", min=1, help="How many of the best race; the front does, too.")
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=2, help="Trainings of each loss that lasts.")] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Of each training; the task's full budget by default.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes that train.")] = None,
    address: AddressOption = None,
) -> None:
    """Run or extend a run's final race: its best losses, trained on fresh seeds, are ranked anew.

    Only what is missing is trained. What is not given is as in the configuration, or as in the race before.
    """
    from lossearch.engine.driver.race import race_run

    print_result(race_run(directory, candidates=candidates, seeds=seeds, steps=steps, workers=workers, address=address))


def print_result(result: SearchResult) -> None:
    """Say what a search found, and where its race failed, or raise why it found nothing."""
    from lossearch.archive.robustness import seeds_in_words
    from lossearch.archive.run_directory import RunDirectory
    from lossearch.archive.simplified import shorter_of
    from lossearch.tasks.directions import in_words

    with result.archive as archive:
        counts, front = archive.counts(), archive.pareto_front()
        fields = {
            "run": str(result.path),
            "candidates": f"{counts.candidates}, of which {counts.accepted} were trained",
            "front": f"{len(front)} losses",
        }
        if (failure := result.failure()) is not None:
            _print_if_read(fields)
            raise failure
        best = result.at_rank(1)
        where = f"on validation, {in_words(archive.higher_is_better)}"
        race = result.race_failure()
        if archive.standings() and race is None:
            seeds = seeds_in_words(best.seeds, archive.robustness, "fresh ")
            where += f" (final race, {seeds}, budget {best.budget})"
        fields[archive.metric] = f"{short(best.metric)} {where}"
        if race is not None:
            fields["final race"] = f"{race}. The best of the others is told here, by the search's own scores"
    fields["complexity"] = f"{best.complexity} operators"
    fields["formula"] = best.loss.to_text()
    shorter = shorter_of(RunDirectory(result.path), best.key)
    if shorter is not None:
        fields["simplified"] = f"{shorter.loss.to_text()} ({shorter.how})"
    _print_if_read(fields)


def _print_if_read(fields: Mapping[str, str]) -> None:
    with if_anybody_reads(sys.stdout):  # what was found is in the run directory as well
        print_fields(fields.items())


def report(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Directories of one run, or of several.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            "--out",
            metavar="FILE",
            help="Where to; report.html in the run's directory by default. Several runs need it.",
        ),
    ] = None,
) -> None:
    """Write a run's report, or one that compares several runs: one HTML file that opens offline."""
    from lossearch.report import write_reports

    say(write_reports(directories, output))


def ls(
    directory: Directory,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many candidates.")] = 20,
    format: FormatOption = Format.TABLE,
) -> None:
    """List the best candidates of a run: first those of its final race, with the rank that they had before it."""
    from lossearch.archive.run_directory import RunDirectory
    from lossearch.failure_text import headline
    from lossearch.listing import finite
    from lossearch.tasks.directions import in_words

    with RunDirectory.open(directory).open_archive(read_only=True) as archive:
        rows = [
            {
                "rank": rank,
                "before": None if ranked.standing is None else ranked.standing.before,
                archive.metric: ranked.metric,
                "metrics": finite(archive.other_metrics(ranked)),
                "seeds": ranked.seeds,
                "failed": ranked.failed,
                "budget": ranked.budget,
                "complexity": ranked.candidate.complexity,
                "made_by": ranked.candidate.operator,
                "formula": ranked.candidate.text,
                "reason": headline(archive.why_failed(ranked)) if ranked.failed else archive.stopped_early(ranked),
                "key": ranked.candidate.key,
            }
            for rank, ranked in enumerate(archive.ranked(limit), start=1)
        ]
        columns = (
            "rank",
            "before",
            archive.metric,
            "metrics",
            "seeds",
            "failed",
            "budget",
            "complexity",
            "made_by",
            "formula",
            "reason",
            "key",
        )
        counts, stopped = archive.counts(), archive.stopped()
    summary = {
        "direction": f"{archive.metric}, {in_words(archive.higher_is_better)}",
        "candidates_seen": counts.candidates,
        "accepted": counts.accepted,
        "evaluations": counts.evaluations,
        "failed_evaluations": counts.failed,
        **({"stopped_early": stopped} if stopped else {}),
        "verdicts": dict(counts.verdicts),
    }
    hidden = {"failed", "budget", "key"}
    hidden |= set() if any(row["reason"] for row in rows) else {"reason"}
    hidden |= set() if any(row["before"] for row in rows) else {"before"}
    hidden |= set() if any(row["metrics"] for row in rows) else {"metrics"}
    print_listing(Listing("candidates", columns, rows, summary, frozenset(hidden)), format)
