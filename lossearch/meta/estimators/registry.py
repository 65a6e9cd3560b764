"""Estimators by the name that a configuration gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from lossearch.meta.estimators.evolution import Evolution
from lossearch.meta.estimators.forward import Forward
from lossearch.meta.estimators.implicit import Implicit
from lossearch.meta.estimators.reverse import Reverse
from lossearch.meta.estimators.unrolled import Unrolled
from lossearch.meta.estimators.windows import Online, Persistent
from lossearch.meta.problem import Estimator

EstimatorName = Literal[
    "es", "unrolled", "truncated", "forward", "reverse", "implicit", "neumann", "nres", "pes", "online"
]

WITHOUT_GRADIENT: tuple[EstimatorName, ...] = ("es", "nres", "pes")
"""Estimators that need no gradient of the objective."""


def make_estimator(name: EstimatorName, pairs: int, sigma: float) -> Estimator:
    """An estimator by name.

    Args:
        name: of the estimator.
        pairs: of perturbed trainings of each seed, where it perturbs.
        sigma: of the perturbations.
    """
    makers: dict[str, Callable[[], Estimator]] = {
        "es": lambda: Evolution(pairs, sigma, ranks=True),
        "unrolled": Unrolled,
        "truncated": lambda: Unrolled(truncated=True),
        "forward": Forward,
        "reverse": Reverse,
        "implicit": lambda: Implicit("cg"),
        "neumann": lambda: Implicit("neumann"),
        "nres": lambda: Persistent(pairs, sigma, fresh=False),
        "pes": lambda: Persistent(pairs, sigma, fresh=True),
        "online": Online,
    }
    return makers[name]()
