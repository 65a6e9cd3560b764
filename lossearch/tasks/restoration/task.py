"""Restoration of images: noise, low resolution, holes and haze, with losses of pixels, of structure and of features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from lossearch.tasks.alexnet import alexnet
from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase, RecentDraws, Split
from lossearch.tasks.restoration.config import RestorationConfig, restoration_config
from lossearch.tasks.restoration.degradations import DEGRADATIONS, impulse_noise
from lossearch.tasks.restoration.metrics import METRICS, measured
from lossearch.tasks.restoration.models import ResidualNet
from lossearch.tasks.restoration.pictures import Pictures
from lossearch.tasks.streams import Stream, generator, redrawn

SLOTS = {
    "pixel": Slot("image", "charbonnier"),
    "structure": Slot("image", "image: 0.2 * (1 - structural_similarity(image, target, 1.0, sigma=1.5, size=11))"),
    "perceptual": Slot("features", "features: 0.01 * mean(square(features - target), over=(channel, space))"),
}
"""Those that a training step may have. Untrained, their defaults have gradients of about one size."""

PERCEPTUAL_LAYER = 2
"""Convolution of AlexNet whose features the losses of the slot `perceptual` are given."""

_TRAIN, _TARGET, _VALIDATION, _TEST = range(4)  # what random numbers change


class RestorationTask(DescribedTask):
    """A small residual network makes images anew from degraded ones.

    What degrades an image is drawn once, when its split is. The losses of all terms are given the restored image and
    its target.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.

    Raises:
        UserError: the configuration does not fit, or the data is missing or damaged.
    """

    def __init__(self, spec: str | Mapping[str, Any] | RestorationConfig) -> None:
        super().__init__(restoration_config(spec))
        if self.config.needs_alexnet:
            alexnet(torch.device("cpu"))  # what is missing is told before any training
        self._degradation = DEGRADATIONS[self.config.degradation]
        self._pictures = Pictures(self.config)
        self._own = self._drawn(self.config.split_seed)
        self._redrawn = RecentDraws(lambda seed: self._drawn(redrawn(self.config.split_seed, seed)))

    @property
    def config(self) -> RestorationConfig:
        """What defines the task."""
        return cast(RestorationConfig, self._config)

    @property
    def slots(self) -> Mapping[str, Slot]:
        """The terms of the configuration."""
        return {name: SLOTS[name] for name in self.config.terms}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The configured one first, then the others."""
        others = {name: METRICS[name] for name in METRICS if name != "lpips" or self.config.needs_alexnet}
        return {self.config.metric: METRICS[self.config.metric]} | others

    def describe(self) -> str:
        """Data, degradation and sizes."""
        given = self.config
        return (
            f"{self.name}: residual network on {given.dataset}, {given.degradation} of strength {given.strength:g}"
            f", {given.wrong_targets:.0%} of the target pixels wrong, {given.train_size} training and {given.val_size}"
            f" validation images, losses of {' and '.join(given.terms)}"
        )

    def build_model(self) -> nn.Module:
        """A residual network."""
        channels = self._own[0]["target"].shape[1]
        return ResidualNet(channels, self._degradation.gaps, self.config.channels, self.config.layers)

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation images of a training with this seed."""
        return self._redrawn(seed) if self.config.resample else self._own

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """Restored images and their targets, `[batch, channel, height, width]`, and feature maps of both."""
        image, target = model(batch["degraded"]), batch["target"]
        images = {"image": image, "target": target}
        given: dict[str, Mapping[str, Tensor]] = dict.fromkeys(self.slots, images)
        if "perceptual" in given:
            given["perceptual"] = {"features": _features(image), "target": _features(target)}
        return (Phase(given),)

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """All metrics, averaged over images."""
        pairs = [(model(part["degraded"]), part["target"]) for part in parts]
        return {name: torch.cat([measured(name, *pair) for pair in pairs], -1).mean(-1) for name in self.metrics}

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """The metric follows from restored and true images alone, and not from their features."""
        if slot == "perceptual":
            return None
        return measured(self.config.metric, inputs["image"], inputs["target"]).mean()

    def test_split(self) -> Split:
        """Images that no training and no choice saw."""
        return self._split(self._pictures.test(), self.config.split_seed, _TEST)

    def _drawn(self, seed: int) -> tuple[Split, Split]:
        train, validation = self._pictures.search(seed)
        return self._split(train, seed, _TRAIN), self._split(validation, seed, _VALIDATION)

    def _split(self, images: Tensor, seed: int, kind: int) -> Split:
        target = images
        if kind == _TRAIN and self.config.wrong_targets:
            target = impulse_noise(images, self.config.wrong_targets, generator(seed, Stream.NOISE, _TARGET))
        degraded = self._degradation.apply(images, self.config.strength, generator(seed, Stream.NOISE, kind))
        return Split({"target": target, "degraded": degraded})


def _features(images: Tensor) -> Tensor:
    found = alexnet(images.device)(images.flatten(0, -4), PERCEPTUAL_LAYER)[-1]
    return found.unflatten(0, images.shape[:-3])
