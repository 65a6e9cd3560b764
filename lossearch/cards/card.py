"""What a loss card holds, and how it is read: a Markdown file whose facts stand in one block of JSON.

One file cannot be parted from its facts, shows as a page wherever Markdown does, and JSON has the numbers exactly, and
none for what is not known. A card is data: its formula is parsed, and nothing in it is run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lossearch.errors import UserError
from lossearch.joint_loss import AnyLoss, loss_from_text
from lossearch.reading import LARGEST_WHOLE, parse_json, read_text
from lossearch.tasks.field_error import field_error
from lossearch.tasks.streams import MAX_SEED

FORMAT = 1

FENCE = "```json lossearch-card"
"""The line that opens the block with the facts."""

SUFFIX = ".card.md"

MOST_SEEDS = 10_000

_WHAT = "a loss card"
_AGAIN = "write the card again with `lossearch export … --card`"

Seeds = Annotated[tuple[Annotated[int, Field(ge=0, le=MAX_SEED)], ...], Field(min_length=1, max_length=MOST_SEEDS)]
Rate = Annotated[float, Field(gt=0.0)]
Steps = Annotated[int, Field(ge=1, le=LARGEST_WHOLE)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CardTask(_Part):
    """What a loss was trained on.

    Attributes:
        name: as archives and tables call it.
        metric: what ranks losses.
        higher_is_better: its direction.
        config: values of a described task, or of a distribution of tasks; None for a training function.
        function: what a training function is known by: its name, metric and the digests of its files; else None.
        identity: SHA-256 of config or function and of the files of the data sets.
    """

    name: str
    metric: str
    higher_is_better: bool
    config: dict[str, Any] | None = None
    function: dict[str, Any] | None = None
    identity: str

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if (self.config is None) == (self.function is None):
            raise ValueError("a task has either config or function")
        return self


class Score(_Part):
    """Trainings of the loss, judged on validation data.

    Attributes:
        of: "race" (the final race of a search), "search" (its own score), or "card" (trained for the card).
        steps: of each training, or the budget that a training function is called with.
        seeds: of the trainings.
        metrics: one for each seed.
        learning_rate: of all trainings; None for a training function that sets its own.
        step_scale: factor on the loss, as the search left it. None for "card", where the learning rate is that of a
            loss whose gradient at untrained predictions is as large as that of the task's default.
        device: where it was trained; None where a training function decided.
        noise_floor: how far two means of these trainings differ by their seeds alone; None below four seeds.
    """

    of: Literal["race", "search", "card"]
    steps: Steps
    seeds: Seeds
    metrics: tuple[float, ...]
    learning_rate: Rate | None
    step_scale: Rate | None
    device: str | None
    noise_floor: float | None

    @model_validator(mode="after")
    def _can_be_repeated(self) -> Self:
        if (self.of == "card") != (self.step_scale is None) or (self.of == "card" and self.learning_rate is None):
            raise ValueError("a score of a search has a step_scale, one of a card none, but a learning_rate")
        return self

    @property
    def mean(self) -> float:
        """Mean metric over the seeds."""
        return sum(self.metrics) / len(self.metrics)


class HeldOutRow(_Part):
    """One loss on the test split; see `lossearch.comparison.result.Row`. low, high: of the mean's interval."""

    loss: str
    source: Literal["hand-designed", "discovered"]
    mean: float | None
    low: float | None
    high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p_holm: float | None
    better: bool | None


class HeldOut(_Part):
    """A comparison of the loss with others on the test split of one task, each tuned on validation data.

    Attributes:
        task: its name and identity.
        loss: what the table calls the loss of the card.
        parameters: of the loss, tuned.
        relative_rate: tuned learning rate for a loss whose gradient is as large as the reference's; None where the
            comparison does not tell it.
        steps, backend, device: of all trainings.
        trials: of the tuning of each loss.
        seeds: paired, the same for all losses.
        values: of the loss, one for each seed.
        noise_floor: of the loss.
        reference: the best hand-designed loss, from which differences are measured.
        verdict: in a sentence.
        rows: all losses, the best first.
    """

    task: CardTask
    loss: str
    parameters: dict[str, float]
    relative_rate: Rate | None
    steps: Steps
    backend: str
    device: str
    trials: int
    seeds: Seeds
    values: tuple[float | None, ...]
    noise_floor: float | None
    reference: str | None
    verdict: str
    rows: tuple[HeldOutRow, ...]


class Card(_Part):
    """All that a card says.

    Attributes:
        format: version of this layout.
        name: of the loss.
        formula: in text form; of several slots, a formula a slot.
        key: structural SHA-256 of the formula, canonical.
        expanded_key: that of the formula with its primitives written out, which changes where one of them does.
        signature: what the loss takes; by slot where there are several.
        source: author and year, or the run that found it.
        task: that it was scored on.
        score: on validation data.
        held_out: on test splits: of one task, or of each that a distribution draws; empty where nothing was compared.
        transfer: over all of these tasks, in a sentence; empty for one alone.
        configuration: of the search that found it, as TOML; empty for a loss that none found.
        versions: of the packages that trained it.
        commands: that made the loss and this card.
    """

    format: Literal[1]
    name: str
    formula: str
    key: str
    expanded_key: str
    signature: str | dict[str, str]
    source: str
    task: CardTask
    score: Score
    held_out: tuple[HeldOut, ...] = ()
    transfer: str = ""
    configuration: str = ""
    versions: dict[str, str | int | None]
    commands: tuple[str, ...]

    def to_loss(self) -> AnyLoss:
        """The loss that the formula describes.

        Raises:
            UserError: the formula is malformed, or is another one than the keys say.
        """
        loss = loss_from_text(self.formula, self.name, self.source)
        if loss.key != self.key:
            found = f"a formula of key {loss.key[:16]}…, on a card that says {self.key[:16]!r:.40}…"
            raise UserError("the formula that the card was written for", found, _changed("the formula"))
        if loss.graph.expanded().key != self.expanded_key:
            found = "primitives of the formula that mean something else today, or in this installation"
            raise UserError("the primitives that the card was written with", found, "install the version of the card")
        return loss

    def facts(self) -> str:
        """All of it as JSON, a line for each field."""
        fields = self.model_dump(mode="json").items()
        lines = (f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields)
        return "{\n" + ",\n".join(lines) + "\n}"


def identity_of(described: Mapping[str, Any], data: Mapping[str, Mapping[str, str]]) -> str:
    """SHA-256 of what a task is known by, and of the digests of its data."""
    text = json.dumps([described, {name: dict(files) for name, files in data.items()}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_card(path: str | Path) -> Card:
    """The card in a file.

    Raises:
        UserError: there is none, it is of another format or damaged, or a number on it cannot be.
    """
    text = read_text(path, _WHAT, "give the .card.md file that `lossearch export … --card` writes")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    starts = [number for number, line in enumerate(lines) if line == FENCE]
    if len(starts) != 1:
        raise UserError(f"{_WHAT}, with one block of facts", f"{len(starts)} in {path}", _AGAIN)
    inside = lines[starts[0] + 1 :]
    if "```" not in inside:
        raise UserError(f"{_WHAT} whose facts end", f"no end of them in {path}", _AGAIN)
    return parse_facts("\n".join(inside[: inside.index("```")]), str(path))


def parse_facts(text: str, source: str) -> Card:
    """The card whose facts these are; raises `UserError` as `read_card` does."""
    values = parse_json(text, f"the facts of {_WHAT} in {source}", _AGAIN)
    if not isinstance(values, dict):
        raise UserError(f"the facts of {_WHAT}", f"a {type(values).__name__} in {source}", _AGAIN)
    if values.get("format") != FORMAT:
        versions = values.get("versions")
        writer = versions.get("lossearch") if isinstance(versions, dict) else None
        hint = f"use the version of lossearch that wrote it{'' if writer is None else f', as lossearch {writer!s:.40}'}"
        raise UserError(f"{_WHAT} of format {FORMAT}", f"format {values.get('format')!r:.40} in {source}", hint)
    try:
        card = Card.model_validate(values)
    except ValidationError as error:
        raise field_error(error, source, lambda path: list(Card.model_fields)) from error
    for name, of, seeds in (("score", card.score.metrics, card.score.seeds), *_tables(card)):
        if len(of) != len(seeds) or len(set(seeds)) < len(seeds):
            raise UserError(
                f"one value for each seed in {name}", f"{len(of)} for {len(seeds)} seeds", _changed("the card")
            )
    return card


def _tables(card: Card) -> list[tuple[str, tuple[float | None, ...], tuple[int, ...]]]:
    return [(f"held_out[{number}]", table.values, table.seeds) for number, table in enumerate(card.held_out)]


def _changed(what: str) -> str:
    return f"{what} was changed since: {_AGAIN}"
