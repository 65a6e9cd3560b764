"""A search space: which expressions may be built for a signature, declared as weighted terminals and templates."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lossearch.errors import UserError

Sort = Literal["E", "K"]
Weights = dict[str, Annotated[float, Field(gt=0.0)]]


class Constants(BaseModel):
    """Which constants occur: first drawn from `magnitudes`, later anywhere in [lower, upper]."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    magnitudes: tuple[Annotated[float, Field(gt=0.0)], ...] = (0.1, 0.5, 1.0, 2.0, 10.0)
    lower: float = Field(default=1e-3, gt=0.0)
    upper: float = Field(default=100.0, gt=0.0)


class SearchSpace(BaseModel):
    """Terminals and templates per sort, with weights, seeds and size limits.

    Sort E is an expression per element, [batch, space]; K one per class, [batch, class, space]. In a template an
    upper-case letter stands for a subexpression of that sort and C for a constant.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    signature: str
    max_nodes: int = Field(default=60, ge=2)
    max_initial_size: int = Field(default=6, ge=1)
    seeds: tuple[str, ...] = ()
    constants: Constants = Constants()
    terminals: dict[Sort, Weights]
    templates: dict[Sort, Weights]


FOLDER = Path(__file__).resolve().parent


def space_names() -> list[str]:
    """The spaces that come with lossearch."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_space(name: str | Path) -> SearchSpace:
    """The search space of this name, or in this TOML file; raises `UserError` for anything malformed."""
    path = FOLDER / f"{name}.toml" if str(name) in space_names() else Path(name)
    if path.suffix != ".toml" or not path.is_file():
        raise UserError(
            f"a search space among {', '.join(space_names())} or a .toml file", repr(str(name)), "correct it"
        )
    try:
        return SearchSpace.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError("a TOML file", str(error), f"correct {path}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{place}: {first['msg']}", repr(first["input"])[:80], f"correct {path}") from None
