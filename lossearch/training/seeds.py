"""Training seeds by purpose. No two purposes share one: what was chosen by a seed is not judged by it."""

from __future__ import annotations

from collections.abc import Iterable

from lossearch.errors import UserError

SCORING = range(10_000)
"""A search trains a candidate with these, whose metrics make its score."""

COMPARING = range(10_000, 20_000)
"""Of a comparison, on the test split."""

TUNING = range(20_000, 30_000)
"""A comparison, or `tune`, tunes learning rate and parameters with these."""

TUNING_CONSTANTS = range(30_000, 40_000)
"""A search tunes a candidate's constants with these."""

RACING = range(40_000, 50_000)
"""The final race of a search trains its best candidates with these, at the full budget."""

SIMPLIFYING = range(50_000, 60_000)
"""Shorter forms of a loss are judged by these."""

LEARNING = range(100_000, 1_000_000)
"""Meta-learning trains with these, drawn at random at every outer step."""

RANGES = {
    "scoring": SCORING,
    "comparing": COMPARING,
    "tuning": TUNING,
    "tuning constants": TUNING_CONSTANTS,
    "racing": RACING,
    "simplifying": SIMPLIFYING,
    "learning": LEARNING,
}
"""Every range by what it is for."""


def first(purpose: str, n: int) -> tuple[int, ...]:
    """The first `n` seeds for a purpose."""
    seeds = RANGES[purpose]
    if n > len(seeds):
        raise UserError(f"at most {len(seeds)} seeds for {purpose}", str(n), "use fewer")
    return tuple(seeds[:n])


def used_elsewhere(seeds: Iterable[int], purpose: str) -> list[int]:
    """Those of `seeds` that belong to another purpose."""
    others = [seeds for name, seeds in RANGES.items() if name != purpose]
    return sorted(seed for seed in seeds if any(seed in other for other in others))
