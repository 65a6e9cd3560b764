"""Configuration of a search: small frozen models over TOML, and messages that name the field at fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializeAsAny,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from lossearch.archive.store import Retention
from lossearch.candidates.scoring import EvaluationConfig
from lossearch.candidates.screen import ScreeningConfig
from lossearch.comparison.racing import RaceConfig
from lossearch.engine.setup.functions import functions_of
from lossearch.errors import UserError
from lossearch.ir.forms.joint import MOST_SLOTS
from lossearch.meta.methods import METHODS
from lossearch.plain_text import is_name
from lossearch.reading import check_values, parse_json, parse_toml, read_text
from lossearch.search_spaces.seeds import is_file
from lossearch.tasks import TrainingConfig, task_config
from lossearch.tasks.distribution.config import DistributionConfig
from lossearch.tasks.field_error import field_error
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.user.config import FunctionConfig
from lossearch.tasks.user.paths import placed

LARGEST_CONFIG = 1_000_000
"""Bytes of a configuration."""

MOST_ISLANDS = 10_000


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MethodConfig(BaseModel):
    """A search method by name; the other fields are its own settings, see `lossearch.evolve.make_method`."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    name: str = "regularized_evolution"

    @model_validator(mode="after")
    def _of_plain_values(self) -> Self:
        for name, value in self.settings.items():
            if callable(value):
                raise ValueError(f"{name} is named as FILE.py:NAME or MODULE:NAME, where other processes find it")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The settings besides the name."""
        return dict(self.model_extra or {})


class MigrationConfig(_Config):
    """Exchange between islands.

    Attributes:
        every: generations between exchanges; 0 for islands that stay apart.
        count: candidates that an island then sends to the next one, its best.
    """

    every: int = Field(default=1, ge=0)
    count: int = Field(default=2, ge=1)


class ExcludeConfig(_Config):
    """What a search does without.

    Attributes:
        losses: hand-designed losses that are neither seeds nor found; `lossearch zoo` lists them.
        primitives: that occur in no formula; `lossearch primitives` lists them.
        operators: that occur in no formula, such as `exp`, `pow` or `where`; inside of primitives they may.
    """

    losses: tuple[str, ...] = ()
    primitives: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()


def _kind_of_task(value: object) -> str:
    """Which of the forms of a task a value has; brackets tell the tags from field names in error messages."""
    if isinstance(value, str):
        return "[name]"
    function = isinstance(value, FunctionConfig) or (isinstance(value, Mapping) and "function" in value)
    return "[function]" if function else "[bundled]"


def _bundled(value: object) -> object:
    if isinstance(value, TrainingConfig):
        return value
    if not isinstance(value, Mapping):
        required = (
            'as task a name ("digits_noise"), a table of overrides (base = "digits_noise", …),'
            ' or a table with a function of yours (function = "train.py:train")'
        )
        raise UserError(required, f"task = {value!r:.80}", "see: lossearch tasks")
    return task_config(value)


class ResourcesConfig(_Config):
    """What one training asks Ray for.

    Attributes:
        cpu: cores, or a share of one.
        gpu: GPUs, or a share of one: with 0.5 two trainings share a GPU.
    """

    cpu: float = Field(default=1.0, ge=0.0, le=1000.0)
    gpu: float = Field(default=0.0, ge=0.0, le=1000.0)

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        for name, amount in (("cpu", self.cpu), ("gpu", self.gpu)):
            if amount > 1.0 and not amount.is_integer():
                raise ValueError(f"{name} is a share of one, or a whole number of them, not {amount:g}")
        return self

    def __str__(self) -> str:
        return f"cpu = {self.cpu:g}, gpu = {self.gpu:g}"


class LoggingConfig(_Config):
    """Where else the generations of a search are logged, by Ray's own callbacks.

    Attributes:
        callbacks: "tensorboard" (into `tensorboard` in the run directory), "mlflow" and "wandb", which find their
            server, project and key as these programs always do, in environment variables. Each is an optional extra:
            `pip install "lossearch[mlflow]"`.
    """

    callbacks: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()


Task = Annotated[
    Annotated[str, Tag("[name]")]
    | Annotated[FunctionConfig, Tag("[function]")]
    | Annotated[SerializeAsAny[TrainingConfig], BeforeValidator(_bundled), Tag("[bundled]")],
    Discriminator(_kind_of_task),
]


class SearchConfig(_Config):
    """All that defines a search.

    Attributes:
        task: a bundled task's name, a table of overrides (`base = "digits"` …), or a user's function.
        space: a search space's name, a TOML file, or a signature, which gives the space that its hand-designed losses
            span. Without it that of the signature of the task's losses, "dense" for a function. Where several slots are
            searched together, a table by slot; a function then takes a mapping of losses, and a slot of a bundled task
            that the table does not name has the space of its signature.
        reference: loss at whose step size candidates are trained, a hand-designed one or a text form; without it
            the default of the task's slot, or for a function cross-entropy in the dense family, else the space's first
            seed. Where several slots are searched, a table of them by slot.
        seeds: losses to begin with before those of the space: hand-designed ones with arguments ("focal(gamma=2)"),
            text forms ("dense: …"), or .json and .txt files, whose paths are relative to the configuration file.
        exclude: hand-designed losses, primitives and operators to do without.
        complexity: what operators and primitives count in a loss's complexity, such as `where = 3` or `entropy = 1`.
            Operators count 1 by default, primitives what they are made of.
        method: how candidates are proposed.
        islands: populations searched at once, each in a process of its own; without it one per CPU.
        generations: of each island, at most.
        max_candidates: proposals of all islands together, rejected ones included, at most.
        max_budget: of all calls of a user's function together, the final race apart, at most, in the function's own
            units; a call that was stopped counts by its share. The candidate under way then is the last, or, where
            trainings run outside of islands, the generation.
        time_limit_s: seconds of searching, at most, over all resumptions; results then depend on the clock.
        generation_size: candidates trained per generation, after which an island's state is saved.
        migration: exchange of the best between islands.
        screening: settings of the filters.
        evaluation: how an accepted candidate is trained.
        resources: what one training asks Ray for. Trainings then run wherever the cluster has room, beside the islands,
            which have a CPU each, to propose and screen; so they do where `evaluation.concurrent` is more than 1.
            Without either, trainings run inside their island's process.
        logging: where else the generations are logged.
        race: how the best losses are trained once more before the search ends, and ranked by that.
        seed: decides, with one island, the whole search.
        keep_rejected: what the archive keeps of rejected candidates: "key", "full" or "none".
        audit: share of the rejected candidates, drawn at random, that are trained all the same, to see what the
            filters cost. Their scores are archived and never used by the search.
        max_restarts: how often an island whose process died is started again; preemptions do not count.
    """

    task: Task
    space: str | dict[str, str] | None = None
    reference: str | dict[str, str] | None = None
    seeds: tuple[str, ...] = ()
    exclude: ExcludeConfig = ExcludeConfig()
    complexity: dict[str, Annotated[int, Field(ge=0, le=1000)]] = {}
    method: MethodConfig = MethodConfig()
    islands: int | None = Field(default=None, ge=1, le=MOST_ISLANDS)
    generations: int | None = Field(default=None, ge=1)
    max_candidates: int | None = Field(default=None, ge=1)
    max_budget: int | None = Field(default=None, ge=1)
    time_limit_s: float | None = Field(default=None, gt=0.0)
    generation_size: int = Field(default=16, ge=1)
    migration: MigrationConfig = MigrationConfig()
    screening: ScreeningConfig = ScreeningConfig.model_validate({})
    evaluation: EvaluationConfig = EvaluationConfig.model_validate({})
    resources: ResourcesConfig | None = None
    logging: LoggingConfig = LoggingConfig()
    race: RaceConfig = RaceConfig.model_validate({})
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    keep_rejected: Retention = "key"
    audit: float = Field(default=0.0, ge=0.0, le=1.0)
    max_restarts: int = Field(default=10, ge=0)

    @field_validator("space", "reference", mode="before")
    @classmethod
    def _text_or_table(cls, value: object) -> object:
        """Text, or a table of text by slots whose names are identifiers."""
        if isinstance(value, Mapping):
            if not 1 <= len(value) <= MOST_SLOTS or not all(isinstance(name, str) and is_name(name) for name in value):
                raise ValueError(f"a table has 1 to {MOST_SLOTS} slots, whose names are identifiers")
            if not all(isinstance(text, str) for text in value.values()):
                raise ValueError("a table by slot holds text")
        elif value is not None and not isinstance(value, str):
            raise ValueError("is text, or a table of text by slot")
        return value

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if not any((self.generations, self.max_candidates, self.max_budget, self.time_limit_s)):
            names = "generations, max_candidates, max_budget, time_limit_s"
            raise ValueError(f"one of {names} is required, or it would never end")
        return self

    @model_validator(mode="after")
    def _one_call_a_seed(self) -> Self:
        """A user's function trains a candidate as it is, unless the configuration asks for more: each try is a call."""
        if self.calls_functions:
            object.__setattr__(self, "evaluation", self.evaluation.for_function())
        return self

    @property
    def read_back(self) -> Literal["evidence", "exact", "none"]:
        """How the winner of the race is read back, where `race.simplify` does not say it: see there."""
        if not self.race.candidates:
            return "none"
        return self.race.simplify or ("exact" if self.calls_functions else "evidence")

    @property
    def calls_functions(self) -> bool:
        """Whether a training calls a function of the user's."""
        return bool(functions_of(self.task))

    @model_validator(mode="after")
    def _on_its_gpu(self) -> Self:
        """A bundled task that asks for a GPU trains on it; a function of the user's decides by itself."""
        asked = self.resources is not None and self.resources.gpu > 0.0 and self.evaluation.device is None
        if asked and not isinstance(self.task, FunctionConfig):
            object.__setattr__(self, "evaluation", self.evaluation.model_copy(update={"device": "cuda"}))
        return self

    @property
    def elsewhere(self) -> ResourcesConfig | None:
        """What a training asks Ray for; None where trainings run inside their island's process."""
        several = self.evaluation.concurrent is not None and self.evaluation.concurrent > 1
        return ResourcesConfig() if self.resources is None and several else self.resources

    @property
    def spaces(self) -> dict[str, str]:
        """The spaces that are named, by slot; that of one slot alone under an empty name."""
        return self.space if isinstance(self.space, dict) else {} if self.space is None else {"": self.space}

    def to_json(self) -> str:
        """The configuration with every default written out; `parse_json` reads it back."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    @classmethod
    def parse_json(cls, text: str, source: str) -> SearchConfig:
        """The configuration in a JSON text; raises `UserError` for anything malformed."""
        return validate(parse_json(text, "a JSON document", f"restore {source} from a copy"), source)


def load_config(path: str | Path) -> tuple[SearchConfig, str]:
    """The configuration in a TOML file, and its text.

    Raises:
        UserError: the file is missing, no TOML, or holds a field or value that does not fit.
    """
    text = read_config(path)
    return parse_config(text, str(path), Path(path).parent), text


def read_config(path: str | Path) -> str:
    """The text of a configuration; raises `UserError` if the file is missing, or holds no text."""
    hint = "give a .toml file, such as experiments/digits_noise.toml"
    return read_text(path, "a search configuration", hint, LARGEST_CONFIG)


def parse_config(text: str, source: str, folder: Path) -> SearchConfig:
    """The configuration in a TOML text. Paths in it are relative to `folder`; raises `UserError` as `load_config`."""
    return anchored(parse_written(text, source), folder)


def parse_written(text: str, source: str) -> SearchConfig:
    """As `parse_config`, with paths as they are written."""
    return validate(parse_toml(text, "a TOML document", f"correct {source}"), source)


def validate(values: Mapping[str, Any], source: str = "the configuration") -> SearchConfig:
    """The configuration that plain values describe; raises `UserError` naming the field at fault."""
    check_values(values, "a configuration", f"correct {source}")
    try:
        return SearchConfig.model_validate(values)
    except ValidationError as error:
        raise field_error(error, source, _fields) from error


def anchored(config: SearchConfig, folder: Path) -> SearchConfig:
    """Paths made absolute, so that they stay good in other working directories."""
    return with_paths(config, lambda field, path: str((folder / path).resolve()))


def anchored_function(config: FunctionConfig, folder: Path) -> FunctionConfig:
    """A function's configuration with absolute paths."""
    return config.model_copy(update=placed(config, lambda field, path: str((folder / path).resolve())))


def with_paths(config: SearchConfig, change: Callable[[str, str], str]) -> SearchConfig:
    """The configuration with other paths: `change` gets each field that is one, by name, and the path."""
    changes: dict[str, Any] = {}
    if any(map(is_file, config.seeds)):
        moved = (change(f"seeds[{n}]", seed) if is_file(seed) else seed for n, seed in enumerate(config.seeds))
        changes["seeds"] = tuple(moved)
    if any(map(is_space_file, config.spaces.values())):
        spaces = {
            slot: change(space_field(slot), space) if is_space_file(space) else space
            for slot, space in config.spaces.items()
        }
        changes["space"] = spaces if isinstance(config.space, dict) else spaces[""]
    if isinstance(config.task, FunctionConfig):
        changes["task"] = config.task.model_copy(update=placed(config.task, change))
    elif isinstance(config.task, DistributionConfig):
        changes["task"] = config.task.with_paths(change)
    if _has_folder(config.method):
        folder = change("method.folder", config.method.settings.get("folder", "."))
        changes["method"] = config.method.model_copy(update={"folder": folder})
    return config.model_copy(update=changes) if changes else config


def _has_folder(method: MethodConfig) -> bool:
    """Whether a search method's settings have a folder, which its other paths are relative to."""
    METHODS.extend()
    known = METHODS.get(method.name)
    return known is not None and "folder" in known.Settings.model_fields


def is_space_file(space: str) -> bool:
    """Whether a space is named by its file."""
    return space.endswith(".toml")


def space_field(slot: str) -> str:
    """The field that names the space of a slot; see `SearchConfig.spaces`."""
    return f"space.{slot}" if slot else "space"


def _required(annotation: Any) -> Any:
    """What a field holds that may be left out."""
    found = [one for one in get_args(annotation) if one is not type(None)]
    return found[0] if found and type(None) in get_args(annotation) else annotation


def _fields(path: tuple[str, ...]) -> Iterator[str]:
    """Names of the fields of the model at a path below SearchConfig."""
    model: type[BaseModel] = SearchConfig
    for part in path:
        annotation = FunctionConfig if part == "task" else _required(model.model_fields[part].annotation)
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        model = annotation
    yield from model.model_fields
