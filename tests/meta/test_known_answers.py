"""Problems of which it is known what has to be learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from lossearch.meta.estimators.unrolled import Unrolled
from lossearch.meta.kinds.registry import make_kind
from lossearch.meta.learnable import Learnable
from lossearch.meta.outer_loop import OuterLoop
from lossearch.meta.outer_optimizers import Adam, Population
from lossearch.meta.problem import whole_outcomes
from lossearch.meta.task_problem import TaskProblem
from lossearch.search_spaces.space import Constants
from lossearch.tasks import build_task
from lossearch.training.optimizers import make_update


class HeavyTails:
    """Linear regressions with noise of Student's t; the objective is the error of the weights."""

    name = "heavy tails"

    def __init__(self, learnable: Learnable, degrees: float) -> None:
        self.learnable, self.degrees, self.steps = learnable, degrees, 15
        self.update = make_update("sgd", 0.0, 0.0)

    def episode(self, seeds: Sequence[int]) -> HeavyTailsEpisode:
        return HeavyTailsEpisode(self, seeds)

    def outcomes(self, points: Sequence[Sequence[float]], seeds: Sequence[int]) -> list[float]:
        return whole_outcomes(self, points, seeds)


class HeavyTailsEpisode:
    samples, variables = 50, 2

    def __init__(self, problem: HeavyTails, seeds: Sequence[int]) -> None:
        self.steps, self.update, self._learnable = problem.steps, problem.update, problem.learnable
        draws = [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]
        self.x = torch.from_numpy(np.stack([d.normal(size=(self.samples, self.variables)) for d in draws]))
        noise = np.stack([d.standard_t(problem.degrees, size=self.samples) for d in draws])
        self.truth = torch.ones(len(seeds), self.variables, dtype=torch.float64)
        self.y = self.x.sum(2) + torch.from_numpy(noise)

    def initial_weights(self) -> Tensor:
        return torch.zeros_like(self.truth)

    def inner_coefficients(self, points: Tensor) -> Tensor:
        return self._learnable.values(points)

    def loss(self, weights: Tensor, coefficients: Tensor, step: int) -> Tensor:
        predicted = (self.x @ weights.unsqueeze(2)).squeeze(2)
        return self._learnable.function(coefficients, (predicted, self.y), {})

    def settled(self, gradient: Tensor) -> Tensor:
        return gradient

    def rates(self, step: int) -> tuple[Tensor, float]:
        return torch.ones(len(self.x), 1, dtype=torch.float64), 1.0

    def objective(self, weights: Tensor) -> Tensor:
        return (weights - self.truth).square().sum(1)


@pytest.mark.parametrize(("start", "optimizer"), [(8.0, "adam"), (0.7, "adam"), (8.0, "cma_es")])
def test_the_scale_of_a_robust_loss_approaches_that_of_maximum_likelihood(start: float, optimizer: str) -> None:
    """-log of Student's t with ν degrees is (ν + 1)/2·log(1 + r²/ν): the Cauchy loss with scale √ν."""
    degrees = 2.0
    learnable = Learnable.of(f"cauchy(scale={start})")
    problem = HeavyTails(learnable, degrees)
    moves = Adam(learnable, 0.1) if optimizer == "adam" else Population(learnable, 0.2, 8)
    loop = OuterLoop(moves, [problem], Unrolled(), learnable.start, seed=1, seeds=128)
    path = []
    for _ in range(40):
        loop.step()
        path.append(learnable.numbers_at(loop.point.tolist())["scale"])
    mean = math.exp(np.mean(np.log(path[-20:])))
    assert mean == pytest.approx(math.sqrt(degrees), rel=0.3)


def test_wrong_labels_move_cross_entropy_toward_a_bounded_loss() -> None:
    kind = make_kind({"name": "combination", "others": ["probability_mae"]})
    learnable = kind.learnable("cross_entropy", Constants())
    shares = {}
    for noise in (0.0, 0.6):
        settings = {"base": "digits", "train_size": 200, "steps": 40, "learning_rate": 0.2}
        wrong = {"noise": "symmetric", "noise_rate": noise} if noise else {}
        problem = TaskProblem(build_task({**settings, **wrong}), learnable, outer_samples=200)
        loop = OuterLoop(Adam(learnable, 0.2), [problem], Unrolled(), learnable.start, seed=1, tasks=1)
        for _ in range(4):
            loop.step()
        first, bounded = learnable.numbers_at(loop.point.tolist()).values()
        shares[noise] = bounded / (first + bounded)
    assert shares[0.6] > 0.3
    assert shares[0.6] > shares[0.0] + 0.2
