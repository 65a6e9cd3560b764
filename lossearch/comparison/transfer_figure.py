"""Performance profiles of losses over many tasks (Dolan and Moré 2002, Agarwal et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lossearch.comparison.transfer import Transfer


def draw(transfer: Transfer, thresholds: Sequence[float]) -> Figure:
    """For each loss the share of runs whose gain is above a threshold; discovered losses stand out."""
    from matplotlib.figure import Figure  # takes most of a second to import

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for one in transfer.aggregates:
        found = one.source == "discovered"
        axes.plot(
            thresholds, one.profile, label=one.loss, linewidth=2.2 if found else 1.1, color="#d55e00" if found else None
        )
    axes.axvline(0.0, color="#999999", linewidth=0.8)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(f"gain over {transfer.reference}, in noise floors of the task")
    axes.set_ylabel("share of runs with a larger gain")
    axes.set_title(f"{transfer.distribution}, part {transfer.part}", loc="left")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", frameon=False, fontsize=7, ncols=2)
    return figure
