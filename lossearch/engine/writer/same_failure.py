"""Noticing that nothing can be trained: every training fails, and all for one reason."""

from __future__ import annotations

import re

from lossearch.engine.writer.messages import Batch
from lossearch.errors import UserError
from lossearch.failure_text import headline

LOSSES = 12
"""How many losses must have failed, and none been trained, before a search ends early."""

_SHOWN = 100  # characters of a formula in a message


class SameFailure:
    """Watches what islands archive in one session.

    Args:
        run: path of the run directory, for messages.
        trained: whether any training has succeeded before.
    """

    def __init__(self, run: str, trained: bool) -> None:
        self._run, self._trained = run, trained
        self._failed: set[str] = set()
        self._reasons: set[str] = set()

    def look_at(self, batch: Batch) -> None:
        """Take note of a batch; raises `UserError` once it is hopeless to go on."""
        self._trained = self._trained or any(evaluation.succeeded for evaluation in batch.evaluations)
        if self._trained:
            return
        failed = {evaluation.key for evaluation in batch.evaluations}
        for candidate in (*batch.candidates, *batch.audited):
            if candidate.key in failed:
                self._failed.add(candidate.key)
                reason, text = headline(candidate.reason), candidate.text or ""
                self._reasons.add(re.sub(r"\d+", "0", reason))  # seeds, sizes and addresses differ
                if len(self._failed) >= LOSSES and len(self._reasons) == 1:
                    raise self._hopeless(reason, text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")

    def _hopeless(self, reason: str, text: str) -> UserError:
        return UserError(
            "a loss that can be trained",
            f"none of the first {len(self._failed)}, which all ended with: {reason} (the last of them: {text})",
            f"mend that and search anew; see lossearch ls {self._run}",
        )
