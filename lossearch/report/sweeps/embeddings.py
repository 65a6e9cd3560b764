"""Embeddings, scores of pairs, and maps compared by their direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lossearch.report.sweep import Inputs, Sweep, SweepSizes, grid, sweeps
from lossearch.report.sweeps.common import vector

_PAIRS = 8


def _distance(inputs: Inputs, moves: str, axis: str, ideal: float = 0.0, untrained: float = 1.0) -> Sweep:
    return Sweep(axis, "dL/d(distance)", grid(0.0, 3.0), inputs, tuple(moves.split()), ideal, untrained)


@sweeps("pair")
def _pair(sizes: SweepSizes) -> tuple[Sweep, ...]:
    origin, right = vector(0.0, 0.0)[None], vector(1.0, 0.0)[None]

    def at(target: float) -> Inputs:
        return lambda d: (origin, d * right, vector(target))

    return (
        _distance(at(1.0), "second", "distance between embeddings of one class"),
        _distance(at(0.0), "second", "distance between embeddings of different classes", ideal=3.0, untrained=0.5),
    )


@sweeps("triplet")
def _triplet(sizes: SweepSizes) -> tuple[Sweep, ...]:
    """The anchor is no zero vector, so that losses of angles see the others move."""
    anchor, right, up = vector(1.0, 1.0)[None], vector(1.0, 0.0)[None], vector(0.0, 1.0)[None]
    return (
        _distance(
            lambda d: (anchor, anchor + d * right, anchor + 2.0 * up),
            "positive",
            "distance of anchor and positive, the negative at 2",
            untrained=2.0,
        ),
        _distance(
            lambda d: (anchor, anchor + right, anchor + d * up),
            "negative",
            "distance of anchor and negative, the positive at 1",
            ideal=3.0,
        ),
    )


@sweeps("centers")
def _centers(sizes: SweepSizes) -> tuple[Sweep, ...]:
    centers = torch.eye(3, dtype=torch.float64)
    one = _distance(
        lambda d: (centers[:1] + d * vector(0.0, 0.0, 1.0), torch.tensor([0])),
        "embeddings",
        "distance of the embedding to its class's centre",
    )
    return (replace(one, buffers={"centers": centers}),)


@sweeps("ranking")
def _ranking(sizes: SweepSizes) -> tuple[Sweep, ...]:
    axis = "difference of the scores, of which the first should be larger"
    return (
        Sweep(
            axis,
            "dL/d(difference)",
            grid(-3.0, 3.0),
            lambda d: ((d / 2.0)[None], (-d / 2.0)[None], vector(1.0)),
            ("first", "second"),
            ideal=3.0,
            untrained=0.0,
        ),
    )


def _pairs(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Two sets [pair, feature] of unit vectors: partners of this cosine, all others orthogonal."""
    count = 2 * _PAIRS
    place = torch.arange(count, dtype=torch.float64) + 0.5
    basis = math.sqrt(2.0 / count) * torch.cos(math.pi / count * place[:, None] * place)  # orthogonal: the DCT-IV
    first, other = basis[:_PAIRS], basis[_PAIRS:]
    return first, similarity * first + torch.sqrt(1.0 - similarity * similarity) * other


def _similarity(pairs: Callable[[Tensor, Tensor], tuple[Tensor, ...]], moves: str, axis: str) -> Sweep:
    return Sweep(
        axis,
        "dL/d(similarity)",
        grid(-0.99, 0.99),  # at ±1 a cosine is at its turning point
        lambda s: pairs(*_pairs(s)),
        tuple(moves.split()),
        ideal=0.99,
        untrained=0.0,
    )


_POSITIVE = f"similarity of each positive pair, of {_PAIRS} orthogonal ones"


@sweeps("embedding")
def _embedding(sizes: SweepSizes) -> tuple[Sweep, ...]:
    labels = torch.arange(_PAIRS).repeat(2)
    return (_similarity(lambda a, b: (torch.cat([a, b]), labels), "embeddings", _POSITIVE),)


@sweeps("positives")
def _positives(sizes: SweepSizes) -> tuple[Sweep, ...]:
    return (_similarity(lambda a, b: (a, b), "positive", _POSITIVE),)


@sweeps("views")
def _views(sizes: SweepSizes) -> tuple[Sweep, ...]:
    return (_similarity(lambda a, b: (a, b), "second", _POSITIVE),)


@sweeps("predicted_views")
def _predicted_views(sizes: SweepSizes) -> tuple[Sweep, ...]:
    moves = "first_prediction second_prediction"
    return (_similarity(lambda a, b: (b, b, a, a), moves, "similarity of each view's prediction and target"),)


@sweeps("attention")
def _attention(sizes: SweepSizes) -> tuple[Sweep, ...]:
    return (_similarity(lambda a, b: (b, a), "attention", "similarity of the map and its target"),)
