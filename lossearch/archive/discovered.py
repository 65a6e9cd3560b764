"""Losses out of a run: what a ranked candidate is called and where it says it comes from."""

from __future__ import annotations

import re

from lossearch.archive.records import Ranked
from lossearch.errors import UserError
from lossearch.ir.core.primitive import PRIMITIVES
from lossearch.ir.forms.joint import any_from_json
from lossearch.joint_loss import AnyLoss, loss_of


def discovered_loss(run: str, ranked: Ranked, rank: int) -> AnyLoss:
    """The loss of a ranked candidate, or its losses of several slots.

    It is named after the run's directory `run` and its rank.
    Rank 0 stands for a candidate that is not among the ranked ones; its key takes the rank's place. Raises `UserError`
    if the archive has no well-formed graph for it.
    """
    candidate = ranked.candidate
    place = f"rank {rank}" if rank else f"candidate {candidate.key[:8]}"
    if candidate.graph is None:
        raise UserError("an archived graph", f"none for {place} of {run}", "restore the archive from a copy")
    PRIMITIVES.extend()
    graph = any_from_json(candidate.graph)
    name = f"{identifier(run)}_{rank or candidate.key[:8]}"
    return loss_of(graph, name, f"discovered by lossearch in {run}, {place}")


def identifier(text: str) -> str:
    """The text as an identifier: other characters become `_`."""
    word = re.sub(r"\W", "_", text, flags=re.ASCII)
    return word if word.isidentifier() else f"loss_{word}"
