"""Conformance kits: what every task and every search method has to hold, ours and those of other packages.

Call them in your own tests. Each raises `Nonconforming` with everything that was found.
"""

from lossearch.testing.findings import Nonconforming
from lossearch.testing.methods import check_method
from lossearch.testing.tasks import check_task

__all__ = ["Nonconforming", "check_method", "check_task"]
