from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from representative import first_of
from scipy import ndimage
from sklearn.metrics import f1_score
from tasks import films
from torch import Tensor
from torchmetrics.functional import jaccard_index

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.described import Split
from lossearch.tasks.segmentation.metrics import METRICS, TOLERANCE, counts
from lossearch.tasks.segmentation.models import UNet
from lossearch.testing import check_task

SMALL = {
    "family": "segmentation",
    "dataset": "bacteria",
    "channels": [4, 4],
    "crop": 16,
    "train_size": 24,
    "val_size": 12,
    "test_size": 20,
    "val_frames": 2,
    "test_frames": 2,
    "objects": 0.25,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 8,
    "steps": 60,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a made-up film that the registry knows as the bacteria."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    _use(tmp_path, monkeypatch, *films.film())
    return tmp_path


def _use(folder: Path, monkeypatch: pytest.MonkeyPatch, images: np.ndarray, objects: np.ndarray) -> None:
    files = films.contents(images, objects)
    shutil.rmtree(folder / "bacteria", ignore_errors=True)
    films.register(monkeypatch, files, *images.shape)
    films.write(folder / "bacteria", files)


def _drawn(seed: int = 3, **changes: Any) -> tuple[Split, Split]:
    return build_task({**SMALL, "resample": True, **changes}).draw(seed)


def _test_split(**changes: Any) -> Split:
    with build_task({**SMALL, **changes}).open_test(by="test") as split:
        return Split(split.tensors)


@pytest.mark.parametrize("changes", first_of([{}, {"resample": True, "missing": 0.3}]))
def test_the_family_conforms(changes: dict[str, Any]) -> None:
    check_task(build_task({**SMALL, **changes}))


def test_splits_are_cut_out_of_frames_that_follow_each_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame k is as bright as its number, by which it is told in every crop."""
    images = np.repeat(np.arange(films.FRAMES, dtype=np.uint16), 48 * 64).reshape(-1, 48, 64)
    objects = np.ones_like(images)
    objects[:, ::2] = 0
    _use(folder, monkeypatch, images, objects)
    task = build_task({**SMALL, "resample": True, "train_size": 60})
    numbers = {round(float(value), 3): k for k, value in enumerate(np.linspace(-1, -1 + 2 * 9 / 3, 10))}

    def frames(split: Split) -> set[int]:
        return {numbers[round(value, 3)] for value in split["images"].unique().tolist()}

    for seed in range(4):
        train, validation = task.draw(seed)
        assert frames(train) == {0, 1, 2, 3}
        assert frames(validation) == {5, 6}
    assert frames(_test_split(train_size=60)) == {8, 9}


def test_every_seed_draws_its_own_crops_where_the_task_resamples() -> None:
    first, other, again = _drawn(1), _drawn(2), _drawn(1)
    for a, b, c in zip(first, other, again, strict=True):
        assert torch.equal(a["images"], c["images"])
        assert not torch.equal(a["images"], b["images"])
        assert a["images"].shape == b["images"].shape
    fixed = build_task(SMALL)
    assert fixed.draw(1)[0] is fixed.draw(2)[0]
    assert torch.equal(_test_split()["labels"], _test_split(train_size=16)["labels"])


def test_labels_tell_objects_from_background() -> None:
    """The squares of the film are brighter than all else."""
    for split in (*_drawn(), _test_split()):
        images, labels = split["images"][:, 0], split["labels"]
        assert labels.unique().tolist() == [0, 1]
        assert images[labels == 1].min() > images[labels == 0].max()
        assert labels.dtype == torch.int64


def test_crops_around_objects_have_one_at_their_middle_or_lie_at_an_edge() -> None:
    train, _ = _drawn(objects=1.0)
    assert bool(train["labels"].flatten(1).any(1).all())
    few, _ = _drawn(objects=0.0)
    assert few["labels"].float().mean() < train["labels"].float().mean()


def test_missing_objects_are_missing_from_training_masks_alone() -> None:
    whole, marked = _drawn(), _drawn(missing=0.5)
    assert torch.equal(whole[0]["images"], marked[0]["images"])
    lacking = whole[0]["labels"] - marked[0]["labels"]
    assert lacking.min() == 0
    assert 0.2 < float(lacking.sum() / whole[0]["labels"].sum()) < 0.8
    assert torch.equal(whole[1]["labels"], marked[1]["labels"])
    assert torch.equal(_test_split()["labels"], _test_split(missing=0.5)["labels"])


def test_losses_get_class_weights_and_counts_of_the_tasks_own_training_pixels() -> None:
    task = build_task(SMALL)
    given, labels = task.buffers("loss"), task.draw(0)[0]["labels"]
    share = float(labels.float().mean())
    torch.testing.assert_close(given["class_weight"], torch.tensor([0.5 / (1 - share), 0.5 / share]))
    assert given["class_count"].tolist() == [float((labels == c).sum()) for c in (0, 1)]


def test_a_missing_film_names_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(folder / "elsewhere"))
    assert not task_config(SMALL).is_available()
    with pytest.raises(UserError, match="lossearch data fetch bacteria"):
        build_task(SMALL)


def test_empty_masks_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, objects = films.film()
    for name in ("training", "validation"):
        changed = objects.copy()
        changed[slice(0, 5) if name == "training" else slice(5, 8)] = 0
        _use(folder, monkeypatch, images, changed)
        with pytest.raises(UserError, match=f"objects in the {name}"):
            build_task(SMALL)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"crop": 49}, "crop is 49, must be from 2, for 2 resolutions, to 48"),
        ({"crop": 1}, "must be from 2"),
        ({"channels": []}, "at least one resolution"),
        ({"val_size": 25}, "val_size 25 exceeds the 24 tiles of 2 frames"),
        ({"test_size": 25}, "test_size 25 exceeds the 24 tiles"),
        ({"test_frames": 6}, r"2 \+ 6 frames for validation and test, and 3 more, are more than the 10"),
        ({"batch_size": 25}, "batch_size 25 exceeds train_size 24"),
        ({"dataset": "digits"}, "must be one of hela, bacteria;"),
        ({"dataset": "cho"}, "dataset is 'cho', must be one of hela, bacteria;"),
        ({"metric": "accuracy"}, "must be one of mean_iou, dice, boundary_f1"),
        ({"missing": 1.0}, "missing"),
        ({"crops": 16}, "crops"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        task_config({**SMALL, **changes})


@pytest.mark.parametrize("side", [(4, 4), (5, 7), (16, 9)])
def test_the_network_gives_logits_of_every_pixel(side: tuple[int, int]) -> None:
    model = UNet(1, 3, (4, 8, 8))
    assert model(torch.zeros(2, 1, *side)).shape == (2, 3, *side)
    assert not list(model.buffers())


def _sample(classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(2, 5, classes, 4, 4, generator=generator)
    logits = coarse.repeat_interleave(6, -1).repeat_interleave(6, -2)
    logits = logits + 0.6 * torch.randn(logits.shape, generator=generator)
    target = torch.randint(classes, (2, 5, 4, 4), generator=generator)
    return logits, target.repeat_interleave(6, -1).repeat_interleave(6, -2)


@pytest.mark.parametrize("classes", [2, 4])
def test_mean_iou_and_dice_equal_other_libraries(classes: int) -> None:
    logits, target = _sample(classes)
    found = counts(logits, target)
    for run in range(2):
        predicted, true = logits[run].argmax(1), target[run]
        iou = jaccard_index(predicted, true, "multiclass", num_classes=classes)
        torch.testing.assert_close(METRICS["mean_iou"](found)[run], iou)
        each = f1_score(true.flatten(), predicted.flatten(), labels=range(1, classes), average="macro")
        assert float(METRICS["dice"](found)[run]) == pytest.approx(each, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
def test_boundary_f1_follows_from_distances_between_boundaries(classes: int) -> None:
    logits, target = _sample(classes)
    found = METRICS["boundary_f1"](counts(logits, target))
    for run in range(2):
        near, all_of = np.zeros(2), np.zeros(2)
        for predicted, true in zip(logits[run].argmax(1).numpy(), target[run].numpy(), strict=True):
            for number in range(1, classes):
                edges = [_edge(labels == number) for labels in (predicted, true)]
                for side in (0, 1):
                    own, other = edges[side], edges[1 - side]
                    distance = np.full(other.shape, 99)
                    if other.any():
                        distance = np.asarray(ndimage.distance_transform_cdt(~other, "chessboard"))
                    near[side] += (own & (distance <= TOLERANCE)).sum()
                    all_of[side] += own.sum()
        precision, recall = near / all_of
        assert float(found[run]) == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-6)


def _edge(region: np.ndarray) -> np.ndarray:
    return region & ~ndimage.binary_erosion(region, np.ones((3, 3)), border_value=1)


def test_metrics_have_values_where_there_are_no_objects() -> None:
    target = torch.zeros(1, 2, 8, 8, dtype=torch.int64)
    nothing = torch.stack([torch.ones(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)], 2)
    something = nothing.clone()
    something[0, 0, 1, 2:5, 2:5] = 9.0
    for name, right, wrong in (("mean_iou", 1.0, (128 - 9) / 128 / 2), ("dice", 1.0, 0.0), ("boundary_f1", 1.0, 0.0)):
        assert METRICS[name](counts(nothing, target)).tolist() == [right]
        assert METRICS[name](counts(something, target)).tolist() == pytest.approx([wrong])


def test_counts_of_parts_add_up() -> None:
    logits, target = _sample(3)
    whole = counts(logits, target)
    parts = [counts(logits[:, rows], target[:, rows]) for rows in (slice(0, 2), slice(2, 5))]
    for name, value in whole.items():
        assert torch.equal(parts[0][name] + parts[1][name], value)


def test_the_metric_follows_from_what_the_loss_is_given() -> None:
    logits, target = _sample(2)
    for name in METRICS:
        task = build_task({**SMALL, "metric": name})
        assert next(iter(task.metrics)) == name
        value = task.judge("loss", {"logits": logits[1], "target": target[1]})
        assert value == METRICS[name](counts(logits, target))[1]
