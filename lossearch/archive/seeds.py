"""How the operator of a candidate says that it is a seed of the search space."""

from __future__ import annotations

_SEED = "seed:"


def seed_operator(label: str) -> str:
    """The operator of the seed that its space calls `label`."""
    return f"{_SEED}{label}"


def seed_of(operator: str) -> str | None:
    """What the space calls the seed that an operator stands for; None for any other operator."""
    return operator.removeprefix(_SEED) if operator.startswith(_SEED) else None
