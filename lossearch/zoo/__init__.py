"""The hand-designed losses: seeds of a search and baselines of a comparison."""

from lossearch.zoo import box, combining, dense, features, image, margin, overlap, regression
from lossearch.zoo.registry import ENTRIES, Entry, entries, entry, get, hand_designed, names

__all__ = ["ENTRIES", "Entry", "entries", "entry", "get", "hand_designed", "names"]

FAMILIES = (dense, overlap, box, regression, margin, features, image, combining)
"""The modules whose import declares the losses."""
