"""Search spaces by name: those written by hand, and one derived for every other signature."""

from __future__ import annotations

from pathlib import Path

from lossearch.errors import UserError
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.core.signature import get_signature
from lossearch.search_spaces.derived import derivable, derived_space
from lossearch.search_spaces.restricted import with_complexity, without
from lossearch.search_spaces.seeds import read_seeds
from lossearch.search_spaces.space import FOLDER, SearchSpace, read_space, written_spaces


def space_names() -> list[str]:
    """The spaces that come with lossearch."""
    return sorted({*written_spaces(), *derivable()})


def load_space(name: str | Path) -> SearchSpace:
    """The search space of this name, or in this TOML file; raises `UserError` for anything malformed.

    Names are those of the spaces that come as files, and of signatures, whose hand-designed losses span a space.
    """
    if str(name) in written_spaces():
        return _checked(FOLDER / f"{name}.toml")
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        return _checked(path)
    if str(name) in derivable():
        return derived_space(get_signature(str(name)))
    raise UserError(f"a search space among {', '.join(space_names())} or a .toml file", repr(str(name)), "correct it")


def _checked(path: Path) -> SearchSpace:
    """The space in a file, its seeds read and its names checked."""
    space = read_space(path)
    seeds = read_seeds(space.seeds, get_signature(space.signature).name, path.parent, str(path))
    found = space.with_seeds(seeds)
    kinds = {name: OPERATORS[name].expand is not None for name in space.exclude if name in OPERATORS}
    primitives = [name for name in space.exclude if kinds.get(name)]
    others = [name for name in space.exclude if not kinds.get(name)]
    return with_complexity(without(found, space.exclude_losses, primitives, others), space.complexity)
