from collections.abc import Callable
from pathlib import Path

import pytest

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory

Command = Callable[..., str]


def fields(text: str) -> dict[str, str]:
    """What `show` prints, by heading."""
    return {line[:15].rstrip(" :"): line[15:] for line in text.splitlines()}


def test_show_a_hand_designed_loss(lossearch: Command) -> None:
    shown = fields(lossearch("show", "focal(gamma=3)"))
    loss = zoo.get("focal", gamma=3.0)
    assert shown["name"] == "focal"
    assert shown["formula"] == loss.to_text()
    assert shown["latex"] == loss.latex()
    assert shown["parameter"] == "gamma = 3, tunable; defined for gamma ≥ 0; a search tries [0, 10]"
    assert shown["signature"].startswith("dense: logits[batch, class, space], target[")
    assert shown["complexity"] == f"{loss.complexity} operators"
    assert shown["key"] == loss.key
    assert shown["source"] == "Lin et al. 2017"


def test_show_tells_where_tuning_begins(lossearch: Command) -> None:
    margin = "margin = 1, tunable; defined for margin ≥ 0; a search tries [0, 100], beginning with [0, 10]"
    assert fields(lossearch("show", "hinge"))["parameter"] == margin


@pytest.mark.parametrize("option", ["--graph", "--plot"])
@pytest.mark.parametrize(("suffix", "head"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_show_draws_into_a_file(option: str, suffix: str, head: bytes, tmp_path: Path, lossearch: Command) -> None:
    path = tmp_path / f"focal{suffix}"
    assert fields(lossearch("show", "focal", option, path))["name"] == "focal"
    assert path.read_bytes().startswith(head)


@pytest.mark.parametrize("option", ["--graph", "--plot"])
def test_show_refuses_to_draw_into_another_format(option: str, tmp_path: Path, mistake: Command) -> None:
    assert "'focal.gif'" in mistake("show", "focal", option, tmp_path / "focal.gif")


def test_show_plots_a_loss_beside_a_reference(tmp_path: Path, lossearch: Command) -> None:
    lossearch("show", "focal", "--plot", tmp_path / "focal.svg")
    drawn = (tmp_path / "focal.svg").read_text(encoding="utf-8")
    assert "<!-- focal -->" in drawn
    assert "<!-- cross_entropy -->" in drawn
    assert "probability of the true class" in drawn


def test_show_a_loss_of_a_run(run: RunDirectory, lossearch: Command) -> None:
    shown = fields(lossearch("show", f"{run.path}@1"))
    assert shown["name"] == "first_run_1"
    assert shown["formula"] == zoo.get("focal", gamma=1.5).to_text()
    assert shown["source"] == "discovered by lossearch in first run, rank 1"
    assert shown["run"] == str(run.path)
    assert shown["rank"] == "1"
    assert shown["accuracy"] == "0.92 on validation, higher is better (mean of 2 seeds, budget 100)"
    assert (shown["nll"], shown["worst"]) == ("0.25 on validation, lower is better", "1 on validation")
    assert shown["made by"] == "mutation:constant (island 0, generation 0)"
    assert shown["parent"] == zoo.get("cross_entropy").to_text()
    assert fields(lossearch("show", f"{run.path}@3"))["failed"] == "1 of 2 evaluations"


@pytest.mark.parametrize("form", ["text", ".txt", ".json"])
def test_show_reads_every_form_that_it_prints_or_export_writes(form: str, tmp_path: Path, lossearch: Command) -> None:
    loss = zoo.get("poly1", epsilon=2.0)
    argument = loss.to_text()
    if form != "text":
        (tmp_path / f"best{form}").write_text(loss.to_json() if form == ".json" else argument + "\n", encoding="utf-8")
        argument = str(tmp_path / f"best{form}")
    assert fields(lossearch("show", argument))["key"] == loss.key
