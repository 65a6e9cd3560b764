"""Places of a graph's nodes in a drawing: leaves at the bottom, roots at the top, few crossings.

Layered drawing (Sugiyama, Tagawa and Toda 1981): rows by longest path, stops where an edge passes a row, and each row
in the order of its neighbours' mean places, swept up and down.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lossearch.ir.core.expr import Expr, postorder

Place = tuple[float, float]

GAP = 0.5
_STOP_WIDTH = 0.4  # of an edge that passes a row
_SWEEPS = 12


@dataclass(frozen=True)
class _Stop:
    """Where the edge between two nodes passes a row."""

    source: Expr
    user: Expr
    row: int


_Item = Expr | _Stop


@dataclass(frozen=True)
class Layout:
    """Where everything is drawn; one unit is the height of a row.

    Attributes:
        nodes: centre of each node.
        edges: from each argument to its user, the places in between that the edge passes.
    """

    nodes: Mapping[Expr, Place]
    edges: Mapping[tuple[Expr, Expr], tuple[Place, ...]]


def layers(roots: Iterable[Expr]) -> dict[Expr, int]:
    """The row of each node: above all its arguments, and leaves right below the lowest of their users."""
    nodes = postorder(tuple(roots))
    found: dict[Expr, int] = {}
    for node in nodes:
        found[node] = 1 + max((found[argument] for argument in node.args), default=-1)
    lowest: dict[Expr, int] = {}
    for node in nodes:
        for argument in node.args:
            lowest[argument] = min(found[node], lowest.get(argument, found[node]))
    return {node: row if node.args else lowest.get(node, row + 1) - 1 for node, row in found.items()}


def layout(roots: Iterable[Expr], widths: Mapping[Expr, float]) -> Layout:
    """Places of all nodes below `roots`, which do not overlap where nodes are as wide as `widths` says."""
    roots = tuple(roots)
    row_of = layers(roots)
    rows: list[list[_Item]] = [[] for _ in range(1 + max(row_of.values()))]
    for node, row in row_of.items():
        rows[row].append(node)
    below: dict[_Item, list[_Item]] = {}
    above: dict[_Item, list[_Item]] = {}
    paths: dict[tuple[Expr, Expr], list[_Item]] = {}
    for user in row_of:
        for source in dict.fromkeys(user.args):
            stops: list[_Item] = [_Stop(source, user, row) for row in range(row_of[source] + 1, row_of[user])]
            paths[source, user] = stops
            for stop, row in zip(stops, range(row_of[source] + 1, row_of[user]), strict=True):
                rows[row].append(stop)
            chain: list[_Item] = [source, *stops, user]
            for lower, upper in itertools.pairwise(chain):
                above.setdefault(lower, []).append(upper)
                below.setdefault(upper, []).append(lower)
    x = _sweep(rows, below, above, widths)
    height = {item: float(number) for number, row in enumerate(rows) for item in row}
    nodes = {node: (x[node], height[node]) for node in row_of}
    edges = {ends: tuple((x[stop], height[stop]) for stop in stops) for ends, stops in paths.items()}
    return Layout(nodes, edges)


def _sweep(
    rows: list[list[_Item]],
    below: Mapping[_Item, list[_Item]],
    above: Mapping[_Item, list[_Item]],
    widths: Mapping[Expr, float],
) -> dict[_Item, float]:
    """The place of every item within its row."""
    width = {item: _STOP_WIDTH if isinstance(item, _Stop) else widths[item] for row in rows for item in row}
    x: dict[_Item, float] = {}
    for row in rows:
        _pack(row, dict.fromkeys(row, 0.0), width, x)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        neighbours = above if downwards else below
        for row in reversed(rows) if downwards else rows:
            wanted = {item: _mean([x[other] for other in neighbours.get(item, [item])]) for item in row}
            row.sort(key=wanted.__getitem__)
            _pack(row, wanted, width, x)
    return x


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _pack(row: list[_Item], wanted: Mapping[_Item, float], width: Mapping[_Item, float], x: dict[_Item, float]) -> None:
    """Put a row's items as near to where they want to be as their widths and order allow.

    Items that push each other form a block, which lies where its members want to be on average (pool of adjacent
    violators).
    """
    offsets: dict[_Item, float] = {}
    offset = 0.0
    for before, item in zip([None, *row], row, strict=False):
        offset += 0.0 if before is None else (width[before] + width[item]) / 2 + GAP
        offsets[item] = offset
    blocks: list[tuple[float, list[_Item]]] = []
    for item in row:
        place, members = wanted[item] - offsets[item], [item]
        while blocks and blocks[-1][0] > place:
            before, others = blocks.pop()
            place = (before * len(others) + place * len(members)) / (len(others) + len(members))
            members = [*others, *members]
        blocks.append((place, members))
    for place, members in blocks:
        x.update((item, place + offsets[item]) for item in members)
