"""Imports run downward only, deferred and type-checking ones included."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = ("primitives", "search_spaces", "experiments")

# Low to high. Names in one row are peers and do not import each other.
LAYERS = (
    ("plain_text",),
    ("errors",),
    ("listing", "reading"),
    ("ir",),
    ("compile",),
    ("loss",),
    ("primitives",),
    ("zoo",),
    ("combining", "search_spaces"),
    ("tasks",),
    ("advice", "evaluate"),
    ("evolve", "meta"),
    ("engine",),
    ("report",),
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


def imported(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a source imports; names taken from a package are told apart."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
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


def _is_import_call(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What is wrong with the imports of one module."""
    own = module.split(".")[1]
    if own not in RANK:
        return [f"{module}: has no layer; add '{own}' to LAYERS"]
    found: list[str] = []
    for line, name in imported(source, module, is_package):
        top, _, rest = name.partition(".")
        if own == "ir" and top == "torch":
            found.append(f"{module}:{line} imports torch")
        if top in OUTSIDE:
            found.append(f"{module}:{line} imports {name} under its bare name")
        if top != "lossearch" or rest == "__version__":
            continue
        target = rest.split(".")[0]
        if target not in RANK and own not in FACADE_USERS:
            found.append(f"{module}:{line} imports {name} through the facade; name its module")
        elif target in RANK and target != own and RANK[target] >= RANK[own]:
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


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("lossearch.ir.a", "import torch.nn"),
        ("lossearch.ir.a", "def f():\n    from torch import Tensor"),
        ("lossearch.ir.a", "from lossearch import loss"),
        ("lossearch.ir.a", "from .. import compile"),
        ("lossearch.ir.a", "from ..compile.b import c"),
        ("lossearch.ir.a", "import importlib\nimportlib.import_module('lossearch.zoo')"),
        ("lossearch.tasks.a", "def f():\n    import lossearch.evaluate.b"),
        ("lossearch.tasks.a", "from lossearch import search"),
        ("lossearch.tasks.a", "import lossearch"),
        ("lossearch.tasks.a", "import primitives"),
        ("lossearch.evolve.a", "from lossearch.meta import b"),
        ("lossearch.new.a", ""),
    ],
)
def test_an_upward_import_is_found(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("lossearch.ir.a", "from lossearch.errors import UserError\nfrom .b import c\nimport sympy"),
        ("lossearch.ir.a", "from lossearch import __version__, errors"),
        ("lossearch.evaluate.a.b", "from ...tasks import c\nfrom ..d import e\nimport torch"),
        ("lossearch.cli.main", "from lossearch.engine import a\nfrom lossearch.report import b"),
        ("lossearch.experiments.benchmarks.a", "import lossearch\nfrom lossearch import search"),
    ],
)
def test_a_downward_import_passes(module: str, source: str) -> None:
    assert violations(source, module) == []
