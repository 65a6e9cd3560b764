"""The score of a candidate from trainings with several seeds: their mean, moved towards the worst of them."""

from __future__ import annotations

from collections.abc import Sequence


def robust_mean(merits: Sequence[float], robustness: float) -> float:
    """The mean of at least one value, higher for the better, moved by a share of the way towards the smallest."""
    mean = sum(merits) / len(merits)
    return mean if robustness == 0.0 else (1.0 - robustness) * mean + robustness * min(merits)


def robust_score(metrics: Sequence[float], robustness: float, higher_is_better: bool) -> float:
    """The same of metrics that may be better when lower."""
    sign = 1.0 if higher_is_better else -1.0
    return sign * robust_mean([sign * metric for metric in metrics], robustness)


def robust_mean_sql(sign: int, robustness: float) -> str:
    """`robust_mean` of the metrics of a group of evaluations, as SQL."""
    mean = f"{sign} * avg(e.metric)"
    if robustness == 0.0:
        return mean
    return f"{1.0 - robustness!r} * ({mean}) + {robustness!r} * min({sign} * e.metric)"


def seeds_in_words(seeds: int, robustness: float, which: str = "") -> str:
    """What a score is made of; `which` says what kind of seeds."""
    if seeds == 1:
        return f"one {which}seed"
    told = f"mean of {seeds} {which}seeds"
    return f"{told}, moved by {robustness:g} towards the worst" if robustness else told
