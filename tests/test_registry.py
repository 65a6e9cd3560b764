"""What is registered is found by name, and what is not is named with what comes close."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lossearch.errors import UserError
from lossearch.registry import Registry

MODULE = "from lossearch_registry_user import THINGS\nTHINGS.add('theirs', 3)\n"


@pytest.fixture
def things() -> Registry[int]:
    made: Registry[int] = Registry("a thing", where="see: lossearch things", group="lossearch.things")
    made.add("first", 1)
    made.add("second", 2)
    return made


def test_what_is_registered_is_found_in_order(things: Registry[int]) -> None:
    assert things.find("first") == 1
    assert list(things) == ["first", "second"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("frist", "a thing; found: 'frist'; did you mean first?"),
        ("other", "a thing; found: 'other'; known: first, second; see: lossearch things"),
        (["first"], r"a thing; found: \['first'\]; known: first, second"),
        ("x" * 500, r"found: 'x+; known"),
    ],
)
def test_an_unknown_name_is_refused_with_what_comes_close(things: Registry[int], name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        things.find(name)


def test_a_name_is_taken_only_once(things: Registry[int]) -> None:
    with pytest.raises(UserError, match="a new name for a thing; found: 'first'"):
        things.add("first", 5)
    assert things["first"] == 1


def test_other_packages_add_through_their_entry_points_once(
    things: Registry[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lossearch_registry_user.py").write_text("THINGS = None\n")
    (tmp_path / "theirs.py").write_text(MODULE)
    information = tmp_path / "theirs-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[lossearch.things]\ntheirs = theirs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import lossearch_registry_user  # pyright: ignore[reportMissingImports]

    lossearch_registry_user.THINGS = things
    try:
        things.extend()
        things.extend()
        assert things.find("theirs") == 3
    finally:
        for name in ("theirs", "lossearch_registry_user"):
            sys.modules.pop(name, None)
