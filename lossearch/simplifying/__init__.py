"""Reading a loss back: the shortest form of what a search found, exactly and by evidence."""

from lossearch.simplifying.evidence import by_evidence
from lossearch.simplifying.exact import exact
from lossearch.simplifying.of_run import kept_beside, task_of_run
from lossearch.simplifying.simplified import Attempt, Evidence, Simplified
from lossearch.simplifying.targets import takes_labels

__all__ = ["Attempt", "Evidence", "Simplified", "by_evidence", "exact", "kept_beside", "takes_labels", "task_of_run"]
