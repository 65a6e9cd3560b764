"""A Siamese tracker of nuclei, with one loss for where the nucleus is and one for its box."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase, RecentDraws, Split
from lossearch.tasks.tracking.config import TrackingConfig, tracking_config
from lossearch.tasks.tracking.metrics import METRICS, measured
from lossearch.tasks.tracking.models import CELLS, EXEMPLAR, STRIDE, SiameseTracker
from lossearch.tasks.tracking.pairs import SHRINK, Pairs, followed, search_pairs, test_pairs


class TrackingTask(DescribedTask):
    """Finds a nucleus of one frame in a later one: one step of tracking.

    The cell next to the nucleus and its eight neighbours are those at the object: the response loss is given 1 for
    them and -1 for all other cells, the box loss their boxes. Where the response is largest is the tracker's answer.

    Masks, of which boxes are made, come from a computer: losses can be ranked by them, and no more is claimed.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.

    Raises:
        UserError: the configuration does not fit, or the film is missing or damaged.
    """

    def __init__(self, spec: str | Mapping[str, Any] | TrackingConfig) -> None:
        super().__init__(tracking_config(spec))
        self._film = followed(self.config, self.config.train_times + self.config.val_times)
        train, validation = search_pairs(self.config, self._film)
        self._mean, self._deviation = float(train.searches.mean()), float(train.searches.std())
        self._own = self._split(train), self._split(validation)
        self._redrawn = RecentDraws(self._drawn)

    @property
    def config(self) -> TrackingConfig:
        """What defines the task."""
        return cast(TrackingConfig, self._config)

    @property
    def slots(self) -> Mapping[str, Slot]:
        """Where the nucleus is, and its box there."""
        return {"response": Slot("response", "cross_correlation"), "box": Slot("box", "giou")}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The configured one first, then the others."""
        return {self.config.metric: METRICS[self.config.metric]} | METRICS

    def describe(self) -> str:
        """Data, sizes and slots."""
        given = self.config
        return (
            f"{self.name}: Siamese tracker of nuclei in {given.dataset}, {given.train_size} training pairs of"
            f" {given.train_nuclei} nuclei and {given.val_size} validation pairs of {given.val_nuclei} others, losses"
            f" searched for {' and '.join(self.searched)}"
        )

    def build_model(self) -> nn.Module:
        """A Siamese tracker."""
        return SiameseTracker(self.config.channels)

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation pairs of a training with this seed."""
        return self._redrawn(seed) if self.config.resample else self._own

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """Responses with 1 or -1 for each cell; boxes of the cells at the nucleus, with its own for each."""
        response, boxes = model(batch["exemplars"], batch["searches"], batch["sizes"])
        at_nucleus = cells_at(batch["boxes"])
        target = torch.where(at_nucleus, 1.0, -1.0).reshape(response.shape)
        true_boxes = batch["boxes"].unsqueeze(-2).expand_as(boxes)
        runs = boxes.shape[:-3]
        return (
            Phase(
                {
                    "response": {"response": response, "target": target},
                    "box": {
                        "boxes": boxes[at_nucleus].reshape(*runs, -1, 4),
                        "target": true_boxes[at_nucleus].reshape(*runs, -1, 4),
                    },
                }
            ),
        )

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """All metrics, of the boxes where the response is largest."""
        found = []
        for part in parts:
            response, boxes = model(part["exemplars"], part["searches"], part["sizes"])
            best = response.flatten(-2).argmax(-1)[..., None, None].expand(*boxes.shape[:-2], 1, 4)
            found.append((boxes.gather(-2, best).squeeze(-2), part["boxes"]))
        predicted, true_boxes = (torch.cat(tensors, -2) for tensors in zip(*found, strict=True))
        return measured(predicted, true_boxes, SHRINK)

    def test_split(self) -> Split:
        """Pairs of nuclei and times that no training and no choice saw."""
        return self._split(test_pairs(self.config))

    def _drawn(self, seed: int) -> tuple[Split, Split]:
        train, validation = search_pairs(self.config, self._film, seed)
        return self._split(train), self._split(validation)

    def _split(self, pairs: Pairs) -> Split:
        exemplars, searches = (
            (torch.from_numpy(images).unsqueeze(1) - self._mean) / self._deviation
            for images in (pairs.exemplars, pairs.searches)
        )
        sizes, boxes = torch.from_numpy(pairs.sizes), torch.from_numpy(pairs.boxes)
        return Split({"exemplars": exemplars, "searches": searches, "sizes": sizes, "boxes": boxes})


def cells_at(boxes: Tensor) -> Tensor:
    """The cell next to the centre of each box and its eight neighbours, all inside the map.

    Args:
        boxes: `[..., 4]`, pixels of the search region.

    Returns:
        `[..., cell]`, true at nine cells of each box.
    """
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2.0
    column, row = ((centre - EXEMPLAR / 2) / STRIDE).round().clamp(1, CELLS - 2).unbind(-1)
    cells = torch.arange(CELLS * CELLS, device=boxes.device)
    near_column = (cells % CELLS - column.unsqueeze(-1)).abs() <= 1
    return near_column & ((cells // CELLS - row.unsqueeze(-1)).abs() <= 1)
