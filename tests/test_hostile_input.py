"""What strangers send: whatever it is, nothing but a `UserError` comes out, and soon."""

import json
import os
import random
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossearch import zoo
from lossearch.api import export
from lossearch.cli.main import app
from lossearch.compile.export.standalone import standalone
from lossearch.engine.driver.search import plan_search, search
from lossearch.engine.setup.config import parse_config, validate
from lossearch.errors import UserError
from lossearch.loss import Loss
from lossearch.named_losses import find, load
from lossearch.plain_text import visible
from lossearch.search_spaces.space import FOLDER, read_space

ROOT = Path(__file__).resolve().parents[1]
LOSSES = [zoo.get(name) for name in ("focal", "dice", "ssim", "center", "lovasz_softmax", "giou")]
JSONS = [loss.to_json() for loss in LOSSES]
TEXTS = [loss.to_text() for loss in LOSSES]
TOMLS = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "experiments").glob("*.toml"))]
SPACES = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.toml"))]
CALLS = ["focal(gamma=2)", "dice(smooth=1.0)", "runs/x@1", "dense: cross_entropy(logits, target)"]

LONGEST_MESSAGE = 2000
ODD = (
    "9" * 5000, "1" + "0" * 400, "-1", "1e999", "1e-400", "NaN", "Infinity", "true", "null", '""', "[]", "{}",
    "\\u0000", "\\ud800", "\x00", "\x1b[31m", "\u202e", "\ufb01", "é", "²", "'", '"', "\n", "[", "]", "{", "}", "(",
    ")", ",", ":", ";", "=", "*", "**", ".", "0.5", "_", "class", "batch", "over=", "x" * 300, "-" * 70, "(" * 100,
    "[[" * 100, "weighted by", "in", "learnable", "logits",
)  # fmt: skip
VALUES = (
    None, True, 0, -1, 1, 2, 1.5, -1.5, 1e300, -1e300, 1e-320, 2**53, 2**62, 10**400, "", "a", "class", "logits",
    "\u0301", "\ud800", "\x00", "mean", [], {}, ["class"], ["batch", "class"], [0], [[0]], {"a": 1}, "x" * 300, -0.0,
)  # fmt: skip


def mutated(text: str, rng: random.Random) -> str:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 0, 1, 1, 2, 5, 20, 100)))
        kind, source = rng.random(), rng.randrange(len(text) + 1)
        if kind < 0.4:
            middle = rng.choice(ODD)
        elif kind < 0.5:
            middle = chr(rng.choice((rng.randrange(128), rng.randrange(0x3000))))
        elif kind < 0.7:
            middle = text[start:end] * rng.choice((0, 2, 3, 50))
        else:
            middle = text[source : source + rng.choice((1, 3, 10, 40))]
        text = text[:start] + middle + text[end:]
    return text


def changed(value: Any, rng: random.Random) -> Any:
    """One value somewhere in a document replaced, or left out."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.05:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        return [*value[:place], changed(value[place], rng), *value[place + 1 :]]
    return rng.choice(VALUES)


def use(loss: Loss) -> None:
    """What is accepted can be written in every form, and read again."""
    assert Loss.from_json(loss.to_json()).key == loss.key
    assert Loss.from_text(loss.to_text()).key == loss.key
    loss.latex()
    if loss.complexity < 300:
        try:
            source = standalone(loss)
        except UserError:
            return
        compile(source, "exported.py", "exec")


def json_text(rng: random.Random, folder: Path) -> None:
    use(Loss.from_json(mutated(rng.choice(JSONS), rng)))


def json_value(rng: random.Random, folder: Path) -> None:
    use(Loss.from_json(json.dumps(changed(json.loads(rng.choice(JSONS)), rng))))


def text_form(rng: random.Random, folder: Path) -> None:
    use(Loss.from_text(mutated(rng.choice(TEXTS), rng)))


def call(rng: random.Random, folder: Path) -> None:
    load(mutated(rng.choice(CALLS), rng))


def toml_text(rng: random.Random, folder: Path) -> None:
    parse_config(mutated(rng.choice(TOMLS), rng), "search.toml", folder)


def toml_value(rng: random.Random, folder: Path) -> None:
    validate(changed(tomllib.loads(rng.choice(TOMLS)), rng))


def space_file(rng: random.Random, folder: Path) -> None:
    path = folder / "space.toml"
    path.write_text(mutated(rng.choice(SPACES), rng), encoding="utf-8", errors="surrogatepass")
    read_space(path)


@pytest.mark.parametrize("attempt", [json_text, json_value, text_form, call, toml_text, toml_value, space_file])
def test_nothing_but_a_user_error_comes_out(attempt: Callable[[random.Random, Path], None], tmp_path: Path) -> None:
    told: list[str] = []
    for seed in range(80):
        try:
            attempt(random.Random(seed), tmp_path)
        except UserError as error:
            told.append(str(error))
    assert len(told) > 10
    assert max(map(len, told)) < LONGEST_MESSAGE
    assert all(visible(text) == text and text.encode() for text in told)


NAMES = ["a" * 5000, "a" * 5000 + ".json", "a\0.json", "\udc80.json", "a\ud800b", "runs/\0@1", "x@" + "9" * 20]
NAMES += ["x@" + "9" * 5000, "x@²", "x@-1", "a" * 5000 + "(x=1)", "focal(gamma=" + "9" * 5000 + ")", "\x1b[31m"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_nothing_can_have_are_told(name: str) -> None:
    with pytest.raises(UserError) as caught:
        find(name)
    assert len(str(caught.value)) < LONGEST_MESSAGE


@pytest.mark.parametrize("name", ["a" * 300 + ".py", "a\0.py", "a\ud800.py", "a/" * 3000 + "x.py"])
def test_paths_that_nothing_can_have_are_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a path to write the loss to"):
        export("focal", tmp_path / name)
    with pytest.raises(UserError, match="a path for the run directory"):
        search({"task": "digits", "islands": 1, "generations": 1, "evaluation": {"steps": 1}}, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


FIELDS = {
    "a number of 401 digits": {"generations": 10**400},
    "a number of 31 digits": {"seed": 10**30},
    "half a character": {"task": "digits\ud800"},
    "an escape sequence": {"reference": "\x1b[31m"},
    "many islands": {"islands": 10**9},
    "NaN": {"time_limit_s": float("nan")},
}


@pytest.mark.parametrize("fault", FIELDS)
def test_configurations_in_python_are_read_like_files(fault: str) -> None:
    with pytest.raises(UserError) as caught:
        plan_search({"task": "digits", "islands": 1, "generations": 1, **FIELDS[fault]})
    assert len(str(caught.value)) < LONGEST_MESSAGE


def test_a_configuration_that_contains_itself_is_told() -> None:
    config: dict[str, Any] = {"task": "digits"}
    config["evaluation"] = config
    with pytest.raises(UserError, match="within each other"):
        plan_search(config)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in the file system")
def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    os.mkfifo(tmp_path / "pipe.toml")
    os.symlink("/dev/zero", tmp_path / "zeros.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe.json", "zeros.json"):
        with pytest.raises(UserError, match="no regular file"):
            load(tmp_path / name)
    with pytest.raises(UserError, match="a directory"):
        load(tmp_path / "folder.json")
    with pytest.raises(UserError, match="no regular file"):
        plan_search(tmp_path / "pipe.toml")
    with pytest.raises(UserError, match="no regular file"):
        read_space(tmp_path / "pipe.toml")


def test_a_name_twice_in_one_object_is_told() -> None:
    document = zoo.get("focal").to_json()
    with pytest.raises(UserError, match="'name' twice"):
        Loss.from_json(document[:-1] + ', "name": "other"}')


def test_names_are_what_python_reads() -> None:
    document = json.loads(zoo.get("focal").to_json())
    for name in ("\ufb01", "e\u0301", "a b", "1a", "x" * 300, ""):  # a ligature; a letter with a combining accent
        with pytest.raises(UserError, match="an identifier"):
            Loss.from_json(json.dumps({**document, "name": name}))
    for name in ("é", "γ", "_1", "__", "π_2"):
        source = standalone(Loss.from_json(json.dumps({**document, "name": name})))
        compile(source, "exported.py", "exec")


@pytest.mark.parametrize("source", ["a\0b", "\x1b[31mred", "\ud800", "\u202eturned"])
def test_a_source_that_no_file_can_hold_is_told(source: str) -> None:
    document = json.loads(zoo.get("focal").to_json())
    with pytest.raises(UserError, match="without control characters"):
        Loss.from_json(json.dumps({**document, "source": source}))
    with pytest.raises(UserError, match="without control characters"):
        Loss("found", zoo.get("focal").graph, source)


def test_a_document_of_many_nodes_is_told() -> None:
    rows = ", ".join(json.dumps({"op": "tanh", "args": [place]}) for place in range(13000))
    leaf = {"op": "input", "attrs": {"name": "logits", "axes": ["batch", "class"], "lower": -1e4, "upper": 1e4}}
    text = json.dumps({"schema": "lossearch/1", "name": "x", "source": "", "signature": "dense", "parameters": []})
    text = f'{text[:-1]}, "expanded_key": "", "roots": [13000], "nodes": [{json.dumps(leaf)}, {rows}]}}'
    with pytest.raises(UserError, match="at most 12000 nodes"):
        Loss.from_json(text)
    chain = "".join(f"t{k + 1} := tanh(t{k}); " for k in range(13000))
    with pytest.raises(UserError, match="at most 12000 nodes"):
        Loss.from_text(f"dense: t0 := logits; {chain}sum(t13000 * target, over=class)")


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", ".", "-n", "9" * 5000],
        ["show", "\x1b[31m"],
        ["show", "x@" + "9" * 30],
        ["export", "focal", "-o", "n" * 300 + ".py"],
        ["export", "focal", "-o", "x.pt", "--ignore-index", "9" * 30],
        ["export", "focal", "-o", "x.pt", "--weight", "1,nan"],
        ["resume", "x" * 300],
        ["report", "x\x1b[2J"],
        ["advise", "--class-frequencies", "1e999"],
        ["zoo", "--family", "\x1b[2J"],
    ],
)
def test_the_command_line_tells_mistakes_on_a_few_printable_lines(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        app(arguments, prog_name="lossearch")
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert len(told) < LONGEST_MESSAGE
    assert all(line.isprintable() for line in told.splitlines())
