"""How a point of coefficients moves from one outer step to the next: by Adam, or by CMA-ES."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from lossearch.evolve.cma import CMA
from lossearch.meta.problem import Estimate

Vector = npt.NDArray[np.float64]

OptimizerName = Literal["adam", "cma_es"]

_LEAST = 1e-3
"""Share of the largest gradient below which a coefficient moves less: rounding gives some 1e-5 of it to a coefficient
on which nothing depends, such as a factor on the whole loss where its size is taken out."""

_MOST_DRAWS = 100  # of a point within the bounds, before it is held at them


class Bounds(Protocol):
    """Where coefficients may go, see `lossearch.meta.learnable.Learnable`."""

    def held(self, point: Sequence[float]) -> list[float]:
        """The nearest point within the bounds."""
        ...


@dataclass(frozen=True)
class Moved:
    """What a move followed.

    Attributes:
        norm: Euclidean, of the gradient; NaN where none was estimated.
        error: root of the summed variance of that gradient; NaN where it is not known.
    """

    norm: float
    error: float


class OuterOptimizer(Protocol):
    """Moves a point by what outer steps estimate. Its state is plain data.

    Attributes:
        point: where the coefficients are, within the bounds.
    """

    point: Vector

    def restart(self, point: Sequence[float]) -> None:
        """Go on from another point, with nothing remembered of the steps before."""
        ...

    def points(self, draw: np.random.Generator) -> tuple[tuple[float, ...], ...]:
        """The points whose outcomes the next step needs; none where it needs hypergradients at `point`."""
        ...

    def move(self, found: Sequence[Estimate]) -> Moved:
        """Move by the estimates of all tasks of a step; where trainings diverged on all of them, stay."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that the future depends on."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state` was taken."""
        ...


class Adam:
    """Adam (Kingma and Ba 2015) along the mean of the tasks' hypergradients.

    Args:
        bounds: of the points.
        learning_rate: in coordinates.
        relative: divide the gradient of each task by its objective, which gives tasks of any scale equal weight;
            objectives are then positive. Gradients of ranks have no scale.
        clip: largest norm of a task's gradient.
    """

    point: Vector

    def __init__(self, bounds: Bounds, learning_rate: float = 0.03, relative: bool = True, clip: float = 10.0) -> None:
        self._bounds, self._learning_rate = bounds, learning_rate
        self._relative, self._clip = relative, clip

    def restart(self, point: Sequence[float]) -> None:
        """See `OuterOptimizer`."""
        self.point = np.array(self._bounds.held(point), dtype=np.float64)
        self._first, self._second = np.zeros_like(self.point), np.zeros_like(self.point)
        self._moves = 0

    def points(self, draw: np.random.Generator) -> tuple[tuple[float, ...], ...]:
        """None: it needs hypergradients."""
        return ()

    def move(self, found: Sequence[Estimate]) -> Moved:
        """See `OuterOptimizer`."""
        gradient, variance = self._mean(found)
        if gradient is None:
            return Moved(0.0, math.nan)
        self._moves += 1
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.99 * self._second + 0.01 * np.square(gradient)
        first, second = self._first / (1 - 0.9**self._moves), self._second / (1 - 0.99**self._moves)
        size = np.sqrt(second)
        moved = self.point - self._learning_rate * first / (size + _LEAST * size.max() + 1e-12)
        self.point = np.array(self._bounds.held(moved.tolist()))
        error = math.nan if variance is None else math.sqrt(float(variance.sum()))
        return Moved(float(np.linalg.norm(gradient)), error)

    def state(self) -> dict[str, Any]:
        """See `OuterOptimizer`."""
        vectors = {"point": self.point.tolist(), "first": self._first.tolist(), "second": self._second.tolist()}
        return {"moves": self._moves, **vectors}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See `OuterOptimizer`."""
        self._moves = state["moves"]
        self.point, self._first, self._second = (np.array(state[name]) for name in ("point", "first", "second"))

    def _mean(self, found: Sequence[Estimate]) -> tuple[Vector | None, Vector | None]:
        """The mean of the tasks' gradients with its variance; None where there is no gradient, or no variance."""
        gradients: list[Vector] = []
        variances: list[Vector] = []
        for one in found:
            if not math.isfinite(one.value):
                continue
            scale = 1.0 / abs(one.value) if self._relative and one.value != 0.0 else 1.0
            gradient = scale * one.gradient.numpy()
            norm = float(np.linalg.norm(gradient))
            clipped = min(1.0, self._clip / norm) if norm > 0.0 else 1.0
            gradients.append(clipped * gradient)
            variances.append((clipped * scale) ** 2 * one.variance.numpy())
        if not gradients:
            return None, None
        variance = np.mean(variances, axis=0) / len(variances)
        return np.mean(gradients, axis=0), variance if np.isfinite(variance).all() else None


class Population:
    """CMA-ES (Hansen 2016): a normal distribution over points learns from how these rank, averaged over tasks.

    The point is its mean.

    Args:
        bounds: of the points.
        sigma: first standard deviation, in coordinates.
        count: points of each step, at least two.
    """

    point: Vector

    def __init__(self, bounds: Bounds, sigma: float, count: int) -> None:
        self._bounds, self._sigma, self._count = bounds, sigma, count
        self._drawn: tuple[tuple[float, ...], ...] = ()

    def restart(self, point: Sequence[float]) -> None:
        """See `OuterOptimizer`."""
        self._cma = CMA(self._bounds.held(point), self._sigma)
        self._see()

    def points(self, draw: np.random.Generator) -> tuple[tuple[float, ...], ...]:
        """Draws of the distribution."""
        rng = random.Random(int(draw.integers(2**62)))
        self._drawn = tuple(self._inside(rng) for _ in range(self._count))
        return self._drawn

    def move(self, found: Sequence[Estimate]) -> Moved:
        """See `OuterOptimizer`."""
        ranks = [one.ranks for one in found if math.isfinite(one.value)]
        if ranks:
            order = np.argsort(np.mean(ranks, axis=0), kind="stable")
            self._cma.update([self._drawn[k] for k in order])
            self._see()
        return Moved(math.nan, math.nan)

    def state(self) -> dict[str, Any]:
        """See `OuterOptimizer`."""
        return {"cma": self._cma.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See `OuterOptimizer`."""
        self._cma.load_state(state["cma"])
        self._see()

    def _see(self) -> None:
        self.point = np.array(self._bounds.held(self._cma.mean.tolist()), dtype=np.float64)

    def _inside(self, rng: random.Random) -> tuple[float, ...]:
        drawn, held = list[float](), list[float]()
        for _ in range(_MOST_DRAWS):
            drawn = self._cma.sample(rng).tolist()
            held = self._bounds.held(drawn)
            if held == drawn:
                break
        return tuple(held)
