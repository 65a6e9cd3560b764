"""The kinds of learned losses that come with lossearch, in the order of listings."""

from lossearch.meta.kinds import combination, conditioned, edges, network
from lossearch.meta.kinds.kind import KINDS, Kind, learned, make_kind

__all__ = ["KINDS", "Kind", "combination", "conditioned", "edges", "learned", "make_kind", "network"]
