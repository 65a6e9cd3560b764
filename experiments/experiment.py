"""The experiments of `experiments.toml`: which searches are run, and how their losses are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lossearch.errors import UserError
from lossearch.reading import parse_toml, read_text

FOLDER = Path(__file__).parent
_TABLE = FOLDER / "experiments.toml"


class Experiment(BaseModel):
    """A search whose best loss is compared with hand-designed ones on the test split.

    Attributes:
        name: also that of its configuration in this folder.
        family: kind of task.
        seeds: paired ones of the comparison.
        against: losses compared besides the default ones.
        held_out: of a search over a distribution how many of its held-out tasks losses are compared on; None where it
            is compared on the test split of its own task.
        trials: settings of each loss that are tried; None for as many as `compare` tries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    family: str
    seeds: int = Field(ge=10)
    against: tuple[str, ...] = ()
    held_out: int | None = Field(default=None, ge=1)
    trials: int | None = Field(default=None, ge=2)

    @property
    def configuration(self) -> Path:
        """Of the search."""
        return FOLDER / f"{self.name}.toml"


def experiments(names: Sequence[str] = (), table: Path = _TABLE) -> list[Experiment]:
    """Those with these names, or all, in the order of the table.

    Args:
        names: none for all.
        table: a file such as `experiments.toml`.

    Raises:
        UserError: a name that there is not, or a mistake in the table.
    """
    what, hint = f"experiments in {table.name}", "see the comment at its beginning"
    try:
        found = [
            Experiment.model_validate({"name": name, **fields})
            for name, fields in parse_toml(read_text(table, what, hint), what, hint).items()
        ]
    except (ValidationError, TypeError) as error:
        raise UserError(what, str(error), hint) from error
    known = [one.name for one in found]
    for name in names:
        if name not in known:
            raise UserError(f"one of the experiments {', '.join(known)}", repr(name), f"add it to {table.name}")
    return [one for one in found if not names or one.name in names]
