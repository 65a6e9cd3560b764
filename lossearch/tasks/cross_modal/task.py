"""Pictures and their names, brought into one space in which each finds the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.cross_modal.config import CrossModalConfig, cross_modal_config
from lossearch.tasks.cross_modal.metrics import METRICS, measured
from lossearch.tasks.cross_modal.models import TwoTowers
from lossearch.tasks.cross_modal.names import concepts, hashed
from lossearch.tasks.datasets.data import load_named_images
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase, RecentDraws, Split
from lossearch.tasks.regression.splitting import Rows, cut, in_drawn_order
from lossearch.tasks.streams import Stream, generator, redrawn


class CrossModalTask(DescribedTask):
    """A network for pictures and one for names; what they are judged by are pictures and names that they never saw.

    Pictures are scaled to mean 0 and deviation 1 of the task's own training split.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.

    Raises:
        UserError: the configuration does not fit, or the data is missing or damaged.
    """

    def __init__(self, spec: str | Mapping[str, Any] | CrossModalConfig) -> None:
        super().__init__(cross_modal_config(spec))
        found = load_named_images(self.config.dataset)
        images = torch.from_numpy(found.images.astype(np.float32) / 255)
        images = F.avg_pool2d(images, self.config.shrink) if self.config.shrink > 1 else images
        self._names = torch.from_numpy(hashed(found.names, self.config.columns))
        self._concepts = concepts(found.names)
        own = self._rows(self.config.split_seed)
        train = images[own[0]]
        self._images = (images - train.mean()) / train.std().clamp(min=1e-12)
        self._own = self._split(own[0]), self._split(own[1])
        self._redrawn = RecentDraws(lambda seed: self._drawn(redrawn(self.config.split_seed, seed)))

    @property
    def config(self) -> CrossModalConfig:
        """What defines the task."""
        return cast(CrossModalConfig, self._config)

    @property
    def slots(self) -> Mapping[str, Slot]:
        """One: embeddings of pictures and of their names."""
        return {"loss": Slot("views", "clip")}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The configured one first, then the others."""
        return {self.config.metric: METRICS[self.config.metric]} | METRICS

    def describe(self) -> str:
        """Data and sizes."""
        train, validation = (len(split) for split in self._own)
        return f"{self.name}: pictures and names of {self.config.dataset}, {train} for training, {validation} others"

    def build_model(self) -> nn.Module:
        """A network for pictures and one for names."""
        given, shape = self.config, self._images.shape
        return TwoTowers((shape[1], shape[2], shape[3]), given.columns, given.features, given.channels)

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation pictures of a training with this seed."""
        return self._redrawn(seed) if self.config.resample else self._own

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """Embeddings `[batch, feature]` of pictures and of their names."""
        first, second = model(batch["images"], batch["names"])
        return (Phase({"loss": {"first": first, "second": second}}),)

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """All metrics, of each sample among all others."""
        pairs = [model(part["images"], part["names"]) for part in parts]
        pictures, names = (torch.cat(tensors, 1) for tensors in zip(*pairs, strict=True))
        found = measured(pictures, names)
        return {name: found[name] for name in self.metrics}

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor:
        """The metric among the samples of a batch."""
        return measured(inputs["first"].unsqueeze(0), inputs["second"].unsqueeze(0))[self.config.metric][0]

    def test_split(self) -> Split:
        """Pictures and names that no training and no choice saw."""
        return self._split(self._test_rows()[0])

    def _drawn(self, seed: int) -> tuple[Split, Split]:
        train, validation = self._rows(seed)
        return self._split(train), self._split(validation)

    def _rows(self, seed: int) -> tuple[Rows, Rows]:
        """Training and validation rows, of concepts that are not test and not each other's."""
        rest = in_drawn_order(self._test_rows()[1], self._concepts, generator(seed, Stream.TRAIN_SUBSET))
        validation, rest = cut(rest, self._concepts, self.config.val_size)
        return cut(rest, self._concepts, self.config.train_size)[0], validation

    def _test_rows(self) -> tuple[Rows, Rows]:
        """Test rows, and in rising order those that are left."""
        everything = np.arange(len(self._concepts))
        order = in_drawn_order(everything, self._concepts, generator(self.config.split_seed, Stream.TEST_SPLIT))
        test, rest = cut(order, self._concepts, self.config.test_size)
        return test, np.sort(rest)

    def _split(self, rows: Rows) -> Split:
        return Split({"images": self._images[rows], "names": self._names[rows]})
