"""The grammar of a search space, parsed once: terminals as nodes, templates as node builders."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from lossearch.errors import UserError
from lossearch.ir.core.axes import Axes, ordered
from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.signature import get_signature
from lossearch.ir.core.types import IllTyped
from lossearch.ir.forms.parser import Parser, Syntax
from lossearch.ir.forms.text import build, check_names
from lossearch.search_spaces.space import CONSTANT, SearchSpace, Sort

MOST_TRIES = 20
"""Attempts at a well-typed filling before a terminal is taken instead."""

MOST_CHECKS = 2000
"""Attempts before a template counts as a mistake; a template needs them only if no terminals fit it."""


@dataclass(frozen=True)
class Production:
    """A parsed template; `holes` are its sorts in order of occurrence, each a subexpression of its own."""

    syntax: Syntax
    holes: tuple[str, ...]
    parser: Parser
    names: Mapping[str, Expr]

    def fill(self, nodes: Sequence[Expr]) -> Expr:
        """The expression with its holes filled; raises `IllTyped` where they do not fit."""
        filled = {f"_{rank}": node for rank, node in enumerate(nodes)}
        return build(self.syntax, {**self.names, **filled}, self.parser)


class Weighted:
    """Draws an index in proportion to weights."""

    def __init__(self, weights: Sequence[float]) -> None:
        self.cumulative = list(accumulate(weights))
        self.indices = range(len(weights))

    def draw(self, rng: random.Random) -> int:
        """An index."""
        return rng.choices(self.indices, cum_weights=self.cumulative)[0]


class Grammar:
    """Random well-typed expressions of a search space."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.signature = get_signature(space.signature)
        self.names = self.signature.nodes()
        self.excluded = frozenset(space.exclude)
        self.axes: dict[Sort, Axes] = {sort: ordered(axes) for sort, axes in space.sorts.items()}
        self._sorts = {axes: sort for sort, axes in self.axes.items()}
        self.terminals: dict[Sort, list[Expr]] = {}
        self.templates: dict[Sort, list[Production]] = {}
        self._draw_terminal: dict[Sort, Weighted] = {}
        self._draw_template: dict[Sort, Weighted] = {}
        for sort in self.axes:
            terminals = self._allowed(space.terminals.get(sort, {}))
            templates = self._allowed(space.templates.get(sort, {}))
            if not terminals or not templates:
                without = [*space.exclude, *space.absent]
                found = f"none without {', '.join(without)}" if without else "none"
                hint = f"{'exclude less, or ' if without else ''}add them to space {space.name}"
                raise UserError(f"terminals and templates of sort {sort}", found, hint)
            self.terminals[sort] = [self._terminal(template, sort) for template, _ in terminals]
            self.templates[sort] = [template for template, _ in templates]
            self._draw_terminal[sort] = Weighted([weight for _, weight in terminals])
            self._draw_template[sort] = Weighted([weight for _, weight in templates])
        self._check_templates(random.Random(0))

    def _check_templates(self, rng: random.Random) -> None:
        """Refuse a template that neither terminals nor templates of them fit."""
        known: dict[Sort, list[Expr]] = {sort: list(terminals) for sort, terminals in self.terminals.items()}
        doubtful: list[tuple[Sort, Production]] = []
        for sort, made in self.templates.items():
            for template in made:
                found = self._filled(template, sort, self.terminals, MOST_TRIES, rng)
                if found is None:
                    doubtful.append((sort, template))
                else:
                    known[sort].append(found)
        for sort, template in doubtful:
            if self._filled(template, sort, known, MOST_CHECKS, rng) is None:
                required = f"a template of sort {sort}, [{', '.join(self.axes[sort])}]"
                hint = f"correct {template.parser.text!r} in space {self.space.name}"
                raise UserError(required, "nothing in it is well typed with these axes", hint)

    def _filled(
        self, template: Production, sort: Sort, known: Mapping[Sort, Sequence[Expr]], tries: int, rng: random.Random
    ) -> Expr | None:
        """A well-typed expression of the sort with constants and known expressions in the holes, if one is drawn."""
        for _ in range(tries):
            holes = [self.constant(rng) if h == CONSTANT else rng.choice(known[h]) for h in template.holes]
            try:
                found = template.fill(holes)
            except IllTyped:
                continue
            if found.axes == self.axes[sort]:
                return found
        return None

    def _allowed(self, texts: Mapping[str, float]) -> list[tuple[Production, float]]:
        """The templates in which nothing excluded or absent occurs, with their weights."""
        parsed = [(self._template(text), weight) for text, weight in texts.items()]
        barred = {("call", name) for name in self.excluded} | {("name", name) for name in self.space.absent}
        return [(template, weight) for template, weight in parsed if not barred & _words(template.syntax)]

    def allows(self, roots: Iterable[Expr]) -> bool:
        """Whether nothing excluded or absent occurs; what primitives that stay closed are made of is not looked at."""
        absent = self.space.absent
        if not self.excluded and not absent:
            return True
        nodes = (node for root in roots for node in root.postorder())
        return not any(
            node.op in self.excluded or (node.op == "input" and node.attr("name") in absent) for node in nodes
        )

    def _terminal(self, template: Production, sort: Sort) -> Expr:
        node, text = template.fill(()), template.parser.text
        if node.axes != self.axes[sort]:
            raise IllTyped(f"a terminal of sort {sort} with axes {self.axes[sort]}", f"{text}: {node.axes}", "move it")
        return node

    def _template(self, text: str) -> Production:
        try:
            parser = Parser(text, "a template")
            syntax = parser.expression()
            parser.finish()
            check_names(syntax, {*self.names, *self.axes, CONSTANT}, parser)
        except UserError as error:
            hint = f"correct {text!r} in space {self.space.name}"
            raise UserError(error.required, error.found, hint) from None
        holes: list[str] = []
        return Production(_numbered(syntax, {*self.axes, CONSTANT}, holes), tuple(holes), parser, self.names)

    def sort_of(self, node: Expr) -> Sort | None:
        """The sort whose axes a node has."""
        return self._sorts.get(node.type.axes) if node.type.kind == "real" else None

    def constant(self, rng: random.Random) -> Expr:
        """A constant of a usual magnitude, give or take half an octave."""
        value = rng.choice(self.space.constants.magnitudes) * 2.0 ** rng.uniform(-0.5, 0.5)
        return constant(float(f"{value:.3g}"))

    def terminal(self, sort: Sort, rng: random.Random) -> Expr:
        """A terminal."""
        return self.terminals[sort][self._draw_terminal[sort].draw(rng)]

    def expression(self, sort: Sort, size: int, rng: random.Random) -> Expr:
        """An expression of `size` templates at most."""
        found = self.apply_template(sort, size, rng) if size > 0 else None
        return self.terminal(sort, rng) if found is None else found

    def apply_template(self, sort: Sort, size: int, rng: random.Random, inside: Expr | None = None) -> Expr | None:
        """A filled template; `inside`, if given, fills the first hole of its own sort."""
        wanted = None if inside is None else self.sort_of(inside)
        for _ in range(MOST_TRIES):
            template = self.templates[sort][self._draw_template[sort].draw(rng)]
            if wanted is not None and wanted not in template.holes:
                continue
            nodes = self._fill_holes(template, size - 1, rng)
            if inside is not None and wanted is not None:
                nodes[template.holes.index(wanted)] = inside
            try:
                filled = template.fill(nodes)
            except IllTyped:
                continue
            if filled.axes == self.axes[sort]:
                return filled
        return None

    def _fill_holes(self, template: Production, left: int, rng: random.Random) -> list[Expr]:
        nodes: list[Expr] = []
        for hole in template.holes:
            if hole == CONSTANT:
                nodes.append(self.constant(rng))
                continue
            share = rng.randint(0, max(left, 0))
            left -= share
            nodes.append(self.expression(hole, share, rng))
        return nodes


def _numbered(syntax: Syntax, letters: Collection[str], holes: list[str]) -> Syntax:
    if syntax.kind == "name" and syntax.name in letters:
        holes.append(syntax.name)
        return replace(syntax, name=f"_{len(holes) - 1}")
    return replace(syntax, args=tuple(_numbered(argument, letters, holes) for argument in syntax.args))


def _words(syntax: Syntax) -> set[tuple[str, str]]:
    """The kind and name of everything in a template: what it calls, and which inputs it takes."""
    return {(syntax.kind, syntax.name)}.union(*map(_words, syntax.args))
