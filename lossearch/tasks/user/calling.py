"""Calling a user's training function: which keywords it takes, and what it is given for them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from lossearch.errors import UserError
from lossearch.tasks.base import Rights

KEYWORDS = {"learning_rate": "learning_rate", "split": "test", "device": "device"}
"""Keywords that a training function may take, with the right that each gives."""

_FORM = "def train(loss, budget, seed)"


def training_function(found: Callable[..., Any]) -> Callable[..., Any]:
    """The function that trains: `found` itself, or the method `train` of an instance where it is a class.

    Raises:
        UserError: a class without `train`, or a function that cannot be called with loss, budget and seed.
    """
    if inspect.isclass(found):
        if not callable(getattr(found, "train", None)):
            raise _without_method(found)
        made: Any = found()
        return _checked(made.train)
    return _checked(found)


def check_form(found: Callable[..., Any]) -> None:
    """Raise `UserError` where `training_function` would, of a class without making an instance."""
    if not inspect.isclass(found):
        _checked(found)
    elif callable(method := getattr(found, "train", None)):
        plain = isinstance(inspect.getattr_static(found, "train"), staticmethod | classmethod)
        _checked(method if plain else functools.partial(method, None))
    else:
        raise _without_method(found)


def _without_method(found: type) -> UserError:
    return UserError("a class with a method train(self, loss, budget, seed)", repr(found), "add the method")


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = _signature(function)
    if signature is not None:
        try:
            signature.bind(None, 1, 0)
        except TypeError as error:
            found = f"{getattr(function, '__name__', 'train')}{signature}: {error}"
            hint = "take these three by position, and give everything else a default"
            raise UserError(f"a training function {_FORM}", found, hint) from error
    return function


def keywords_of(function: Callable[..., Any]) -> frozenset[str]:
    """Those of `KEYWORDS` that a training function takes; all of them where it takes any keyword."""
    signature = _signature(function)
    if signature is None:
        return frozenset()
    parameters = list(signature.parameters.values())
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return frozenset(KEYWORDS)
    # What stands by position before the third is loss, budget and seed, whatever they are called.
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    taken = [parameter.name for parameter in parameters if parameter.kind in by_position][:3]
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = {parameter.name for parameter in parameters if parameter.kind in by_name}
    return frozenset(names.difference(taken) & KEYWORDS.keys())


def rights_of(keywords: frozenset[str]) -> Rights:
    """What a function with these keywords allows."""
    return Rights(**{right: keyword in keywords for keyword, right in KEYWORDS.items()})


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """None for a function that does not tell, such as some of extension modules."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None
