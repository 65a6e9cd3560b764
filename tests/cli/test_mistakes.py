"""Each mistake ends with exit code 2 and says what was required, what was found and what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory

Command = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: a file of each unusable kind, and a run without an archive."""
    RunDirectory.create(tmp_path / "unfinished", "")
    RunDirectory.create(tmp_path / "damaged", "").archive.write_bytes(b"SQLite format 3\0" + bytes(100))
    (tmp_path / "broken.json").write_text('{"name": ', encoding="utf-8")
    (tmp_path / "empty.json").write_text("{}", encoding="utf-8")
    (tmp_path / "latin.json").write_bytes(b'{"name": "\xe4"}')
    (tmp_path / "renamed.json").write_text(zoo.get("focal").to_json().replace('"pow"', '"paw"'), encoding="utf-8")
    (tmp_path / "ill.txt").write_text("dense: log(target, logits)\n", encoding="utf-8")
    (tmp_path / "best.py").write_text("class Best: ...\n", encoding="utf-8")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "broken.toml").write_text("task = ", encoding="utf-8")
    (tmp_path / "endless.toml").write_text('task = "digits"\n', encoding="utf-8")
    (tmp_path / "unknown_task.toml").write_text('task = "digit"\ngenerations = 1\n', encoding="utf-8")
    (tmp_path / "unknown_field.toml").write_text('task = "digits"\ngeneration = 1\n', encoding="utf-8")
    (tmp_path / "function.toml").write_text(
        'generations = 1\n[task]\nfunction = "a.py:train"\nmetric = "mae"\n[evaluation]\nsteps = 1\n', encoding="utf-8"
    )
    (tmp_path / "fetched.toml").write_text('task = "fashion_noise"\ngenerations = 1\n', encoding="utf-8")
    (tmp_path / "fine.toml").write_text('task = "digits"\ngenerations = 1\n', encoding="utf-8")
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


LOSSES = {
    "foca": ("'foca'", "did you mean focal?"),
    "": ("''", "see: lossearch zoo"),
    "focal(gama=2)": ("gama", "correct the argument"),
    "focal(gamma=-1)": ("-1", "choose a value for which the loss is defined"),
    "focal(2)": ("focal(2)", "write focal(name=value)"),
    "focal(gamma=(a, b))": ("('a', 'b')", "give one value"),
    "focal(gamma=": ("character 13", "correct it"),
    "dice(squared=maybe)": ("maybe", ""),
    "dense: logits + undefined": ("undefined", "correct it"),
    "dense: log(target, logits)": ("2", ""),
    "dense: sum(logits, over=coord)": ("coord", "name axes that the argument has"),
    "dense: logits * 2.0 / 0.0": ("[0, 0]", "bound it first"),
    "dense: logits * 2.0 ** 5000.0": ("[inf, inf]", "use smaller constants"),
    "dense: clamp(logits, lower=3.0, upper=1.0)": ("[3, 1]", "exchange the bounds"),
    "dense: local_mean(logits, size=1e999)": ("1e999, which is no number that a float can hold", "correct it"),
    "dens: logits": ("'dens'", "did you mean dense?"),
    "dense:": ("the end of the text", "correct it"),
    "dense: __import__('os')": ("character", "correct it"),
    "missing.json": ("missing.json", "check the path"),
    "missing.txt": ("missing.txt", "check the path"),
    "broken.json": ("", "(in broken.json)"),
    "empty.json": ("", "(in empty.json)"),
    "latin.json": ("latin.json", "give a file that lossearch wrote"),
    "ill.txt": ("", "(in ill.txt)"),
    "folder.json": ("folder.json", "check the path"),
    "best.py": ("'best.py'", "give the .json that `lossearch export` writes"),
    "nowhere@1": ("no directory nowhere", "lossearch search"),
    "unfinished@1": ("no file unfinished/archive.sqlite", "check the run directory"),
    "damaged@1": ("damaged/archive.sqlite", ""),
    "unfinished@best": ("'unfinished@best'", "see: lossearch ls unfinished"),
    "unfinished@0": ("'unfinished@0'", "see: lossearch ls unfinished"),
    "unfinished@": ("'unfinished@'", "see: lossearch ls unfinished"),
    "unfinished": ("'unfinished'", ""),
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_no_loss(loss: str, mistake: Command) -> None:
    found, hint = LOSSES[loss]
    said = mistake("show", loss)
    assert found in said.splitlines()[1]
    assert hint in said.splitlines()[2]


def test_a_rank_that_the_run_does_not_have(run: RunDirectory, mistake: Command) -> None:
    assert "rank 4, but 3 candidates are ranked" in mistake("show", f"{run.path}@4")


def test_a_run_in_place_of_a_loss_is_told_how_to_name_one(run: RunDirectory, mistake: Command) -> None:
    assert f"give {run.path}@1" in mistake("show", run.path)


COMMANDS = {
    ("unknown",): "No such command 'unknown'",
    ("zo",): "Did you mean",
    ("zoo", "--format", "xml"): "'xml'",
    ("zoo", "--signature", "nonsense"): "'nonsense'",
    ("zoo", "extra"): "extra",
    ("primitives", "--family", "nonsense"): "'nonsense'",
    ("tasks", "--nonsense"): "--nonsense",
    ("data", "unknown"): "No such command 'unknown'",
    ("data", "fetch"): "Missing argument",
    ("data", "fetch", "nonsense"): "'nonsense'",
    ("data", "fetch", "digits", "fashion_mnist", "--archive", "x.deb"): "digits, fashion_mnist",
    ("data", "fetch", "fashion_mnist", "--archive", "x.deb"): "no file x.deb",
    ("data", "path", "nonsense"): "'nonsense'",
    ("ls",): "Missing argument 'DIR'",
    ("ls", "nowhere"): "no directory nowhere",
    ("ls", "folder.json"): "no file folder.json/config.toml",
    ("ls", "unfinished"): "no file unfinished/archive.sqlite",
    ("ls", "unfinished", "--limit", "0"): "'--limit'",
    ("search",): "Missing argument 'CONFIG'",
    ("search", "missing.toml"): "missing.toml",
    ("search", "folder.json"): "folder.json",
    ("search", "broken.toml"): "",
    ("search", "endless.toml"): "",
    ("search", "unknown_task.toml"): "'digit'",
    ("search", "unknown_field.toml"): "generation",
    ("search", "fetched.toml", "--out", "new"): "no such files",
    ("search", "fine.toml", "--out", "unfinished"): "unfinished holds files",
    ("search", "fine.toml", "--out", "best.py/new"): "best.py",
    ("search", "fine.toml", "--workers", "0"): "'--workers'",
    ("search", "fine.toml", "--seed", "many"): "'--seed'",
    ("resume",): "Missing argument 'DIR'",
    ("resume", "nowhere"): "no directory nowhere",
    ("resume", "unfinished"): "none",
    ("race",): "Missing argument 'DIR'",
    ("race", "nowhere"): "no directory nowhere",
    ("race", "unfinished"): "none",
    ("race", "unfinished", "--seeds", "1"): "'--seeds'",
    ("race", "unfinished", "--candidates", "many"): "'--candidates'",
    ("report", "nowhere"): "no directory nowhere",
    ("report", "unfinished"): "no file unfinished/archive.sqlite",
    ("compare", "focal"): "Missing option '--task'",
    ("compare", "--task", "digits"): "none",
    ("compare", "focal", "--task", "digit"): "'digit'",
    ("compare", "focal", "--task", "missing.toml"): "missing.toml",
    ("compare", "focal", "--task", "function.toml"): "no such file",
    ("compare", "focal", "--task", "fashion_noise"): "no such files",
    ("compare", "giou", "--task", "digits"): "giou of box",
    ("compare", "focal", "--task", "digits", "--seeds", "1"): "'--seeds'",
    ("compare", "focal", "--task", "digits", "--out", "best.py/new"): "best.py",
    ("tune", "focal"): "Missing option '--task'",
    ("tune", "foca", "--task", "digits"): "'foca'",
    ("tune", "focal", "--task", "digit"): "'digit'",
    ("tune", "giou", "--task", "digits"): "giou of box",
    ("show", "focal", "--plot", "curves.xyz"): "'curves.xyz'",
    ("show", "focal", "--plot", "nowhere/curves.png"): "nowhere/curves.png",
    ("export", "focal"): "Missing option",
    ("export", "focal", "-o", "focal.xyz"): "'focal.xyz'",
    ("export", "focal", "-o", "nowhere/focal.json"): "no directory nowhere",
    ("export", "focal", "-o", "folder.json"): "a directory",
    ("export", "focal", "-o", "focal.pt", "--weight", "1,b"): "'1,b'",
    ("export", "focal", "-o", "focal.py", "--reduction", "median"): "'median'",
    ("export", "focal", "-o", "focal.json", "--reduction", "sum"): "reduction",
    ("export", "weighted_cross_entropy", "-o", "w.pt"): "none",
    ("export", "foca", "-o", "x.json"): "'foca'",
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_line_that_does_not_fit(arguments: tuple[str, ...], mistake: Command) -> None:
    assert COMMANDS[arguments] in mistake(*arguments).splitlines()[1]
