"""The hand-designed losses: seeds of a search and baselines of a comparison."""

from lossearch.zoo import binary, boundary, box, dense, features, lovasz, margin, overlap, regression
from lossearch.zoo.registry import ENTRIES, Entry, entries, entry, get, hand_designed, names

__all__ = ["ENTRIES", "Entry", "entries", "entry", "get", "hand_designed", "names"]

FAMILIES = (dense, binary, overlap, lovasz, boundary, box, regression, margin, features)
"""The modules whose import declares the losses."""
