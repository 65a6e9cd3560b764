"""Random search: the baseline of every other method."""

from __future__ import annotations

from lossearch.evolve.method import Candidate, Method


class RandomSearch(Method):
    """Independent random expressions after the seeds."""

    def propose(self) -> Candidate:
        """A random expression."""
        return Candidate(self.random_graph(), "random")
