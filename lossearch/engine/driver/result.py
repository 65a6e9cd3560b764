"""What a search found: queries on its archive."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossearch.archive.discovered import discovered_loss
from lossearch.archive.failures import summed
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Archive, Ranked
from lossearch.engine.island.rows import score
from lossearch.engine.writer.messages import AUDITED_FILTERS
from lossearch.errors import UserError
from lossearch.failure_text import headline
from lossearch.joint_loss import AnyLoss, JointLoss
from lossearch.listing import data_frame, escaped, html_formula, html_table
from lossearch.loss import Loss

if TYPE_CHECKING:
    from pandas import DataFrame

_EXAMPLES = 100  # candidates among which one that failed for the most common reason is looked for
_SHOWN = 100  # characters of a formula in a message


@dataclass(frozen=True)
class Found:
    """A loss that a search found, with its validation score.

    Attributes:
        loss: with its tuned constants.
        metric: mean over the seeds, on validation data; optimistic where no final race with fresh seeds gave it, as
            the search picked it. `compare` judges.
        complexity: distinct operators.
        seeds: trainings that the mean is over.
        budget: steps of each.
        key: of the candidate in the archive.
    """

    loss: AnyLoss
    metric: float
    complexity: int
    seeds: int
    budget: int
    key: str

    def _repr_html_(self) -> str:
        return Front("metric", [self])._repr_html_() + html_formula(self.loss.latex())


class Front(list[Found]):
    """Losses of a Pareto front; `metric` is what they were judged by."""

    def __init__(self, metric: str, found: Iterable[Found]) -> None:
        super().__init__(found)
        self.metric = metric

    def to_pandas(self) -> DataFrame:
        """One line per loss; raises `UserError` where pandas is not installed."""
        return data_frame(*self._rows())

    def _rows(self) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
        columns = ("complexity", self.metric, "seeds", "budget", "formula", "key")
        values = ((f.complexity, f.metric, f.seeds, f.budget, f.loss.to_text(), f.key) for f in self)
        return columns, [dict(zip(columns, row, strict=True)) for row in values]

    def _repr_html_(self) -> str:
        columns, rows = self._rows()
        return html_table(columns[:-1], rows)


@dataclass(frozen=True)
class Audit:
    """What training a random sample of one filter's rejects showed.

    Attributes:
        filter: the filter.
        trained: rejected candidates that were trained all the same.
        missed: how many of them scored above the median of the accepted ones.
    """

    filter: str
    trained: int
    missed: int


class SearchResult:
    """The result of a search, finished or not.

    Attributes:
        path: the run directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @cached_property
    def archive(self) -> Archive:
        """Every candidate and every evaluation, read only."""
        return RunDirectory.open(self.path).open_archive(read_only=True)

    @property
    def best_(self) -> Loss:
        """The loss with the best score.

        Raises:
            UserError: no candidate was trained to the end, or the search was over several slots, of which
                `best_slots_` gives each.
        """
        found = self.at_rank(1).loss
        if isinstance(found, JointLoss):
            raise UserError("one loss", f"those of the slots {', '.join(found.graph.slots)}", "take best_slots_")
        return found

    @property
    def best_slots_(self) -> dict[str, Loss]:
        """The losses of the candidate with the best score by slot; that of one slot alone under `loss`."""
        found = self.at_rank(1).loss
        return found.losses if isinstance(found, JointLoss) else {"loss": found}

    @property
    def front_(self) -> Front:
        """Pareto front over metric and complexity, in order of complexity."""
        found = [self._found(row, 0) for row in self.archive.pareto_front()]
        return Front(self.archive.metric, [one for one in found if one is not None])

    def to_pandas(self, limit: int | None = None) -> DataFrame:
        """The ranked losses, best first, one line each; `metrics` holds those besides the ranking one, by name.

        Args:
            limit: Lines at most.

        Raises:
            UserError: pandas is not installed.
        """
        ranked = self.archive.ranked(sys.maxsize if limit is None else limit)
        rows = [
            {
                "rank": rank,
                "before": None if row.standing is None else row.standing.before,
                self.archive.metric: row.metric,
                "metrics": self.archive.other_metrics(row),
                "seeds": row.seeds,
                "failed": row.failed,
                "budget": row.budget,
                "complexity": row.candidate.complexity,
                "made_by": row.candidate.operator,
                "formula": row.candidate.text,
                "key": row.candidate.key,
            }
            for rank, row in enumerate(ranked, start=1)
        ]
        columns = (
            "rank",
            "before",
            self.archive.metric,
            "metrics",
            "seeds",
            "failed",
            "budget",
            "complexity",
            "made_by",
            "formula",
            "key",
        )
        return data_frame(columns, rows)

    def _repr_html_(self) -> str:
        counts = self.archive.counts()
        caption = f"{self.path}: {counts.candidates} candidates, of which {counts.accepted} were trained"
        failure = self.failure()
        if failure is not None:
            return f"<p>{escaped(caption)}</p><p>{escaped(str(failure))}</p>"
        return f"<p>{escaped(caption)}</p>{self.front_._repr_html_()}{html_formula(self.at_rank(1).loss.latex())}"

    def at_rank(self, rank: int) -> Found:
        """The loss at a rank, from 1; raises `UserError` if there are fewer."""
        rows = self.archive.ranked(rank)
        found = self._found(rows[rank - 1], rank) if 1 <= rank <= len(rows) else None
        if found is None:
            if (failure := self.failure()) is not None:
                raise failure
            usable = sum(row.metric is not None for row in rows)
            raise UserError(
                f"a loss of rank {rank} in {self.path}",
                f"{usable} losses that were trained to the end",
                "search on with `lossearch resume`, or choose a rank from 1 on",
            )
        return found

    def failure(self) -> UserError | None:
        """What to tell a user whose search has no loss that was trained to the end; None if it has one."""
        best = self.archive.ranked(1)
        if best and best[0].metric is not None:
            return None
        counts, reasons = self.archive.counts(), self.archive.failures()
        if not reasons and (race := self.race_failure()) is not None:
            found = f"none of {counts.accepted}: {race}"
            hint = (
                f"see lossearch ls {self.path}; race with another budget: lossearch race {self.path} --steps N; once a"
                f" training script is mended: lossearch resume {self.path} --changed-script"
            )
        elif reasons:
            reason, losses = reasons[0]
            found = f"none of {counts.accepted}; {losses} ended with: {reason}{self._example(reason)}"
            hint = (
                f"see lossearch ls {self.path}; once that is mended, search anew, or go on with a higher limit:"
                f" lossearch resume {self.path} --generations N"
            )
        else:
            stopped = ", ".join(f"{name} {count}" for name, count in counts.verdicts.items())
            found = f"0 losses of {counts.candidates} candidates ({stopped or 'none was proposed'})"
            hint = f"search longer: lossearch resume {self.path} --generations N"
        return UserError(f"a loss in {self.path} that was trained to the end", found, hint)

    def race_failure(self) -> str | None:
        """Why the final race decided nothing: all that raced failed. None where one did not, or there was no race."""
        standings = self.archive.standings()
        if not standings or not all(standing.failed for standing in standings):
            return None
        raced = {(standing.key, standing.task, standing.budget) for standing in standings}
        reasons: dict[str, str] = {}
        for training in self.archive.race_trainings():
            if training.metric is None and (training.key, training.task, training.budget) in raced:
                reasons.setdefault(training.key, training.message)
        reason, losses = summed((one, 1) for one in reasons.values())[0]
        if len(standings) == 1:
            return f"the one loss that raced failed: {reason}"
        return f"all {len(standings)} losses that raced failed; {losses} ended with: {reason}"

    def _example(self, reason: str) -> str:
        """One of the losses that failed for this reason."""
        failed = (row.candidate for row in self.archive.ranked(_EXAMPLES) if row.metric is None)
        text = next((candidate.text or "" for candidate in failed if headline(candidate.reason) == reason), "")
        return f" (one of them: {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'})" if text else ""

    def audit(self) -> list[Audit]:
        """Per filter, what a search with `audit` above zero found among the rejects."""
        ranked = self.archive.ranked(sys.maxsize, raced=False)
        accepted = [row.metric for row in ranked if row.metric is not None]
        if not accepted:
            return []
        sign = 1.0 if self.archive.higher_is_better else -1.0
        median = sign * statistics.median(accepted)
        rows: list[Audit] = []
        for filter in sorted(AUDITED_FILTERS):
            scores = [found for key in self._audited(filter) if (found := list(self.archive.evaluations(key)))]
            values = [score(found, self.archive.higher_is_better, self.archive.robustness) for found in scores]
            if values:
                rows.append(Audit(filter, len(values), sum(v is not None and v > median for v in values)))
        return rows

    def _audited(self, filter: str) -> set[str]:
        return {row.key for row in self.archive.candidates(verdict=filter) if row.graph is not None}

    def _found(self, row: Ranked, rank: int) -> Found | None:
        candidate = row.candidate
        if row.metric is None:
            return None
        loss = discovered_loss(self.path.resolve().name, row, rank)
        return Found(loss, row.metric, candidate.complexity or 0, row.seeds, row.budget, candidate.key)

    def close(self) -> None:
        """Close the archive."""
        if "archive" in self.__dict__:
            self.archive.close()
            del self.__dict__["archive"]

    def __repr__(self) -> str:
        return f"SearchResult({str(self.path)!r})"
