"""Exact estimators against differences of whole trainings; stochastic ones against what their mean must be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from representative import first_of

from lossearch.meta.estimators.evolution import Evolution
from lossearch.meta.estimators.forward import Forward
from lossearch.meta.estimators.implicit import Implicit, conjugate_gradients, neumann
from lossearch.meta.estimators.reverse import Reverse
from lossearch.meta.estimators.unrolled import Unrolled
from lossearch.meta.estimators.windows import Online, Persistent
from lossearch.meta.problem import begun, trained
from lossearch.training.optimizers import make_optimizer, make_update

from .problems import Regression, RegressionEpisode, Ridge, differences

POINT, SEEDS = [0.3, -0.5], [3, 4]

OPTIMIZERS = {
    "sgd": make_update("sgd", 0.0, 0.0),
    "momentum": make_update("sgd", 0.01, 0.9),
    "adam": make_update("adam", 0.01, 0.9),
}
EXACT = {"unrolled": Unrolled(), "forward": Forward(), "forward in chunks": Forward(chunk=1), "reverse": Reverse()}


@pytest.mark.parametrize("neutral", first_of([True, False]), ids=["neutral", "plain"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_exact_estimators_agree_with_differences_of_whole_trainings(optimizer: str, neutral: bool) -> None:
    problem = Regression(update=OPTIMIZERS[optimizer], neutral=neutral, rate=0.02)
    wanted = differences(problem, POINT, SEEDS)
    assert wanted.abs().min() > 1e-5
    for name, estimator in EXACT.items():
        found = estimator.estimate(problem, POINT, problem.steps, SEEDS)
        torch.testing.assert_close(found.gradient, wanted, rtol=1e-6, atol=0.0, msg=lambda m, n=name: f"{n}: {m}")
        assert found.value == pytest.approx(sum(problem.outcomes([POINT] * 2, SEEDS)) / 2, rel=1e-12)
        assert found.diverged == 0
        assert (found.variance > 0).all()


def test_truncated_at_full_length_is_the_unrolled_one_and_shorter_is_not() -> None:
    problem = Regression()
    full = Unrolled().estimate(problem, POINT, problem.steps, SEEDS)
    truncated = Unrolled(truncated=True)
    assert torch.equal(truncated.estimate(problem, POINT, problem.steps, SEEDS).gradient, full.gradient)
    short = truncated.estimate(problem, POINT, 2, SEEDS)
    assert short.value == full.value
    assert not torch.allclose(short.gradient, full.gradient, rtol=0.1)


@pytest.mark.parametrize("solver", first_of(["cg", "neumann"]))
def test_implicit_agrees_with_the_closed_form_at_a_converged_convex_problem(solver: Literal["cg", "neumann"]) -> None:
    problem, point = Ridge(steps=400), [-2.0, 0.4]
    given = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(problem.episode([0]).solved(given), given)
    iterations = 20 if solver == "cg" else 100
    found = Implicit(solver, iterations, damping=0.0, batches=1).estimate(problem, point, problem.steps, [0])
    torch.testing.assert_close(found.gradient, wanted, rtol=1e-4, atol=0.0)
    assert dict(found.notes)["residual"] < 1e-4
    early = Implicit(solver, iterations, damping=0.0, batches=1).estimate(problem, point, 3, [0])
    assert not torch.allclose(early.gradient, wanted, rtol=0.05)


def test_conjugate_gradients_solve_and_leave_a_run_with_negative_curvature() -> None:
    draw = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=draw, dtype=torch.float64)
    convex = root @ root.T + torch.eye(6, dtype=torch.float64)
    bent = torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, -2.0], dtype=torch.float64))
    wanted = torch.randn(2, 6, generator=draw, dtype=torch.float64)
    matrices = torch.stack([convex, bent])
    found, used = conjugate_gradients(lambda v: (matrices @ v.unsqueeze(2)).squeeze(2), wanted, 20)
    torch.testing.assert_close(found[0], torch.linalg.solve(convex, wanted[0]))
    assert found[1].isfinite().all()
    assert used <= 20
    both = torch.stack([convex, convex])
    series, _ = neumann(lambda v: (both @ v.unsqueeze(2)).squeeze(2), wanted, 3000)
    torch.testing.assert_close(series, torch.linalg.solve(both, wanted.unsqueeze(2)).squeeze(2), rtol=1e-4, atol=1e-6)


# Means of stochastic estimators

SIGMA, DRAWS = 0.3, 10_000


def _smoothed_gradient(windows: int, window: int, fresh: bool) -> torch.Tensor:
    """∂/∂φ E Σ_windows V(φ + ε), by Gauss-Hermite quadrature over all perturbations."""
    nodes, weights = (torch.from_numpy(x) for x in np.polynomial.hermite_e.hermegauss(9))
    weights = weights / weights.sum()
    axes = 2 * (windows if fresh else 1)
    grid = torch.cartesian_prod(*[nodes] * axes)
    density = torch.cartesian_prod(*[weights] * axes).prod(1)
    problem = Ridge(steps=windows * window, rate=0.1)
    episode = problem.episode(range(len(grid)))
    training = begun(episode)
    total, scores = torch.zeros(len(grid), dtype=torch.float64), torch.zeros(len(grid), 2, dtype=torch.float64)
    gradient = torch.zeros(2, dtype=torch.float64)
    for k in range(windows):
        own = grid[:, 2 * k : 2 * k + 2] if fresh else grid
        scores = scores + own / SIGMA if fresh else own / SIGMA
        points = torch.tensor(RIDGE_POINT, dtype=torch.float64) + SIGMA * own
        training = trained(episode, training, points, k * window, (k + 1) * window)
        total = episode.objective(training[0])
        gradient = gradient + (density[:, None] * total[:, None] * scores).sum(0)
    return gradient


RIDGE_POINT = [-1.0, 0.3]


@pytest.mark.parametrize(
    ("estimator", "windows"),
    [
        (Evolution(DRAWS, SIGMA), 1),
        (Persistent(DRAWS, SIGMA, fresh=False), 2),
        (Persistent(DRAWS, SIGMA, fresh=True), 2),
    ],
    ids=["es", "nres", "pes"],
)
def test_means_are_the_gradient_of_the_smoothed_objective(estimator: Evolution | Persistent, windows: int) -> None:
    window = 6
    problem = Ridge(steps=windows * window, rate=0.1)
    found = [estimator.estimate(problem, RIDGE_POINT, window, [5]) for _ in range(windows)]
    mean = sum((one.gradient for one in found), torch.zeros(2, dtype=torch.float64))
    # The draws of an episode's windows depend on each other: their deviations may add up.
    error = sum((one.variance.sqrt() for one in found), torch.zeros(2, dtype=torch.float64))
    fresh = isinstance(estimator, Persistent) and windows > 1 and estimator.fresh
    wanted = _smoothed_gradient(windows, window, fresh)
    assert (error < 0.2 * wanted.abs().max()).all()
    assert ((mean - wanted).abs() < 2 * error).all(), (mean, wanted, error)


def test_ranks_need_no_scale_and_put_a_diverged_training_last() -> None:
    class Odd(Ridge):
        def outcomes(self, points: Sequence[Sequence[float]], seeds: Sequence[int]) -> list[float]:
            return [math.nan if x > 0.0 else math.exp(40.0 * x) for x, _ in points]

    found = Evolution(8, 0.1, ranks=True).estimate(Odd(2), [0.0, 0.0], 2, [1, 2])
    assert found.diverged == 16
    assert found.gradient[0] > 0.0
    dropped = Evolution(8, 0.1).estimate(Odd(2), [0.0, 0.0], 2, [1, 2])
    assert dropped.diverged == 16
    assert dropped.gradient.tolist() == [0.0, 0.0]
    assert math.isnan(dropped.value)


# What goes wrong


@pytest.mark.parametrize("name", [*EXACT, "implicit", "online"])
def test_a_training_that_diverges_does_not_count(name: str) -> None:
    class Diverging(Regression):
        def episode(self, seeds: Sequence[int]) -> RegressionEpisode:
            episode = super().episode(seeds)
            episode.w[1] = math.inf
            return episode

    both, sound = (
        {**EXACT, "implicit": Implicit(), "online": Online()}[name].estimate(problem, POINT, 4, seeds)
        for problem, seeds in ((Diverging(), [3, 4]), (Regression(), [3]))
    )
    assert both.diverged == 1
    torch.testing.assert_close(both.gradient, sound.gradient)
    assert both.value == pytest.approx(sound.value)


@pytest.mark.parametrize("make", [Online, Persistent, lambda: Persistent(fresh=False)], ids=["online", "pes", "nres"])
def test_trainings_in_windows_resume_exactly(make: Callable[[], Online | Persistent]) -> None:
    problem, points = Regression(steps=9), [[0.3, -0.5], [0.2, -0.4], [0.1, -0.6], [0.0, 0.0], [0.1, 0.1]]
    straight, first, second = make(), make(), make()
    wanted = [straight.estimate(problem, point, 4, [k]).gradient for k, point in enumerate(points)]
    for k, point in enumerate(points[:2]):
        first.estimate(problem, point, 4, [k])
    second.load_state(json.loads(json.dumps(first.state())))
    found = [second.estimate(problem, point, 4, [k + 2]).gradient for k, point in enumerate(points[2:])]
    for a, b in zip(found, wanted[2:], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(wanted[0], wanted[3])


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_updates_are_those_of_trainings(kind: Literal["sgd", "adam"]) -> None:
    draw = torch.Generator().manual_seed(1)
    weights = torch.randn(2, 5, generator=draw, dtype=torch.float64)
    other, rates = weights.clone(), torch.tensor([[0.1], [0.03]], dtype=torch.float64)
    update, optimizer = make_update(kind, 0.01, 0.8), make_optimizer(kind, other, 0.01, 0.8)
    state = tuple(torch.zeros_like(weights) for _ in range(update.tensors))
    for step in range(5):
        gradient = torch.randn(2, 5, generator=draw, dtype=torch.float64) * (torch.arange(5) > 0)
        weights, state = update.of(weights, state, gradient, rates, 0.7, step)
        optimizer.step(other, gradient, rates, 0.7)
    torch.testing.assert_close(weights, other, rtol=1e-12, atol=1e-12)
