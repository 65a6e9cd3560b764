import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossearch.engine.digests import DigestSet
from lossearch.engine.state import IslandState, newest_states
from lossearch.errors import UserError


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@given(st.sets(st.text(max_size=5)))
def test_digests_survive_packing(texts: set[str]) -> None:
    digests = DigestSet(map(digest, texts))
    again = DigestSet.unpack(digests.pack())
    assert list(again) == list(digests)
    assert all(digest(text) in again for text in texts)
    assert digest("another, longer text") not in again


@pytest.mark.parametrize("text", ["not base64!", "AAAA", "é"])
def test_malformed_digests_are_refused(text: str) -> None:
    with pytest.raises(UserError):
        DigestSet.unpack(text)


def state(island: int, generation: int) -> IslandState:
    method = {"rng": [3, [1, 2], None], "best": []}
    return IslandState(island, generation, method, DigestSet([digest("a")]), candidates=7, wall_seconds=0.1)


def test_a_state_survives_as_text() -> None:
    before = state(2, 5)
    after = IslandState.loads(before.dumps())
    assert list(after.seen) == list(before.seen)
    assert {**after.__dict__, "seen": 0} == {**before.__dict__, "seen": 0}


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_torn_state_is_noticed(keep: int) -> None:
    with pytest.raises(UserError, match="undamaged island state"):
        IslandState.loads(state(0, 1).dumps()[:keep])


def test_a_changed_state_is_noticed() -> None:
    with pytest.raises(UserError, match="checksum"):
        IslandState.loads(state(0, 1).dumps().replace("7", "8", 1))


def save(folder: Path, session: int, number: int, what: IslandState, length: int | None = None) -> Path:
    place = folder / f"session-{session:04}" / f"island-{what.island}" / f"checkpoint_{number:06}"
    place.mkdir(parents=True)
    file = place / "island.json"
    file.write_text(what.dumps()[:length])
    return file


def test_the_newest_sound_state_counts(tmp_path: Path) -> None:
    save(tmp_path, 0, 0, state(0, 1))
    old = save(tmp_path, 0, 1, state(0, 2))
    save(tmp_path, 0, 2, state(0, 3), length=50)
    new = save(tmp_path, 1, 0, state(1, 4))
    save(tmp_path, 0, 9, state(1, 3))
    found = newest_states(tmp_path)
    assert {island: saved.path for island, saved in found.items()} == {0: old, 1: new}
    assert IslandState.loads(found[0].text).generation == 2
    assert newest_states(tmp_path / "nowhere") == {}
