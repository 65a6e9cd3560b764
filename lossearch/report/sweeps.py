"""The sweeps of every signature: its natural variables, and the inputs at every value of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch.compile.door import least_extent
from lossearch.errors import UserError
from lossearch.loss import Loss
from lossearch.report.sweep import POINTS, SWEEPS, Inputs, Setting, Sweep, grid, sweeps

CLASSES = 10

_LOGIT_RANGE = 6.0
_COLUMNS = 12
_SIDE = 32
_FEW_POINTS = 33
"""For images so large that each point takes a while."""
_BOX = 10.0
_PAIRS = 8
_SNR = 10.0
_SIGMA = 0.5


def sweeps_of(loss: Loss, classes: int = CLASSES) -> tuple[Sweep, ...]:
    """The sweeps of a loss's signature that move an input which the loss has.

    Raises `UserError` for fewer than two classes, a signature without sweeps and a loss that none of them moves.
    """
    if classes < 2:
        raise UserError("at least two classes", str(classes), "give a larger number")
    name = loss.signature.name
    if name not in SWEEPS:
        raise UserError("a signature whose losses can be drawn", name, f"such are {', '.join(SWEEPS)}")
    declared = SWEEPS[name](Setting(classes, max(_SIDE, least_extent(loss.graph))))
    found = tuple(sweep for sweep in declared if any(loss.graph.uses(moved) for moved in sweep.moves))
    if not found:
        moved = ", ".join(dict.fromkeys(moved for sweep in declared for moved in sweep.moves))
        raise UserError(f"a loss of {moved}", loss.to_text(), "nothing that is drawn moves this loss")
    return found


def _vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# Classes: a map with rows of every class, all equally well predicted, serves losses of single elements and of whole
# regions: the mean over its elements is the value of one.


def _bands(classes: int) -> Tensor:
    """Labels [1, row, column]: the classes from top to bottom, two rows or more of each."""
    rows = torch.arange(classes).repeat_interleave(max(2, math.ceil(_COLUMNS / classes)))
    return rows[None, :, None].expand(1, -1, _COLUMNS).contiguous()


def _probability(classes: int, *fixed: Tensor) -> Sweep:
    """The true class's probability, by softmax and, for losses of one class against the rest, by sigmoid too."""
    true = F.one_hot(_bands(classes), classes).movedim(-1, 1).to(torch.float64)
    other = -math.log(classes - 1)
    probabilities = torch.sigmoid(grid(-_LOGIT_RANGE, _LOGIT_RANGE))
    return Sweep(
        axis=f"probability of the true class, of {classes}",
        slope="dL/d(true logit)",
        grid=probabilities,
        inputs=lambda p: (other + true * (torch.logit(p) - other), *fixed),
        moves=("logits",),
        ideal=float(probabilities[-1]),
        untrained=1.0 / classes,
        unit=1.0 - 1.0 / classes,  # cross-entropy's own: its curve is as it is
        rate=lambda p: p * (1.0 - p),
    )


@sweeps("dense")
def _dense(setting: Setting) -> tuple[Sweep, ...]:
    return (_probability(setting.classes, _bands(setting.classes)),)


@sweeps("boundary_map")
def _boundary_map(setting: Setting) -> tuple[Sweep, ...]:
    labels = _bands(setting.classes)[0, :, 0]
    inside = F.one_hot(labels, setting.classes).T.bool()[:, None]
    row = torch.arange(len(labels), dtype=torch.float64)
    gaps = (row[:, None] - row).abs()
    far = float(len(labels))
    distance = torch.where(inside, gaps, far).amin(-1) - torch.where(inside, far, gaps).amin(-1)
    return (_probability(setting.classes, distance[None, :, :, None].expand(-1, -1, -1, _COLUMNS).contiguous()),)


@sweeps("boundary_distance")
def _boundary_distance(setting: Setting) -> tuple[Sweep, ...]:
    labels = _bands(setting.classes)
    thickness = labels.shape[1] // setting.classes
    depth = torch.arange(labels.shape[1], dtype=torch.float64) % thickness
    distance = torch.minimum(depth, thickness - 1 - depth)[None, :, None].expand(1, -1, _COLUMNS)
    return (_probability(setting.classes, labels, distance.contiguous()),)


@sweeps("margin")
def _margin(setting: Setting) -> tuple[Sweep, ...]:
    label = torch.tensor([0])
    true = F.one_hot(label, setting.classes).to(torch.float64)
    axis = "angle to the true class's centre; π/2 to the others"
    angles = grid(0.0, math.pi)
    return (Sweep(axis, "dL/d(angle)", angles, lambda a: (true * torch.cos(a), label), ("cosine",), 0.0, math.pi / 2),)


# Boxes and numbers.


@sweeps("box")
def _box(setting: Setting) -> tuple[Sweep, ...]:
    target, right = _vector(0.0, 0.0, _BOX, _BOX)[None], _vector(1.0, 0.0, 1.0, 0.0)
    axis = f"overlap of two {_BOX:g} × {_BOX:g} boxes in widths, a gap below 0"
    return (
        Sweep(
            axis,
            "dL/d(overlap)",
            grid(-1.0, 1.0),
            lambda overlap: (target + _BOX * (1.0 - overlap) * right, target),
            ("boxes",),
            ideal=1.0,
            untrained=0.5,
        ),
    )


def _error(inputs: Inputs, moves: str, axis: str = "error") -> Sweep:
    return Sweep(axis, "dL/d(error)", grid(-3.0, 3.0), inputs, (moves,), ideal=0.0, untrained=1.0)


_NUMBERS = _vector(-1.0, 0.0, 1.0, 2.0)[None]


@sweeps("regression")
def _regression(setting: Setting) -> tuple[Sweep, ...]:
    return (_error(lambda e: (_NUMBERS + e, _NUMBERS), "prediction"),)


@sweeps("regression_variance")
def _regression_variance(setting: Setting) -> tuple[Sweep, ...]:
    ones = torch.ones_like(_NUMBERS)
    variance = Sweep(
        "predicted variance, at an error of 1",
        "dL/d(variance)",
        grid(0.1, 4.0),
        lambda v: (_NUMBERS + 1.0, _NUMBERS, v * ones),
        ("variance",),
        ideal=1.0,
        untrained=4.0,
    )
    return (_error(lambda e: (_NUMBERS + e, _NUMBERS, ones), "prediction", "error, at variance 1"), variance)


@sweeps("regression_vector")
def _regression_vector(setting: Setting) -> tuple[Sweep, ...]:
    target, first = _vector(1.0, 2.0)[None], _vector(1.0, 0.0)
    precision = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    axis = "error of the first of two entries, of precision 1"
    one = _error(lambda e: (target + e * first, target), "prediction", axis)
    return (replace(one, buffers={"precision": precision}),)


# Embeddings.


def _distance(inputs: Inputs, moves: str, axis: str, ideal: float = 0.0, untrained: float = 1.0) -> Sweep:
    return Sweep(axis, "dL/d(distance)", grid(0.0, 3.0), inputs, tuple(moves.split()), ideal, untrained)


@sweeps("pair")
def _pair(setting: Setting) -> tuple[Sweep, ...]:
    origin, right = _vector(0.0, 0.0)[None], _vector(1.0, 0.0)[None]

    def at(target: float) -> Inputs:
        return lambda d: (origin, d * right, _vector(target))

    return (
        _distance(at(1.0), "second", "distance between embeddings of one class"),
        _distance(at(0.0), "second", "distance between embeddings of different classes", ideal=3.0, untrained=0.5),
    )


@sweeps("triplet")
def _triplet(setting: Setting) -> tuple[Sweep, ...]:
    origin, right, up = _vector(0.0, 0.0)[None], _vector(1.0, 0.0)[None], _vector(0.0, 1.0)[None]
    return (
        _distance(
            lambda d: (origin, d * right, 2.0 * up),
            "positive",
            "distance of anchor and positive, the negative at 2",
            untrained=2.0,
        ),
        _distance(
            lambda d: (origin, right, d * up),
            "negative",
            "distance of anchor and negative, the positive at 1",
            ideal=3.0,
        ),
    )


@sweeps("centers")
def _centers(setting: Setting) -> tuple[Sweep, ...]:
    centers = torch.eye(3, dtype=torch.float64)
    one = _distance(
        lambda d: (centers[:1] + d * _vector(0.0, 0.0, 1.0), torch.tensor([0])),
        "embeddings",
        "distance of the embedding to its class's centre",
    )
    return (replace(one, buffers={"centers": centers}),)


@sweeps("ranking")
def _ranking(setting: Setting) -> tuple[Sweep, ...]:
    axis = "difference of the scores, of which the first should be larger"
    return (
        Sweep(
            axis,
            "dL/d(difference)",
            grid(-3.0, 3.0),
            lambda d: ((d / 2.0)[None], (-d / 2.0)[None], _vector(1.0)),
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
def _embedding(setting: Setting) -> tuple[Sweep, ...]:
    labels = torch.arange(_PAIRS).repeat(2)
    return (_similarity(lambda a, b: (torch.cat([a, b]), labels), "embeddings", _POSITIVE),)


@sweeps("positives")
def _positives(setting: Setting) -> tuple[Sweep, ...]:
    return (_similarity(lambda a, b: (a, b), "positive", _POSITIVE),)


@sweeps("views")
def _views(setting: Setting) -> tuple[Sweep, ...]:
    return (_similarity(lambda a, b: (a, b), "second", _POSITIVE),)


@sweeps("predicted_views")
def _predicted_views(setting: Setting) -> tuple[Sweep, ...]:
    moves = "first_prediction second_prediction"
    return (_similarity(lambda a, b: (b, b, a, a), moves, "similarity of each view's prediction and target"),)


@sweeps("attention")
def _attention(setting: Setting) -> tuple[Sweep, ...]:
    return (_similarity(lambda a, b: (b, a), "attention", "similarity of the map and its target"),)


# Scores.


def _score(inputs: Inputs, moves: str, axis: str, ideal: float, untrained: float = 0.0) -> Sweep:
    return Sweep(axis, "dL/d(score)", grid(-4.0, 4.0), inputs, (moves,), ideal, untrained)


@sweeps("response")
def _response(setting: Setting) -> tuple[Sweep, ...]:
    return (
        _score(lambda s: (s[None, None], _vector(1.0)[None]), "response", "response at the object", 4.0),
        _score(lambda s: (s[None, None], _vector(-1.0)[None]), "response", "response elsewhere", -4.0),
    )


@sweeps("adversarial")
def _adversarial(setting: Setting) -> tuple[Sweep, ...]:
    zero = _vector(0.0)[None]
    return (
        _score(lambda s: (s[None, None], zero), "fake", "score of a generated sample, a real one's 0", -4.0, 1.0),
        _score(lambda s: (zero, s[None, None]), "real", "score of a real sample, a generated one's 0", 4.0),
    )


# Images and feature maps.


def _image(side: int) -> Tensor:
    """A smooth image [1, 1, row, column] in [0, 1]."""
    wave = torch.sin(torch.arange(side, dtype=torch.float64) * 0.3)
    return 0.5 + 0.2 * (wave[:, None] + wave)[None, None]


def _signs(side: int) -> Tensor:
    """±1 at random, of one sign as often as of the other up to chance: an error of every pixel and no mean."""
    drawn = torch.randint(0, 2, (1, 1, side, side), generator=torch.Generator().manual_seed(0))
    return 2.0 * drawn.to(torch.float64) - 1.0


def _pixel_error(side: int, inputs: Callable[[Tensor, Tensor], tuple[Tensor, ...]], moves: str) -> Sweep:
    """An error of every pixel; `inputs` takes the image with it and the image as it should be."""
    target, signs = _image(side), _signs(side)
    errors = grid(-0.5, 0.5, POINTS if side <= _SIDE else _FEW_POINTS)
    axis = "error of every pixel, of random sign"
    return Sweep(axis, "dL/d(error)", errors, lambda e: inputs(target + e * signs, target), (moves,), 0.0, 0.25)


@sweeps("image")
def _restored(setting: Setting) -> tuple[Sweep, ...]:
    return (_pixel_error(setting.side, lambda image, target: (image, target), "image"),)


@sweeps("masked_image")
def _masked(setting: Setting) -> tuple[Sweep, ...]:
    masked = (torch.arange(setting.side) % 2).to(torch.float64).expand(1, setting.side, -1).contiguous()
    return (_pixel_error(setting.side, lambda image, target: (image, target, masked), "image"),)


@sweeps("cycle")
def _cycle(setting: Setting) -> tuple[Sweep, ...]:
    return (_pixel_error(setting.side, lambda image, target: (image, target, target, target), "first_cycle"),)


@sweeps("image_prior")
def _prior(setting: Setting) -> tuple[Sweep, ...]:
    step = (torch.arange(setting.side) >= setting.side // 2).to(torch.float64).expand(1, 1, setting.side, -1)
    axis = f"height of an edge across a {setting.side} × {setting.side} image"
    return (Sweep(axis, "dL/d(height)", grid(-1.0, 1.0), lambda h: (h * step,), ("image",), 0.0, 1.0),)


@sweeps("features")
def _features(setting: Setting) -> tuple[Sweep, ...]:
    generator = torch.Generator().manual_seed(0)
    target, difference = torch.randn(2, 1, 4, 6, 6, generator=generator, dtype=torch.float64)
    difference = difference / difference.square().mean().sqrt()
    axis = "scale of a difference between feature maps"
    return (
        Sweep(
            axis,
            "dL/d(scale)",
            grid(-2.0, 2.0),
            lambda scale: (target + scale * difference, target),
            ("features",),
            ideal=0.0,
            untrained=1.0,
        ),
    )


# Generative models.


@sweeps("latent")
def _latent(setting: Setting) -> tuple[Sweep, ...]:
    zero = torch.zeros(1, 1, dtype=torch.float64)
    values = grid(-3.0, 3.0)
    return (
        Sweep(
            "mean of the posterior", "dL/d(mean)", values, lambda m: (zero, zero, zero + m, zero), ("mean",), 0.0, 1.0
        ),
        Sweep(
            "log-variance of the posterior",
            "dL/d(log-variance)",
            values,
            lambda v: (zero, zero, zero, zero + v),
            ("log_variance",),
            ideal=0.0,
            untrained=1.0,
        ),
        _error(lambda e: (zero + e, zero, zero, zero), "reconstruction", "error of the reconstruction"),
    )


@sweeps("diffusion")
def _diffusion(setting: Setting) -> tuple[Sweep, ...]:
    return (_error(lambda e: (_NUMBERS + e, _NUMBERS), "prediction", "error of the predicted noise"),)


@sweeps("diffusion_score")
def _diffusion_score(setting: Setting) -> tuple[Sweep, ...]:
    axis = f"error of the noise that the score stands for, at σ = {_SIGMA:g}"
    return (_error(lambda e: ((e - _NUMBERS) / _SIGMA, _NUMBERS, _vector(_SIGMA)), "score", axis),)


@sweeps("diffusion_snr")
def _diffusion_snr(setting: Setting) -> tuple[Sweep, ...]:
    axis = f"error of the predicted noise, at a signal-to-noise ratio of {_SNR:g}"
    return (_error(lambda e: (_NUMBERS + e, _NUMBERS, _vector(_SNR)), "prediction", axis),)


# Components.


def _component(buffers: dict[str, Tensor], axis: str) -> tuple[Sweep, ...]:
    values = grid(0.0, 3.0)
    others, first = _vector(0.0, 1.0), _vector(1.0, 0.0)
    return (
        Sweep(
            axis,
            "d(total)/d(component)",
            values,
            lambda c: (others + c * first,),
            ("losses",),
            ideal=0.0,
            untrained=1.0,
            buffers=buffers,
        ),
    )


@sweeps("weighted_components")
def _weighted_components(setting: Setting) -> tuple[Sweep, ...]:
    return _component({"weights": _vector(0.5, 1.0)}, "first component, of weight ½; the second is 1, of weight 1")


@sweeps("uncertain_components")
def _uncertain_components(setting: Setting) -> tuple[Sweep, ...]:
    buffers = {"log_variance": _vector(1.0, 0.0), "factor": _vector(0.5, 0.5)}
    return _component(buffers, "first component, of log-variance 1; the second is 1, of log-variance 0")


@sweeps("averaged_components")
def _averaged_components(setting: Setting) -> tuple[Sweep, ...]:
    course = (_vector(0.5, 1.0), _vector(1.0, 1.0))
    (sweep,) = _component({}, "first component, which fell by half; the second is 1 and stood still")
    return (replace(sweep, inputs=lambda c: (*sweep.inputs(c), *course)),)


@sweeps("weights_of_components")
def _weights_of_components(setting: Setting) -> tuple[Sweep, ...]:
    others, first = _vector(0.0, 1.0), _vector(1.0, 0.0)
    norms = rates = _vector(1.0, 1.0)
    return (
        Sweep(
            "weight of the first of two components with gradients of one size; the second's is 1",
            "dL/d(weight)",
            grid(0.0, 3.0),
            lambda w: (others + w * first, norms, rates),
            ("weights",),
            ideal=1.0,
            untrained=2.0,
        ),
    )
