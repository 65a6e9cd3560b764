"""The hand-designed losses: seeds of a search and baselines of a comparison."""

from lossearch.zoo import box, dense, embedding, features, margin, multi_view, overlap, regression
from lossearch.zoo.registry import ENTRIES, Entry, entries, entry, get, hand_designed, names

__all__ = ["ENTRIES", "Entry", "entries", "entry", "get", "hand_designed", "names"]

FAMILIES = (dense, overlap, box, regression, embedding, margin, multi_view, features)
"""The modules whose import declares the losses."""
