"""Tables with a number, a count or a time until an event to predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lossearch.tasks.datasets.data import Columns, is_available, load_rows
from lossearch.tasks.datasets.embedded import read_diabetes

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """What is known of a table before any of it is read.

    Attributes:
        rows: samples.
        read: features `[row, feature]` and targets `[row]`; of times also whether they ended with the event, `[row]`.
        description: one line.
        origin: who made it (author, year).
        target: what is predicted: "number", "count" or "time" (until an event, in years).
        dataset: the data set that it is read from, as `lossearch data ls` calls it; "" where it is embedded.
    """

    rows: int
    read: Callable[[], tuple[Array, ...]]
    description: str
    origin: str
    target: Literal["number", "count", "time"] = "number"
    dataset: str = ""

    def is_available(self) -> bool:
        """Whether it is on disk, or embedded."""
        return not self.dataset or is_available(self.dataset)


def _diamonds() -> tuple[Array, Array]:
    columns = load_rows("diamonds")
    features = ("carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z")
    return np.column_stack([_numbers(columns, name) for name in features]), _numbers(columns, "price")


def _computers() -> tuple[Array, Array]:
    columns = load_rows("computers")
    features = ("speed", "hd", "ram", "screen", "cd", "multi", "premium", "ads", "trend")
    return np.column_stack([_numbers(columns, name) for name in features]), _numbers(columns, "price")


def _doctor_visits() -> tuple[Array, Array]:
    """The first year of each person, so that nobody is in two splits."""
    columns = load_rows("doctor_visits")
    _, first = np.unique(_numbers(columns, "id"), return_index=True)
    features = ("year", "age", "female", "married", "kids", "hhninc", "educ", "outwork", "self")
    return np.column_stack([_numbers(columns, name)[first] for name in features]), _numbers(columns, "docvis")[first]


_DAYS = 365.25
"""Of a year."""


def _residents() -> tuple[Array, Array, Array]:
    """Whoever died on the day of the sample lived for half a day. Creatinine was not measured in 1,350 of them."""
    columns = load_rows("residents")
    known = np.array([value != "NA" for value in columns["creatinine"]])
    creatinine = np.array([float(value) if value != "NA" else 0.0 for value in columns["creatinine"]])
    creatinine[~known] = np.median(creatinine[known])
    numbers = [_numbers(columns, name) for name in ("age", "sex", "sample.yr", "kappa", "lambda", "mgus")]
    years = np.maximum(_numbers(columns, "futime"), 0.5) / _DAYS
    return np.column_stack([*numbers, creatinine, known]), years, _numbers(columns, "death")


_GRADES = {
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": ("J", "I", "H", "G", "F", "E", "D"),
    "sex": ("F", "M"),
    "cd": ("no", "yes"),
    "multi": ("no", "yes"),
    "premium": ("no", "yes"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}
"""Words of columns that are grades, from worst to best, or two kinds."""


def _numbers(columns: Columns, name: str) -> Array:
    grades = {word: float(rank) for rank, word in enumerate(_GRADES.get(name, ()))}
    return np.array([grades[value] if grades else float(value) for value in columns[name]])


TABLES = {
    "diabetes": Table(
        442,
        read_diabetes,
        "progression of diabetes after one year from 10 measurements (embedded in scikit-learn)",
        "Efron, Hastie, Johnstone and Tibshirani 2004",
    ),
    "diamonds": Table(
        53_940,
        _diamonds,
        "price of a diamond from its weight, grades and measures",
        "Wickham 2009",
        dataset="diamonds",
    ),
    "computers": Table(
        6_259,
        _computers,
        "price of a personal computer from its speed, memory, disk, screen, equipment, and the month",
        "Stengos and Zacharias 2006",
        dataset="computers",
    ),
    "doctor_visits": Table(
        6_127,
        _doctor_visits,
        "visits to a doctor in a year from age, sex, family, income, schooling and work",
        "Riphahn, Wambach and Million 2003",
        target="count",
        dataset="doctor_visits",
    ),
    "residents": Table(
        7_874,
        _residents,
        "years until death from age, sex, the year, three measurements of blood, and a diagnosis",
        "Dispenzieri et al. 2012",
        target="time",
        dataset="residents",
    ),
}
"""By name."""
