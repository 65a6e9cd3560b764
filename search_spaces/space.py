"""A search space: which expressions may be built for a signature, declared as weighted terminals and templates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, ValidationError, model_validator

from lossearch.errors import UserError
from lossearch.ir.core.signature import get_signature
from lossearch.reading import parse_toml, read_text
from lossearch.search_spaces.seeds import label
from lossearch.zoo.named import graph_of

if TYPE_CHECKING:
    from lossearch.ir.core.graph import Graph

CONSTANT = "C"
"""The letter that stands for a constant in templates."""

Sort = Annotated[str, StringConstraints(pattern="^[ABD-Z]$")]
"""A letter that stands for a subexpression in templates."""

Weights = dict[str, Annotated[float, Field(gt=0.0)]]


class Constants(BaseModel):
    """Which constants occur.

    Attributes:
        magnitudes: what a new constant is drawn from.
        lower: the smallest that a change may make of it.
        upper: the largest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    magnitudes: tuple[Annotated[float, Field(gt=0.0)], ...] = (0.1, 0.5, 1.0, 2.0, 10.0)
    lower: float = Field(default=1e-3, gt=0.0)
    upper: float = Field(default=100.0, gt=0.0)


class SearchSpace(BaseModel):
    """Terminals and templates per sort, with weights, seeds and size limits.

    A sort is a set of axes under an upper-case letter, which stands for a subexpression with these axes in a template;
    C stands for a constant. Losses are built of the first sort. Unless a space declares others, E is an expression per
    element, [batch, space], and K one per class, [batch, class, space].

    Attributes:
        name: what the space is called in records.
        signature: of the losses that are built; `lossearch spaces` lists them.
        max_nodes: distinct operators of a loss, at most, once its primitives are expanded.
        max_initial_size: templates in a random expression, at most.
        seeds: losses that a search begins with: hand-designed ones, with arguments if need be ("focal(gamma=2)"), text
            forms ("dense: …"), or .json and .txt files, whose paths are relative to the space's.
        exclude: primitives and operators that occur in no formula; inside of primitives operators may.
        absent: inputs of the signature that no formula may use, such as class weights where the task tells none.
        exclude_losses: hand-designed losses that are not found, not even times a constant.
        complexity: what operators and primitives count in a loss's complexity. Operators count 1 by default, primitives
            what they are made of; `max_nodes` counts every operator once.
        constants: which constants occur.
        sorts: axes of the expressions that each letter stands for.
        terminals: of each sort, expressions without a placeholder, with their weights.
        templates: of each sort, expressions with placeholders, with their weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    signature: str
    max_nodes: int = Field(default=60, ge=2)
    max_initial_size: int = Field(default=6, ge=1)
    seeds: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    exclude_losses: tuple[str, ...] = ()
    complexity: dict[str, Annotated[int, Field(ge=0, le=1000)]] = {}
    constants: Constants = Constants()
    sorts: dict[Sort, tuple[str, ...]] = Field(
        default={"E": ("batch", "space"), "K": ("batch", "class", "space")}, min_length=1
    )
    terminals: dict[Sort, Weights]
    templates: dict[Sort, Weights]
    _labels: Mapping[str, str] = PrivateAttr(default_factory=dict[str, str])

    def with_seeds(self, seeds: Mapping[str, str]) -> SearchSpace:
        """The space with these seeds, and what each is called in tables."""
        found = self.model_copy(update={"seeds": tuple(seeds)})
        found._labels = dict(seeds)
        return found

    def label(self, seed: str) -> str:
        """What one of the seeds is called in tables."""
        return self._labels.get(seed) or label(seed)

    def rotated(self, start: int) -> SearchSpace:
        """The same space, whose seeds begin at another one."""
        return self.model_copy(update={"seeds": self.seeds[start:] + self.seeds[:start]})

    def seed_graph(self, seed: str) -> Graph:
        """The graph of one of the seeds."""
        return graph_of(seed)

    @property
    def root(self) -> Sort:
        """The sort of losses."""
        return next(iter(self.sorts))

    def complexity_of(self, graph: Graph) -> int:
        """Sum over the distinct operators of what each counts; primitives that count as one are not opened."""
        return graph.complexity_with(self.complexity) if self.complexity else graph.complexity

    @model_validator(mode="after")
    def _of_declared_sorts(self) -> Self:
        for sort in (*self.terminals, *self.templates):
            if sort not in self.sorts:
                raise ValueError(f"terminals and templates of the sorts {', '.join(self.sorts)}, but {sort} is another")
        signature = get_signature(self.signature) if self.absent else None
        for name in self.absent:
            if signature is not None and name not in signature:
                raise ValueError(f"absent names inputs of {self.signature}, but {name} is none")
        if len({frozenset(axes) for axes in self.sorts.values()}) < len(self.sorts):
            raise ValueError("sorts with different axes, but two have the same")
        return self


FOLDER = Path(__file__).resolve().parent


def written_spaces() -> list[str]:
    """The spaces that come with lossearch as TOML files."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_space(path: Path) -> SearchSpace:
    """The search space in a TOML file; raises `UserError` for anything malformed."""
    text = read_text(path, "a search space", "correct the path")
    try:
        return SearchSpace.model_validate(parse_toml(text, "a TOML file", f"correct {path}"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] == "value_error":  # of the space as a whole
            required, _, found = first["msg"].removeprefix("Value error, ").partition(", but ")
            raise UserError(required, found, f"correct {path}") from None
        raise UserError(f"{place}: {first['msg']}", repr(first["input"])[:80], f"correct {path}") from None
