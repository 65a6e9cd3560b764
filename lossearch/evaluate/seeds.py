"""Which training seeds are for what, so that nothing is proven with the seeds on which it was chosen."""

from __future__ import annotations

SCORING = range(10_000)
"""Of a search: what ranks candidates. Seeds 0, 1, …"""

COMPARISON = range(10_000, 20_000)
"""Of the paired runs on the test split."""

TUNING = range(20_000, 30_000)
"""Of tuning before a comparison."""

CONSTANTS = range(30_000, 40_000)
"""Of a search: what chooses a candidate's constants and learning rate."""

CHOSEN_ON = (*TUNING, *CONSTANTS)
"""Seeds that a comparison must not use."""
