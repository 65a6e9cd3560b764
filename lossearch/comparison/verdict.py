"""What a comparison says, in one sentence, and what has to be known with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lossearch.comparison.statistics import ConfidenceInterval, PairedDifference, varies
from lossearch.tasks import Metric
from lossearch.tasks.base import addition

if TYPE_CHECKING:
    from lossearch.comparison.result import Result, Row


@dataclass(frozen=True)
class Units:
    """How values of a metric are written: fractions as percentages with one digit, others with three digits.

    Attributes:
        name: of one unit of a difference.
        factor: from the metric's own units.
        digits: behind the decimal point.
    """

    name: str
    factor: float
    digits: int

    @classmethod
    def of(cls, metric: Metric) -> Units:
        """The units for a metric."""
        is_fraction = (metric.lower, metric.upper) == (0.0, 1.0)
        return cls("points", 100.0, 1) if is_fraction else cls(metric.name, 1.0, 3)

    @property
    def label(self) -> str:
        """What stands behind a metric's name in a heading."""
        return ", %" if self.name == "points" else ""

    def value(self, value: float) -> str:
        """A value of the metric."""
        return f"{value * self.factor:.{self.digits}f}"

    def difference(self, value: float) -> str:
        """A difference of two values, with its sign."""
        return f"{value * self.factor:+.{self.digits}f}"

    def interval(self, interval: ConfidenceInterval) -> str:
        """The bounds of a value's interval."""
        return f"[{self.value(interval.low)}, {self.value(interval.high)}]"

    def signed_interval(self, interval: ConfidenceInterval) -> str:
        """The bounds of a difference's interval."""
        return f"[{self.difference(interval.low)}, {self.difference(interval.high)}]"


def p_text(p_value: float) -> str:
    """A p-value with two significant digits, or that it is below 0.001."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.2g}"


def verdict(result: Result) -> str:
    """What the comparison says, in a sentence, and what has to be known with it, in others."""
    return " ".join([_says(result), *_notes(result)])


def _notes(result: Result) -> list[str]:
    notes: list[str] = []
    if not result.seeds_matter:
        same = f"gives the same {result.metric.name} with every seed"
        if result.seed_used:
            why = (
                f"Every loss {same} on the test split, though trainings with other seeds differ in other metrics or on"
            )
            why += " validation data: the metric is too coarse to show it"
        else:
            why = f"{result.task} {same}; it does not use `seed`"
            if not varies(value for row in result.rows for value in row.values):
                why += ", or the metric does not tell these trainings apart"
        notes.append(f"{why}. So p-values mean nothing, and are given as 1: {len(result.seeds)} seeds are one sample.")
    if not result.learning_rate_tuned:
        notes.append(_not_tuned(result))
    return notes


def _not_tuned(result: Result) -> str:
    return (
        f"Learning rates were not tuned, since {result.task} takes none: every loss was trained at the function's own"
        " rate, with the gradient of the default loss at the first predictions. How well this step size suits a loss is"
        f" part of what is compared. To have learning rates tuned, {addition('learning_rate')}."
    )


def _says(result: Result) -> str:
    """Whether the best discovered loss beats the best hand-designed one; or which hand-designed one is best."""
    units = Units.of(result.metric)
    trained = [row for row in result.rows if row.interval is not None]
    reference = next((row for row in trained if row.loss == result.reference), None)
    if reference is None:
        return "No loss could be trained, so nothing can be said."
    discovered = [row for row in trained if row.source == "discovered"]
    if reference.source == "discovered":
        return f"No hand-designed loss could be compared; {_best(trained, reference, result)}."
    if discovered:
        return f"{_discovered(discovered[0], reference, units)}{_floor(result, units)}."
    failed = any(row.source == "discovered" for row in result.rows)
    prefix = "No discovered loss could be trained; the" if failed else "The"
    return f"{prefix} best hand-designed loss: {_best(trained, reference, result)}."


def _discovered(row: Row, reference: Row, units: Units) -> str:
    assert row.difference is not None
    bar = f"the best tuned hand-designed loss {reference.loss}"
    if row.better is None:
        return f"{row.loss} does not beat {bar}: difference {_difference(row.difference, row.p_holm, units)}"
    gap = units.value(abs(row.difference.mean))
    verb = "beats" if row.better else "is worse than"
    interval = _unsigned(row.difference, units)
    return f"{row.loss} {verb} {bar} by {gap} {units.name} {interval}, {_p(row.p_holm)}"


def _unsigned(difference: PairedDifference, units: Units) -> str:
    low, high = difference.interval.low, difference.interval.high
    if difference.mean < 0:
        low, high = -high, -low
    return f"[{units.value(low)}, {units.value(high)}]"


def _best(trained: list[Row], best: Row, result: Result) -> str:
    units = Units.of(result.metric)
    assert best.interval is not None
    says = (
        f"{best.loss} with {units.value(best.interval.mean)}{units.label.lstrip(',')} {units.interval(best.interval)}"
    )
    others = [row for row in trained if row is not best]
    if others and others[0].difference is not None:
        next_best = others[0]
        difference = _difference(others[0].difference, next_best.p_holm, units)
        says += f"; next {next_best.loss}, difference {difference}"
    return says + _floor(result, units)


def _difference(difference: PairedDifference, p_holm: float | None, units: Units) -> str:
    interval = units.signed_interval(difference.interval)
    return f"{units.difference(difference.mean)} {units.name} {interval}, {_p(p_holm)}"


def _p(p_holm: float | None) -> str:
    assert p_holm is not None
    text = p_text(p_holm)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _floor(result: Result, units: Units) -> str:
    floor = result.noise_floor
    return "" if floor is None else f"; noise floor {units.value(floor)}"
