"""Tasks that describe their training: data by seed, a model, what a step gives each loss, and how a model is measured.

The trainer (`lossearch.training`) does the rest. Other packages add such tasks through `lossearch.tasks.catalogue`.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.tasks.base import Metric, Rights, Slot
from lossearch.tasks.directions import Direction
from lossearch.tasks.seal import record_opening
from lossearch.tasks.training_config import TrainingConfig
from lossearch.zoo.named import graph_of

Model = Callable[..., Any]
"""A model as `step` and `measure` call it: with tensors, giving a tensor, or a tuple or mapping of tensors."""

DRAWN_BYTES = 256 * 2**20
"""Memory that the splits of recent seeds of all tasks may take, where every seed draws its own."""

Batch = Mapping[str, Tensor]
"""Tensors by name, each with the samples along its first axis; in a stack of runs `run` is a further axis before it."""


class Split:
    """Samples: tensors by name, all of one length along their first axis.

    Args:
        tensors: by name.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        lengths = {name: len(tensor) for name, tensor in tensors.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"tensors of one length along their first axis, not {lengths}")
        self._tensors = dict(tensors)

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """All tensors by name."""
        return self._tensors

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))


class TestSplit(Split):
    """The test split while it is open; closed, it holds nothing and says so."""

    __test__ = False

    _open = True

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        if not self._open:
            raise UserError("an open test split", "one that was closed", "use it inside `with task.open_test(...)`")
        return self._tensors

    def close(self) -> None:
        """Let go of the samples."""
        self._open = False
        self._tensors = {}


@dataclass(frozen=True)
class Phase:
    """A forward pass of a training step, followed by an update.

    Attributes:
        inputs: what each slot's loss is given, by slot and by the names of its signature. Their losses are added.
        parameters: which parameters are updated: those whose names begin so; all by default.
    """

    inputs: Mapping[str, Mapping[str, Tensor]]
    parameters: str = ""


class DescribedTask(ABC):
    """A task of which lossearch runs the training.

    It is made from its configuration alone, so that other processes can make it again.

    A task is *stackable* where `step` and `measure` work just as well on many runs at once: every tensor of a batch,
    every output of the model and every metric then has `run` as a further axis, first. What is not stackable is
    trained one run after the other, without that axis, with the same result.

    Args:
        config: what defines the task.
    """

    stackable: bool = True

    kind: ClassVar[str] = "bundled task"
    """What messages call it."""

    single: ClassVar[bool] = True
    """Whether a training is one of one model, and so a function of its weights; that of a distribution is several."""

    # What `Task` asks, with one answer for all bundled tasks.
    tells_progress: bool = True
    stops_scoring: bool = False
    buffers_vary: bool = False
    default_device: str | None = "cpu"
    ends_late_trainings: bool = False
    directions: Mapping[str, Direction] = MappingProxyType({})

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config

    @property
    def config(self) -> TrainingConfig:
        """What the task was built from: its name, and how its model is trained."""
        return self._config

    @property
    @abstractmethod
    def slots(self) -> Mapping[str, Slot]:
        """The places at which losses stand, by name; `loss` where there is one alone."""

    @property
    @abstractmethod
    def metrics(self) -> Mapping[str, Metric]:
        """What `measure` gives, by name. The first ranks losses."""

    @abstractmethod
    def describe(self) -> str:
        """The task in one line, with sizes."""

    @abstractmethod
    def build_model(self) -> nn.Module:
        """A model, initialised from torch's global generator, with parameters as its only state.

        Its operations do not couple samples (no batch normalisation), so that a batch may be cut.
        """

    @abstractmethod
    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation data of a training with this seed; the same objects where all trainings share them.

        All seeds give splits of one size.
        """

    def order(self, samples: int, draw: np.random.Generator) -> npt.NDArray[np.int64]:
        """The order in which an epoch takes the training samples; batches are cut from it one after the other.

        Args:
            samples: how many there are.
            draw: random numbers of this run and epoch.

        Returns:
            0 … samples - 1, each once; by default any order is as likely as another.
        """
        return draw.permutation(samples)

    @abstractmethod
    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """What the losses are given in a training step.

        Args:
            model: called with tensors of the batch.
            batch: training samples, `[batch, ...]`; in a stack `[run, batch, ...]`.

        Returns:
            Phases, one for most tasks. They are taken one by one, each after the update that follows the one before:
            a generator that calls `model` between two phases sees the updated weights. What was computed before an
            update cannot be differentiated after it.
        """

    @abstractmethod
    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """The metrics of a model on held-out data.

        Args:
            model: called with tensors of a part.
            parts: all samples in order, in parts that fit into memory: `[sample, ...]`; in a stack
                `[run, sample, ...]`.

        Returns:
            By name one number; in a stack `[run]`.
        """

    @abstractmethod
    def test_split(self) -> Split:
        """The test data, read anew. Only `open_test` calls it."""

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """The metric that ranks, from what a slot's loss is given: `[]`. None where it does not follow from that.

        Screening optimises predictions for it, see `lossearch.candidates.rejection`.
        """
        return None

    def buffers(self, slot: str) -> Mapping[str, Tensor]:
        """Tensors that losses of a slot are made with, such as class weights, by the names of its signature."""
        return {}

    def facts(self) -> Mapping[str, Any]:
        """Facts of the training data that advice needs, by the names of `lossearch.advice.Situation`.

        Where a task tells none, what its slot takes, its metric and its training targets are looked at.
        """
        return {}

    @property
    def name(self) -> str:
        """As archives and reports call it."""
        return self.config.name

    @property
    def searched(self) -> tuple[str, ...]:
        """The slots whose losses are searched, tuned and compared, together, in the order of `slots`.

        Raises:
            UserError: there are several and the configuration names none of them, or one that there is not.
        """
        known, given = tuple(self.slots), self.config.slot
        if given is None and len(known) == 1:
            return known
        named = (given,) if isinstance(given, str) else given or ()
        if not named or not set(named) <= set(known) or len(set(named)) < len(named):
            required = f"one or several of the loss slots of {self.name}: {', '.join(known)}"
            found = f"slot = {given!r}" if given is not None else "none"
            raise UserError(required, found, f'add slot = "{known[0]}" to the task')
        return tuple(name for name in known if name in named)

    @property
    def several(self) -> bool:
        """Whether several slots are searched together."""
        return len(self.searched) > 1

    @property
    def searched_signature(self) -> str | dict[str, str]:
        """The signature of the losses that are searched; by slot where these are several."""
        known = {slot: self.slots[slot].signature for slot in self.searched}
        return known if len(known) > 1 else next(iter(known.values()))

    @property
    def members(self) -> tuple[object, ...]:
        """The tasks that are trained on: itself alone, or those of a distribution."""
        return (self,)

    @property
    def ranked_by(self) -> Mapping[str, DescribedTask]:
        """Of a training's metrics, by name, the member whose ranking metric it is."""
        return {self.metric.name: self}

    def to_learn_on(self, count: int) -> list[DescribedTask]:
        """Up to `count` tasks on which a loss is learned by gradient: of a single task itself."""
        return [self]

    @cached_property
    def other_losses(self) -> Mapping[str, Graph]:
        """The losses of all other slots.

        Raises:
            UserError: the configuration names a loss for a slot that has none of its own, or one of another signature.
        """
        own, given = self.searched, self.config.losses
        for slot in given:
            if slot not in self.slots or slot in own:
                others = ", ".join(name for name in self.slots if name not in own) or "none"
                required = f"losses of other slots than {', '.join(own)}: {others}"
                raise UserError(required, f"a loss for {slot!r}", "leave it out")
        found = {name: graph_of(given.get(name, one.default)) for name, one in self.slots.items() if name not in own}
        for name, graph in found.items():
            wanted = self.slots[name].signature
            if graph.signature.name != wanted:
                required = f"a loss of signature {wanted} for the slot {name}"
                raise UserError(required, f"{given[name]} of {graph.signature.name}", "name another loss")
        return found

    @property
    def metric(self) -> Metric:
        """What ranks losses."""
        return next(iter(self.metrics.values()))

    @property
    def judging_metric(self) -> Metric:
        """What `judge` gives."""
        return self.metric

    @property
    def budget(self) -> int:
        """Optimiser steps of a full training."""
        return self.config.steps

    @property
    def base_learning_rate(self) -> float:
        """Of the optimiser, at the start of its schedule."""
        return self.config.learning_rate

    @property
    def rights(self) -> Rights:
        """All."""
        return Rights()

    def notes(self) -> dict[str, str]:
        """Of several slots which are searched, and which losses the others keep."""
        if len(self.slots) == 1:
            return {}
        given, searched = self.config.losses, self.searched
        kept = [f"{name} = {given.get(name, self.slots[name].default)}" for name in self.other_losses]
        how = f"{' and '.join(searched)} {'are searched together' if len(searched) > 1 else 'is searched'}"
        return {"slot": f"{how}; {', '.join(kept)} stay{'' if len(kept) > 1 else 's'}" if kept else how}

    @contextmanager
    def open_test(self, by: str) -> Iterator[TestSplit]:
        """The test split for the length of a `with` block. Only a final comparison has a reason to.

        Args:
            by: who opens it, for the record: "compare".

        Raises:
            TestSplitSealed: this process called `forbid_test_split`.
            UserError: the data is missing or damaged.
        """
        record_opening(self.name, by)
        split = self._opened(self.test_split())
        try:
            yield split
        finally:
            split.close()

    def _opened(self, split: Split) -> TestSplit:
        return TestSplit(split.tensors)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class RecentDraws:
    """The splits of the seeds that were asked for last, within a limit of memory that all tasks of a process share.

    Args:
        draw: makes the splits of a seed.
    """

    def __init__(self, draw: Callable[[int], tuple[Split, Split]]) -> None:
        self._draw = draw
        weakref.finalize(self, _forget, id(self))

    def __call__(self, seed: int) -> tuple[Split, Split]:
        """The splits of a seed."""
        key = id(self), seed
        if _PASSING and key not in _DRAWN:
            return self._draw(seed)
        found, size = _DRAWN.pop(key, None) or _with_size(self._draw(seed))
        _DRAWN[key] = found, size  # the last asked for comes last
        while len(_DRAWN) > 1 and sum(size for _, size in _DRAWN.values()) > DRAWN_BYTES:
            del _DRAWN[next(iter(_DRAWN))]
        return found


_DRAWN: dict[tuple[int, int], tuple[tuple[Split, Split], int]] = {}
"""By task and seed the splits with their bytes."""

_PASSING: list[None] = []


@contextmanager
def passing_draws() -> Iterator[None]:
    """Keep no splits that are drawn within, as their seeds are not likely to be asked for again."""
    _PASSING.append(None)
    try:
        yield
    finally:
        _PASSING.pop()


def _with_size(splits: tuple[Split, Split]) -> tuple[tuple[Split, Split], int]:
    return splits, sum(tensor.nbytes for split in splits for tensor in split.tensors.values())


def _forget(task: int) -> None:
    for key in [key for key in _DRAWN if key[0] == task]:
        del _DRAWN[key]
