import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossearch.engine.setup.config import SearchConfig, load_config, parse_config, validate
from lossearch.engine.setup.given import read_given
from lossearch.engine.setup.toml_form import to_toml
from lossearch.errors import UserError
from lossearch.tasks import TaskConfig
from lossearch.tasks.user.config import FunctionConfig
from lossearch.tasks.user.function import load_function

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.mark.parametrize(
    "path", sorted(set(EXPERIMENTS.glob("*.toml")) - {EXPERIMENTS / "experiments.toml"}), ids=lambda path: path.stem
)
def test_the_experiments_are_valid(path: Path) -> None:
    config, text = load_config(path)
    assert text == path.read_text()
    assert SearchConfig.parse_json(config.to_json(), "itself") == config


@pytest.mark.parametrize(
    ("values", "fragments"),
    [
        ({}, ["task", "none"]),
        ({"task": "digits"}, ["generations, max_candidates, max_budget, time_limit_s", "none of them"]),
        ({"task": "digits", "generations": 0}, ["generations", "greater than or equal to 1", "0"]),
        ({"task": "digits", "generation": 3}, ["unknown field generation", "did you mean 'generations'?"]),
        ({"task": "digits", "generations": 1, "zzz": 1}, ["unknown field zzz", "remove it"]),
        (
            {"task": "digits", "generations": 1, "screening": {"rejection_step": 3}},
            ["unknown field screening.rejection_step", "did you mean 'rejection_steps'?"],
        ),
        ({"task": "digits", "generations": 1, "evaluation": {"seeds": "many"}}, ["evaluation.seeds", "'many'"]),
        ({"task": "digits", "generations": 1, "audit": 2, "seed": -1}, ["and 1 more"]),
        ({"task": "digits", "generations": 1, "keep_rejected": "all"}, ["keep_rejected", "'all'"]),
        ({"task": {"base": "nowhere"}, "generations": 1}, ["digits", "nowhere"]),
        ({"task": {"function": "a.py:f", "metrc": "x"}, "generations": 1}, ["task.metrc", "did you mean 'metric'?"]),
        ({"task": {"function": "a.py:f"}, "generations": 1}, ["direction of the metric", "'metric'", "minimize"]),
        ({"task": {"function": "a.py:f", "direction": "up"}, "generations": 1}, ["task.direction", "'up'"]),
        (
            {"task": {"base": "digits", "noise_rte": 0.1}, "generations": 1},
            ["fields of task: base, name, optimizer", "unknown field task.noise_rte", "did you mean 'noise_rate'?"],
        ),
        ({"task": {"nois": "symmetric"}, "generations": 1}, ["unknown field task.nois", "and 4 more", "'noise'"]),
        ({"task": {"base": "digits", "steps": 0}, "generations": 1}, ["task.steps", "greater", "0", "[task] table"]),
        ({"task": {"base": "digits", "noise_rate": 0.1}, "generations": 1}, ["task: noise 'none'", "[task] table"]),
        (
            {"task": {"base": "digits", "model": {"name": "mlp", "hiden": [3]}}, "generations": 1},
            ["name, hidden", "hiden", "did you mean 'hidden'?"],
        ),
        ({"task": {"base": "digits", "model": {"name": "mlpp"}}, "generations": 1}, ["task.model", "'mlp', 'cnn'"]),
        (
            {"task": 3, "generations": 1},
            ["as task a name", "base =", "function =", "found: task = 3", "lossearch tasks"],
        ),
        ({"task": ["digits"], "generations": 1}, ["as task a name", "['digits']"]),
        ({"task": "digits", "generations": 1, "migration": 7}, ["migration", "7"]),
    ],
)
def test_a_malformed_configuration_is_told_by_its_field(values: dict[str, Any], fragments: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        validate(values, "search.toml")
    assert all(fragment in str(caught.value) for fragment in fragments), str(caught.value)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [(b"task = ", "TOML"), (b"\xff", "UTF-8"), (b"task = 'digits'\ntask = 'digits'", "TOML")],
)
def test_a_file_that_is_no_toml_is_told(tmp_path: Path, content: bytes, fragment: str) -> None:
    path = tmp_path / "search.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=fragment):
        load_config(path)


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_missing_file_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="a search configuration"):
        load_config(tmp_path / name)


def test_a_task_may_be_a_name_a_table_or_a_function(tmp_path: Path) -> None:
    def task(text: str) -> object:
        return parse_config(f"generations = 1\n{text}\n[evaluation]\nsteps = 1", "x", tmp_path).task

    assert task('task = "digits"') == "digits"
    bundled = task('[task]\nbase = "digits"\ntrain_size = 500')
    assert isinstance(bundled, TaskConfig)
    assert bundled.train_size == 500
    function = task('[task]\nfunction = "train.py:train"\nmetric = "accuracy"')
    assert isinstance(function, FunctionConfig)
    assert function.function == f"{(tmp_path / 'train.py').resolve()}:train"
    assert function.name == "train.py:train"
    module = task('[task]\nfunction = "package.module:train"\nmetric = "val_mae"')
    assert isinstance(module, FunctionConfig)
    assert module.function == "package.module:train"
    assert not module.higher_is_better


def test_a_method_has_settings_of_its_own() -> None:
    config = validate({"task": "digits", "generations": 1, "method": {"name": "x", "population": 7}})
    assert config.method.settings == {"population": 7}
    assert SearchConfig.parse_json(config.to_json(), "itself") == config


SCALARS = st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.text(max_size=8))
VALUES = st.recursive(
    st.one_of(SCALARS, st.lists(SCALARS, max_size=3)),
    lambda inner: st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=4))
def test_values_survive_as_toml(values: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(values)) == values


def test_none_is_left_out_of_toml() -> None:
    assert tomllib.loads(to_toml({"a": None, "b": {"c": None, "d": 1}})) == {"b": {"d": 1}}


def test_the_folder_of_a_method_is_relative_to_that_of_the_configuration(tmp_path: Path) -> None:
    text = 'task = "digits"\ngenerations = 1\n[method]\nname = "outside"\ncommand = ["./propose"]\n'
    assert parse_config(text, "x", tmp_path).method.settings == {"command": ["./propose"], "folder": str(tmp_path)}
    below = parse_config(f'{text}folder = "scripts"\n', "x", tmp_path)
    assert below.method.settings["folder"] == str(tmp_path / "scripts")
    plain = parse_config('task = "digits"\ngenerations = 1\nmethod = { name = "random" }\n', "x", tmp_path)
    assert plain.method.settings == {}


def proposing(message: Mapping[str, Any]) -> list[str]:
    return ["cross_entropy(logits, target)"]


def test_a_function_that_proposes_is_named_where_other_processes_find_it() -> None:
    mapping = {"task": "digits", "generations": 1, "method": {"name": "outside", "function": proposing}}
    reference = read_given(mapping).config.method.settings["function"]
    assert load_function(reference)({}) == proposing({})
    with pytest.raises(UserError, match=r"other processes find by its name.*at the top of a file"):
        read_given({**mapping, "method": {"name": "outside", "function": lambda message: []}})
    with pytest.raises(UserError, match=r"FILE.py:NAME or MODULE:NAME"):
        validate(mapping)
