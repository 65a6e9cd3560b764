"""One file a task family: its oracles, samples by signature, and cases."""

from __future__ import annotations

from types import ModuleType

from . import combining, features, generative, image, regression

MODULES: list[ModuleType] = [combining, features, generative, image, regression]
