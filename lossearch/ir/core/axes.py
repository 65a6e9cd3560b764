"""Named axes: what a tensor's dimensions mean, and the one order in which they are laid out.

`space` stands for all spatial axes of a signature (none, height and width, depth …) flattened into one. A prime
marks a second copy of an axis for pairwise work, as in a Gram matrix over `channel` and `channel'`.
"""

from __future__ import annotations

from functools import lru_cache

from lossearch.errors import UserError

Axes = tuple[str, ...]

BASE_AXES: Axes = (
    *("batch", "view", "time", "token", "class", "feature", "channel", "coord", "quantile"),
    *("element", "rank", "half", "quarter", "eighth", "sixteenth", "space", "component"),
)
"""Every base axis, in the order of memory layout: batch first, class before space as PyTorch has it.

`element` is batch and space in one, for orderings over all elements; `rank` is what it or `space` becomes once ordered,
when it is no longer known which of them a mask leaves out. `half` to `sixteenth` are `space` at lower resolutions;
`quantile` counts the quantiles that are predicted; `component` counts the losses that are combined into one.
"""

RESOLUTIONS: Axes = ("space", "half", "quarter", "eighth", "sixteenth")
"""Space at each resolution: every one has half the entries of the one before it along every direction, rounded up."""

SPATIAL_AXES: Axes = ("width", "height", "depth")
"""Directions inside `space`, from the last dimension backwards."""

ORDER: dict[str, int] = {
    name + prime: 2 * rank + len(prime) for rank, name in enumerate(BASE_AXES) for prime in ("", "'")
}

LARGEST_AXIS = 2**20
"""The axis length for which range checks hold: a 1024 × 1024 image, a batch of a million."""


def check_axis(name: str) -> str:
    """Return `name` if it is a known axis."""
    if name not in ORDER:
        raise UserError(f"an axis among {', '.join(ORDER)}", repr(name), "correct the axis name")
    return name


def check_direction(name: str) -> str:
    """Return `name` if it is a direction in space."""
    if name not in SPATIAL_AXES:
        raise UserError(f"a direction among {', '.join(SPATIAL_AXES)}", repr(name), "correct the direction")
    return name


@lru_cache(maxsize=4096)
def union(first: Axes, second: Axes) -> Axes:
    """The axes of a broadcast of two tensors, in layout order."""
    return first if first == second else tuple(sorted({*first, *second}, key=ORDER.__getitem__))


@lru_cache(maxsize=4096)
def without(axes: Axes, removed: Axes) -> Axes:
    """The axes that remain after a reduction over `removed`."""
    return tuple(axis for axis in axes if axis not in removed)


@lru_cache(maxsize=4096)
def ordered(axes: Axes) -> Axes:
    """The same axes in layout order; a repeated one is an error."""
    if len(set(axes)) != len(axes):
        raise UserError("distinct axes", ", ".join(axes), "rename one copy with a prime, as in channel'")
    return tuple(sorted(map(check_axis, axes), key=ORDER.__getitem__))


def align(source: str, axes: Axes, target: Axes, lead: bool = False) -> str:
    """Torch source that inserts dimensions of length one so that `axes` broadcast against `target`.

    Axes missing in front need nothing, since broadcasting adds them, unless `lead` asks for the full rank.
    """
    front = 0 if lead else next((rank for rank, axis in enumerate(target) if axis in axes), len(target))
    for position in range(front, len(target)):
        if target[position] not in axes:
            source = f"{source}.unsqueeze({position - front})"
    return source
