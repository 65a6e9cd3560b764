"""Proposals from outside: a person, a script or a language model writes formulas, and is told their scores.

The protocol is one JSON object a line, each way. lossearch sends, before it waits for an answer,

    {"told": [{"formula": "…", "score": 0.91, "reason": ""}, …]}
    {"propose": 8, "number": 3, "seed": 2870162813, "signature": "dense"}

and is answered with

    {"formulas": ["cross_entropy(logits, target) + 0.1 * entropy(logits)", …]}

`told` has what became of earlier formulas, the space's seeds included; there is no such line where there is nothing to
tell. `score` is the metric, turned so that higher is better; null for what could not be read, was rejected or failed,
with the reason. Where training changed its constants, or screening its sign, `scored` has the loss that was scored.
`number` counts the requests; an answer may repeat it, and one to another request is then skipped. `seed` is for whoever
draws at random, and is the same when a search is resumed.

A formula is the text form, with its signature before it or without; of several slots it is `box = box: … |
classification = dense: …`. It is parsed and typed, never run as code.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lossearch.errors import UserError
from lossearch.evolve.method import Method, Proposal
from lossearch.evolve.proposers import FileProposer, FunctionProposer, Message, ProcessProposer, Proposer
from lossearch.ir.core.joint import AnyGraph, by_slot
from lossearch.ir.forms.joint import format_any
from lossearch.joint_loss import loss_from_text
from lossearch.reading import parse_json
from lossearch.search_spaces.joint import AnySpace, JointSpace

_SIGNED = re.compile(r"\s*[^\W\d]\w*\s*(\([^:]*\)\s*)?:(?!=)")
_LONGEST_TOLD = 500  # characters of a formula that could not be read
_WAYS = "one of: command; requests and answers; function"


class OutsideSettings(BaseModel):
    """Settings of proposals from outside. One of `command`, `requests` with `answers`, and `function` is required.

    Attributes:
        command: a program with its arguments, which reads requests from its input and writes answers to its output.
        requests: a file to which requests are appended.
        answers: a file from which answers are read.
        function: `FILE.py:NAME` or `MODULE:NAME` of a Python function that is called with each request and returns a
            list of formulas; in Python the function itself.
        folder: in which the command runs, and that paths are relative to.
        batch: formulas that are asked for at once.
        limit_s: seconds for an answer.
        tries: answers without a formula that can be read, after which the search ends.
        history: of how many formulas a command or function is told when a search goes on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    command: tuple[str, ...] | None = Field(default=None, min_length=1)
    requests: str | None = None
    answers: str | None = None
    function: str | Callable[[Message], Any] | None = None
    folder: str = "."
    batch: int = Field(default=8, ge=1, le=1000)
    limit_s: float = Field(default=600.0, gt=0.0)
    tries: int = Field(default=3, ge=1)
    history: int = Field(default=200, ge=0)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [self.command, self.requests, self.function]
        if sum(one is not None for one in given) != 1 or (self.requests is None) != (self.answers is None):
            raise ValueError(_WAYS)
        return self

    def proposer(self) -> Proposer:
        """Who proposes; nothing is started or opened yet."""
        folder = Path(self.folder)
        if self.command is not None:
            return ProcessProposer(self.command, folder, self.limit_s)
        if self.requests is not None and self.answers is not None:
            return FileProposer(folder / self.requests, folder / self.answers, self.limit_s)
        assert self.function is not None
        return FunctionProposer(self.function, folder)


class Outside(Method):
    """Formulas that somebody outside proposes, after the seeds; see the protocol above."""

    Settings = OutsideSettings

    def __init__(self, space: AnySpace, seed: int, settings: OutsideSettings) -> None:
        super().__init__(space, seed, settings)
        self.settings = settings
        self.proposer = settings.proposer()
        spaces = space.spaces.values() if isinstance(space, JointSpace) else [space]
        self.signature = " | ".join(one.signature for one in spaces)
        self.requests = 0
        self.malformed = 0
        self._proposed: deque[tuple[str, AnyGraph]] = deque()
        self._asked = 0
        self._waiting: dict[int, tuple[str, str]] = {}  # text and key of what was asked and not told
        self._rows: list[dict[str, Any]] = []
        self._unsent = 0  # of the rows, the last

    def propose(self) -> Proposal:
        """The next formula; asks for more where there is none."""
        for _ in range(self.settings.tries):
            if self._proposed:
                break
            self._request()
        if not self._proposed:
            last = self._rows[-1]["reason"] if self._rows else "no formulas"
            found = f"none in {self.settings.tries} answers; the last: {last}"
            raise UserError("formulas that can be read", found, "correct who proposes; lossearch resume goes on")
        text, graph = self._proposed.popleft()
        number, self._asked = self._asked, self._asked + 1
        self._waiting[number] = (text, graph.key)
        return Proposal(graph, "outside", number=number)

    def _request(self) -> None:
        """Tell what is new, ask for formulas, and keep those that can be read."""
        self.requests += 1
        seed, count = self.rng.getrandbits(32), self.settings.batch
        request = {"propose": count, "number": self.requests, "seed": seed, "signature": self.signature}
        told = self._rows[len(self._rows) - self._unsent :]
        self.proposer.send([*([{"told": told}] if told else []), request])
        self._unsent = 0
        for text in self._answer():
            try:
                self._proposed.append((text, self._parsed(text)))
            except UserError as error:
                self._refuse(text, error)

    def _answer(self) -> list[Any]:
        """The formulas of the answer to the last request; none where it cannot be read."""
        while True:
            line = self.proposer.receive()
            try:
                formulas, number = _read(line)
            except UserError as error:
                self._refuse(line, error)
                return []
            if number in (None, self.requests):
                return formulas

    def _parsed(self, text: object) -> AnyGraph:
        if not isinstance(text, str):
            raise UserError("a formula as text", repr(text)[:80], 'write "cross_entropy(logits, target)"')
        several = isinstance(self.space, JointSpace)
        graph = loss_from_text(text if several or _SIGNED.match(text) else f"{self.signature}: {text}").graph.frozen()
        spaces = self.space.spaces if isinstance(self.space, JointSpace) else {"": self.space}
        found = {slot: one.signature.name for slot, one in by_slot(graph, "").items()}
        wanted = {slot: one.signature for slot, one in spaces.items()}
        if found != wanted:
            required = f"formulas of signature {self.signature}" + (f" for {', '.join(wanted)}" if several else "")
            raise UserError(required, ", ".join(f"{k} {v}".strip() for k, v in found.items()), "correct the formula")
        for one in by_slot(graph, "").values():
            if missing := [i.name for i in one.signature.forward_inputs if not one.uses(i.name)]:
                needed = ", ".join(i.name for i in one.signature.forward_inputs)
                raise UserError(f"formulas of {needed}", f"one without {', '.join(missing)}", "use them all")
        return graph

    def _refuse(self, text: object, error: UserError) -> None:
        self.malformed += 1
        told = text[:_LONGEST_TOLD] if isinstance(text, str) else text
        self._tell_outside({"formula": told, "score": None, "reason": str(error)})

    def _tell_outside(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self._unsent += 1
        excess = len(self._rows) - max(self.settings.history, self._unsent)
        del self._rows[: max(0, excess)]

    def tell(self, candidate: Proposal, score: float | None, complexity: int) -> None:
        """Learn a score, to be sent before the next request."""
        super().tell(candidate, score, complexity)
        number = -1 if candidate.number is None else candidate.number
        text, key = self._waiting.pop(number, (format_any(candidate.graph), candidate.graph.key))
        row: dict[str, Any] = {"formula": text, "score": score, "reason": candidate.reason}
        if candidate.graph.key != key:
            row["scored"] = format_any(candidate.graph)
        self._tell_outside(row)

    def inject(self, graph: AnyGraph, score: float) -> None:
        """A migrant is told outside."""
        super().inject(graph, score)
        self._tell_outside({"formula": format_any(graph), "score": score, "reason": "found by another island"})

    def state(self) -> dict[str, Any]:
        """As `Method.state`, with what was proposed but not asked for, asked for but not told, and told."""
        return {
            **super().state(),
            "counts": [self.requests, self.malformed, self._asked, self._unsent],
            "proposed": [text for text, _ in self._proposed],
            "waiting": [[number, *asked] for number, asked in self._waiting.items()],
            "rows": list(self._rows),
            "place": self.proposer.place,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken; a process or function that knows nothing is told all again."""
        super().load_state(state)
        self.requests, self.malformed, self._asked, self._unsent = state["counts"]
        self._proposed = deque((text, self._parsed(text)) for text in state["proposed"])
        self._waiting = {number: (text, key) for number, text, key in state["waiting"]}
        self._rows = list(state["rows"])
        self.proposer = self.settings.proposer()
        self.proposer.place = state["place"]
        if not self.proposer.remembers:
            self._unsent = len(self._rows)


def _read(line: str) -> tuple[list[Any], Any]:
    """Formulas of an answer, and the number of the request, where it has one."""
    hint = 'write {"formulas": ["…", …]} in one line'
    answer = parse_json(line, "an answer in JSON", hint)
    formulas = answer.get("formulas") if isinstance(answer, dict) else None
    if not isinstance(formulas, list):
        raise UserError("an answer with a list of formulas", line, hint)
    return formulas, answer.get("number")
