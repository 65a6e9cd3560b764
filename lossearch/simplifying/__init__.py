"""Reading a loss back: the shortest form of what a search found, exactly and by evidence."""

from lossearch.simplifying.exact import Simplified, exact
from lossearch.simplifying.targets import takes_labels

__all__ = ["Simplified", "exact", "takes_labels"]
