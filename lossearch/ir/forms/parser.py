"""Tokens and syntax of the one-line text form: expressions, without meaning.

Both the text form of losses and the rewriting rules are written in this syntax. Parsing never evaluates anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from lossearch.errors import UserError
from lossearch.ir.core.operator import INFIX
from lossearch.plain_text import is_name
from lossearch.reading import check_text, number_in, whole_in

LARGEST_TEXT = 400_000
DEEPEST_NESTING = 60

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<name>[^\W\d]\w*'*)"
    r"|(?P<symbol>\*\*|:=|[-+*/(),;:=\[\]?]))"
)


@dataclass(frozen=True)
class Syntax:
    """A parsed expression: a number, a name, or a call with arguments and keyword attributes."""

    kind: str  # "number", "name" or "call"
    name: str = ""
    number: float = 0.0
    args: tuple[Syntax, ...] = ()
    attrs: tuple[tuple[str, object], ...] = field(default=())
    place: int = 0


class Parser:
    """A recursive-descent parser over one text; every error names the place."""

    def __init__(self, text: str, what: str = "an expression") -> None:
        if len(text) > LARGEST_TEXT:
            raise UserError(f"a text of at most {LARGEST_TEXT} characters", str(len(text)), "shorten it")
        check_text(text, what, "correct it")
        self.text, self.what = text, what
        self.tokens: list[tuple[str, str, int]] = []
        self.at = self.depth = 0
        self._tokenise()

    def _tokenise(self) -> None:
        position, end = 0, len(self.text.rstrip())
        while position < end:
            match = _TOKEN.match(self.text, position)
            if match is None:
                raise self.error(f"the character {self.text[position:].lstrip()[0]!r}", position)
            kind = match.lastgroup or ""
            if kind == "name" and not is_name(match.group(kind).rstrip("'")):
                raise self.error(f"{match.group(kind)!r}, which is no name as Python reads it", match.start(kind))
            self.tokens.append((kind, match.group(kind), match.start(kind)))
            position = match.end()
        self.tokens.append(("end", "the end of the text", end))

    def error(self, found: str, place: int | None = None) -> UserError:
        """An error that shows where in the text it stands."""
        where = self.tokens[self.at][2] if place is None else place
        excerpt = self.text[max(0, where - 20) : where + 20]
        return UserError(
            f"{self.what} in text form", f"{found} at character {where + 1} (near {excerpt!r})", "correct it"
        )

    @property
    def token(self) -> str:
        """The current token's text."""
        return self.tokens[self.at][1]

    @property
    def kind(self) -> str:
        """The current token's kind."""
        return self.tokens[self.at][0]

    def take(self) -> str:
        """Return the current token and go on."""
        self.at += 1
        return self.tokens[self.at - 1][1]

    def accept(self, token: str) -> bool:
        """Go on if the current token is this one."""
        if self.kind != "end" and self.token == token:
            self.at += 1
            return True
        return False

    def expect(self, token: str) -> None:
        """Go on over this token or fail."""
        if not self.accept(token):
            raise self.error(f"{self.token!r} where {token!r} belongs")

    def name(self) -> str:
        """A name, or fail."""
        if self.kind != "name":
            raise self.error(f"{self.token!r} where a name belongs")
        return self.take()

    def number(self) -> float:
        """A number with an optional sign, or fail."""
        sign = -1.0 if self.accept("-") else 1.0
        if self.kind != "number":
            raise self.error(f"{self.token!r} where a number belongs")
        return sign * self._number()

    def _number(self) -> float:
        """The number that the current token is, or fail."""
        number = number_in(self.token)
        if number is None:
            raise self.error(f"{self.token:.40}, which is no number that a float can hold")
        self.take()
        return number

    def expression(self, binding: int = 0) -> Syntax:
        """An expression whose infix operators bind tighter than `binding`."""
        self.depth += 1
        if self.depth > DEEPEST_NESTING:
            raise self.error(f"more than {DEEPEST_NESTING} nested levels")
        left = self._prefix()
        while self.kind == "symbol" and self.token in INFIX:
            operator = INFIX[self.token]
            assert operator.symbol is not None
            strength = operator.symbol[1]
            if strength <= binding:
                break
            place = self.tokens[self.at][2]
            self.take()
            # ** groups from the right, the others from the left.
            right = self.expression(strength - 1 if operator.name == "pow" else strength)
            left = Syntax("call", operator.name, args=(left, right), place=place)
        self.depth -= 1
        return left

    def _prefix(self) -> Syntax:
        place = self.tokens[self.at][2]
        if self.accept("-"):
            if self.kind == "number" and self.tokens[self.at + 1][1] != "**":
                return Syntax("number", number=-self._number(), place=place)
            return Syntax("call", "neg", args=(self.expression(3),), place=place)
        if self.accept("("):
            inner = self.expression()
            self.expect(")")
            return inner
        if self.kind == "number":
            return Syntax("number", number=self._number(), place=place)
        name = self.name()
        return self._call(name, place) if self.accept("(") else Syntax("name", name, place=place)

    def _call(self, name: str, place: int) -> Syntax:
        args: list[Syntax] = []
        attrs: list[tuple[str, object]] = []
        while not self.accept(")"):
            if args or attrs:
                self.expect(",")
            if self.kind == "name" and self.tokens[self.at + 1][1] == "=":
                key = self.take()
                self.take()
                attrs.append((key, self._attribute()))
            elif attrs:
                raise self.error("a positional argument after attributes")
            else:
                args.append(self.expression())
        return Syntax("call", name, args=tuple(args), attrs=tuple(attrs), place=place)

    def _attribute(self) -> object:
        if self.accept("("):
            return self._sequence(")", self._entry)
        if self.kind == "name":
            return self.take()
        start = self.at
        value = self.number()
        whole = whole_in("".join(token for _, token, _ in self.tokens[start : self.at]))
        return value if whole is None else whole

    def _entry(self) -> str | float:
        return self.name() if self.kind == "name" else self.number()

    def _sequence(self, close: str, item: Callable[[], str | float]) -> tuple[str | float, ...]:
        items: list[str | float] = []
        while not self.accept(close):
            if items:
                self.expect(",")
                if self.accept(close):
                    break
            items.append(item())
        return tuple(items)

    def finish(self) -> None:
        """Fail unless the whole text was read."""
        if self.kind != "end":
            raise self.error(f"{self.token!r} after the end of the expression")
