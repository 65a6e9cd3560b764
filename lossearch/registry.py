"""One way to register what there is under a name, to look it up, and to take in what other packages add."""

from __future__ import annotations

import difflib
from importlib.metadata import entry_points
from typing import TypeVar

from lossearch.errors import UserError

T = TypeVar("T")


class Registry(dict[str, T]):
    """What there is of one kind, by name, in the order of registration.

    Args:
        kind: one of it, with its article, such as "an operator".
        where: how to see more of what there is, such as "see: lossearch tasks".
        group: entry-point group of modules through which other packages add to it; without one they cannot.
    """

    def __init__(self, kind: str, *, where: str = "", group: str = "") -> None:
        super().__init__()
        self.kind = kind
        self.where = where
        self.group = group
        self._extended = False

    def add(self, name: str, value: T) -> T:
        """Register `value`; raises `UserError` where the name is taken."""
        if name in self:
            article, _, noun = self.kind.partition(" ")
            raise UserError(f"a new name for {article} {noun}", repr(name), "it is taken: choose another")
        self[name] = value
        return value

    def find(self, name: str) -> T:
        """What is registered under `name`; raises `UserError` with names that are close."""
        try:
            return self[name]
        except (KeyError, TypeError):
            raise UserError(self.kind, f"{name!r:.80}", self._hint(name)) from None

    def _hint(self, name: object) -> str:
        known = sorted(self)
        if isinstance(name, str) and (close := difflib.get_close_matches(name, known, n=3, cutoff=0.7)):
            return f"did you mean {' or '.join(close)}?"
        return f"known: {', '.join(known) or 'none'}" + (f"; {self.where}" if self.where else "")

    def extend(self) -> None:
        """Once per process, import the modules through which other packages add to this registry."""
        if not self._extended and self.group:
            self._extended = True
            for point in entry_points(group=self.group):
                point.load()

    def forget_extensions(self) -> None:
        """Look for other packages again, since one may have been installed in the meantime."""
        self._extended = False
