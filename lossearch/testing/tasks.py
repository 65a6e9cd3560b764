"""What every task has to hold: data by seed, disjoint splits, the seal, one training as many, metrics as declared."""

from __future__ import annotations

import hashlib
import math
import multiprocessing
from collections.abc import Collection, Sequence
from multiprocessing.connection import Connection

import torch

from lossearch import zoo
from lossearch.candidates.rejection import rejection_test
from lossearch.errors import UserError
from lossearch.ir.core.joint import JointGraph
from lossearch.ir.core.signature import SIGNATURES
from lossearch.loss import Loss
from lossearch.tasks import DescribedTask, TestSplitSealed, UserTask, forbid_test_split
from lossearch.tasks.base import Task
from lossearch.tasks.described import Split
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.streams import Stream, generator
from lossearch.tasks.user.first_calls import FirstCalls
from lossearch.testing.findings import Findings
from lossearch.training.first_inputs import first_inputs
from lossearch.training.function_trainer import default_losses, loss_factory
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.plan import LossFunction, Run
from lossearch.training.train import train
from lossearch.zoo.named import graph_of

STEPS = 30
"""Optimiser steps after which a trained network must be better than an untrained one, unless others are given."""

_ROUNDING = 1e-4  # by which trainings in one stack may differ from trainings alone
_SEEDS = (3, 4)
_JUDGED = 64  # predictions that `judge` is asked about, and steps that improve them
_OTHER_SEEDS = (4, 5, 6)  # a coarse metric may be the same for two seeds of a function


def check_task(task: DescribedTask | UserTask, budget: int | None = None) -> None:
    """Hold a task against what searching, tuning and comparing rely on.

    Args:
        task: a described task, or a user's function.
        budget: that a function is called with; of a described task the steps after which it must be better than
            untrained, by default 30.

    Raises:
        Nonconforming: with everything that does not hold.
        UserError: a function without a budget.
    """
    findings = Findings(f"the task {task.name}")
    if _check_declared(task, findings):
        if isinstance(task, UserTask):
            _check_function(task, budget, findings)
        else:
            _check_data(task, findings)
            _check_seal(task, findings)
            _check_trainings(task, STEPS if budget is None else budget, findings)
    findings.report()


def _check_declared(task: Task, findings: Findings) -> bool:
    findings.require(bool(task.name.strip()), "it has a name")
    findings.require(bool(task.slots), "it has a loss slot")
    for name, slot in task.slots.items():
        if findings.require(
            slot.signature in SIGNATURES, f"the slot {name} has a signature; {slot.signature!r} is none"
        ):
            default = graph_of(slot.default).signature.name
            findings.require(
                default == slot.signature,
                f"the default of the slot {name} is of {slot.signature}; {slot.default} is of {default}",
            )
    metric = task.metric
    findings.require(
        metric.lower < metric.upper, f"{metric.name} has a range; [{metric.lower}, {metric.upper}] is none"
    )
    findings.require(task.budget is None or task.budget >= 1, f"a budget is at least 1; it is {task.budget}")
    rate = task.base_learning_rate
    findings.require(0.0 < rate < math.inf, f"a learning rate is positive; it is {rate}")
    return not findings.found


def _check_data(task: DescribedTask, findings: Findings) -> None:
    first, again = task.draw(_SEEDS[0]), task.draw(_SEEDS[0])
    equal = all(
        a.tensors.keys() == b.tensors.keys() and all(torch.equal(a[name], b[name]) for name in a.tensors)
        for a, b in zip(first, again, strict=True)
    )
    findings.require(equal, f"equal seeds give equal data; draw({_SEEDS[0]}) gave two kinds")
    samples = len(first[0])
    order = task.order(samples, generator(_SEEDS[0], Stream.ORDER))
    findings.require(
        sorted(order.tolist()) == list(range(samples)), f"order takes each of the {samples} training samples once"
    )
    with task.open_test(by="check_task") as test:
        parts = {"training": first[0], "validation": first[1], "test": test}
        contents = {name: _contents(split) for name, split in parts.items()}
    names = list(contents)
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            shared = len(contents[name] & contents[other])
            findings.require(shared == 0, f"splits share no content; {shared} samples of {name} are in {other} as well")


def _contents(split: Split) -> set[str]:
    """The samples by what the first tensor holds, the model's input, so that a copy under another index counts."""
    first = next(iter(split.tensors.values()))
    return {hashlib.sha256(sample.numpy().tobytes()).hexdigest() for sample in first.contiguous()}


def _check_seal(task: DescribedTask, findings: Findings) -> None:
    # A forked process needs neither to import nor to unpickle the task, which may be of a test file or a notebook.
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_try_to_open, args=(task, send))
    process.start()
    send.close()
    try:
        refused = receive.recv()
    except EOFError:
        refused = "the process ended"
    process.join()
    findings.require(refused is True, f"a process that forbade test splits cannot open them; {refused}")


def _try_to_open(task: DescribedTask, answer: Connection) -> None:
    forbid_test_split("check_task tries to open it")
    try:
        with task.open_test(by="check_task"):
            answer.send("open_test gave the split")
    except TestSplitSealed:
        answer.send(True)


def _check_trainings(task: DescribedTask, steps: int, findings: Findings) -> None:
    defaults: dict[str, LossFunction] = {
        slot: GraphLoss(graph_of(one.default), loss_buffers(task, slot)) for slot, one in task.slots.items()
    }
    rate = task.base_learning_rate
    runs = [Run(defaults, rate, seed) for seed in _SEEDS]
    together = train(task, runs, steps)
    alone = [train(task, [run], steps)[0] for run in runs]
    for seed, one, other in zip(_SEEDS, together, alone, strict=True):
        agree = (
            one.metric is not None and other.metric is not None and abs(one.metric - other.metric) <= _tolerance(task)
        )
        findings.require(
            agree, f"a run in a stack ends as it does alone; with seed {seed} {_told(one)} and {_told(other)}"
        )
    again = train(task, runs, steps)
    findings.require(
        [o.metric for o in together] == [o.metric for o in again],
        "equal arguments give equal metrics; two trainings differ",
    )
    untrained = train(task, [Run(defaults, 1e-12, seed) for seed in _SEEDS], 1)
    _check_metrics(task, untrained, together, findings)
    for slot, one in task.slots.items():
        given = loss_buffers(task, slot)
        names = [name for name in zoo.names(signature=one.signature) if not _missing(zoo.get(name), given)]
        graphs = [GraphLoss(zoo.get(name).graph, given) for name in names]
        outcomes = train(task, [Run({**defaults, slot: graph}, rate, _SEEDS[0]) for graph in graphs], 2)
        for name, outcome in zip(names, outcomes, strict=True):
            findings.require(
                outcome.status is Status.OK,
                f"every hand-designed loss of the signature of the slot {slot} trains; {name}: {_told(outcome)}",
            )


def _check_metrics(
    task: DescribedTask | UserTask, before: Sequence[Outcome], after: Sequence[Outcome], findings: Findings
) -> None:
    metric = task.metric
    values = [outcome.metric for outcome in (*before, *after) if outcome.metric is not None]
    findings.require(
        all(metric.lower <= value <= metric.upper for value in values),
        f"{metric.name} lies in [{metric.lower:g}, {metric.upper:g}]; it was {values}",
    )
    mean = [_mean([o.metric for o in outcomes if o.metric is not None]) for outcomes in (before, after)]
    direction = "rises" if metric.higher_is_better else "falls"
    findings.require(
        metric.is_better(mean[1], mean[0]),
        f"{metric.name} {direction} from an untrained to a trained network; it was {mean[0]:.4g} and {mean[1]:.4g}",
    )


def _check_function(task: UserTask, budget: int | None, findings: Findings) -> None:
    if budget is None:
        raise UserError("the budget that the function is called with", "none", "check_task(task, budget=…)")
    defaults = default_losses(task).frozen()
    default = loss_factory(defaults)
    call = task.first_call(default, budget, _SEEDS[0])
    told = "" if isinstance(call, FirstCalls) else _told(call)
    if not findings.require(isinstance(call, FirstCalls), f"it calls its loss; {told}"):
        return
    first, again = (task.evaluate(default, budget, _SEEDS[0]) for _ in range(2))
    findings.require(
        first.status is Status.OK and first.curve == again.curve,
        f"equal seeds give equal metrics; {_told(first)} and {_told(again)}",
    )
    others = [task.evaluate(default, budget, seed).curve for seed in _OTHER_SEEDS]
    findings.require(
        any(curve != first.curve for curve in others),
        f"seed chooses the training; {1 + len(others)} seeds gave the same metrics",
    )
    if task.rights.learning_rate:
        slow = task.evaluate(default, budget, _SEEDS[0], learning_rate=1e-9)
        findings.require(slow.curve != first.curve, "learning_rate changes the training; 1 and 1e-9 gave the same")
        _check_metrics(task, [slow], [first], findings)
    if task.rights.test:
        test = task.evaluate(default, budget, _SEEDS[0], split="test")
        findings.require(test.curve != first.curve, "split chooses the data; test and validation gave the same metrics")
    if isinstance(call, FirstCalls) and call.judged:
        _check_judge(task, call, findings)
    for slot, signature in task.signatures.items():
        for name in zoo.names(signature=signature):
            if _missing(zoo.get(name), ()):
                continue
            graph = zoo.get(name).graph.frozen()
            whole = defaults.with_slot(slot, graph) if isinstance(defaults, JointGraph) else graph
            outcome = task.evaluate(loss_factory(whole), budget, _SEEDS[0])
            findings.require(
                outcome.status is Status.OK,
                f"every hand-designed loss of the signature of the slot {slot} trains; {name}: {_told(outcome)}",
            )


def _check_judge(task: UserTask, call: FirstCalls, findings: Findings) -> None:
    """That `judge` gives the metric: in its range, and better where the default loss has improved predictions."""
    metric = task.judging_metric
    for slot, one in task.slots.items():
        reference = graph_of(one.default)
        inputs = first_inputs(call[slot], reference.signature, _JUDGED)
        try:
            test = rejection_test(task, slot, reference, inputs, _JUDGED)
        except UserError as error:
            findings.require(False, f"judge() gives the metric of untrained predictions; {error}")
            continue
        if test is not None:
            findings.require(
                metric.is_better(test.best, test.start),
                f"judge() gives a better {metric.name} where {one.default} has improved the predictions of {slot}; it"
                f" was {test.start:.4g}, and {test.best:.4g} at best",
            )


def _missing(loss: Loss, given: Collection[str]) -> bool:
    """Whether a loss is made with something that is not given."""
    return any(loss.graph.uses(buffer.name) and buffer.name not in given for buffer in loss.signature.buffers)


def _tolerance(task: DescribedTask) -> float:
    """What rounding may change: a prediction or two of a metric that counts them."""
    return max(_ROUNDING, 2.0 / len(task.draw(_SEEDS[0])[1]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _told(outcome: Outcome) -> str:
    if outcome.metric is not None:
        return f"{outcome.metric:.6g}"
    return f"{outcome.status}: {outcome.message.strip().splitlines()[-1] if outcome.message.strip() else 'no message'}"
