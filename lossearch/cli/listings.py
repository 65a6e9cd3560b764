"""Commands that list what comes with lossearch: losses, tasks, search spaces, primitives."""

from __future__ import annotations

from typing import Annotated

import typer

from lossearch.cli.output import Format, FormatOption, Listing, print_listing
from lossearch.errors import UserError


def zoo(
    family: Annotated[str | None, typer.Option("--family", help="Only losses of this task family.")] = None,
    signature: Annotated[str | None, typer.Option("--signature", "-s", help="Only losses of these inputs.")] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """List the hand-designed losses."""
    from lossearch.zoo import entries

    rows = [
        {
            "name": entry.name,
            "family": entry.signature.family,
            "signature": entry.signature.name,
            "parameters": {parameter.name: parameter.default for parameter in entry.parameters},
            "options": dict(entry.options),
            "source": entry.source,
            "formula": repr(entry.build().root),
            "latex": entry.build().latex(),
            "summary": entry.summary,
        }
        for entry in entries(family, signature=signature)
    ]
    columns = ("name", "family", "signature", "parameters", "options", "source", "formula", "latex", "summary")
    print_listing(Listing("losses", columns, rows, details=frozenset({"signature", "latex"})), format)


_TASK_SIZES = ("noise", "noise_rate", "imbalance", "train_size", "val_size", "steps")


def tasks(
    *,
    distribution: Annotated[
        str | None,
        typer.Option("--distribution", help="The tasks that a distribution draws: its name, or a .toml file with one."),
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Of a distribution: the part that no search sees.")
    ] = False,
    boundary: Annotated[
        list[str] | None,
        typer.Option("--boundary", help="With --held-out: the axes that are crossed; by default all. Repeatable."),
    ] = None,
    count: Annotated[int | None, typer.Option("--tasks", min=1, help="Of a distribution: how many are drawn.")] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """List the tasks on which losses can be searched and compared, or those that a distribution draws."""
    from lossearch.tasks import tasks as configurations
    from lossearch.tasks.distribution.reading import read_distribution

    if distribution is None and (held_out or boundary or count):
        raise UserError("--distribution, for --held-out, --boundary and --tasks", "none", "name a distribution")
    if boundary and not held_out:
        raise UserError("--boundary with --held-out", "--boundary alone", "add --held-out")
    if distribution is None:
        found = configurations()
    else:
        part = "held_out" if held_out else None
        config = read_distribution(distribution, part=part, boundary=boundary or None, tasks=count)
        found = {task.name: task for task in config.drawn()}
    columns = ("name", "family", "dataset", "available", "model", "metric", *_TASK_SIZES)
    rows = []
    for name, task in found.items():
        told = {"family": "classification", **task.model_dump(mode="json")}
        told |= {"name": name, "available": task.is_available(), "metric": task.ranking_metric().name}
        told |= {"model": told["model"]["name"]} if "model" in told else {}
        rows.append({column: told.get(column, getattr(task, column, None)) for column in columns})
    print_listing(Listing("tasks", columns, rows), format)


def spaces(format: FormatOption = Format.TABLE) -> None:
    """List the search spaces."""
    from lossearch.search_spaces import load_space, space_names

    found = [load_space(name) for name in space_names()]
    rows = [
        {
            "name": space.name,
            "signature": space.signature,
            "terminals": sum(map(len, space.terminals.values())),
            "templates": sum(map(len, space.templates.values())),
            "max_nodes": space.max_nodes,
            "seeds": list(space.seeds),
        }
        for space in found
    ]
    print_listing(
        Listing("spaces", ("name", "signature", "terminals", "templates", "max_nodes", "seeds"), rows), format
    )


def primitives(
    family: Annotated[str | None, typer.Option("--family", help="Only primitives of this family.")] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """List the building blocks of losses."""
    from lossearch import primitives as _  # noqa: F401  (registers them)
    from lossearch.ir.core.operator import OPERATORS
    from lossearch.ir.core.primitive import PRIMITIVES, parameter_names, source_of

    PRIMITIVES.extend()
    found = [operator for operator in OPERATORS.values() if operator.expand is not None]
    families = sorted({operator.family for operator in found})
    if family is not None and family not in families:
        raise UserError(f"a family among {', '.join(families)}", repr(family), "correct --family")
    rows = [
        {
            "name": operator.name,
            "family": operator.family,
            "arguments": parameter_names(operator.name),
            "attributes": {name: None if default is ... else default for name, default in operator.attributes},
            "source": source_of(operator.name),
            "summary": operator.doc,
        }
        for operator in found
        if family in (None, operator.family)
    ]
    columns = ("name", "family", "arguments", "attributes", "source", "summary")
    print_listing(Listing("primitives", columns, rows), format)
