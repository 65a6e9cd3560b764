"""What a user's training function gives back, read as metrics."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lossearch.errors import UserError

MOST, LONGEST_NAME = 100, 100
"""Metrics of one training, and characters of the name of one."""

_SHOWN = 200  # characters of a value that is no metric
_YIELD_MAPPING = "yield all of them as a mapping from names to numbers, or configure the one metric alone"


class NoMetric(UserError):
    """A training function gave something that is no metric."""


def metrics_in(result: object, function: str) -> Iterator[object]:
    """What a function's result yields. A single value, such as a number or a mapping, counts as one yield.

    Args:
        result: what calling the function gave.
        function: its name, for messages.

    Raises:
        NoMetric: the result neither is a value nor yields any.
    """
    if _is_single(result):
        yield result
    elif isinstance(result, Iterable) and not isinstance(result, str | bytes):
        yield from result
    else:
        what = "None" if result is None else f"a {type(result).__name__}: {result!r:.{_SHOWN}}"
        raise NoMetric(f"{function} to yield its metric", f"it returned {what}", "yield a number, or return one")


def _is_single(result: object) -> bool:
    if isinstance(result, Mapping) or getattr(result, "ndim", None) == 0:
        return True
    return hasattr(result, "__float__") and not isinstance(result, Iterable)


def as_metrics(value: Any, name: str, required: Iterable[str] = ()) -> dict[str, float]:
    """A yielded value as named numbers.

    Args:
        value: a number, an array or tensor of one element, or a mapping that holds one under `name`. Whatever else in a
            mapping is a number is taken, too; the rest, such as text and arrays, is not.
        name: of the metric that ranks, which comes first.
        required: names of further metrics that a mapping must hold.

    Raises:
        NoMetric: it is none of these, or a mapping holds more than `MOST` numbers or longer names than `LONGEST_NAME`.
    """
    if not isinstance(value, Mapping):
        if missing := [other for other in required if other != name]:
            named = ", ".join(map(repr, [name, *missing]))
            raise NoMetric(f"a mapping with the metrics {named} at each yield", f"{value!r:.{_SHOWN}}", _YIELD_MAPPING)
        return {name: _as_number(value)}
    metrics = {}
    for wanted in dict.fromkeys([name, *required]):
        if wanted not in value:
            keys = f"the keys {sorted(map(str, value))}"
            hint = "yield it, or set the task's metric to one of these"
            raise NoMetric(f"a mapping with the metric {wanted!r}", f"{keys:.{_SHOWN}}", hint)
        metrics[wanted] = _as_number(value[wanted])
    for other, number in value.items():
        if isinstance(other, str) and other not in metrics:
            with contextlib.suppress(NoMetric):
                metrics[other] = _as_number(number)
    if len(metrics) > MOST or any(len(other) > LONGEST_NAME for other in metrics):
        bound = f"at most {MOST} numbers at each yield, with names of at most {LONGEST_NAME} characters"
        raise NoMetric(bound, f"{len(metrics)} numbers", "yield those alone that are to be archived")
    return metrics


def _as_number(value: Any) -> float:
    shape = getattr(value, "shape", ())
    if math.prod(shape) != 1:
        raise NoMetric("a number at each yield", f"an array of shape {list(shape)}", "yield its mean, for example")
    try:
        if isinstance(value, str | bytes):
            raise TypeError("text")
        return float(value.item() if shape else value)
    except (TypeError, ValueError, OverflowError) as error:
        required = "a number, or a mapping from names to numbers, at each yield"
        raise NoMetric(required, f"{value!r:.{_SHOWN}}", "yield a float") from error
