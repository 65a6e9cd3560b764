"""A loss as a picture of its graph: inputs at the bottom, the loss at the top, shared subexpressions drawn once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.forms.networkx_view import label
from lossearch.loss import Loss
from lossearch.report.figure_file import figure_path, save_figure
from lossearch.report.graph_layout import Layout, layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILL = {
    "input": "#cfe3f3",
    "parameter": "#fbe3b5",
    "constant": "#ececec",
    "primitive": "#cdebdf",
    "operator": "#ffffff",
}
"""By what a node is; tints of colours that are told apart with every kind of colour vision (Okabe and Ito 2008)."""

_LETTER, _PADDING = 0.12, 0.3  # widths in units of a row's height, which is 0.8 inch
_NARROWEST = 3  # letters
_INCHES = 0.8
_LARGEST = 100.0  # inches on a side: above, files take gigabytes to draw
_MARGIN = 0.3
_EDGE = "#5b6470"


def draw_graph(loss: Loss | Graph | Expr, path: str | Path) -> None:
    """Draw a loss as it is written, primitives as single nodes, into a .png, .svg or .pdf file.

    Arrows lead from arguments to users, numbered where the order of arguments matters. Raises `UserError` for another
    suffix and a place that cannot be written.
    """
    path = figure_path(path)
    graph = loss.graph if isinstance(loss, Loss) else loss
    title = loss.name if isinstance(loss, Loss) else "loss"
    roots = (graph,) if isinstance(graph, Expr) else graph.roots
    values = {} if isinstance(graph, Expr) else {p.name: p.default for p in graph.parameters}
    save_figure(_figure(dict(zip((title, "weight"), roots, strict=False)), values), path)


def _figure(roots: Mapping[str, Expr], values: Mapping[str, float]) -> Any:
    """The expressions below `roots`, each under its name."""
    from matplotlib.figure import Figure  # half a second that only drawing should cost

    nodes = list(dict.fromkeys(node for root in roots.values() for node in root.postorder()))
    labels = {node: _label(node, values) for node in nodes}
    lines = {node: text.split("\n") for node, text in labels.items()}
    lines |= {root: [*lines[root], f"  {name}"] for name, root in roots.items()}  # bold
    widths = {node: _PADDING + _LETTER * max(_NARROWEST, *map(len, texts)) for node, texts in lines.items()}
    placed = layout(roots.values(), widths)
    left, right = _extent(placed, widths)
    low, top = -0.6, max(y for _, y in placed.nodes.values()) + 0.9
    size = ((right - left) * _INCHES, (top - low) * _INCHES)
    scale = min(1.0, _LARGEST / max(size))
    figure = Figure(figsize=(max(3.0, size[0] * scale), size[1] * scale))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(left, right), ylim=(low, top), aspect="equal")
    axes.set_axis_off()
    _draw_edges(axes, placed, widths, scale)
    for node, place in placed.nodes.items():
        _draw_node(axes, labels[node], _kind(node), place, widths[node], scale)
    for name, root in roots.items():
        x, y = placed.nodes[root]
        axes.text(x, y + 0.42, name, ha="center", va="bottom", fontsize=10 * scale, fontweight="bold", zorder=4)
    return figure


def _extent(placed: Layout, widths: Mapping[Expr, float]) -> tuple[float, float]:
    """Where the drawing begins and ends from left to right: its nodes, and the edges that go around them."""
    ends = [x + side * widths[node] / 2 for node, (x, _) in placed.nodes.items() for side in (-1, 1)]
    passed = [x for places in placed.edges.values() for x, _ in places]
    return min(*ends, *passed) - _MARGIN, max(*ends, *passed) + _MARGIN


def _kind(node: Expr) -> str:
    if node.op in FILL:
        return node.op
    return "operator" if OPERATORS[node.op].expand is None else "primitive"


def _label(node: Expr, values: Mapping[str, float]) -> str:
    text = label(node)
    return f"{text} = {values[text]:g}" if node.op == "parameter" and text in values else text


def _draw_node(axes: Axes, text: str, kind: str, place: tuple[float, float], width: float, scale: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = place
    height = 0.26 * (1 + text.count("\n")) + 0.16
    rounding = 0.02 if kind in ("operator", "primitive") else height / 2.01
    box = FancyBboxPatch(
        (x - width / 2 + rounding, y - height / 2 + rounding),
        width - 2 * rounding,
        height - 2 * rounding,
        boxstyle=f"round,pad={rounding}",
        facecolor=FILL[kind],
        edgecolor=_EDGE,
        linewidth=scale,
        zorder=2,
    )
    axes.add_patch(box)
    # A dollar sign would begin mathematics.
    axes.text(x, y, text, ha="center", va="center", fontsize=9 * scale, zorder=3, parse_math=False)


def _draw_edges(axes: Axes, placed: Layout, widths: Mapping[Expr, float], scale: float) -> None:
    """Arrows into each user from below, side by side in the order of where they come from."""
    for user in placed.nodes:
        ordered = len(user.args) > 1 and not OPERATORS[user.op].commutative
        paths = {source: (placed.nodes[source], *placed.edges[source, user]) for source in dict.fromkeys(user.args)}
        x, y = placed.nodes[user]
        arriving = sorted(paths, key=lambda source: paths[source][-1][0])
        for rank, source in enumerate(arriving):
            port = x + (0.7 * widths[user] * ((rank + 0.5) / len(arriving) - 0.5))
            numbers = [str(number) for number, argument in enumerate(user.args, start=1) if argument is source]
            text = ", ".join(numbers) if ordered or len(numbers) > 1 else ""
            _draw_edge(axes, [*paths[source], (port, y - _half_height(user))], text, scale)


def _half_height(node: Expr) -> float:
    return 0.13 * (1 + label(node).count("\n")) + 0.1


def _draw_edge(axes: Axes, points: list[tuple[float, float]], number: str, scale: float) -> None:
    """A smooth line through points that rise by a row each, with an arrow's head at its end."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    vertices, codes = [points[0]], [Curve.MOVETO]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Curve.CURVE4] * 3
    style = {"arrowstyle": "-|>", "mutation_scale": 9 * scale, "color": _EDGE, "linewidth": scale, "zorder": 1}
    axes.add_patch(FancyArrowPatch(path=Curve(vertices, codes), shrinkA=0, shrinkB=0, **style))
    if number:
        x, y = points[-1]
        axes.text(x + 0.05, y - 0.12, number, ha="left", va="center", fontsize=7 * scale, color=_EDGE, zorder=3)
