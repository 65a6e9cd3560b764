"""What a comparison found: one row per loss, and the reference that all are measured against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lossearch.comparison.statistics import ConfidenceInterval, PairedDifference, varies
from lossearch.comparison.tuning import Tuned
from lossearch.comparison.tuning_space import Edge
from lossearch.tasks import Metric

Source = Literal["hand-designed", "discovered"]

FORMAT = 1
"""Version of the layout of comparison.json. Files without one have the first."""


@dataclass(frozen=True)
class Compared:
    """What was measured of one loss.

    Attributes:
        name: unique among the compared losses.
        source: "hand-designed" or "discovered".
        tuned: the loss at its best settings.
        values: metric on the test split, one per seed; None where a training failed; empty where tuning found no
            setting under which the loss trains.
        message: why a training failed; otherwise empty.
        all_metrics: on the test split, of each seed all metrics that its training gave, by name.
    """

    name: str
    source: Source
    tuned: Tuned
    values: tuple[float | None, ...]
    message: str = ""
    all_metrics: tuple[Mapping[str, float], ...] = ()

    def others(self, ranking: str) -> dict[str, tuple[float | None, ...]]:
        """Per seed the metrics besides the ranking one that every seed gave; None for values that are not finite."""
        told = self.all_metrics if self.sound else ()
        names = [name for name in (told[0] if told else ()) if name != ranking and all(name in one for one in told)]
        return {name: tuple(one[name] if math.isfinite(one[name]) else None for one in told) for name in names}

    @property
    def sound(self) -> tuple[float, ...]:
        """The values if no training failed, otherwise nothing."""
        kept = tuple(value for value in self.values if value is not None)
        return kept if len(kept) == len(self.values) else ()


@dataclass(frozen=True)
class Row:
    """One loss in a comparison. Metrics are in the metric's own units.

    Attributes:
        loss: name.
        source: "hand-designed" or "discovered".
        origin: author and year, or the run that found it.
        formula: text form, at the tuned parameters.
        parameters: tuned ones.
        learning_rate: tuned, as the optimiser was given it.
        validation: metric on validation at these settings: optimistic, since it chose them.
        values: metric on the test split per seed; None where a training failed.
        interval: mean over seeds with its bootstrap interval; None for a loss that failed.
        difference: loss - reference over paired seeds, with interval and permutation p-value; None for the reference
            and for a loss that failed.
        p_holm: that p-value corrected for the number of losses.
        better: whether the loss is better than the reference; None where nothing can be said.
        noise_floor: how far the means of two comparisons of this same loss differ by their seeds alone; None below
            four seeds, and where no loss's values depend on the seed.
        at_edge: settings that lie at an edge of their range, with the side.
        message: why the loss failed; otherwise empty.
        others: metrics besides the ranking one on the test split per seed, by name; None for values that are not
            finite. Nothing is judged by them.
        relative_rate: the tuned learning rate for a loss whose gradient is as large as the reference's, from which the
            trainings can be repeated.
    """

    loss: str
    source: Source
    origin: str
    formula: str
    parameters: Mapping[str, float]
    learning_rate: float
    validation: float | None
    values: tuple[float | None, ...]
    interval: ConfidenceInterval | None = None
    difference: PairedDifference | None = None
    p_holm: float | None = None
    better: bool | None = None
    noise_floor: float | None = None
    at_edge: Mapping[str, Edge] | None = None
    message: str = ""
    others: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    relative_rate: float | None = None

    @property
    def other_means(self) -> dict[str, float]:
        """Means over the seeds of the metrics besides the ranking one; of those that are finite with each."""
        return means_of(self.others)


def means_of(others: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    """Means of values per seed by name, of those that have a value for each."""
    complete = {name: [value for value in values if value is not None] for name, values in others.items()}
    return {name: sum(kept) / len(kept) for name, kept in complete.items() if kept and len(kept) == len(others[name])}


@dataclass(frozen=True)
class Result:
    """What a comparison of losses on the test split of one task found.

    Attributes:
        task: its name.
        metric: what the losses are judged by.
        seeds: of the trainings, the same for all losses.
        reference: name of the hand-designed loss with the best mean; of the best loss where none is hand-designed;
            None where every loss failed. It is chosen by its test values, which can only make it harder to beat.
        rows: best mean first, losses that failed last.
        results: the tuned losses by name.
        settings: everything else that the figures depend on.
        keys: by name the key of each loss as it was before tuning, those that were given first.
    """

    task: str
    metric: Metric
    seeds: tuple[int, ...]
    reference: str | None
    rows: tuple[Row, ...]
    results: Mapping[str, Tuned]
    settings: Mapping[str, Any]
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def learning_rate_tuned(self) -> bool:
        """Whether learning rates were tuned; not with a training function that takes none."""
        return self.settings.get("learning_rate_tuned", True)

    @property
    def seeds_matter(self) -> bool:
        """Whether the test values of some loss depend on the seed; where not, p-values mean nothing, and are 1."""
        trained = [row.values for row in self.rows if row.interval is not None]
        return not trained or any(varies(values) for values in trained)

    @property
    def seed_used(self) -> bool:
        """Whether anything depends on the seed that was measured: test values, other metrics, or validation."""
        others = [values for row in self.rows for values in row.others.values()]
        trials = [trial.metrics for tuned in self.results.values() for trial in tuned.trials]
        return self.seeds_matter or any(varies(values) for values in (*others, *trials))

    @property
    def noise_floor(self) -> float | None:
        """How far two comparisons of the reference itself differ by their seeds alone.

        None below four seeds, and where no loss's values depend on the seed.
        """
        return next((row.noise_floor for row in self.rows if row.loss == self.reference), None)
