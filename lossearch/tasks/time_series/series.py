"""Series to forecast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossearch.tasks.datasets.data import load_rows

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """What is known of a data set of series before any of it is read.

    Attributes:
        dataset: as `lossearch data ls` calls it.
        columns: where the values are: one column, whose rows follow each other in time, or one for each step, where
            every row is a series of its own.
        count: how many series there are.
        steps: of each.
        season: after how many steps a series is most like itself; 1 where the last step says most.
        unit: of a step.
    """

    dataset: str
    columns: tuple[str, ...]
    count: int
    steps: int
    season: int
    unit: str

    def read(self) -> Array:
        """The values: `[series, step]`.

        Raises:
            UserError: the data is missing or damaged.
        """
        columns = load_rows(self.dataset)
        values = np.array([columns[name] for name in self.columns], dtype=np.float64)
        return values if len(self.columns) == 1 else values.T


SERIES = {
    one.dataset: one
    for one in (
        Series("sunspots", ("sunspots",), 1, 2820, 1, "month"),
        Series("co2", ("co2",), 1, 468, 12, "month"),
        Series("siemens", ("x",), 1, 6146, 1, "day"),
        Series("italy_power", tuple(map(str, range(24))), 1096, 24, 1, "hour"),
    )
}
"""By name."""
