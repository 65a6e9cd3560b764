"""Pareto dominance among points whose coordinates are all to be small (Deb et al. 2002)."""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = Sequence[float]


def dominates(one: Point, other: Point) -> bool:
    """Whether a point is nowhere worse than another, and better somewhere."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def fronts(points: Sequence[Point]) -> list[list[int]]:
    """Indices of the points by front: what nothing dominates, then what only the fronts before it dominate."""
    below = [[j for j, other in enumerate(points) if dominates(one, other)] for one in points]
    above = [0] * len(points)
    for dominated in below:
        for j in dominated:
            above[j] += 1
    found: list[list[int]] = []
    front = [i for i, count in enumerate(above) if count == 0]
    while front:
        found.append(front)
        following: list[int] = []
        for i in front:
            for j in below[i]:
                above[j] -= 1
                if above[j] == 0:
                    following.append(j)
        front = sorted(following)
    return found


def crowding(points: Sequence[Point]) -> list[float]:
    """How far the neighbours of each point of a front are apart, added up over the coordinates.

    Distances are relative to the extent of the front; its ends in a coordinate have infinite ones.
    """
    found = [0.0] * len(points)
    for axis in range(len(points[0]) if points else 0):
        order = sorted(range(len(points)), key=lambda i: points[i][axis])
        low, high = points[order[0]][axis], points[order[-1]][axis]
        found[order[0]] = found[order[-1]] = math.inf
        for before, place, after in zip(order, order[1:], order[2:], strict=False):
            if high > low:
                found[place] += (points[after][axis] - points[before][axis]) / (high - low)
    return found
