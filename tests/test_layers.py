"""Imports run downward only, deferred and type-checking ones included, and no file imports itself through others."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = ("primitives", "search_spaces", "experiments")

# Low to high. Names in one row are peers and do not import each other; a package that stands in several rows is told
# apart by its parts, and what is not named of it stands in its own row.
LAYERS = (
    ("plain_text", "version"),
    ("errors",),
    ("failure_text", "files", "listing", "reading", "registry"),
    ("ir.core",),
    ("ir.signatures", "ir.operators"),
    ("ir.forms",),
    ("ir.rewriting",),
    ("ir",),
    ("compile",),
    ("loss",),
    ("joint_loss",),
    ("primitives",),
    ("zoo",),
    ("combining", "search_spaces"),
    ("archive", "tasks"),
    ("advice", "training"),
    ("evolve.cma", "meta.learnable", "meta.problem", "meta.second_derivatives"),
    ("meta.points",),
    ("meta.estimators", "meta.kinds", "meta.outer_optimizers", "meta.task_problem"),
    ("meta.outer_loop",),
    ("meta.constants",),
    ("candidates", "comparison"),
    ("evolve",),
    ("meta",),
    ("testing",),
    ("engine.setup",),
    ("engine.remote", "engine.writer"),
    ("engine.island",),
    ("fidelity", "simplifying"),
    ("engine.driver",),
    ("engine",),
    ("report",),
    ("named_losses", "situations"),
    ("across", "combinations", "cards", "exports"),
    ("api",),
    ("cli",),
    ("__main__",),
    ("experiments",),
)
FACADE_USERS = {"cli", "experiments"}  # what the facade itself never imports
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, Path]:
    """Every module of the package by dotted name, read at its real place."""
    found: dict[str, Path] = {}
    for top in ("lossearch", *OUTSIDE):
        for path in sorted((ROOT / top).rglob("*.py")):
            inside = path.relative_to(ROOT).with_suffix("").parts
            if path.is_symlink() or (inside[0] == "lossearch" and inside[1] in OUTSIDE):
                continue
            parts = inside if inside[0] == "lossearch" else ("lossearch", *inside)
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


@functools.cache
def nodes_of(source: str) -> tuple[ast.AST, ...]:
    """Those of its syntax tree that import, call or ask whether types are checked."""
    kinds = ast.Import | ast.ImportFrom | ast.Call | ast.If
    return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))


def imported(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a source imports; names taken from a package are told apart."""
    package = module if is_package else module.rpartition(".")[0]
    for node in nodes_of(source):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, base] if base else kept)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _is_import_call(node.func):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def type_checking_lines(source: str) -> set[int]:
    """Lines of what is imported for type checking alone, which no running program does."""
    return {
        inner.lineno
        for node in nodes_of(source)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    }


def _is_import_call(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}


def layer_of(module: str) -> str | None:
    """The entry of LAYERS that a module stands in: the longest that its name begins with."""
    parts = module.removeprefix("lossearch.").split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in RANK), None)


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What is wrong with the imports of one module."""
    own = layer_of(module)
    if own is None:
        return [f"{module}: has no layer; add '{module.split('.')[1]}' to LAYERS"]
    found: list[str] = []
    for line, name in imported(source, module, is_package):
        top, _, rest = name.partition(".")
        if own.partition(".")[0] == "ir" and top == "torch":
            found.append(f"{module}:{line} imports torch")
        if top in OUTSIDE:
            found.append(f"{module}:{line} imports {name} under its bare name")
        if top != "lossearch":
            continue
        target = layer_of(rest)
        if target is None:
            if own not in FACADE_USERS:
                found.append(f"{module}:{line} imports {name} through the facade; name its module")
        elif target != own and RANK[target] >= RANK[own]:
            found.append(f"{module}:{line} imports {name}, which is not below it")
    return found


def test_imports_run_downward() -> None:
    everything = modules()
    assert {"lossearch.errors", "lossearch.primitives", "lossearch.experiments.benchmarks"} <= set(everything)
    del everything["lossearch"]  # the facade
    found = [
        line
        for module, path in everything.items()
        for line in violations(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
    ]
    assert not found, "\n".join(found)


def test_no_file_imports_itself_through_others() -> None:
    everything = modules()
    graph = nx.DiGraph()
    for module, path in everything.items():
        source = path.read_text(encoding="utf-8")
        not_run = type_checking_lines(source)
        for line, name in imported(source, module, path.name == "__init__.py"):
            target = name if name in everything else name.rpartition(".")[0]
            if target in everything and target != module and line not in not_run:
                graph.add_edge(module, target)
    circles = [" → ".join([*circle, circle[0]]) for circle in nx.simple_cycles(graph, length_bound=8)]
    assert graph.number_of_edges() > len(everything)
    assert not circles, "\n".join(circles)


def test_a_circle_is_told_from_an_import_for_type_checking_alone() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lossearch.a import b\nimport lossearch.c\n"
    assert type_checking_lines(source) == {3}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("lossearch.ir.a", "import torch.nn"),
        ("lossearch.ir.a", "def f():\n    from torch import Tensor"),
        ("lossearch.ir.a", "from lossearch import loss"),
        ("lossearch.ir.a", "from .. import compile"),
        ("lossearch.ir.a", "from ..compile.b import c"),
        ("lossearch.ir.a", "import importlib\nimportlib.import_module('lossearch.zoo')"),
        ("lossearch.tasks.a", "def f():\n    import lossearch.training.b"),
        ("lossearch.tasks.a", "from lossearch import search"),
        ("lossearch.tasks.a", "import lossearch"),
        ("lossearch.tasks.a", "import primitives"),
        ("lossearch.evolve.a", "from lossearch.meta import b"),
        ("lossearch.new.a", ""),
        ("lossearch.ir.core.a", "from lossearch.ir.forms.b import c"),
        ("lossearch.ir.rewriting.a", "from lossearch.ir import c"),
        ("lossearch.engine.setup.a", "from lossearch.engine.driver import b"),
    ],
)
def test_an_upward_import_is_found(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("lossearch.ir.a", "from lossearch.errors import UserError\nfrom .b import c\nimport sympy"),
        ("lossearch.ir.a", "from lossearch import version, errors"),
        ("lossearch.training.a.b", "from ...tasks import c\nfrom ..d import e\nimport torch"),
        ("lossearch.cli.main", "from lossearch.engine import a\nfrom lossearch.report import b"),
        ("lossearch.experiments.benchmarks.a", "import lossearch\nfrom lossearch import search"),
    ],
)
def test_a_downward_import_passes(module: str, source: str) -> None:
    assert violations(source, module) == []
