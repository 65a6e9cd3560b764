"""The page of all fields of configurations and spaces: `python -m lossearch.report.configuration_reference FILE`."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lossearch.candidates.scoring import EvaluationConfig
from lossearch.candidates.stopping import StoppingConfig
from lossearch.comparison.racing import RaceConfig
from lossearch.engine.setup.config import ExcludeConfig, LoggingConfig, ResourcesConfig, SearchConfig
from lossearch.errors import UserError
from lossearch.evolve.methods.cma_es import CMASettings
from lossearch.evolve.methods.map_elites import MapElitesSettings
from lossearch.evolve.methods.nsga2 import NSGA2Settings
from lossearch.evolve.methods.outside import OutsideSettings
from lossearch.evolve.methods.regularized_evolution import EvolutionSettings
from lossearch.files import storage_errors
from lossearch.meta.kinds.combination import Combination
from lossearch.meta.kinds.conditioned import Conditioned
from lossearch.meta.kinds.edges import Edges
from lossearch.meta.kinds.network import Network
from lossearch.meta.method import HypergradientSettings
from lossearch.search_spaces.space import Constants, SearchSpace
from lossearch.tasks.action_recognition.config import ActionRecognitionConfig
from lossearch.tasks.classification.config import CNNConfig, MLPConfig, TaskConfig, ViTConfig
from lossearch.tasks.cross_modal.config import CrossModalConfig
from lossearch.tasks.detection.config import DetectionConfig
from lossearch.tasks.distribution.config import DistributionConfig
from lossearch.tasks.distribution.function_task import FunctionMemberConfig
from lossearch.tasks.metric_learning.config import MetricLearningConfig
from lossearch.tasks.regression.config import RegressionConfig
from lossearch.tasks.restoration.config import RestorationConfig
from lossearch.tasks.segmentation.config import SegmentationConfig
from lossearch.tasks.self_supervised.config import SelfSupervisedConfig
from lossearch.tasks.tabular.config import TabularConfig
from lossearch.tasks.time_series.config import TimeSeriesConfig
from lossearch.tasks.tracking.config import TrackingConfig
from lossearch.tasks.user.config import FunctionConfig


@dataclass(frozen=True)
class _Table:
    """One table of the page.

    Attributes:
        heading: As in TOML; empty where the table continues the one above.
        introduction: Text above the table.
        model: Whose fields are listed.
        fixed: What is written as the value of fields that are tables themselves.
    """

    heading: str
    introduction: str
    model: type[BaseModel]
    fixed: Mapping[str, str] = field(default_factory=dict)


_NESTED = {
    "task": "a name, or a table; see [task](#task-a-bundled-task)",
    "space": "text, or a table: a slot, and text",
    "reference": "text, or a table: a slot, and text",
    "exclude": "a table; see [exclude](#exclude)",
    "complexity": "a table: an operator or primitive, and an integer ≥ 0, ≤ 1000",
    "method": "a table; see [method](#method)",
    "migration": "a table; see [migration](#migration)",
    "screening": "a table; see [screening](#screening)",
    "evaluation": "a table; see [evaluation](#evaluation)",
    "resources": "a table; see [resources](#resources)",
    "logging": "a table; see [logging](#logging)",
    "race": "a table; see [race](#race)",
}
"""Fields of a search whose values are tables."""

_SEARCH = (
    _Table("The search itself", "Fields at the top of the file, before any table.", SearchConfig, _NESTED),
    _Table(
        "[task]: image classification",
        '`task = "digits_noise"` takes a task as it is; `lossearch tasks` lists them. A table changes one, such as\n'
        '`task = { base = "digits_noise", noise_rate = 0.6 }`, or defines one from nothing.',
        TaskConfig,
        {"model": "a table; see [task.model](#taskmodel)"},
    ),
    _Table(
        "[task]: tables with a rare class",
        '`task = "yeast4"` takes a task as it is; a table with `family = "tabular_classification"` defines one.',
        TabularConfig,
    ),
    _Table(
        "[task]: regression",
        '`task = "diabetes_outliers"` takes a task as it is; a table with `family = "regression"` defines one.',
        RegressionConfig,
    ),
    _Table(
        "[task]: forecasting",
        '`task = "sunspots_spikes"` takes a task as it is; a table with `family = "time_series"` defines one.',
        TimeSeriesConfig,
    ),
    _Table(
        "[task]: metric learning",
        '`task = "sketches"` takes a task as it is; a table with `family = "metric_learning"` defines one.',
        MetricLearningConfig,
    ),
    _Table(
        "[task]: action recognition",
        '`task = "exercises_noise"` takes a task as it is; a table with `family = "action_recognition"` defines one.',
        ActionRecognitionConfig,
    ),
    _Table(
        "[task]: self-supervised",
        '`task = "digits_views"` takes a task as it is; a table with `family = "self_supervised"` defines one.',
        SelfSupervisedConfig,
    ),
    _Table(
        "[task]: cross-modal",
        '`task = "emoji_names"` takes a task as it is; a table with `family = "cross_modal"` defines one.',
        CrossModalConfig,
    ),
    _Table(
        "[task]: detection",
        '`task = "digit_scenes_box"` takes a task as it is; a table with `family = "detection"` defines one.',
        DetectionConfig,
    ),
    _Table(
        "[task]: tracking",
        '`task = "cho_box"` takes a task as it is; a table with `family = "tracking"` defines one.',
        TrackingConfig,
    ),
    _Table(
        "[task]: segmentation",
        '`task = "bacteria"` takes a task as it is; a table with `family = "segmentation"` defines one.',
        SegmentationConfig,
    ),
    _Table(
        "[task]: restoration",
        '`task = "denoise"` takes a task as it is; a table with `family = "restoration"` defines one.',
        RestorationConfig,
    ),
    _Table(
        "[task]: a distribution",
        'Several tasks at once: `family = "distribution"`, or a `base` among the distributions of `lossearch tasks`.',
        DistributionConfig,
        {
            "axes": "a table by axis of tables by option of a task's values; a value may be `{ low = …, high = … }`",
            "search": "a table: an axis, and a list of its options",
            "held_out": "a table: an axis, and a list of its options",
        },
    ),
    _Table(
        "[task.axes.AXIS.OPTION]: your own function in a distribution",
        "An option with `function` is a training function of yours as one of the tasks, with a budget of its own.",
        FunctionMemberConfig,
        {"metrics": 'a table: a metric, and `"maximize"` or `"minimize"`'},
    ),
    _Table(
        "[task]: your own function",
        "A table with `function` names a training function of yours.",
        FunctionConfig,
        {"metrics": 'a table: a metric, and `"maximize"` or `"minimize"`'},
    ),
    _Table("[task.model]", '`name = "mlp"`: a multilayer perceptron.', MLPConfig),
    _Table("", '`name = "cnn"`: a small convolutional network.', CNNConfig),
    _Table("", '`name = "vit"`: a tiny vision transformer.', ViTConfig),
    _Table(
        "[exclude]",
        'For example `exclude = { losses = ["focal"], operators = ["exp", "where"] }`.',
        ExcludeConfig,
    ),
    _Table(
        "[method]",
        '`name = "random"` draws every candidate anew and has no settings. `name = "regularized_evolution"`, the\n'
        "default, has these:",
        EvolutionSettings,
    ),
    _Table("", '`name = "cma_es"` searches the numbers of one loss:', CMASettings),
    _Table("", '`name = "nsga2"` searches the front of score and complexity:', NSGA2Settings),
    _Table("", '`name = "map_elites"` keeps the best of every kind of loss:', MapElitesSettings),
    _Table(
        "",
        '`name = "outside"` takes proposals from a process, a pair of files or a function; see\n'
        "[the guide](guide/2-search-spaces.md#proposals-from-outside):",
        OutsideSettings,
        {"function": "text"},
    ),
    _Table(
        "",
        '`name = "hypergradient"` learns the coefficients of one loss by gradient, see [META.md](META.md); with\n'
        "`lossearch meta` the name may be left out, and `generation_size` is 1 where it is not given:",
        HypergradientSettings,
        {"kind": "a name, or a table; see [method.kind](#methodkind)"},
    ),
    _Table(
        "[method.kind]", '`name = "coefficients"`, the default, has no settings. `name = "combination"`:', Combination
    ),
    _Table("", '`name = "network"`:', Network),
    _Table("", '`name = "edges"`:', Edges),
    _Table("", '`name = "conditioned"`:', Conditioned),
    _Table("[migration]", "", SearchConfig.model_fields["migration"].annotation),  # pyright: ignore[reportArgumentType]
    _Table("[screening]", "", SearchConfig.model_fields["screening"].annotation),  # pyright: ignore[reportArgumentType]
    _Table(
        "[evaluation]", "", EvaluationConfig, {"stopping": "a table; see [evaluation.stopping](#evaluationstopping)"}
    ),
    _Table("[evaluation.stopping]", "For example `stopping = { rungs = [0.25, 0.5] }`.", StoppingConfig),
    _Table("[resources]", "For example `resources = { cpu = 2, gpu = 0.5 }`.", ResourcesConfig),
    _Table("[logging]", 'For example `logging = { callbacks = ["tensorboard"] }`.', LoggingConfig),
    _Table("[race]", "", RaceConfig),
)

_SPACE = (
    _Table(
        "The space itself",
        "",
        SearchSpace,
        {
            "constants": "a table; see [constants](#constants)",
            "complexity": "a table: an operator or primitive, and an integer ≥ 0, ≤ 1000",
            "sorts": "a table: a letter, and the axes of the expressions that it stands for",
            "terminals": "a table for each sort: an expression in text form, and its weight",
            "templates": "a table for each sort: an expression with sorts and C as placeholders, and its weight",
        },
    ),
    _Table("[constants]", "", Constants),
)


def reference() -> str:
    """The page in Markdown: every field of the two kinds of TOML file with type, default and meaning."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Configuration reference"
    yield ""
    yield "Written by `make docs` from the models that read these files: not to be edited. A field that is not listed"
    yield "here is refused by name; `lossearch search FILE --dry-run` checks a file and trains nothing."
    yield from ("", "## A search (`lossearch search FILE.toml`)")
    for table in _SEARCH:
        yield from _section(table)
    yield from ("", '## A search space (`space = "FILE.toml"`)')
    for table in _SPACE:
        yield from _section(table)


def _section(table: _Table) -> Iterator[str]:
    if table.heading:
        yield from ("", f"### {table.heading}")
    if table.introduction:
        yield from ("", *table.introduction.splitlines())
    meanings = documented(table.model)
    yield from ("", "| field | value | default | meaning |", "|---|---|---|---|")
    for name, declared in table.model.model_fields.items():
        cells = (f"`{name}`", table.fixed.get(name) or _kind(declared), _default(declared), meanings[name])
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def documented(model: type[BaseModel]) -> dict[str, str]:
    """What the docstring of a model says of each field, in its section `Attributes:`.

    Raises:
        UserError: a field is not described there.
    """
    found: dict[str, str] = {}
    for described in reversed(model.__mro__):
        found |= _described_by(described)
    if missing := [field for field in model.model_fields if field not in found]:
        hint = "add them to the section `Attributes:` of its docstring"
        raise UserError(f"a description of every field of {model.__name__}", f"none of {', '.join(missing)}", hint)
    return found


def _described_by(model: type) -> dict[str, str]:
    """What the docstring of one class says."""
    _, _, section = inspect.cleandoc(model.__dict__.get("__doc__") or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if start := re.fullmatch(r" {4}(\w+): (.+)", line):
            name = start[1]
            found[name] = start[2]
        elif name and line.startswith(" " * 8):
            found[name] += " " + line.strip()
    return found


def _kind(field: FieldInfo) -> str:
    """The values that a field takes, in words."""
    return _spell(field.annotation, field.metadata)


def _spell(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _spell(arguments[0], [*arguments[1:], *metadata])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_spell(a, metadata) for a in arguments if a is not types.NoneType)
    if origin is Literal:
        return ", ".join(f'`"{value}"`' if isinstance(value, str) else f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list of {_spell(arguments[0], [])}".replace("integer", "integers").replace("number", "numbers")
    if origin is dict:
        return f"a table: {_spell(arguments[0], [])}, and {_spell(arguments[1], [])}"
    names = {int: "integer", float: "number", str: "text", bool: "`true` or `false`"}
    if annotation not in names:
        raise UserError("a type that a TOML value has", str(annotation), "give the field a text of its own")
    return " ".join([names[annotation], ", ".join(_bounds(metadata))]).strip()


def _bounds(metadata: list[Any]) -> Iterator[str]:
    for limit in metadata:
        match limit:
            case annotated_types.Ge(ge=bound):
                yield f"≥ {bound}"
            case annotated_types.Gt(gt=bound):
                yield f"> {bound}"
            case annotated_types.Le(le=bound):
                yield f"≤ {bound}"
            case annotated_types.Lt(lt=bound):
                yield f"< {bound}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "left out"
    if isinstance(value, BaseModel):
        return "see there"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {', '.join(axes)}" for key, axes in value.items()) or "empty"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(repr, value))}]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def main() -> None:
    """Write the page to the file named on the command line."""
    if len(sys.argv) != 2:
        raise UserError("one file to write", f"{len(sys.argv) - 1} arguments", "name it: docs/CONFIGURATION.md")
    path = Path(sys.argv[1])
    with storage_errors(path):
        path.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
