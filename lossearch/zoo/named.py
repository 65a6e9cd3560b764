"""Losses by what they are called: a hand-designed loss with arguments, or the text form."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.forms.parser import Parser
from lossearch.loss import Loss
from lossearch.zoo.registry import get


def hand_designed_loss(text: str) -> Loss:
    """A hand-designed loss, with arguments in brackets: `focal(gamma=2)`."""
    parser = Parser(text, "a hand-designed loss with arguments")
    syntax = parser.expression()
    parser.finish()
    if syntax.args:
        hint = f'write {syntax.name}(name=value), or, for a formula, its signature before it: "dense: …"'
        raise UserError("arguments by name", text, hint)
    return get(syntax.name, **{name: _argument(name, value) for name, value in syntax.attrs})


def _argument(name: str, value: object) -> Any:
    if isinstance(value, tuple) and not all(isinstance(item, (int, float)) for item in value):
        raise UserError(
            f"a number, a word, or several numbers for {name}", repr(value), "give one value, or several numbers"
        )
    return {"True": True, "False": False}.get(value, value) if isinstance(value, str) else value


def is_text_form(text: str) -> bool:
    """Whether a text is a loss written out (`dense: …`) rather than a name."""
    return ":" in text


@lru_cache(maxsize=256)
def graph_of(text: str) -> Graph:
    """The graph of a hand-designed loss with arguments or of a text form, its parameters at their defaults.

    Raises:
        UserError: There is no such loss, or the text is malformed or ill-typed.
    """
    loss = Loss.from_text(text) if is_text_form(text) else hand_designed_loss(text)
    return loss.graph.frozen()
