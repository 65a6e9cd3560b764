import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from representative import first_of
from scipy import stats
from statsmodels.stats.multitest import multipletests

from lossearch.comparison.statistics import (
    bootstrap_interval,
    compare,
    holm,
    noise_floor,
    paired_difference,
)
from lossearch.errors import UserError

# Multiples of 1/64 in this range, and sums of them, are exact, so that invariances hold to the last bit or
# nearly.
EXACT = st.integers(-640, 640).map(lambda value: value / 64)
SAMPLES = st.lists(EXACT, min_size=2, max_size=20)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def skewed(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).exponential(size=n)


# Bootstrap interval


def bca_by_the_formula(values: np.ndarray, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    """Efron and Tibshirani (1993), equations 14.9 to 14.15, written out."""
    n = len(values)
    draws = values[np.random.default_rng(seed).integers(0, n, size=(resamples, n))].mean(axis=1)
    bias = stats.norm.ppf((np.sum(draws < values.mean()) + np.sum(draws == values.mean()) / 2) / resamples)
    left_out = (values.sum() - values) / (n - 1)
    centred = left_out.mean() - left_out
    acceleration = np.sum(centred**3) / (6 * np.sum(centred**2) ** 1.5)
    limits = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        z = bias + stats.norm.ppf(tail)
        limits.append(float(np.quantile(draws, stats.norm.cdf(bias + z / (1 - acceleration * z)))))
    return limits[0], limits[1]


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_interval_agrees_with_the_bca_formula(confidence: float) -> None:
    values = skewed(1, 25)
    found = bootstrap_interval(values, confidence, resamples=40_000, seed=3)
    expected = bca_by_the_formula(values, confidence, resamples=40_000, seed=4)
    # Two independent resamplings of 40,000: the limits carry a Monte Carlo error near 1 % of the width.
    assert (found.low, found.high) == pytest.approx(expected, abs=0.03 * (found.high - found.low))
    assert found.mean == pytest.approx(values.mean())
    assert found.method == "bca"


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    trials, n = 300, 20
    covered = 0
    for trial in range(trials):
        found = bootstrap_interval(normal(trial, n), 0.9, resamples=600)
        covered += found.low <= 0 <= found.high
    # Binomial limits (±3 standard errors) around the small-sample coverage of 0.87 for n = 20.
    assert 0.81 <= covered / trials <= 0.93


def test_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = normal(0, 15)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


@settings(max_examples=40)
@given(values=SAMPLES, shift=EXACT, exponent=st.integers(-3, 3))
def test_interval_moves_and_scales_with_the_values(values: list[float], shift: float, exponent: int) -> None:
    plain = bootstrap_interval(values, resamples=300)
    scale = 2.0**exponent
    moved = bootstrap_interval([scale * value + shift for value in values], resamples=300)
    width = max(plain.high - plain.low, 1e-3)
    assert moved.method == plain.method
    # Ties among resampled means break by rounding, which may move a limit to the neighbouring draw.
    assert moved.mean == pytest.approx(scale * plain.mean + shift, abs=1e-9)
    assert moved.low == pytest.approx(scale * plain.low + shift, abs=0.1 * scale * width)
    assert moved.high == pytest.approx(scale * plain.high + shift, abs=0.1 * scale * width)


@settings(max_examples=60)
@given(values=SAMPLES)
def test_interval_lies_within_the_sample_and_widens_with_confidence(values: list[float]) -> None:
    narrow, wide = (bootstrap_interval(values, confidence, resamples=300) for confidence in (0.5, 0.95))
    assert min(values) <= wide.low <= wide.high <= max(values)
    if narrow.method == wide.method:
        assert wide.high - wide.low >= narrow.high - narrow.low


def test_constant_sample_has_an_interval_of_no_width_that_says_so() -> None:
    found = bootstrap_interval([0.1] * 7)
    assert (found.mean, found.low, found.high, found.method) == (0.1, 0.1, 0.1, "constant")


# Paired difference


@pytest.mark.parametrize("n", [2, 5, 12])
def test_exact_p_value_agrees_with_scipy_and_with_counting(n: int) -> None:
    a, b = normal(1, n) + 0.4, normal(2, n)
    found = paired_difference(a, b, resamples=100)
    assert found.test == "sign_flip_exact"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = stats.permutation_test(
            (a, b),
            lambda x, y: np.mean(x - y),
            permutation_type="samples",
            n_resamples=10**6,
            vectorized=False,
        )
    assert found.p_value == pytest.approx(expected.pvalue)
    d = a - b
    sums = [abs(sum(s * x for s, x in zip(signs, d, strict=True))) for signs in itertools.product((1, -1), repeat=n)]
    assert found.p_value == sum(total >= abs(d.sum()) - 1e-9 for total in sums) / 2**n


@pytest.mark.parametrize("tenths", [[3, -1, -2], [1] * 11, [1, 2, 3, -6, 7]])
def test_sums_that_differ_by_rounding_alone_are_ties(tenths: list[int]) -> None:
    signs = itertools.product((1, -1), repeat=len(tenths))
    sums = [abs(sum(s * d for s, d in zip(row, tenths, strict=True))) for row in signs]
    expected = sum(total >= abs(sum(tenths)) for total in sums) / len(sums)
    assert paired_difference([d / 10 for d in tenths], [0.0] * len(tenths)).p_value == expected


def test_monte_carlo_p_value_approaches_the_exact_one() -> None:
    d = normal(3, 13) + 0.5
    signs = np.array(list(itertools.product((1, -1), repeat=13)))
    exact = np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-9)
    found = paired_difference(d, np.zeros(13), resamples=50_000)
    assert found.test == "sign_flip_monte_carlo"
    assert found.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 50_000))


def test_monte_carlo_p_value_is_never_zero() -> None:
    assert paired_difference(np.ones(40), np.zeros(40), resamples=999).p_value == 1 / 1000


def test_p_value_is_valid_under_no_difference() -> None:
    p_values = [
        paired_difference(skewed(trial, 8), skewed(trial + 1000, 8), resamples=2).p_value for trial in range(400)
    ]
    # P(p ≤ α) ≤ α, within three binomial standard errors.
    for level in (0.05, 0.2):
        assert np.mean(np.array(p_values) <= level) <= level + 3 * math.sqrt(level * (1 - level) / 400)


@settings(max_examples=40)
@given(pairs=st.lists(st.tuples(EXACT, EXACT), min_size=2, max_size=9), data=st.data())
def test_p_value_ignores_order_sign_and_shift(pairs: list[tuple[float, float]], data: st.DataObject) -> None:
    a, b = (list(side) for side in zip(*pairs, strict=True))
    plain = paired_difference(a, b, resamples=200)
    swapped = paired_difference(b, a, resamples=200)
    assert swapped.p_value == plain.p_value
    assert swapped.mean == -plain.mean
    shuffled = data.draw(st.permutations(pairs))
    assert paired_difference(*zip(*shuffled, strict=True), resamples=200).p_value == plain.p_value
    moved = paired_difference([x + 3 for x in a], [x + 3 for x in b], resamples=200)
    assert (moved.p_value, moved.mean) == (plain.p_value, plain.mean)


def test_identical_losses_have_no_difference() -> None:
    found = paired_difference([0.1, 0.5, 0.3], [0.1, 0.5, 0.3])
    assert (found.mean, found.p_value, found.interval.low, found.interval.high) == (0.0, 1.0, 0.0, 0.0)


def test_corrected_t_without_overlap_is_the_paired_t_test() -> None:
    a, b = normal(5, 10) + 0.5, normal(6, 10)
    found = paired_difference(a, b, test_train_ratio=0)
    expected = stats.ttest_rel(a, b)
    limits = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.interval.low, found.interval.high) == pytest.approx((limits.low, limits.high))
    assert (found.test, found.interval.method) == ("corrected_resampled_t", "corrected_t")


def test_corrected_t_agrees_with_its_published_formula() -> None:
    d = normal(7, 10) + 0.8
    n, ratio = 10, 1 / 9
    t = d.mean() / math.sqrt((1 / n + ratio) * d.var(ddof=1))
    found = paired_difference(d, np.zeros(n), test_train_ratio=ratio)
    assert found.p_value == pytest.approx(2 * (1 - stats.t.cdf(t, n - 1)))
    assert found.p_value > paired_difference(d, np.zeros(n), test_train_ratio=0).p_value


def test_corrected_t_of_constant_differences() -> None:
    assert paired_difference([1, 2], [1, 2], test_train_ratio=0.5).p_value == 1
    assert paired_difference([2, 3], [1, 2], test_train_ratio=0.5).p_value == 0


# Holm


@given(p_values=st.lists(st.floats(0, 1), max_size=12))
def test_holm_agrees_with_its_definition(p_values: list[float]) -> None:
    m = len(p_values)
    expected, running = [0.0] * m, 0.0
    for rank, index in enumerate(sorted(range(m), key=p_values.__getitem__)):
        running = max(running, min(1.0, (m - rank) * p_values[index]))
        expected[index] = running
    found = holm(p_values)
    assert found.tolist() == pytest.approx(expected)
    assert np.all(found >= np.array(p_values) - 1e-15)


@pytest.mark.parametrize(
    "p_values",
    first_of(
        [[0.2, 0.001, 0.03, 0.8, 0.03], [0.04], [0.01, 0.01, 0.01], [0.0, 1.0, 0.5], list(np.geomspace(1e-6, 1, 13))]
    ),
)
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    corrected = multipletests(np.array(p_values), method="holm")[1]
    assert corrected is not None
    np.testing.assert_allclose(holm(p_values), corrected)


# Noise floor


def test_noise_floor_agrees_with_all_splits_of_a_small_sample() -> None:
    values = [0.1, 0.5, 0.2, 0.9]
    gaps = sorted(
        abs(np.mean(half) - np.mean([v for v in values if v not in half])) for half in itertools.combinations(values, 2)
    )
    assert noise_floor(values) == pytest.approx(gaps[-1] * math.sqrt(1 / 2))
    assert noise_floor(values, confidence=0.5) == pytest.approx(gaps[2] * math.sqrt(1 / 2))


def test_noise_floor_bounds_the_difference_of_two_runs_of_one_loss() -> None:
    n, trials = 20, 300
    within = 0
    for trial in range(trials):
        floor = noise_floor(normal(trial, n), 0.9, resamples=800)
        first, second = normal(trial + 10_000, 2, n)
        within += abs(first.mean() - second.mean()) <= floor
    assert 0.83 <= within / trials <= 0.94


@settings(max_examples=40)
@given(values=st.lists(EXACT, min_size=4, max_size=14), shift=EXACT)
def test_noise_floor_ignores_shift_and_follows_scale(values: list[float], shift: float) -> None:
    floor = noise_floor(values, resamples=500)
    assert noise_floor([value + shift for value in values], resamples=500) == pytest.approx(floor, abs=1e-12)
    assert noise_floor([-4 * value for value in values], resamples=500) == pytest.approx(4 * floor, abs=1e-12)


def test_noise_floor_of_constant_values_is_zero() -> None:
    assert noise_floor([0.1] * 9) == 0
    assert noise_floor([0.1] * 30) == 0


# Comparison


def test_comparison_names_what_is_better() -> None:
    base = normal(8, 10)
    noise = 0.01 * normal(9, 10)
    scores = {
        "reference": base,
        "worse": base - 1 + noise,
        "better": base + 1 + noise,
        "same": base + noise - noise.mean(),
    }
    rows = compare(scores, "reference", higher_is_better=True, resamples=500)
    by_loss = {row.loss: row for row in rows}
    assert [rows[0].loss, rows[-1].loss] == ["better", "worse"]
    assert [by_loss[loss].better for loss in ("reference", "worse", "better", "same")] == [
        None,
        False,
        True,
        None,
    ]
    assert by_loss["reference"].difference is None
    difference, p_holm = by_loss["better"].difference, by_loss["better"].p_holm
    assert difference is not None
    assert difference.p_value == 2 / 2**10
    assert p_holm == pytest.approx(3 * difference.p_value)
    assert by_loss["better"].noise_floor == noise_floor(scores["better"], resamples=500)
    reverse = {row.loss: row for row in compare(scores, "reference", higher_is_better=False, resamples=500)}
    assert [reverse[loss].better for loss in ("worse", "better")] == [True, False]


def test_comparison_of_the_reference_alone() -> None:
    (row,) = compare({"a": [0.1, 0.2]}, "a", higher_is_better=True)
    assert (row.difference, row.p_holm, row.better, row.noise_floor) == (None, None, None, None)


def test_seeds_that_change_nothing_are_one_observation() -> None:
    rows = compare({"a": [0.5] * 10, "b": [0.75] * 10}, "a", higher_is_better=True)
    assert [(row.loss, row.p_holm, row.better, row.noise_floor) for row in rows] == [
        ("b", 1.0, None, None),
        ("a", None, None, None),
    ]
    assert rows[0].difference is not None
    assert rows[0].difference.p_value == 1.0
    used = compare({"a": [0.5] * 10, "b": [*([0.75] * 9), 0.5]}, "a", higher_is_better=True)
    assert used[0].p_holm == 2 / 2**9


# Refusals


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused_and_named(bad: float) -> None:
    values = [0.1, 0.2, bad, 0.4]
    for call in (
        lambda: bootstrap_interval(values),
        lambda: paired_difference(values, [0.0] * 4),
        lambda: paired_difference([0.0] * 4, values),
        lambda: noise_floor(values),
        lambda: holm(values),
        lambda: compare({"a": values, "b": [0.0] * 4}, "b", higher_is_better=True),
    ):
        with pytest.raises(UserError, match="index 2"):
            call()


def test_wrong_sizes_and_settings_are_refused() -> None:
    for call in (
        lambda: bootstrap_interval([0.5]),
        lambda: bootstrap_interval([[0.5, 0.6]]),  # type: ignore[list-item]
        lambda: bootstrap_interval([0.1, 0.2], confidence=1.0),
        lambda: bootstrap_interval([0.1, 0.2], resamples=0),
        lambda: paired_difference([0.1, 0.2], [0.1]),
        lambda: paired_difference([0.1, 0.2], [0.1, 0.2, 0.3]),
        lambda: paired_difference([0.1, 0.2], [0.3, 0.5], test_train_ratio=-1),
        lambda: noise_floor([0.1, 0.2, 0.3]),
        lambda: holm([0.5, 1.5]),
        lambda: compare({"a": [0.1, 0.2]}, "b", higher_is_better=True),
    ):
        with pytest.raises(UserError, match="required"):
            call()
