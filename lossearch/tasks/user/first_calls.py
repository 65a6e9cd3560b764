"""The first calls of all losses that a training function takes: of most functions that of one loss."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lossearch.compile.module import LossModule
from lossearch.errors import UserError
from lossearch.tasks.user.first_call import DAMAGED, FirstCall, recording

_SLOTS = "slots"

ONE = "loss"
"""The slot of a function that takes one loss."""


@dataclass(frozen=True)
class FirstCalls:
    """What a training function gives each of its losses at its first call.

    Attributes:
        by_slot: the first call of each slot's loss.
    """

    by_slot: Mapping[str, FirstCall]

    def __getitem__(self, slot: str) -> FirstCall:
        """The first call of a slot's loss."""
        return self.by_slot[slot]

    @property
    def only(self) -> FirstCall:
        """Of the one loss that a function takes; raises `UserError` where it takes several."""
        if len(self.by_slot) != 1:
            raise UserError("a function that takes one loss", f"losses for {', '.join(self.by_slot)}", "name a slot")
        return next(iter(self.by_slot.values()))

    @property
    def described(self) -> bool:
        """Whether the function's class tells them by its method `describe`, so that none was called."""
        return all(call.described for call in self.by_slot.values())

    @property
    def judged(self) -> bool:
        """Whether the function's class gives the metric of predictions by its method `judge`."""
        return all(call.judged for call in self.by_slot.values())

    def describe(self) -> str:
        """Shapes, for a person."""
        if len(self.by_slot) == 1:
            return self.only.describe()
        return "; ".join(f"{slot}: {call.describe()}" for slot, call in self.by_slot.items())

    def dumps(self) -> bytes:
        """As `FirstCall.dumps` of the one loss of a function that takes no mapping.

        Of a mapping one after the other, after a line that gives their slots and lengths. `loads` reads it back.
        """
        if self.by_slot.keys() == {ONE}:
            return self.only.dumps()
        parts = {slot: call.dumps() for slot, call in self.by_slot.items()}
        head = {_SLOTS: {slot: len(part) for slot, part in parts.items()}}
        return json.dumps(head).encode() + b"\n" + b"".join(parts.values())

    @classmethod
    def loads(cls, content: bytes) -> FirstCalls:
        """The calls in a file's content; raises `UserError` where it is damaged."""
        first, _, body = content.partition(b"\n")
        try:
            head = json.loads(first)
            lengths = head.get(_SLOTS)
            if lengths is None:
                return cls({ONE: FirstCall.loads(content)})
            ends = [0]
            for length in lengths.values():
                ends.append(ends[-1] + int(length))
            if not lengths or min(lengths.values()) < 1 or ends[-1] != len(body):
                raise ValueError(f"{len(body)} bytes in place of {ends[-1]}")
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            found = f"{type(error).__name__}: {error}"[:200]
            raise UserError(DAMAGED, found, "restore the file from a copy, or search anew") from error
        parts = zip(lengths, pairwise(ends), strict=True)
        return cls({name: FirstCall.loads(body[start:end]) for name, (start, end) in parts})


@dataclass(frozen=True)
class Recording:
    """Makes, in a training's process, the losses that another factory makes, recording the first call of each.

    The function is ended where the last of them has been called; until then losses compute their values.

    Attributes:
        factory: makes the loss, or a mapping of losses by slot.
        paths: by slot the file in which its first call is recorded.
    """

    factory: Callable[[], LossModule | Mapping[str, LossModule]]
    paths: Mapping[str, str]

    def __call__(self) -> LossModule | dict[str, LossModule]:
        """The recording loss, or the mapping of them."""
        made, all_paths = self.factory(), tuple(self.paths.values())
        if isinstance(made, LossModule):
            return recording(made, all_paths[0], all_paths)
        return {slot: recording(loss, self.paths[slot], all_paths) for slot, loss in made.items()}

    def recorded(self) -> FirstCalls | None:
        """What was recorded; None where a loss was never called."""
        found = {slot: Path(path) for slot, path in self.paths.items()}
        if not all(path.exists() for path in found.values()):
            return None
        return FirstCalls({slot: FirstCall.loads(path.read_bytes()) for slot, path in found.items()})

    @property
    def missing(self) -> list[str]:
        """The slots whose losses were never called."""
        return [slot for slot, path in self.paths.items() if not Path(path).exists()]
