"""Tracking: conformance, nuclei by where they are, splits that share neither nuclei nor times, boxes, metrics."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from representative import first_of
from tasks import films

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.datasets import registry
from lossearch.tasks.datasets.registry import CHO
from lossearch.tasks.tracking.config import TrackingConfig
from lossearch.tasks.tracking.metrics import measured
from lossearch.tasks.tracking.models import CELLS, EXEMPLAR, SEARCH, STRIDE, centres
from lossearch.tasks.tracking.nuclei import boxes, sightings
from lossearch.tasks.tracking.pairs import SHIFT, SHRINK, followed, grown, search_pairs, test_pairs
from lossearch.tasks.tracking.task import TrackingTask, cells_at
from lossearch.testing import check_task

DEPTHS, TIMES, NUCLEI, SIDE, WIDTH, HEIGHT = 2, 9, 6, 40, 420, 280

SMALL: dict[str, Any] = {
    "family": "tracking",
    "slot": "box",
    "channels": [4, 8],
    "depths": DEPTHS,
    "train_times": 4,
    "val_times": 2,
    "test_times": 3,
    "train_nuclei": 2,
    "val_nuclei": 2,
    "test_nuclei": 2,
    "train_size": 60,
    "val_size": 40,
    "test_size": 40,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 20,
    "steps": 60,
}


def _film() -> tuple[np.ndarray, np.ndarray]:
    """Six squares of different brightness that drift to the right, numbered anew in each frame."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 9, size=(TIMES * DEPTHS, HEIGHT, WIDTH)).astype(np.uint8)
    objects = np.zeros(images.shape, dtype=np.uint16)
    for frame in range(len(images)):
        numbers = draw.permutation(NUCLEI) + 1
        for nucleus in range(NUCLEI):
            top, left = _corner(nucleus, frame // DEPTHS)
            images[frame, top : top + SIDE, left : left + SIDE] += np.uint8(60 + 30 * nucleus)
            objects[frame, top : top + SIDE, left : left + SIDE] = numbers[nucleus]
        objects[frame, 0, :3] = NUCLEI + 1  # a speck
    return images, objects


def _corner(nucleus: int, time: int) -> tuple[int, int]:
    return 30 + 120 * (nucleus // 3), 20 + 120 * (nucleus % 3) + 5 * time


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a made-up film in the place of the hamster cells."""
    images, objects = _film()
    files = {CHO.images: films.tiff(images), CHO.masks: films.tiff(objects)}
    known = dataclasses.replace(
        CHO,
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        sizes={name: len(content) for name, content in files.items()},
        train_samples=len(images),
        image_shape=(1, HEIGHT, WIDTH),
        depths=DEPTHS,
    )
    monkeypatch.setitem(registry.DATASETS, "cho", known)
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    films.write(tmp_path / "cho", files)
    return tmp_path


def _config(**changes: Any) -> TrackingConfig:
    found = task_config({**SMALL, **changes})
    assert isinstance(found, TrackingConfig)
    return found


@pytest.mark.parametrize("values", first_of([{"resample": False, "slot": ["response", "box"], "wrong_boxes": 0.4}, {}]))
def test_the_family_conforms(values: dict[str, Any]) -> None:
    check_task(build_task(SMALL | values), 60)


def test_nuclei_are_followed_by_where_they_are_and_specks_are_none() -> None:
    _, objects = _film()
    seen = sightings(objects, DEPTHS)
    assert len(seen) == NUCLEI * TIMES * DEPTHS
    rows = {one.nucleus: {(other.box[1] - 30) // 120 for other in seen if other.nucleus == one.nucleus} for one in seen}
    columns = {
        one.nucleus: {(other.box[0] - 5 * other.time - 20) // 120 for other in seen if other.nucleus == one.nucleus}
        for one in seen
    }
    assert [len(kinds) for kinds in (*rows.values(), *columns.values())] == [1] * 2 * NUCLEI
    assert {(one.time, one.depth) for one in seen} == {(t, d) for t in range(TIMES) for d in range(DEPTHS)}
    assert boxes(objects[0]).keys() == set(range(1, NUCLEI + 1))


def _who_and_when(searches: np.ndarray) -> set[tuple[int, int]]:
    """Nuclei and times of regions, by how bright the nucleus is and how far it has drifted."""
    film, wanted = followed(_config(), TIMES), {search.tobytes() for search in searches}
    found = set()
    for one in film.seen:
        image = film.images[one.time, one.depth]
        for corner in np.ndindex(2 * SHIFT + 1, 2 * SHIFT + 1):
            centre = (one.box[:2] + one.box[2:]) / 2 / SHRINK - SHIFT + np.array(corner)
            left, top = (np.round(centre - SEARCH / 2).astype(int) + SEARCH).tolist()
            cut = image[top : top + SEARCH, left : left + SEARCH]
            if cut.astype(np.float32).tobytes() in wanted:
                found.add((one.nucleus, one.time))
    return found


@pytest.mark.thorough
def test_no_nucleus_and_no_time_is_in_two_splits() -> None:
    config = _config(train_size=20, val_size=12, test_size=12, batch_size=10)
    film = followed(config, config.train_times + config.val_times)
    splits = [*(pairs.searches for pairs in search_pairs(config, film, 1)), test_pairs(config).searches]
    found = [_who_and_when(searches) for searches in splits]
    assert all(found)
    for place, one in enumerate(found):
        for other in found[place + 1 :]:
            assert not {nucleus for nucleus, _ in one} & {nucleus for nucleus, _ in other}
            assert not {time for _, time in one} & {time for _, time in other}


def test_seeds_draw_their_own_nuclei_and_pairs_where_asked() -> None:
    fixed, drawn = build_task(SMALL | {"resample": False}), build_task(SMALL)
    assert fixed.draw(1)[0] is fixed.draw(2)[0]
    assert not torch.equal(drawn.draw(1)[0]["searches"], drawn.draw(2)[0]["searches"])


def test_a_box_holds_the_nucleus_in_the_search_region() -> None:
    config = _config()
    film = followed(config, config.train_times + config.val_times)
    for pairs in (*search_pairs(config, film, 3), test_pairs(config)):
        np.testing.assert_allclose(pairs.sizes, SIDE / SHRINK)
        np.testing.assert_allclose(pairs.boxes[:, 2:] - pairs.boxes[:, :2], SIDE / SHRINK)
        off = (pairs.boxes[:, :2] + pairs.boxes[:, 2:]) / 2 - SEARCH / 2
        assert np.abs(off).max() <= SHIFT + 0.5
        for search, exemplar, box in zip(pairs.searches, pairs.exemplars, pairs.boxes, strict=True):
            left, top, right, bottom = box.round().astype(int).tolist()
            inside = search[top + 1 : bottom - 1, left + 1 : right - 1].mean()
            assert inside == pytest.approx(exemplar[8:14, 8:14].mean(), abs=0.05)
            assert inside > search.min() + 1.5


def test_wrong_boxes_are_in_training_pairs_alone_and_keep_a_corner() -> None:
    film = followed(_config(), 6)
    clean, wrong = (search_pairs(_config(wrong_boxes=share), film, 3) for share in (0.0, 0.4))
    changed = (clean[0].boxes != wrong[0].boxes).any(1)
    assert changed.sum() == 24
    before, after = clean[0].boxes[changed], wrong[0].boxes[changed]
    np.testing.assert_allclose(after[:, 2:] - after[:, :2], 2 * (before[:, 2:] - before[:, :2]))
    np.testing.assert_array_equal(clean[1].boxes, wrong[1].boxes)
    np.testing.assert_array_equal(clean[0].searches, wrong[0].searches)
    one = np.tile(np.array([[2.0, 3.0, 5.0, 7.0]]), (200, 1))
    corners = {tuple(row) for row in grown(one, np.random.default_rng(0)).tolist()}
    assert corners == {(-1, -1, 5, 7), (2, -1, 8, 7), (-1, 3, 5, 11), (2, 3, 8, 11)}


def test_nine_cells_are_at_the_nucleus_and_inside_the_map() -> None:
    middle = centres(torch.device("cpu"))
    assert middle[0].tolist() == [EXEMPLAR / 2] * 2
    assert middle[-1].tolist() == [SEARCH - EXEMPLAR / 2] * 2
    for centre, expected in [
        (middle[24], (24 % CELLS, 24 // CELLS)),
        (middle[1] - 3.0, (1, 1)),
        (middle[48] + 9, (5, 5)),
    ]:
        found = cells_at(torch.cat([centre - 4, centre + 4])[None])[0].nonzero().squeeze(1)
        assert len(found) == 9
        assert (found[4] % CELLS, found[4] // CELLS) == expected
    assert STRIDE * (CELLS - 1) == SEARCH - EXEMPLAR


def test_the_losses_are_given_the_map_and_the_boxes_at_the_nucleus() -> None:
    task = build_task(SMALL)
    assert isinstance(task, TrackingTask)
    batch = {name: tensor[:5] for name, tensor in task.draw(0)[0].tensors.items()}
    (phase,) = task.step(task.build_model(), batch)
    response, box = phase.inputs["response"], phase.inputs["box"]
    assert response["response"].shape == response["target"].shape == (5, CELLS, CELLS)
    assert ((response["target"] == 1).flatten(1).sum(1) == 9).all()
    assert box["boxes"].shape == box["target"].shape == (45, 4)
    torch.testing.assert_close(box["target"][::9], batch["boxes"])


def test_metrics_of_boxes_that_lie_right_or_off() -> None:
    true = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0]])
    right = measured(true, true, 4.0)
    assert right["success"] == pytest.approx(20 / 21)  # nothing exceeds an IoU of one
    assert (float(right["overlap"]), float(right["centre_error"])) == (1.0, 0.0)
    off = measured(true + torch.tensor([[0.0], [5.0]]), true, 4.0)
    share = 25 / 175  # exceeds 0, 0.05 and 0.1
    assert off["overlap"] == pytest.approx((1 + share) / 2)
    assert off["success"] == pytest.approx((20 / 21 + 3 / 21) / 2)
    assert off["centre_error"] == pytest.approx(4 * 50**0.5 / 2)


def test_what_the_film_does_not_hold_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"7 nuclei for train, validation and test.*6 in cho"):
        build_task(SMALL | {"train_nuclei": 3})
    monkeypatch.setenv("LOSSEARCH_DATA", str(folder / "elsewhere"))
    assert not task_config(SMALL).is_available()
    with pytest.raises(UserError, match="lossearch data fetch cho"):
        build_task(SMALL)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"test_times": 4}, "10 times for train, validation and test are more than the 9"),
        ({"depths": 3}, "3 depths are more than the 2 of dataset 'cho'"),
        ({"dataset": "hela"}, "must be one of cho"),
        ({"metric": "accuracy"}, "must be one of success, overlap, centre_error"),
        ({"batch_size": 61}, "batch_size 61 exceeds train_size 60"),
        ({"channels": [4]}, "channels"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        task_config({**SMALL, **changes})
