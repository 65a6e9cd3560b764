"""Which losses `make test` looks at where a test looks at losses one by one; `make test-thorough` looks at all."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable
from typing import Any

import pytest

from lossearch import zoo
from lossearch.compile.targets import class_by_class


def kind_of(name: str) -> Hashable:
    """What decides how a module treats a loss: its signature, its targets, its weights and the axes that are left."""
    loss = zoo.get(name)
    return (
        loss.signature.name,
        class_by_class(loss.graph),
        loss.graph.uses("class_weight"),
        loss.graph.root.axes,
    )


@functools.cache
def representatives() -> frozenset[str]:
    """The first hand-designed loss of each kind."""
    first: dict[Hashable, str] = {}
    for name in zoo.names():
        first.setdefault(kind_of(name), name)
    return frozenset(first.values())


def thorough_unless(quick: bool) -> list[pytest.MarkDecorator]:
    """The marks of a test case, which is left out by `make test` unless it is a quick one."""
    return [] if quick else [pytest.mark.thorough]


def each_loss(names: Iterable[str] | None = None, quick: Iterable[str] | None = None) -> list[Any]:
    """A test case for each of these losses, or for each in the zoo: thorough, but for representatives or `quick`."""
    kept = representatives() if quick is None else frozenset(quick)
    return [pytest.param(n, marks=thorough_unless(n in kept)) for n in (zoo.names() if names is None else names)]


def first_of(names: Iterable[Any], quick: int = 1) -> list[Any]:
    """A test case for each of these, thorough after the first few."""
    return [pytest.param(one, marks=thorough_unless(at < quick)) for at, one in enumerate(names)]
