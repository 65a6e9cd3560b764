"""Reading the comparison that `lossearch compare` left in a run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from lossearch.archive.run_directory import RunDirectory
from lossearch.comparison.result import FORMAT, means_of
from lossearch.comparison.statistics import ConfidenceInterval, PairedDifference
from lossearch.errors import UserError
from lossearch.joint_loss import AnyLoss, loss_from_json
from lossearch.reading import parse_json, read_text


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ComparisonRow(_Part):
    """One loss; see `lossearch.comparison.result.Row`. `document` is the tuned loss in its JSON form."""

    loss: str
    source: Literal["hand-designed", "discovered"]
    origin: str
    formula: str
    parameters: Mapping[str, float]
    learning_rate: float
    validation: float | None
    values: tuple[float | None, ...]
    interval: ConfidenceInterval | None
    difference: PairedDifference | None
    p_holm: float | None
    better: bool | None
    noise_floor: float | None
    at_edge: Mapping[str, str] | None
    message: str
    others: Mapping[str, tuple[float | None, ...]] = {}
    relative_rate: float | None = None
    document: Mapping[str, Any]

    @property
    def other_means(self) -> dict[str, float]:
        """Test means of the metrics besides the ranking one."""
        return means_of(self.others)

    def to_loss(self) -> AnyLoss:
        """The loss with its tuned parameters; raises `UserError` for a malformed document."""
        return loss_from_json(json.dumps(self.document))


class ComparisonFile(_Part):
    """Losses compared on the test split of one task, best first; see `lossearch.comparison.result.Result`."""

    format: int = FORMAT
    task: str
    metric: str
    higher_is_better: bool
    seeds: tuple[int, ...]
    reference: str | None
    noise_floor: float | None
    verdict: str
    settings: Mapping[str, Any]
    rows: tuple[ComparisonRow, ...]

    @model_validator(mode="after")
    def _names_are_distinct(self) -> ComparisonFile:
        names = [row.loss for row in self.rows]
        if len(set(names)) < len(names) or (self.reference is not None and self.reference not in names):
            raise ValueError("rows need distinct names, the reference's among them")
        return self

    @property
    def learning_rate_tuned(self) -> bool:
        """See `lossearch.comparison.result.Result`."""
        return self.settings.get("learning_rate_tuned", True)

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the metrics besides the ranking one."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.others))

    @property
    def trained(self) -> tuple[ComparisonRow, ...]:
        """The losses that did not fail."""
        return tuple(row for row in self.rows if row.interval is not None)

    @property
    def discovered(self) -> ComparisonRow | None:
        """The best discovered loss that did not fail."""
        return next((row for row in self.trained if row.source == "discovered"), None)


def read_comparison(run: Path) -> ComparisonFile | None:
    """The comparison of a run, or None where there is none. Raises `UserError` if the file cannot be read."""
    path = RunDirectory(run).comparison
    return read_comparison_file(path, path.relative_to(run)) if path.is_file() else None


def read_comparison_file(path: Path, place: Path) -> ComparisonFile:
    """The comparison in a file, which messages call `place`. Raises `UserError` if it cannot be read."""
    hint = f"run `lossearch compare` again with --out {path.parent}"
    text = read_text(path, "a comparison that can be read", hint)
    document = parse_json(text, f"a comparison in {place}", hint, infinite=True)
    version = document.get("format", FORMAT) if isinstance(document, dict) else FORMAT
    if isinstance(version, int) and version > FORMAT:
        newer = "read it with the version of lossearch that wrote it, or a later one"
        raise UserError(f"a comparison of format {FORMAT} or older", f"format {version} in {place}", newer)
    try:
        return ComparisonFile.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "a document"
        raise UserError(f"{field}: {first['msg']}", str(place), hint) from error
