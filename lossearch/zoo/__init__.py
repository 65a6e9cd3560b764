"""The hand-designed losses: seeds of a search and baselines of a comparison."""

from lossearch.zoo import (
    adversarial,
    box,
    combining,
    dense,
    diffusion,
    features,
    image,
    latent,
    margin,
    overlap,
    regression,
    tracking,
)
from lossearch.zoo.registry import ENTRIES, Entry, entries, entry, get, hand_designed, names

__all__ = ["ENTRIES", "Entry", "entries", "entry", "get", "hand_designed", "names"]

FAMILIES = (
    *(dense, overlap, box, regression, margin, tracking, image, features),
    *(adversarial, latent, diffusion, combining),
)
"""The modules whose import declares the losses."""
