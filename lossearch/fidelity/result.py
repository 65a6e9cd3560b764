"""What was measured of cheap settings: rank correlation with full trainings, and what choosing by them costs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lossearch.errors import UserError

ENOUGH = 0.6
"""Kendall's τ from which a setting is recommended."""

FEWEST = 5
"""Losses below which a rank correlation says nothing."""


@dataclass(frozen=True)
class SettingResult:
    """One setting.

    Attributes:
        steps: of a training.
        seeds: trainings whose mean metric is the score.
        cost: steps of all trainings that score a candidate, those that tune its constants included, as a share of those
            of the dearest setting.
        tau: Kendall's τ-b between scores and full trainings, and the ends of its bootstrap interval over losses.
        low: see `tau`.
        high: see `tau`.
        regret: by how much the full metric of the loss that is best here is worse than that of the best of all.
    """

    steps: int
    seeds: int
    cost: float
    tau: float
    low: float
    high: float
    regret: float


@dataclass(frozen=True)
class Fidelity:
    """How settings rank a sample of losses.

    Attributes:
        task: its name.
        metric: what losses are ranked by.
        losses: how many could be trained fully.
        failed: how many could not, which are left out.
        full_steps: of a full training.
        full_seeds: fresh seeds whose mean is the full metric.
        rows: settings, the cheapest first.
    """

    task: str
    metric: str
    losses: int
    failed: int
    full_steps: int
    full_seeds: int
    rows: tuple[SettingResult, ...]

    @property
    def recommended(self) -> SettingResult | None:
        """The cheapest setting with τ of `ENOUGH` or more, and above 0 with confidence; None where there is none."""
        return next((row for row in self.rows if row.tau >= ENOUGH and row.low > 0.0), None)

    @property
    def verdict(self) -> str:
        """What to do, in a sentence."""
        row = self.recommended
        if row is None and any(one.tau >= ENOUGH for one in self.rows):
            return f"τ of {ENOUGH:g} is not shown with {self.losses} losses, whose intervals reach 0: raise --sample."
        if row is None:
            return (
                f"No setting reaches τ = {ENOUGH:g}: score candidates with full trainings and more seeds than"
                f" {max(one.seeds for one in self.rows)}, or with a task on which losses differ more."
            )
        return (
            f"Cheapest with τ ≥ {ENOUGH:g}: evaluation = {{ steps = {row.steps}, seeds = {row.seeds} }},"
            f" τ = {row.tau:.2f} [{row.low:.2f}, {row.high:.2f}] at {row.cost:.0%} of the dearest setting's cost."
        )

    def to_json(self) -> str:
        """Everything."""
        told = None if self.recommended is None else asdict(self.recommended)
        return json.dumps({**asdict(self), "recommended": told, "verdict": self.verdict}, indent=1) + "\n"


def rows_of(
    scores: Mapping[int, Sequence[Sequence[float | None]]],
    full: Sequence[float],
    higher_is_better: bool,
    tuning: int,
) -> tuple[SettingResult, ...]:
    """The rows of all settings, the cheapest first.

    Args:
        scores: by steps, of each loss the metric with each seed; None where a training failed, which ranks last.
        full: of each loss its full metric.
        higher_is_better: direction of the metric.
        tuning: trainings that tune a candidate's constants before it is scored.

    Raises:
        UserError: there are fewer than `FEWEST` losses.
    """
    if len(full) < FEWEST:
        raise UserError(f"at least {FEWEST} losses that can be trained fully", str(len(full)), "raise --sample")
    sign = 1.0 if higher_is_better else -1.0
    target = sign * np.asarray(full, dtype=np.float64)
    most = max(len(values) for values in next(iter(scores.values())))
    dearest = max(scores) * (tuning + most)
    found: list[SettingResult] = []
    for steps, values in scores.items():
        for seeds in _powers(most):
            means = np.array([_mean(one[:seeds], sign) for one in values])
            tau, low, high = _kendall(means, target)
            regret = float(target.max() - target[int(means.argmax())])
            found.append(SettingResult(steps, seeds, steps * (tuning + seeds) / dearest, tau, low, high, regret))
    return tuple(sorted(found, key=lambda row: (row.cost, row.steps)))


def _powers(most: int) -> Iterator[int]:
    """1, 2, 4 … and the largest."""
    count = 1
    while count < most:
        yield count
        count *= 2
    yield most


def _mean(values: Sequence[float | None], sign: float) -> float:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sign * sum(known) / len(known) if len(known) == len(values) else -1e300


def _kendall(means: npt.NDArray[Any], target: npt.NDArray[Any]) -> tuple[float, float, float]:
    """Kendall's τ-b with a 95 % percentile interval over losses; 0 where one side does not differ."""
    from scipy import stats  # costs half a second to import

    def tau(picked: npt.NDArray[Any]) -> float:
        found: Any = stats.kendalltau(means[picked], target[picked])[0]
        return 0.0 if math.isnan(found) else float(found)

    draw, n = np.random.default_rng(0), len(means)
    drawn = [tau(draw.integers(n, size=n)) for _ in range(500)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return tau(np.arange(n)), float(low), float(high)
