"""Random search: the baseline of every other method."""

from __future__ import annotations

from lossearch.evolve.method import Method, Proposal


class RandomSearch(Method):
    """Independent random expressions after the seeds."""

    def propose(self) -> Proposal:
        """A random expression."""
        return Proposal(self.random_graph(), "random")
