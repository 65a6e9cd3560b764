"""One file a task family: its oracles, samples by signature, and cases."""

from __future__ import annotations

from types import ModuleType

from . import (
    binary,
    box,
    combining,
    dense,
    distillation,
    embedding,
    features,
    generative,
    image,
    long_tailed,
    multi_view,
    parametric,
    regression,
    robust,
    survival,
    unified_focal,
)

MODULES: list[ModuleType] = [
    *(
        binary,
        box,
        combining,
        dense,
        distillation,
        embedding,
        features,
        generative,
        image,
        long_tailed,
        multi_view,
        parametric,
        regression,
        robust,
        survival,
        unified_focal,
    )
]
