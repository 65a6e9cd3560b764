"""How many CPUs this machine gives."""

from __future__ import annotations

import os


def own_cpus() -> int:
    """CPUs of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
