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


def tasks(format: FormatOption = Format.TABLE) -> None:
    """List the tasks on which losses can be searched and compared."""
    from lossearch.tasks import tasks as configurations
    from lossearch.tasks.datasets.data import is_available

    rows = [
        {
            "name": task.name,
            "dataset": task.dataset,
            "available": is_available(task.dataset),
            "model": task.model.name,
            "metric": task.metric,
            "noise": task.noise,
            "noise_rate": task.noise_rate,
            "imbalance": task.imbalance,
            "train_size": task.train_size,
            "val_size": task.val_size,
            "steps": task.steps,
        }
        for task in configurations().values()
    ]
    sizes = ("noise", "noise_rate", "imbalance", "train_size", "val_size", "steps")
    print_listing(Listing("tasks", ("name", "dataset", "available", "model", "metric", *sizes), rows), format)


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
