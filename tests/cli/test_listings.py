import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from representative import thorough_unless

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.plain_text import csv_cell
from lossearch.search_spaces import space_names
from lossearch.tasks import tasks
from lossearch.tasks.datasets.data import datasets

Command = Callable[..., str]

# The listing, a column that names its rows, and rows that must be there.
LISTINGS: dict[tuple[str, ...], list[str]] = {
    ("zoo",): zoo.names(),
    ("zoo", "--signature", "box"): zoo.names("box"),
    ("tasks",): list(tasks()),
    ("spaces",): space_names(),
    ("primitives", "--family", "gram"): ["gram_matrix", "gram_difference"],
    ("data", "ls"): list(datasets()),
}


@pytest.fixture(autouse=True)
def empty_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path / "data"))


@pytest.mark.parametrize(
    "arguments",
    # Every family of tasks and losses has a space of its own, which are made for the listing.
    [pytest.param(one, id=" ".join(one), marks=thorough_unless(one != ("spaces",))) for one in LISTINGS],
)
def test_a_listing_says_the_same_in_every_format(arguments: tuple[str, ...], lossearch: Command) -> None:
    rows = json.loads(lossearch(*arguments, "--format", "json"))
    assert [row["name"] for row in rows] == LISTINGS[arguments]
    read = list(csv.DictReader(io.StringIO(lossearch(*arguments, "--format", "csv"))))
    assert [list(row) for row in read] == [list(row) for row in rows]
    for row, plain in zip(rows, read, strict=True):
        for key, value in row.items():
            if isinstance(value, float):
                assert float(plain[key]) == value
            elif isinstance(value, str):
                assert plain[key] == csv_cell(value)
    lines = lossearch(*arguments).splitlines()
    assert len(lines) == len(rows) + 2
    assert [line.split()[0] for line in lines[2:]] == LISTINGS[arguments]


def test_every_row_of_a_table_is_one_line_where_nobody_looks(lossearch: Command) -> None:
    (line,) = (line for line in lossearch("zoo").splitlines() if line.startswith("tversky"))
    assert "alpha=0.3, beta=0.7" in line
    assert line.endswith(zoo.entry("tversky").summary)


def test_tasks_say_whether_their_data_are_there(lossearch: Command) -> None:
    rows = {row["name"]: row["available"] for row in json.loads(lossearch("tasks", "-f", "json"))}
    assert rows["digits_noise"] is True
    assert rows["fashion_noise"] is False


def test_ls_ranks_candidates_and_counts_them(run: RunDirectory, lossearch: Command) -> None:
    document = json.loads(lossearch("ls", run.path, "--format", "json"))
    rows = document["candidates"]
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert [row["accuracy"] for row in rows] == [pytest.approx(0.92), pytest.approx(0.86), None]
    assert [row["made_by"] for row in rows] == ["mutation:constant", "seed:cross_entropy", "seed:brier"]
    assert rows[0]["formula"] == zoo.get("focal", gamma=1.5).to_text()
    assert rows[0]["complexity"] == zoo.get("focal").complexity
    assert document["candidates_seen"] == 4
    assert document["accepted"] == 3
    assert document["failed_evaluations"] == 1
    assert document["verdicts"] == {"accepted": 3, "probe": 1}
    read = list(csv.DictReader(io.StringIO(lossearch("ls", run.path, "-f", "csv", "--limit", "2"))))
    assert [float(row["accuracy"]) for row in read] == [row["accuracy"] for row in rows[:2]]
    assert [row["metrics"] for row in rows] == [{"nll": 0.25, "worst": 1.0}, {"nll": None, "worst": 2.0}, {}]
    assert [row["metrics"] for row in read] == ["nll=0.25, worst=1.0", "nll=, worst=2.0"]
    table = lossearch("ls", run.path)
    assert "nll=0.25, worst=1" in table
    assert "accepted: 3; evaluations: 6; failed evaluations: 1; verdicts: accepted=3, probe=1" in table


def test_ls_of_a_run_that_found_nothing_yet(tmp_path: Path, lossearch: Command) -> None:
    RunDirectory.create(tmp_path / "new", "").create_archive("accuracy", True).close()
    assert "no candidates" in lossearch("ls", tmp_path / "new")
    assert json.loads(lossearch("ls", tmp_path / "new", "-f", "json"))["candidates"] == []
    assert len(lossearch("ls", tmp_path / "new", "-f", "csv").splitlines()) == 1


def test_data_path_names_the_folder_of_all_and_of_one(tmp_path: Path, lossearch: Command) -> None:
    assert lossearch("data", "path").strip() == str(tmp_path / "data")
    assert lossearch("data", "path", "fashion_mnist").strip() == str(tmp_path / "data" / "fashion_mnist")


def test_fetching_an_embedded_dataset_says_where_it_lies(lossearch: Command) -> None:
    assert lossearch("data", "fetch", "digits") == lossearch("data", "path", "digits")


def test_help_of_the_program_and_of_every_command(lossearch: Command) -> None:
    commands = ("ls", "show", "export", "zoo", "tasks", "spaces", "primitives", "data")
    text = lossearch()
    assert all(f" {command} " in text for command in commands)
    for command in commands:
        assert f"lossearch {command}" in lossearch(command, "--help")
