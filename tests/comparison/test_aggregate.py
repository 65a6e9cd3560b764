"""Results over many tasks, against their definitions and scipy."""

import numpy as np
import pytest
from scipy import stats

from lossearch.comparison.aggregate import interquartile_interval, performance_profile, probability_of_improvement
from lossearch.errors import UserError

DRAW = np.random.default_rng(0)
A, B = DRAW.normal(0.5, 1.0, (5, 8)), DRAW.normal(size=(5, 8))


def test_probability_of_improvement_is_that_of_mann_and_whitney() -> None:
    expected = np.mean([stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(A, B, strict=True)])
    assert probability_of_improvement(A, B) == pytest.approx(expected, rel=1e-12)
    assert probability_of_improvement(A, B) + probability_of_improvement(B, A) == pytest.approx(1.0)
    assert probability_of_improvement(A, A) == 0.5
    assert probability_of_improvement([[1.0, 1.0]], [[1.0, 0.0]]) == 0.75


def test_interquartile_interval_resamples_seeds_within_tasks() -> None:
    found = interquartile_interval(A)
    assert found.mean == pytest.approx(stats.trim_mean(A.ravel(), 0.25), rel=1e-12)
    draw = np.random.default_rng(1)
    means = []
    for _ in range(4000):
        resampled = np.stack([row[draw.integers(8, size=8)] for row in A])
        means.append(stats.trim_mean(resampled.ravel(), 0.25))
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.03)
    # Tasks that differ much and seeds that do not: no width, since the tasks are not resampled.
    apart = interquartile_interval([[0.0] * 4, [10.0] * 4])
    assert (apart.low, apart.mean, apart.high) == (5.0, 5.0, 5.0)
    assert interquartile_interval([[2.0, 2.0]]).method == "constant"
    assert interquartile_interval(A) == found


def test_intervals_cover() -> None:
    draw, covered = np.random.default_rng(2), 0
    for number in range(200):
        found = interquartile_interval(draw.normal(size=(4, 20)), resamples=400, seed=number)
        covered += found.low <= 0.0 <= found.high
    assert 175 <= covered <= 200


def test_performance_profile() -> None:
    assert performance_profile([[0.0, 1.0], [2.0, 3.0]], [-1.0, 0.0, 1.5, 3.0]) == [1.0, 0.75, 0.5, 0.0]


def test_what_does_not_fit_is_told() -> None:
    for values, told in (([[1.0, 2.0], [1.0]], "as many seeds"), ([1.0], "task, seed"), ([[np.nan]], "finite")):
        with pytest.raises(UserError, match=told):
            interquartile_interval(values)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="same tasks"):
        probability_of_improvement([[1.0]], [[1.0], [2.0]])
