"""Pictures of graphs: what is written on them, and the files that they are drawn into."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from representative import each_loss

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.ir.operators import functions as fn
from lossearch.report.graph_drawing import _figure, draw_graph


def texts(path: Path) -> set[str]:
    """What an SVG says it has drawn: matplotlib notes each text in a comment before its outlines."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.parse(path, parser).getroot()
    return {(node.text or "").strip() for node in root.iter() if node.tag is ElementTree.Comment}


def test_a_drawing_names_every_node(tmp_path: Path) -> None:
    draw_graph(zoo.get("focal", gamma=3.0), tmp_path / "focal.svg")
    written = texts(tmp_path / "focal.svg")
    assert {"focal", "logits", "target", "gamma = 3", "modulating_factor", "softmax", "log_softmax"} <= written
    draw_graph(zoo.get("weighted_cross_entropy"), tmp_path / "weighted.svg")
    assert {"weighted_cross_entropy", "weight", "class_weight"} <= texts(tmp_path / "weighted.svg")


def test_a_drawing_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one.png", "other.png"):
        draw_graph(zoo.get("tversky").graph.expanded(), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


@pytest.mark.parametrize(
    ("suffix", "head"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")]
)
def test_an_expression_is_drawn_into_every_format(tmp_path: Path, suffix: str, head: bytes) -> None:
    path = tmp_path / f"graph{suffix}"
    draw_graph(zoo.get("dice").graph.root, path)
    assert path.read_bytes().startswith(head)


def test_a_deep_graph_is_drawn(tmp_path: Path) -> None:
    root = zoo.get("cross_entropy").graph.root
    for _ in range(200):
        root = fn.tanh(root)
    draw_graph(root, tmp_path / "deep.png")
    assert (tmp_path / "deep.png").stat().st_size > 0


@pytest.mark.parametrize(("name", "message"), [("graph.jpg", "'graph.jpg'"), ("missing/graph.png", "No such file")])
def test_mistakes_are_told(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw_graph(zoo.get("focal"), tmp_path / name)


@pytest.mark.parametrize("name", each_loss())
def test_no_edge_is_cut_at_the_border(name: str) -> None:
    figure = _figure({name: zoo.get(name).root}, {})
    (axes,) = figure.axes
    (left, right), (low, top) = axes.get_xlim(), axes.get_ylim()
    for patch in axes.patches:
        box = patch.get_extents().transformed(axes.transData.inverted())
        assert left < box.x0 < box.x1 < right
        assert low < box.y0 < box.y1 < top
