"""An anchor-free detector of digits in composed scenes, with one loss for what they are and one for their boxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.class_weights import inverse_frequencies
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase, RecentDraws, Split
from lossearch.tasks.detection.config import DetectionConfig, detection_config
from lossearch.tasks.detection.metrics import METRICS, measured
from lossearch.tasks.detection.scenes import BACKGROUND, CELL, CLASSES, GRID, SIDE, Scenes, composed, digits_of_part
from lossearch.tasks.streams import Stream, redrawn

_CELLS = GRID * GRID


class Detector(nn.Module):
    """Convolutions that end in a grid: scores of the classes and a box in each cell.

    A box is its centre, as an offset from the cell's, and its side lengths, which are positive.

    Args:
        channels: of the three convolutions before the last.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        first, second, third = channels
        self.features = nn.Sequential(
            nn.Conv2d(1, first, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(second, third, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Conv2d(third, CLASSES + 4, 3, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `[scene, class, cell]` and boxes `[scene, cell, 4]`, pixels, of `images[scene, 1, height, width]`."""
        out = self.head(self.features(images)).flatten(2)
        offset, size = out[:, CLASSES : CLASSES + 2], nn.functional.softplus(out[:, CLASSES + 2 :])
        centre = _centres(images.device) + CELL * offset
        half = CELL * size / 2.0
        return out[:, :CLASSES], torch.cat([centre - half, centre + half], 1).transpose(1, 2)


class DetectionTask(DescribedTask):
    """Finds digits in scenes: the class of each grid cell, and a box where there is a digit.

    The class loss sees all cells, the box loss the cells with a digit alone. How many these are differs from scene to
    scene, so that runs of different seeds cannot be stacked.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.
    """

    stackable = False

    def __init__(self, spec: str | Mapping[str, Any] | DetectionConfig) -> None:
        super().__init__(detection_config(spec))
        seed = self.config.split_seed
        self._digits = {part: digits_of_part(part, seed) for part in ("train", "validation")}
        self._own = self._drawn(seed)
        self._redrawn = RecentDraws(lambda run: self._drawn(redrawn(seed, run)))

    @property
    def config(self) -> DetectionConfig:
        """What defines the task."""
        return cast(DetectionConfig, self._config)

    @property
    def slots(self) -> Mapping[str, Slot]:
        """What is in each cell, and the boxes of those with a digit."""
        return {"classification": Slot("dense", "cross_entropy"), "box": Slot("box", "giou")}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The configured one first, then the others."""
        return {self.config.metric: METRICS[self.config.metric]} | METRICS

    def describe(self) -> str:
        """Data, sizes and slots."""
        given = self.config
        return (
            f"{self.name}: detector of digits in composed scenes of {SIDE}x{SIDE}, {given.train_size} training and"
            f" {given.val_size} validation scenes, losses searched for {' and '.join(self.searched)}"
        )

    def build_model(self) -> nn.Module:
        """A detector."""
        return Detector(self.config.channels)

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation scenes of a training with this seed."""
        return self._redrawn(seed) if self.config.resample else self._own

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """Scores and classes of all cells; predicted and true boxes of the cells with a digit."""
        logits, boxes = model(batch["images"])
        present = batch["classes"] != BACKGROUND
        return (
            Phase(
                {
                    "classification": {"logits": logits, "target": batch["classes"]},
                    "box": {"boxes": boxes[present], "target": batch["boxes"][present]},
                }
            ),
        )

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """All metrics."""
        found = [(*model(part["images"]), part["classes"], part["boxes"]) for part in parts]
        logits, boxes, classes, true_boxes = (torch.cat(tensors) for tensors in zip(*found, strict=True))
        return measured(logits, boxes, classes, true_boxes, BACKGROUND)

    def buffers(self, slot: str) -> Mapping[str, Tensor]:
        """Class weights: inverse frequencies of the training cells."""
        if slot != "classification":
            return {}
        counts = torch.bincount(self._own[0]["classes"].flatten(), minlength=CLASSES).double()
        return {"class_weight": inverse_frequencies((counts / counts.sum()).tolist())}

    def test_split(self) -> Split:
        """Scenes of digits that are in no training or validation scene."""
        digits = digits_of_part("test", self.config.split_seed)
        return _split(composed(digits, self.config.test_size, self.config.split_seed, Stream.TEST_SPLIT))

    def _drawn(self, seed: int) -> tuple[Split, Split]:
        train = composed(self._digits["train"], self.config.train_size, seed, Stream.TRAIN_SUBSET)
        validation = composed(self._digits["validation"], self.config.val_size, seed, Stream.VALIDATION_SPLIT)
        return _split(train), _split(validation)


def _split(scenes: Scenes) -> Split:
    """Scenes as tensors, with the box of each cell's digit; zeros in empty cells."""
    boxes = torch.zeros(len(scenes.images), _CELLS, 4)
    scene, quarter = (scenes.cells >= 0).nonzero()
    boxes[scene, scenes.cells[scene, quarter]] = torch.from_numpy(scenes.boxes[scene, quarter])
    classes = torch.from_numpy(scenes.classes).flatten(1)
    return Split({"images": torch.from_numpy(scenes.images), "classes": classes, "boxes": boxes})


def _centres(device: torch.device) -> Tensor:
    """Centres of the cells, x and y in pixels: `[2, cell]`."""
    places = CELL * (torch.arange(GRID, device=device) + 0.5)
    return torch.stack([places.repeat(GRID), places.repeat_interleave(GRID)])
