"""The user's own training function as a task, run in a process that can be stopped."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

import lossearch.zoo as zoo
from lossearch.errors import UserError
from lossearch.ir.core.signature import get_signature
from lossearch.ir.forms.joint import check_slots
from lossearch.tasks.base import Metric, Rights, Slot
from lossearch.tasks.directions import Direction
from lossearch.tasks.metrics import accuracy
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.user.calling import rights_of
from lossearch.tasks.user.descendants import kill_session
from lossearch.tasks.user.first_calls import ONE, FirstCalls, Recording
from lossearch.tasks.user.function import is_file_reference, reference_to
from lossearch.tasks.user.judging import Judging, given
from lossearch.tasks.user.pickled_function import is_pickled, name_of, pickled
from lossearch.tasks.user.server import FunctionCall, OnMetric, Server, ServerDied
from lossearch.tasks.user.worker import Request

LossFactory = Callable[[], Any]
"""Makes the loss, in another process; must be picklable, such as `torch.nn.CrossEntropyLoss`."""


class UserTask:
    """A task that is the user's own function `train(loss, budget, seed) -> iterator of metrics`.

    The function trains with `loss` for `budget` units (its own: epochs, steps) and yields, as often as it likes, the
    metric on its own validation data: a number, or a mapping that contains `metric`, whose other numbers are kept, too.
    The last ones count; what it returns in place of yielding counts as one yield. It draws all randomness from `seed`.
    It may be the method `train` of a class, which is made anew for each training, and whose method `describe()` may
    save the dry call by which `first_call` sees at which predictions trainings begin. A method `judge(inputs)` of the
    class may give the metric that ranks, as a number or a mapping that contains it, from what the loss is given, by
    name (of several losses under the name of the slot), or None: screening then optimises predictions for that.

    What it may do besides, it says by the keywords that it takes: `learning_rate`, a factor on its own, so that losses
    can be tuned; `split`, "validation" or "test", so that they can be compared, which alone asks for "test"; `device`,
    where to train. Every evaluation runs in a fresh process, in which the test splits of bundled tasks are sealed:
    nothing leaks from one to the next, and one that hangs is killed together with the processes that it started
    (`descendants.py` says which are not found).

    Args:
        function: the function, or its name: "path/to/file.py:function" or "module:function". One without such a name
            (of a notebook cell, a closure, a partial, a bound method) is pickled with what it refers to.
        metric: name of the metric that ranks.
        higher_is_better: its direction, for whoever ranks by it.
        signature: of the loss that the function calls; by slot those of the losses that it calls, where it takes
            several.
        directions: further metrics that it must yield, each with whether "maximize" or "minimize" is better.
        time_limit: seconds for one evaluation, the import of the user's code included; None for no limit.
        folder: working directory of the function; None for that of this process.

    Attributes:
        several: whether the function takes a mapping of losses.
        judges: whether the class has a method `judge`, as its first call told.

    Raises:
        UserError: the function has neither a name under which another process could find it nor can be pickled, or
            the limit is not positive.
    """

    # What `Task` asks, with one answer for all functions.
    tells_progress: bool = False
    stops_scoring: bool = True
    buffers_vary: bool = False
    default_device: str | None = None
    ends_late_trainings: bool = True

    def __init__(
        self,
        function: str | Callable[..., Any],
        metric: str = "metric",
        higher_is_better: bool = True,
        time_limit: float | None = None,
        folder: str | None = None,
        signature: str | Mapping[str, str] = "dense",
        directions: Mapping[str, Direction] | None = None,
    ) -> None:
        if time_limit is not None and not time_limit > 0:
            raise UserError("a positive time limit in seconds", str(time_limit), "raise it, or leave it out")
        reference = function if isinstance(function, str) else reference_to(function)
        self.function = name_of(function) if reference is None else _absolute(reference)
        self._pickled = None if reference is not None or isinstance(function, str) else pickled(function)
        self.metric = Metric(metric, higher_is_better)
        self.directions: Mapping[str, Direction] = dict(directions or {})
        self.time_limit = time_limit
        self.folder = None if folder is None else str(Path(folder).absolute())
        self.signatures = {ONE: signature} if isinstance(signature, str) else dict(signature)
        self.several = not isinstance(signature, str)
        check_slots(self.signatures)
        self._server: Server | None = None
        self._rights: Rights | None = None
        self.judges = False
        self._judging: Judging | None = None

    @property
    def name(self) -> str:
        """File or module, and function."""
        return short_name(self.function)

    @property
    def slots(self) -> Mapping[str, Slot]:
        """Those of the signatures that were given."""
        return {name: Slot(one, default_for(one), stand_in=True) for name, one in self.signatures.items()}

    @property
    def searched(self) -> tuple[str, ...]:
        """All."""
        return tuple(self.signatures)

    @property
    def budget(self) -> None:
        """A function's own units, which only its user knows."""
        return None

    @property
    def base_learning_rate(self) -> float:
        """What the function takes is a factor on its own."""
        return 1.0

    @property
    def rights(self) -> Rights:
        """What the function allows by the keywords that it takes; it is imported, in another process, to see them.

        Raises:
            UserError: it cannot be imported, or is no training function.
        """
        if self._rights is None:
            evaluation, _ = self._attempt(replace(self._request(_no_loss, 1, 0), ask=True), None)
            if evaluation.status is not Status.OK:
                reason = (evaluation.message or "an unknown error").strip().splitlines()[-1]
                raise UserError(f"a training function that can be imported, as {self.name}", reason, "mend it")
            self._rights = rights_of(evaluation.keywords)
        return self._rights

    @property
    def judging_metric(self) -> Metric:
        """What `judge` gives: the metric that ranks where the function's class judges, otherwise accuracy."""
        return self.metric if self.judges else Metric("accuracy", True)

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """The metric of predictions, `[]`, as the method `judge` of the function's class gives it.

        Where it has none, accuracy of class scores stands in for the function's own metric; of other predictions None.

        Raises:
            NotJudged: the method raises, gives no number, or takes longer than the time limit.
        """
        if self.judges:
            if self._judging is None:
                self._judging = Judging(self._request(_no_loss, 1, 0), self.time_limit)
            value = self._judging.value(given(slot, inputs, self.several))
            return None if value is None else torch.tensor(value, dtype=torch.float64)
        known = get_signature(self.slots[slot].signature).labelled_scores
        if known is None:
            return None
        scores, target = (inputs[one.name].unsqueeze(0) for one in known)
        return accuracy(scores, target)[0]

    def buffers(self, slot: str) -> Mapping[str, Tensor]:
        """None: a function does not tell its class weights."""
        return {}

    def notes(self) -> dict[str, str]:
        """What the rejection test optimises predictions for."""
        told = f"optimises predictions for {self.judging_metric.name}"
        if self.judges:
            told += ", as your class's judge() gives it"
        elif self.metric.name != "accuracy":
            told += f", which stands in for {self.metric.name} (a method judge(inputs) of a class gives that itself)"
        return {"rejection": told}

    def describe(self) -> str:
        """The function's name."""
        return f"your function {self.name}"

    def evaluate(
        self,
        loss_factory: LossFactory,
        budget: int,
        seed: int,
        on_metric: OnMetric | None = None,
        **keywords: Any,
    ) -> Outcome:
        """Train once with the loss that `loss_factory` makes.

        Args:
            loss_factory: see `LossFactory`.
            budget: passed to the function.
            seed: passed to the function.
            on_metric: called with each metric; returning False stops the training, with the status OK.
            keywords: `learning_rate`, `split` and `device`, passed to a function that takes them.

        Returns:
            OK with the last metrics; DIVERGED if the metric that ranks is not finite; ERROR with the traceback if the
            function cannot be imported, raises, gives no metric or its process dies; TIMEOUT; OUT_OF_MEMORY. The steps
            of the curve count yields. A training that something from outside kills is begun once more.

        Raises:
            UserError: the loss factory cannot be pickled.
        """
        request = self._request(loss_factory, budget, seed, keywords)
        evaluation, outcome = self._attempt(request, on_metric)
        return self._attempt(request, on_metric)[1] if evaluation.lost else outcome

    def first_call(
        self, loss_factory: LossFactory, budget: int, seed: int, device: str | None = None
    ) -> FirstCalls | Outcome:
        """What the function gives its losses at their first calls, found by calling the function until it gets there.

        Where it is the method of a class with a method `describe()`, that tells instead: it returns a mapping from the
        names of the loss's inputs to example tensors, or to shapes, which stand for standard normal predictions; of
        several losses such a mapping for each slot.

        Args:
            loss_factory: makes a `LossModule`, or a mapping of them by slot; otherwise see `LossFactory`.
            budget: passed to the function.
            seed: passed to the function.
            device: passed to a function that takes it; None leaves it to the function.

        Returns:
            The inputs, or how the function ended without calling one of its losses, which the message then names.
        """
        with tempfile.TemporaryDirectory(prefix="lossearch-first-call-") as folder:
            recording = Recording(loss_factory, {slot: str(Path(folder, slot)) for slot in self.searched})
            request = self._request(recording, budget, seed, {} if device is None else {"device": device})
            evaluation, outcome = self._attempt(request, None)
            if evaluation.lost and recording.missing:
                _, outcome = self._attempt(request, None)
            found = recording.recorded()
            if found is None and outcome.status is Status.OK and self.several:
                return replace(outcome, message=f"a call of the loss of {' and '.join(recording.missing)}")
            self.judges = found is not None and found.judged
            return outcome if found is None else found

    def _request(
        self, loss_factory: LossFactory, budget: int, seed: int, keywords: Mapping[str, Any] | None = None
    ) -> Request:
        factory, given = _pickled(loss_factory), {"split": "validation"} | dict(keywords or {})
        metric, also = self.metric.name, tuple(self.directions)
        return Request(self.function, factory, budget, seed, metric, self._pickled, self.folder, given, also)

    def _attempt(self, request: Request, on_metric: OnMetric | None) -> tuple[FunctionCall, Outcome]:
        """One training, and how it ended."""
        evaluation = FunctionCall(self._running_server().connection, self.time_limit, on_metric)
        try:
            return evaluation, evaluation.run(request)
        except ServerDied:
            self.close()
            if evaluation.child is not None:
                kill_session(evaluation.child)
            message = "the process that runs training functions died"
            evaluation.status, evaluation.message, evaluation.lost = Status.ERROR, message, True
            return evaluation, Outcome(Status.ERROR, None, tuple(evaluation.curve), 0.0, message)
        except BaseException:  # Ctrl-C, or an error in on_metric: the child must not go on
            self.close()
            raise

    def close(self) -> None:
        """End the processes that run evaluations and judge, with any under way. The next use starts others."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._judging is not None:
            self._judging.close()
            self._judging = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_server": None, "_judging": None}

    def __repr__(self) -> str:
        return f"UserTask({self.function!r}, metric={self.metric.name!r})"

    def _running_server(self) -> Server:
        if self._server is not None and self._server.process.poll() is not None:
            self.close()
        if self._server is None:
            self._server = Server()
        return self._server


def default_for(signature: str) -> str:
    """The default loss of a function's slot of this signature; raises `UserError` where there is no loss of it."""
    known = zoo.names(signature=signature)
    if not known:
        hint = "declare one in the package that declares the signature: lossearch.zoo.registry.hand_designed"
        raise UserError(f"a hand-designed loss of signature {signature}", "none", hint)
    return "cross_entropy" if "cross_entropy" in known else known[0]


def short_name(reference: str) -> str:
    """A function's reference without the folder of its file; the name alone of one that is pickled."""
    place, _, name = reference.rpartition(":")
    return name if is_pickled(reference) or not place else f"{Path(place).name}:{name}"


def _no_loss() -> None:
    """The loss of a request that only asks about the function."""


def _absolute(reference: str) -> str:
    """A file's reference with its absolute path, so that it stays good when the working directory changes."""
    place, colon, name = reference.rpartition(":")
    return f"{Path(place).resolve()}{colon}{name}" if is_file_reference(reference) else reference


def _pickled(loss_factory: LossFactory) -> bytes:
    try:
        return pickle.dumps(loss_factory)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UserError(
            "a loss factory that can be pickled, as training runs in a process of its own",
            f"{loss_factory!r}: {error}",
            "pass a class, a module-level function, or a functools.partial of one",
        ) from error
