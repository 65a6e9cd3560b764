"""Judging a loss: screening, training, comparing, statistics and the archive."""
