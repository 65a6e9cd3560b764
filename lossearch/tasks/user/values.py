"""What a user's training function gives back, read as metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lossearch.errors import UserError

_SHOWN = 200  # characters of a value that is no metric


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


def as_metric(value: Any, name: str) -> float:
    """A yielded value as a number.

    Args:
        value: a number, an array or tensor of one element, or a mapping that holds one under `name`.
        name: of the metric.

    Raises:
        NoMetric: it is none of these.
    """
    if isinstance(value, Mapping):
        if name not in value:
            keys = f"the keys {sorted(map(str, value))}"
            hint = "yield it, or set the task's metric to one of these"
            raise NoMetric(f"a mapping with the metric {name!r}", f"{keys:.{_SHOWN}}", hint)
        value = value[name]
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
