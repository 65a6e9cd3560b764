"""What the archive holds: candidates, evaluations and filter counts, and how each becomes a database row."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lossearch.errors import UserError

ACCEPTED = "accepted"
BROKEN = "error"
"""The verdict on a candidate that a filter broke on, which is a defect: such a candidate is kept in full."""

DUPLICATE_KEY, DUPLICATE_FINGERPRINT = "duplicate_key", "duplicate_fingerprint"
DUPLICATES = frozenset({DUPLICATE_KEY, DUPLICATE_FINGERPRINT})
"""The verdicts on a candidate that is the same loss as an earlier one: by its expressions, by its behaviour."""

OUTER_STEP = "outer_step"
"""Among the numbers of a checkpoint of meta-learning: outer steps of its island by then. No other candidate has it."""

OK = "ok"
Retention = Literal["key", "full", "none"]

_HEX = re.compile(r"(?:[0-9a-f]{2})+")

Kinds = tuple[tuple[type, ...], ...]
"""For each column of a query the types that its values may have: a damaged file may hold any value in any column."""

WHOLE = (int,)
REAL = (float, int)
TEXT = (str,)
DIGEST = (bytes, str)
MAYBE_WHOLE = (int, type(None))
MAYBE_REAL = (float, int, type(None))
MAYBE_TEXT = (str, type(None))
MAYBE_DIGEST = (bytes, str, type(None))


def damaged(found: str) -> UserError:
    """The error for an archive whose content cannot be what was written."""
    return UserError(
        required="an undamaged archive",
        found=found,
        hint="it was truncated, edited or overwritten: restore it from a copy",
    )


def verify_kinds(row: tuple[Any, ...], kinds: Kinds, where: object) -> None:
    """Raise UserError where a value is of no type that its column may have."""
    for value, kind in zip(row, kinds, strict=True):
        if not isinstance(value, kind):
            raise damaged(f"a {type(value).__name__} where a {kind[0].__name__} belongs ({where})")


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a candidate was made: the `index`-th candidate of one generation of one island."""

    island: int
    generation: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One candidate loss and what screening decided about it.

    key: structural SHA-256 in hex. fingerprint: hash of value and gradient on the probe inputs, None when
    screening ended before it. text and graph: one-line form and JSON form. complexity: size of the graph,
    required of an accepted candidate. verdict: "accepted" or the filter that rejected it ("type", "range",
    "duplicate_key", "probe", "duplicate_fingerprint", "rejection"). parents: keys. operator: "seed",
    "random", "mutation:…" or "crossover". numbers: what screening measured. proposal: the key that it was
    proposed under, where training changed its constants, else None. id and superseded are set by the archive.
    """

    origin: Origin
    key: str
    verdict: str = ACCEPTED
    reason: str = ""
    fingerprint: str | None = None
    text: str | None = None
    graph: str | None = None
    complexity: int | None = None
    parents: tuple[str, ...] = ()
    operator: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    proposal: str | None = None
    id: int | None = None
    superseded: int = 0

    def __post_init__(self) -> None:
        if self.accepted and self.complexity is None:
            raise ValueError(f"candidate {self.key} is accepted but has no complexity")

    @property
    def accepted(self) -> bool:
        return self.verdict == ACCEPTED

    @property
    def proposed_as(self) -> str:
        """The key that it was proposed under."""
        return self.key if self.proposal is None else self.proposal

    @property
    def kept(self) -> bool:
        """Whether the archive keeps all of it, whatever it keeps of rejected candidates.

        A checkpoint of meta-learning is kept because it tells what the outer steps before it cost, even where its loss
        is one that was known already.
        """
        return self.accepted or self.verdict == BROKEN or OUTER_STEP in self.numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One training with one candidate.

    task names all that fixes the measurement besides the loss; seed and budget (in steps) complete the cell,
    which holds one evaluation. metric is None (NaN becomes None) when there was nothing to measure. status:
    "ok", or what went wrong ("diverged", "out_of_memory", "timeout", "error", …). curve: (step, metric)
    pairs. step_scale: the factor that brought the candidate's gradient to the reference's RMS. timestamp:
    seconds since the epoch, for display only. metrics: all that the training gave, by name, the ranking one
    among them; empty where the archive tells none. device: where it was trained, "cpu" or "cuda"; None where a user's
    function decided, or the archive tells none.
    """

    key: str
    task: str
    seed: int
    budget: int
    metric: float | None
    status: str = OK
    curve: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    step_scale: float = 1.0
    learning_rate: float | None = None
    island: int | None = None
    timestamp: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    device: str | None = None
    id: int | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the evaluation may be ranked: it ended well and its metric is a finite number."""
        return self.status == OK and self.metric is not None and math.isfinite(self.metric)


@dataclass(frozen=True, slots=True)
class FilterCount:
    """How many candidates one screening filter looked at and rejected, and the seconds it took for that."""

    filter: str
    considered: int
    rejected: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceTraining:
    """One training of the final race: a candidate, as the search left it, on a fresh seed; fields as in `Evaluation`.

    message: what went wrong.
    """

    key: str
    task: str
    seed: int
    budget: int
    metric: float | None
    status: str = OK
    message: str = ""
    seconds: float = 0.0
    timestamp: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where the final race left a candidate.

    before: its rank by the score of the search, from 1. seeds: trainings of the race that judge it, at `budget` steps.
    failed: those of them without a metric. metric: their mean, None where one failed. gap: by how much its metric
    differs from the winner's over the seeds of both. ruled_out: after how many seeds a paired test against the leader
    ruled it out, with that test's corrected p_value; both None for one that lasted. fragile: whether it is ranked
    behind others that lasted, since its learning rate can hardly be moved.
    """

    key: str
    task: str
    budget: int
    before: int
    seeds: int
    failed: int
    metric: float | None
    gap: float | None
    ruled_out: int | None = None
    p_value: float | None = None
    fragile: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its score: the mean metric over `seeds` evaluations at `budget` steps, moved towards the worst
    by the share that the archive's `robustness` says.

    metric is None when any of these evaluations failed (`failed` of them): averaging the survivors alone
    would reward a loss for diverging on the seeds where it does badly. standing: of a candidate that the final race
    ranks; the score is then that of the race.
    """

    candidate: Candidate
    metric: float | None
    seeds: int
    failed: int
    budget: int
    standing: Standing | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals of an archive. verdicts and statuses count candidates and evaluations by name.

    disagreements: evaluations that were submitted again with another outcome; the first one stands.
    """

    candidates: int
    accepted: int
    structures: int
    evaluations: int
    failed: int
    disagreements: int
    verdicts: Mapping[str, int]
    statuses: Mapping[str, int]


def pack_digest(digest: str) -> bytes | str:
    """A hex digest as bytes, half the size in every row and index; any other string stays as it is."""
    return bytes.fromhex(digest) if _HEX.fullmatch(digest) else digest


def unpack_digest(stored: bytes | str) -> str:
    """The string that `pack_digest` was given."""
    return stored.hex() if isinstance(stored, bytes) else stored


def encode_json(value: object) -> str:
    """Compact JSON. NaN and infinities keep Python's own tokens, so that a diverging curve reads back
    exactly.
    """
    return json.dumps(value, separators=(",", ":"))


def decode_json(text: str, where: str, kind: type[list[Any]] | type[dict[str, Any]]) -> Any:
    """The list or object in a JSON text. Raises UserError naming `where` it stands if it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(f"{text[:60]!r} in {where} ({error})") from error
    if not isinstance(found, kind):
        raise damaged(f"{text[:60]!r} in {where}, which is no {kind.__name__}")
    return found


def _pairs(text: str, where: str) -> tuple[tuple[int, float], ...]:
    """A curve."""
    found = decode_json(text, where, list)
    for pair in found:
        if not isinstance(pair, list) or [type(value) for value in pair] not in ([int, float], [int, int]):
            raise damaged(f"{pair!r:.60} in {where}")
    return tuple((step, float(value)) for step, value in found)


def encode_numbers(numbers: Mapping[str, float]) -> str | None:
    """Named numbers as a JSON object; None for none."""
    return encode_json(dict(numbers)) if numbers else None


def decode_numbers(text: str | None, where: str) -> dict[str, float]:
    """What `encode_numbers` wrote. Raises UserError naming `where` it stands if it cannot be that."""
    found = {} if text is None else decode_json(text, where, dict)
    if not all(type(value) in (int, float) for value in found.values()):
        raise damaged(f"{text!r:.60} in {where}")
    return {name: float(value) for name, value in found.items()}


def finite_or_none(metric: float | None) -> float | None:
    """SQLite has no NaN: it stores NULL. Saying so here keeps records equal before and after."""
    return None if metric is None or math.isnan(metric) else float(metric)


CANDIDATE_COLUMNS = (
    "c.id, c.island, c.generation, c.position, c.superseded, c.verdict, c.reason, c.operator, c.parents, "
    "c.numbers, {proposal}, x.key, x.fingerprint, x.text, x.graph, x.complexity"
)
CANDIDATE_KINDS: Kinds = (
    *(WHOLE,) * 5, *(TEXT,) * 3, MAYBE_TEXT, MAYBE_TEXT, MAYBE_DIGEST, DIGEST, MAYBE_DIGEST, MAYBE_TEXT,
    MAYBE_TEXT, MAYBE_WHOLE,
)  # fmt: skip


def candidate_from_row(row: tuple[Any, ...]) -> Candidate:
    """A candidate from CANDIDATE_COLUMNS."""
    id, island, generation, position, superseded, verdict, reason, operator, parents, numbers, proposal, *structure = (
        row
    )
    key, fingerprint, text, graph, complexity = structure
    where = f"candidate {id} of the archive"
    if verdict == ACCEPTED and complexity is None:
        raise damaged(f"{where} accepted, without a complexity")
    return Candidate(
        id=id,
        origin=Origin(island, generation, position),
        superseded=superseded,
        verdict=verdict,
        reason=reason,
        operator=operator,
        parents=tuple(map(str, decode_json(parents, where, list))) if parents else (),
        numbers=decode_json(numbers, where, dict) if numbers else {},
        proposal=None if proposal is None else unpack_digest(proposal),
        key=unpack_digest(key),
        fingerprint=None if fingerprint is None else unpack_digest(fingerprint),
        text=text,
        graph=graph,
        complexity=complexity,
    )


EVALUATION_COLUMNS = (
    "e.id, x.key, e.task, e.seed, e.budget, e.metric, e.status, e.curve, e.seconds, e.step_scale, "
    "e.learning_rate, e.island, e.timestamp, {metrics}, {device}"
)
EVALUATION_KINDS: Kinds = (
    WHOLE, DIGEST, TEXT, WHOLE, WHOLE, MAYBE_REAL, TEXT, TEXT, REAL, REAL, MAYBE_REAL, MAYBE_WHOLE, REAL, MAYBE_TEXT,
    MAYBE_TEXT,
)  # fmt: skip


def evaluation_from_row(row: tuple[Any, ...]) -> Evaluation:
    """An evaluation from EVALUATION_COLUMNS."""
    (
        id,
        key,
        task,
        seed,
        budget,
        metric,
        status,
        curve,
        seconds,
        step_scale,
        learning_rate,
        island,
        timestamp,
        metrics,
        device,
    ) = row
    where = f"evaluation {id} of the archive"
    return Evaluation(
        id=id,
        key=unpack_digest(key),
        task=task,
        seed=seed,
        budget=budget,
        metric=metric,
        status=status,
        curve=_pairs(curve, f"the curve of {where}"),
        seconds=seconds,
        step_scale=step_scale,
        learning_rate=learning_rate,
        island=island,
        timestamp=timestamp,
        metrics=decode_numbers(metrics, f"the metrics of {where}"),
        device=device,
    )
