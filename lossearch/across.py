"""Losses compared on the tasks that a distribution draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lossearch.named_losses import LossLike, find

if TYPE_CHECKING:
    from lossearch.comparison.compare import ComparisonProgress
    from lossearch.comparison.transfer import Transfer
    from lossearch.tasks.distribution.config import DistributionConfig


def compare_across(
    distribution: str | Path | Mapping[str, Any] | DistributionConfig,
    losses: LossLike | Sequence[LossLike],
    seeds: int | Sequence[int] = 10,
    *,
    part: Literal["search", "held_out"] | None = "held_out",
    boundary: Sequence[str] | None = None,
    tasks: int | None = None,
    draw_seed: int | None = None,
    baselines: bool | LossLike | Sequence[LossLike] = True,
    out: str | Path | None = None,
    progress: Callable[[str, ComparisonProgress], None] | None = None,
    **details: Any,
) -> Transfer:
    """Compare losses on tasks that a distribution draws, by default on those that no search sees.

    Args:
        distribution: Its name, a .toml file with its table or with a search configuration whose task it is, or a table.
        losses: One or more of what `load` takes; the first is the one that is judged.
        seeds: Number of paired seeds, at least four, or the seeds themselves.
        part: "held_out" or "search"; None takes the configuration's.
        boundary: Axes of which held-out options are drawn, those of a search elsewhere; None takes the configuration's.
        tasks: How many are drawn; None takes the configuration's.
        draw_seed: Draws them; None takes the configuration's.
        baselines: Hand-designed losses to compare with, as of `compare`.
        out: Directory that keeps each task's comparison and the tables of all; an interrupted one goes on from there.
        progress: Called with a task's name when a loss has been tuned or tested there.
        details: As `lossearch.comparison.compare.compare` takes them.

    Raises:
        UserError: A loss or distribution is unknown or does not fit, or a setting is out of range.
    """
    from lossearch.comparison.transfer import compare_across as run
    from lossearch.tasks.distribution.reading import read_distribution

    changes = {"part": part, "boundary": boundary, "tasks": tasks, "draw_seed": draw_seed}
    others = baselines if isinstance(baselines, bool) else [find(one).loss for one in _several(baselines)]
    found = [find(one).loss for one in _several(losses)]
    config = read_distribution(distribution, **changes)
    return run(config, found, seeds, baselines=others, out=out, progress=progress, **details)


def _several(losses: LossLike | Sequence[LossLike]) -> Sequence[Any]:
    return [losses] if isinstance(losses, str | Path) or not isinstance(losses, Sequence) else losses
