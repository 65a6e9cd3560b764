"""Intervals, paired tests and the noise floor for comparing losses over seeds."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lossearch.errors import UserError

Values = Sequence[float] | npt.NDArray[Any]
_EXACT = 12  # up to so many pairs, all 2**n sign flips are enumerated
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """A mean with its confidence interval, and how that was found.

    method: "bca", "percentile" (BCa is undefined for the sample), "corrected_t", or "constant" (all values
    equal: the interval has no width, which says that the sample shows no spread, not that there is none).
    """

    mean: float
    low: float
    high: float
    confidence: float
    method: Literal["bca", "percentile", "corrected_t", "constant"]


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of a - b over pairs, its interval, and the two-sided p-value of no difference."""

    interval: ConfidenceInterval
    p_value: float
    test: Literal["sign_flip_exact", "sign_flip_monte_carlo", "corrected_resampled_t"]
    n: int

    @property
    def mean(self) -> float:
        return self.interval.mean


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """One row of a comparison: a loss against the reference loss, over the same seeds.

    difference is loss - reference in the metric's own units, None in the reference's row, and p_holm its
    p-value corrected for the number of losses. better says whether the loss is better than the reference at
    the level of the table (None where nothing can be said). noise_floor is that of the loss's own values,
    None below four seeds, and where no loss's values depend on the seed.
    """

    loss: str
    reference: str
    values: tuple[float, ...]
    interval: ConfidenceInterval
    difference: PairedDifference | None
    p_holm: float | None
    better: bool | None
    noise_floor: float | None


def bootstrap_interval(
    values: Values, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> ConfidenceInterval:
    """Bootstrap interval of the mean: BCa (Efron, 1987), which corrects for bias and skewness.

    Where BCa is undefined the percentile interval is given, and `method` says so. A constant sample gives an
    interval of no width. Small samples undercover: with ten values a 95 % interval covers about 90 %. Raises
    UserError for fewer than two values, or one that is not finite.
    """
    sample = _sample(values, "values", at_least=2)
    _verify_settings(confidence, resamples)
    if np.all(sample == sample[0]):
        mean = float(sample[0])
        return ConfidenceInterval(mean, mean, mean, confidence, "constant")
    from scipy import stats  # costs half a second to import

    mean = float(sample.mean())
    with warnings.catch_warnings():
        # Undefined BCa shows as NaN limits, which are looked at below.
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            (sample,),
            np.mean,
            confidence_level=confidence,
            n_resamples=resamples,
            method="BCa",
            batch=max(1, 2_000_000 // sample.size),
            rng=np.random.default_rng(seed),
        )
    low, high = found.confidence_interval
    if math.isfinite(low) and math.isfinite(high):
        return ConfidenceInterval(mean, float(low), float(high), confidence, "bca")
    tail = (1 - confidence) / 2
    low, high = np.quantile(found.bootstrap_distribution, [tail, 1 - tail])
    return ConfidenceInterval(mean, float(low), float(high), confidence, "percentile")


def paired_difference(
    a: Values,
    b: Values,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    test_train_ratio: float | None = None,
) -> PairedDifference:
    """Mean of a[seed] - b[seed], its interval and the p-value of no difference.

    A pair shares its seed, hence data order and initial weights. By default a bootstrap interval and a
    sign-flip permutation test, which assumes only that under no difference each pair could have come the
    other way round: exact up to 12 pairs, beyond that with `resamples` random flips. With `test_train_ratio`
    (test samples / training samples), for seeds that draw their splits from the same data, the corrected
    resampled t-test (Nadeau and Bengio, 2003) and its interval instead. Raises UserError for unequal lengths,
    fewer than two pairs, or a value that is not finite.
    """
    first, second = _sample(a, "a", at_least=2), _sample(b, "b", at_least=2)
    if first.size != second.size:
        raise UserError(
            required="paired values, one pair a seed",
            found=f"{first.size} and {second.size} values",
            hint="run both losses over the same seeds",
        )
    _verify_settings(confidence, resamples)
    differences = first - second
    if test_train_ratio is not None:
        interval, p_value = _corrected_t(differences, confidence, test_train_ratio)
        return PairedDifference(interval, p_value, "corrected_resampled_t", first.size)
    interval = bootstrap_interval(differences, confidence, resamples, seed)
    exact = first.size <= _EXACT
    p_value = _sign_flip_exact(differences) if exact else _sign_flip_monte_carlo(differences, resamples, seed)
    return PairedDifference(interval, p_value, "sign_flip_exact" if exact else "sign_flip_monte_carlo", first.size)


def _sign_flip_exact(differences: npt.NDArray[np.float64]) -> float:
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=differences.size)))
    return float(np.mean(_at_least_as_extreme(signs, differences)))


def _sign_flip_monte_carlo(differences: npt.NDArray[np.float64], resamples: int, seed: int) -> float:
    # The observed assignment counts as one of the flips, which keeps the test valid (Phipson and Smyth,
    # 2010).
    generator = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        signs = 1.0 - 2.0 * generator.integers(0, 2, size=(rows, differences.size))
        extreme += int(np.sum(_at_least_as_extreme(signs, differences)))
    return (extreme + 1) / (resamples + 1)


def _at_least_as_extreme(
    signs: npt.NDArray[np.floating[Any]], differences: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    # Equal sums differ in their last bits with the order of the signs; they must count as equal.
    tolerance = 1e-12 * float(np.abs(differences).sum())
    return np.abs(signs @ differences) >= abs(float(differences.sum())) - tolerance


def _corrected_t(
    differences: npt.NDArray[np.float64], confidence: float, test_train_ratio: float
) -> tuple[ConfidenceInterval, float]:
    if not (math.isfinite(test_train_ratio) and test_train_ratio >= 0):
        raise UserError(
            required="test_train_ratio ≥ 0",
            found=str(test_train_ratio),
            hint="give the number of test samples divided by the number of training samples",
        )
    n = differences.size
    mean = float(differences.mean())
    if np.all(differences == differences[0]):
        return ConfidenceInterval(mean, mean, mean, confidence, "constant"), 1.0 if mean == 0 else 0.0
    from scipy import stats  # costs half a second to import

    error = math.sqrt((1 / n + test_train_ratio) * float(differences.var(ddof=1)))
    p_value = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
    half_width = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    return ConfidenceInterval(mean, mean - half_width, mean + half_width, confidence, "corrected_t"), p_value


def holm(p_values: Values) -> npt.NDArray[np.float64]:
    """p-values corrected for their number by Holm's step-down method (Holm, 1979), in the order given."""
    sample = _sample(p_values, "p_values", at_least=0)
    if np.any((sample < 0) | (sample > 1)):
        raise UserError(required="p-values in [0, 1]", found=str(sample.tolist()), hint="pass p-values")
    order = np.argsort(sample, kind="stable")
    # The smallest of m counts m times, the next m - 1 times …; none may come out below a smaller one.
    raised = np.maximum.accumulate(sample[order] * np.arange(len(sample), 0, -1))
    corrected = np.empty_like(sample)
    corrected[order] = np.minimum(raised, 1.0)
    return corrected


def noise_floor(values: Values, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0) -> float:
    """How large a difference the same loss shows against itself when only the seeds differ.

    The n values are split into two disjoint halves of m = n // 2 seeds (an odd one is left out); the floor is
    the `confidence` quantile of |mean of one half - mean of the other| over all splits, or over `resamples`
    random ones where there are more, times sqrt(m / n), since the spread of such a difference falls with the
    root of the number of seeds. In words: of two runs of this same loss with n seeds each, unpaired, the
    means differ by no more than this in `confidence` of the cases. In the metric's units, ≥ 0; 0 for constant
    values. Raises UserError for fewer than four values, or one that is not finite.
    """
    sample = _sample(values, "values", at_least=4)
    _verify_settings(confidence, resamples)
    n, half = sample.size, sample.size // 2
    centred = sample - sample[0]
    if math.comb(n, half) * math.comb(n - half, half) <= resamples:
        signs = np.array([row for row in itertools.product((1, 0, -1), repeat=n) if _halves(row, half)])
    else:
        order = np.random.default_rng(seed).permuted(np.tile(np.arange(n), (resamples, 1)), axis=1)
        signs = np.where(order < half, 1, np.where(order < 2 * half, -1, 0))
    gaps = np.abs(signs @ centred) / half
    return float(np.quantile(gaps, confidence, method="inverted_cdf")) * math.sqrt(half / n)


def _halves(signs: tuple[int, ...], half: int) -> bool:
    return signs.count(1) == half and signs.count(-1) == half


def compare(
    scores: Mapping[str, Values],
    reference: str,
    *,
    higher_is_better: bool,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    test_train_ratio: float | None = None,
) -> list[PairedComparison]:
    """One row a loss, best mean first. `scores[loss][seed]`: the metric, with the seeds in the same order for
    all.

    Where every loss has the same value with every seed, the seeds are one observation and not many: p-values are 1,
    which is that of a sign-flip test of one pair.

    Raises UserError if the reference is not among the losses, or as `paired_difference` does.
    """
    if reference not in scores:
        raise UserError(
            required="a reference among the compared losses",
            found=f"{reference!r}; compared are {', '.join(scores)}",
            hint="name one of these",
        )
    differences = {
        loss: paired_difference(
            values,
            scores[reference],
            confidence=confidence,
            resamples=resamples,
            seed=seed,
            test_train_ratio=test_train_ratio,
        )
        for loss, values in scores.items()
        if loss != reference
    }
    one_observation = not any(varies(values) for values in scores.values())
    if one_observation:
        differences = {loss: replace(difference, p_value=1.0) for loss, difference in differences.items()}
    corrected = dict(zip(differences, holm([d.p_value for d in differences.values()]).tolist(), strict=True))
    rows: list[PairedComparison] = []
    for loss, values in scores.items():
        difference, p_holm = differences.get(loss), corrected.get(loss)
        better = None
        if difference is not None and p_holm is not None and p_holm <= 1 - confidence:
            better = (difference.mean > 0) == higher_is_better
        rows.append(
            PairedComparison(
                loss=loss,
                reference=reference,
                values=tuple(float(value) for value in values),
                interval=bootstrap_interval(values, confidence, resamples, seed),
                difference=difference,
                p_holm=p_holm,
                better=better,
                noise_floor=None
                if one_observation or len(values) < 4
                else noise_floor(values, confidence, resamples, seed),
            )
        )
    return sorted(rows, key=lambda row: row.interval.mean, reverse=higher_is_better)


def varies(values: Iterable[object]) -> bool:
    """Whether the values differ at all."""
    return len(set(values)) > 1


def _sample(values: Values, name: str, at_least: int) -> npt.NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size < at_least:
        raise UserError(
            required=f"at least {at_least} {name} in one dimension",
            found=f"shape {sample.shape}",
            hint="run over more seeds",
        )
    if not np.all(np.isfinite(sample)):
        index = int(np.flatnonzero(~np.isfinite(sample))[0])
        raise UserError(
            required=f"finite {name}",
            found=f"{sample[index]} at index {index}",
            hint="a failed run has no metric: repeat it, or report the loss as failed",
        )
    return sample


def _verify_settings(confidence: float, resamples: int) -> None:
    if not 0 < confidence < 1 or resamples < 1:
        raise UserError(
            required="0 < confidence < 1 and resamples ≥ 1",
            found=f"confidence {confidence}, resamples {resamples}",
            hint="correct these settings",
        )
