import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossearch.engine.setup.digests import DigestSet
from lossearch.engine.setup.state import Continuation, IslandState, newest_states
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
    found = newest_states(tmp_path).states
    assert {island: saved.path for island, saved in found.items()} == {0: old, 1: new}
    assert IslandState.loads(found[0].text).generation == 2
    assert newest_states(tmp_path / "nowhere") == Continuation({})


def test_a_state_that_the_archive_has_fallen_behind_does_not_count(tmp_path: Path) -> None:
    early = save(tmp_path, 0, 0, replace(state(0, 1), archived=10))
    late = save(tmp_path, 0, 1, replace(state(0, 2), archived=20))
    only = save(tmp_path, 0, 1, replace(state(1, 2), archived=21))
    level = newest_states(tmp_path, 21)
    assert {island: saved.path for island, saved in level.states.items()} == {0: late, 1: only}
    assert (level.gone_back, level.ahead) == ((), ())
    behind = newest_states(tmp_path, 20)
    assert {island: saved.path for island, saved in behind.states.items()} == {0: late}
    assert (behind.gone_back, behind.ahead) == ((1,), (only,))
    far_behind = newest_states(tmp_path, 19)
    assert {island: saved.path for island, saved in far_behind.states.items()} == {0: early}
    assert (far_behind.gone_back, set(far_behind.ahead)) == ((0, 1), {late, only})


def test_a_state_of_the_first_version_is_read() -> None:
    text = state(0, 1).dumps()
    content = json.loads(json.loads(text)["state"])
    del content["archived"]
    old = json.dumps(content)
    digest = hashlib.sha256(old.encode()).hexdigest()
    assert IslandState.loads(json.dumps({"version": 1, "sha256": digest, "state": old})).archived == 0
