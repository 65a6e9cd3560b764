"""Cross-modal tasks: conformance, splits that share no concept, hashed names, retrieval by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from representative import first_of
from tasks import named_pictures

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.cross_modal.metrics import METRICS, measured
from lossearch.tasks.cross_modal.names import concepts, hashed
from lossearch.tasks.datasets.conversions import emoji
from lossearch.tasks.described import Split
from lossearch.testing import check_task

SMALL: dict[str, Any] = {
    "base": "emoji_names",
    "channels": [8],
    "features": 8,
    "columns": 64,
    "shrink": 1,
    "train_size": 100,
    "val_size": 40,
    "test_size": 30,
    "batch_size": 25,
    "learning_rate": 0.01,
    "steps": 40,
}
COUNT = len(named_pictures.NAMES)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with made-up pictures in the place of emoji."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    _put(tmp_path, monkeypatch, named_pictures.NAMES)
    return tmp_path


def _put(folder: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    files = named_pictures.package_files(named_pictures.pictures(), names, ["Shapes"] * COUNT)
    made = dict(emoji(named_pictures.SHEET, COUNT, named_pictures.SIDE).make(files.items()))
    named_pictures.register(monkeypatch, made, COUNT)
    named_pictures.write(folder / "emoji", made)


@pytest.mark.parametrize("changes", first_of([{}, {"shrink": 2, "resample": False, "metric": "recall_at_1"}]))
def test_the_family_conforms(changes: dict[str, Any]) -> None:
    check_task(build_task({**SMALL, **changes}), 40)


def test_pictures_of_one_concept_are_in_one_split(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each three follow each other: a man, a woman, and a person that do one thing."""
    bearers = ("MAN ", "WOMAN ", "")
    names = tuple(f"{bearers[number % 3]}{named_pictures.NAMES[number // 3]}" for number in range(COUNT))
    _put(folder, monkeypatch, names)
    task = build_task(SMALL)
    own = {tuple(row.tolist()): number // 3 for number, row in enumerate(torch.from_numpy(hashed(names, 64)))}

    def found(split: Split) -> set[int]:
        return {own[tuple(row.tolist())] for row in split["names"]}

    with task.open_test(by="test") as split:
        test = found(Split(split.tensors))
    drawn = []
    for seed in (1, 2):
        train, validation = task.draw(seed)
        assert (len(train), len(validation)) == (100, 40)
        assert not found(train) & found(validation)
        assert not (found(train) | found(validation)) & test
        drawn.append(found(train))
    assert drawn[0] != drawn[1]
    fixed = build_task(SMALL | {"resample": False})
    assert fixed.draw(1)[0] is fixed.draw(2)[0]


def test_names_are_words_and_trigrams_in_columns_of_their_own() -> None:
    table = hashed(["Big cat", "cat, BIG!", "cats", "", "dog"], 4096)
    np.testing.assert_array_equal(table[0], table[1])
    np.testing.assert_allclose(np.linalg.norm(table, axis=1), [1, 1, 1, 0, 1], rtol=1e-6)
    # cats: cats, <ca, cat, ats, ts>; big cat: big, <bi, big (the trigram), ig>, cat twice, <ca, at>
    expected = (1 + 2) / math.sqrt(5 * (4 + 1 + 1 + 4 + 1 + 1))
    assert float(table[0] @ table[2]) == pytest.approx(expected, rel=1e-6)
    assert float(table[0] @ table[4]) == 0.0
    np.testing.assert_array_equal(hashed(["cats"], 4096)[0], table[2])


def test_concepts_leave_out_who_it_is() -> None:
    found = concepts(["WOMAN FIREFIGHTER", "Man Firefighter", "FIREFIGHTER", "WOMAN", "MAN", "FIRE", "man and woman"])
    assert len(set(found[:3].tolist())) == 1
    assert len(set(found[2:].tolist())) == 5


def test_retrieval_agrees_with_ranks_one_by_one() -> None:
    draw = torch.Generator().manual_seed(0)
    pictures = torch.randn(2, 30, 4, generator=draw, dtype=torch.float64)
    names = pictures + 1.5 * torch.randn(2, 30, 4, generator=draw, dtype=torch.float64)
    found = measured(pictures, names)
    assert list(METRICS) == list({name: found[name] for name in METRICS})
    for run in range(2):
        for most in (1, 5):
            shares = []
            for side, (asked, others) in {"names": (pictures, names), "pictures": (names, pictures)}.items():
                hits = 0
                for place in range(30):
                    cosine = F.cosine_similarity(asked[run, place].unsqueeze(0), others[run])
                    hits += place in cosine.argsort(descending=True)[:most].tolist()
                assert float(found[f"{side}_at_{most}"][run]) == pytest.approx(hits / 30)
                shares.append(hits / 30)
            assert float(found[f"recall_at_{most}"][run]) == pytest.approx(sum(shares) / 2)


def test_embeddings_that_are_all_alike_find_nothing() -> None:
    alike = torch.ones(1, 20, 3)
    assert all(float(value) == 0.0 for value in measured(alike, alike).values())


def test_a_task_tells_its_sizes_and_judges_a_batch() -> None:
    task = build_task(SMALL)
    assert "pictures and names of emoji, 100 for training, 40 others" in task.describe()
    own = torch.eye(8)
    judged = task.judge("loss", {"first": own, "second": own})
    assert judged is not None
    assert float(judged) == 1.0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train_size": 120}, "190 pictures for train, validation and test are more than the 180"),
        ({"shrink": 9}, "shrink 9 exceeds a side"),
        ({"dataset": "digits"}, "must be one of emoji"),
        ({"metric": "recall"}, "must be one of recall_at_5"),
        ({"batch_size": 101}, "batch_size 101 exceeds train_size 100"),
        ({"words": True}, "words"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        task_config({**SMALL, **changes})


def test_missing_emoji_name_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(folder / "elsewhere"))
    assert not task_config(SMALL).is_available()
    with pytest.raises(UserError, match="lossearch data fetch emoji"):
        build_task(SMALL)
