"""The end of a process whose training never comes back."""

from __future__ import annotations

import faulthandler


class Watchdog:
    """Ends the process when one training takes longer than `limit` seconds; None never does.

    A training looks at its own time limit between steps. This is for one that never comes back from a step: the island,
    or the training where that is a process of its own, starts again, and the candidate is recorded as failed if that
    happens twice.
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit

    def __call__(self, training: bool) -> None:
        if self._limit is None:
            return
        if training:
            # A thread of C, which a training that holds the interpreter's lock cannot keep from running.
            faulthandler.dump_traceback_later(self._limit, exit=True)
        else:
            faulthandler.cancel_dump_traceback_later()
