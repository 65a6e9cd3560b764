"""One attempt at training a candidate, in the process that makes it."""

from __future__ import annotations

from lossearch.candidates.scoring import CandidateResult
from lossearch.candidates.stopping import Stops
from lossearch.engine.island.rows import ends_search, failure
from lossearch.engine.setup.setting import Evaluator, Guard
from lossearch.ir.core.joint import AnyGraph


def evaluated(evaluator: Evaluator, graph: AnyGraph, seed: int, stops: Stops, guard: Guard) -> CandidateResult:
    """Train a candidate; whatever it does wrong is its outcome.

    Raises:
        UserError: something that the user must mend.
    """
    guard(True)
    try:
        return evaluator.evaluate(graph, seed, stops)
    except Exception as error:  # recorded: a failure of one candidate is its outcome
        if ends_search(error):
            raise
        return failure(graph, error)
    finally:
        guard(False)
