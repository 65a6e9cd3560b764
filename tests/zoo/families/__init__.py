"""One file a task family: its oracles, samples by signature, and cases."""

from __future__ import annotations

from types import ModuleType

from . import dense, regression

MODULES: list[ModuleType] = [dense, regression]
