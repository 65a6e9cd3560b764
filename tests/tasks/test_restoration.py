"""Restoration: conformance, what degrades images, splits by image, metrics against torchmetrics and formulas."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from representative import first_of
from tasks import networks
from torchmetrics.functional.image import structural_similarity_index_measure

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.alexnet import alexnet
from lossearch.tasks.datasets import conversions, registry
from lossearch.tasks.described import Split
from lossearch.tasks.restoration.degradations import DEGRADATIONS
from lossearch.tasks.restoration.metrics import METRICS, measured
from lossearch.tasks.restoration.models import ResidualNet
from lossearch.testing import check_task

SIDE, TRAIN, TEST = 16, 60, 20
SMALL: dict[str, Any] = {
    "family": "restoration",
    "dataset": "cifar10",
    "degradation": "gaussian_noise",
    "strength": 0.2,
    "channels": 4,
    "layers": 1,
    "train_size": 30,
    "val_size": 20,
    "test_size": 15,
    "resample": True,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 10,
    "steps": 30,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with smooth coloured waves in the place of CIFAR-10."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    _waves(tmp_path, monkeypatch, SIDE)
    return tmp_path


def _waves(folder: Path, monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    draw = np.random.default_rng(0)
    contents: dict[str, bytes] = {}
    for part, count in (("train", TRAIN), ("t10k", TEST)):
        phase, slope = draw.uniform(0, 6, (count, 3, 1, 1)), draw.uniform(0.1, 0.4, (2, count, 3, 1, 1))
        waves = np.sin(phase + slope[0] * np.arange(side)[:, None] + slope[1] * np.arange(side))
        contents[f"{part}-images-idx4-ubyte"] = conversions.idx_of(np.rint(127.5 * (1 + waves)).astype(np.uint8))
        contents[f"{part}-labels-idx1-ubyte"] = conversions.idx_of((np.arange(count) % 10).astype(np.uint8))
    (folder / "cifar10").mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / "cifar10" / name).write_bytes(content)
    changed = dataclasses.replace(
        registry.DATASETS["cifar10"],
        image_shape=(3, side, side),
        train_samples=TRAIN,
        test_samples=TEST,
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    monkeypatch.setitem(registry.DATASETS, "cifar10", changed)


def _test_split(values: dict[str, Any]) -> Split:
    with build_task(values).open_test(by="test") as split:
        return Split(split.tensors)


@pytest.fixture
def weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[networks.Tree]:
    """An AlexNet with few channels and random weights in the place of the trained one; images of 32x32."""
    _waves(folder, monkeypatch, 32)
    found = networks.alexnet()
    networks.register(monkeypatch, folder, "alexnet_lpips", found)
    alexnet.cache_clear()
    yield found
    alexnet.cache_clear()


@pytest.mark.parametrize(
    "changes",
    first_of(
        [
            {},
            {"degradation": "haze", "strength": 1.8, "terms": ["pixel", "structure"], "slot": "structure"},
            {"wrong_targets": 0.1, "metric": "ssim"},
        ]
    ),
    ids=["noise", "haze", "wrong targets"],
)
def test_the_family_conforms(changes: dict[str, Any]) -> None:
    check_task(build_task(SMALL | changes))


@pytest.mark.usefixtures("weights")
@pytest.mark.thorough
def test_a_task_with_losses_of_features_conforms() -> None:
    task = build_task(SMALL | {"terms": ["pixel", "perceptual"], "slot": "perceptual", "metric": "lpips"})
    check_task(task)
    assert list(task.metrics) == ["lpips", "psnr", "ssim"]
    images = task.draw(0)[0]["target"]
    assert task.judge("pixel", {"image": images, "target": images}) == 0.0
    assert task.judge("perceptual", {"features": images, "target": images}) is None


def test_lpips_is_that_of_its_formula(weights: networks.Tree) -> None:
    image, target = (images.float()[0] for images in _pair(35, 40))
    found = measured("lpips", image, target)
    expected = networks.lpips(weights, image.clamp(0.0, 1.0), target)
    assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-4)
    assert measured("lpips", target, target).tolist() == [0.0] * 3
    grey = target[:, :1]
    assert torch.equal(measured("lpips", grey, 0.5 * grey), measured("lpips", *(_rgb(g) for g in (grey, 0.5 * grey))))


def _rgb(grey: torch.Tensor) -> torch.Tensor:
    return grey.expand(-1, 3, -1, -1)


def test_equal_features_have_a_gradient(weights: networks.Tree) -> None:
    image = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    measured("lpips", image, image.detach()).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()


def test_missing_features_name_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _waves(folder, monkeypatch, 32)
    alexnet.cache_clear()
    given = SMALL | {"metric": "lpips"}
    assert task_config(SMALL).is_available()
    assert not task_config(given).is_available()
    with pytest.raises(UserError, match="lossearch data fetch alexnet_lpips"):
        build_task(given)


def test_no_image_is_in_two_splits() -> None:
    def images(split: Split) -> set[bytes]:
        return {image.numpy().tobytes() for image in split["target"]}

    task, test = build_task(SMALL), images(_test_split(SMALL))
    drawn = [tuple(images(split) for split in task.draw(seed)) for seed in (1, 2)]
    for train, validation in drawn:
        assert (len(train), len(validation), len(test)) == (30, 20, 15)
        assert not train & validation
        assert not (train | validation) & test
    assert drawn[0] != drawn[1]
    fixed = build_task(SMALL | {"resample": False})
    assert fixed.draw(1)[0] is fixed.draw(2)[0]


def test_no_photograph_is_in_two_splits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The level of an image tells which photograph it was cut out of."""
    count, per_photograph = 8, 5
    levels = np.repeat(np.arange(count) * 30, per_photograph)[:, None, None] + np.zeros((12, 12))
    content = conversions.idx_of(levels.astype(np.uint8))
    (folder / "photographs").mkdir()
    (folder / "photographs" / conversions.IMAGES).write_bytes(content)
    changed = dataclasses.replace(
        registry.DATASETS["photographs"],
        classes=tuple(map(str, range(count))),
        image_shape=(1, 12, 12),
        train_samples=count * per_photograph,
        per_class=per_photograph,
        files={conversions.IMAGES: hashlib.sha256(content).hexdigest()},
    )
    monkeypatch.setitem(registry.DATASETS, "photographs", changed)
    values = SMALL | {"dataset": "photographs", "train_size": 20, "val_size": 6, "test_size": 9}

    def photographs(split: Split) -> set[int]:
        return {round(255 * float(level)) // 30 for level in split["target"][:, 0, 0, 0]}

    task, test = build_task(values), photographs(_test_split(values))
    assert len(test) == 2
    for seed in range(5):
        train, validation = (photographs(split) for split in task.draw(seed))
        assert len(validation) == 2
        assert not train & validation
        assert not (train | validation) & test
    with pytest.raises(UserError, match="train_size 25 exceeds the 20 images that are left"):
        task_config(values | {"train_size": 25})


def test_pixels_of_training_targets_alone_are_wrong() -> None:
    clean, wrong = (build_task(SMALL | {"wrong_targets": share}).draw(1) for share in (0.0, 0.2))
    assert torch.equal(clean[0]["degraded"], wrong[0]["degraded"])
    assert torch.equal(clean[1]["target"], wrong[1]["target"])
    hit = (wrong[0]["target"] != clean[0]["target"]).any(1)
    assert float(hit.float().mean()) == pytest.approx(0.2, abs=0.02)


def test_terms_are_given_the_same_images() -> None:
    task = build_task(SMALL | {"terms": ["pixel", "structure"], "slot": ["pixel", "structure"]})
    assert task.searched == ("pixel", "structure")
    batch = dict(task.draw(0)[0].tensors)
    (phase,) = task.step(task.build_model(), batch)
    assert list(phase.inputs) == ["pixel", "structure"]
    assert torch.equal(phase.inputs["pixel"]["image"], phase.inputs["structure"]["image"])
    assert list(build_task(SMALL).slots) == ["pixel"]


def test_an_untrained_network_leaves_images_as_they_are() -> None:
    images = torch.rand(2, 3, 9, 7)
    assert torch.equal(ResidualNet(3)(images), images)


def test_a_network_fills_gaps_alone() -> None:
    model, images = ResidualNet(3, gaps=True), torch.rand(2, 3, 9, 7)
    torch.nn.init.ones_([*model.parameters()][-1])
    gone = torch.zeros(2, 1, 9, 7)
    gone[:, :, 2:4, 1:6] = 1.0
    assert torch.equal(model(torch.cat([images, gone], 1)), images + gone)


def _degraded(name: str, images: torch.Tensor, strength: float) -> torch.Tensor:
    return DEGRADATIONS[name].apply(images, strength, np.random.default_rng(0))


def test_impulses_hit_a_share_of_the_pixels_in_all_channels() -> None:
    hit = _degraded("impulse_noise", torch.full((50, 3, 16, 16), 2.0), 0.3) != 2.0
    assert torch.equal(hit[:, 0], hit[:, 2])
    assert float(hit.float().mean()) == pytest.approx(0.3, abs=0.02)


def test_low_resolution_keeps_flat_images_and_loses_checkerboards() -> None:
    flat = torch.full((1, 3, 8, 8), 0.3)
    assert torch.allclose(_degraded("low_resolution", flat, 2.0), flat)
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2
    assert torch.allclose(_degraded("low_resolution", board.expand(1, 3, 8, 8).float(), 2.0), torch.tensor(0.5))


def test_holes_are_squares_that_a_channel_tells() -> None:
    images = torch.full((40, 3, 10, 20), 0.9)
    found = _degraded("holes", images, 0.3)
    gone = found[:, 3]
    assert found.shape == (40, 4, 10, 20)
    assert gone.sum((1, 2)).tolist() == [3 * 6] * 40
    assert torch.equal(found[:, 0] == 0.5, gone == 1.0)
    assert (gone.sum(2).amax(1) == 6).all()
    assert len({tuple(mask.nonzero()[0].tolist()) for mask in gone}) > 20


def test_haze_follows_the_atmospheric_scattering_model() -> None:
    """Black and white under the same haze: their difference is the transmission, the rest the airlight."""
    black, white = (_degraded("haze", torch.full((30, 1, 12, 12), level), 1.8) for level in (0.0, 1.0))
    transmission = white - black
    assert float(transmission.max()) <= 1.0
    assert float(transmission.min()) >= float(np.exp(-1.8))
    airlight = (black / (1.0 - transmission))[transmission < 0.9]
    assert float(airlight.min()) + 1e-4 >= 0.7
    assert float(airlight.max()) <= 1.0 + 1e-4
    assert float(transmission[:, :, 0].mean()) < float(transmission[:, :, -1].mean())


def _pair(height: int = 20, width: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 3, height, width, generator=draw, dtype=torch.float64)
    return target + 0.3 * torch.randn(target.shape, generator=draw, dtype=torch.float64), target


def test_psnr_is_that_of_clipped_images() -> None:
    image, target = _pair()
    error = np.square(np.clip(image.numpy(), 0.0, 1.0) - target.numpy()).mean((-3, -2, -1))
    assert measured("psnr", image, target).numpy() == pytest.approx(-10.0 * np.log10(error))
    assert measured("psnr", target, target).tolist() == [[pytest.approx(100.0)] * 3] * 2


def test_ssim_agrees_with_torchmetrics() -> None:
    image, target = _pair()
    found = measured("ssim", image, target)
    for run in range(2):  # torchmetrics averages over windows that reach over the edge, too
        clipped = image[run].clamp(0.0, 1.0)
        _, windows = structural_similarity_index_measure(clipped, target[run], data_range=1.0, return_full_image=True)
        expected = windows[..., 5:-5, 5:-5].mean((-3, -2, -1))
        assert found[run].numpy() == pytest.approx(expected.numpy(), rel=1e-6)
    assert float(measured("ssim", target, target).min()) == pytest.approx(1.0)
    assert list(METRICS) == ["psnr", "ssim", "lpips"]


def test_missing_images_name_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(folder / "elsewhere"))
    assert not task_config(SMALL).is_available()
    with pytest.raises(UserError, match="lossearch data fetch cifar10"):
        build_task(SMALL)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dataset": "digits"}, "images of digits are 8x8: SSIM needs 11"),
        ({"dataset": "bacteria"}, "dataset is 'bacteria', must be one of .*cifar10"),
        ({"metric": "fid"}, "metric is 'fid', must be one of psnr, ssim, lpips"),
        ({"metric": "lpips"}, "images of cifar10 are 16x16: AlexNet needs 31"),
        ({"train_size": 50}, "train_size 50 exceeds the 40 images that are left"),
        ({"test_size": 21}, "test_size 21 exceeds the 20 official test images"),
        ({"batch_size": 31}, "batch_size 31 exceeds train_size 30"),
        ({"strength": 1.5}, "strength 1.5 of gaussian_noise .standard deviation. exceeds 1"),
        ({"degradation": "low_resolution", "strength": 3.0}, "a whole number from 2 on that divides 16 and 16"),
        ({"degradation": "low_resolution", "strength": 1.0}, "a whole number from 2 on"),
        ({"wrong_targets": 1.0}, "wrong_targets"),
        ({"terms": ["pixel", "pixel"]}, "name a slot twice"),
        ({"terms": []}, "terms"),
        ({"degradation": "blur"}, "degradation"),
        ({"strength": 0.0}, "strength"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        task_config({**SMALL, **changes})


def test_both_slots_need_to_be_told_apart() -> None:
    task = build_task(SMALL | {"terms": ["pixel", "structure"]})
    with pytest.raises(UserError, match=r"one or several of the loss slots of .*: pixel, structure"):
        task.searched  # noqa: B018
