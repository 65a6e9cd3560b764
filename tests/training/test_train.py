from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from representative import first_of, thorough_unless
from torch import Tensor

from lossearch.errors import UserError
from lossearch.tasks import Outcome, Task
from lossearch.tasks.outcome import Status
from lossearch.training import train as training
from lossearch.training.plan import LossFunction, Run
from lossearch.training.stacked_models import DataOrder, Stack, initial_weights
from lossearch.training.train import train
from lossearch.training.untrained import initial_inputs

STEPS = 45  # four and a half epochs of 1000 images in batches of 100


def make_task(**changes: Any) -> Task:
    """Digits, judged by a metric that shows the smallest difference in the weights."""
    return Task({"base": "digits_noise", "metric": "negative_log_likelihood", **changes})


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task()


def brier(logits: Tensor, target: Tensor) -> Tensor:
    return (logits.softmax(1) - F.one_hot(target, logits.shape[1])).square().sum(1).mean()


def smoothed(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits, target, label_smoothing=0.7)


GOOD = [Run(F.cross_entropy, 0.05, 0), Run(brier, 0.2, 1), Run(smoothed, 0.1, 0)]


def trained_by_torch(task: Task, run: Run, steps: int) -> float:
    """The reference: an ordinary loop with an ordinary optimiser."""
    config = task.config
    model = task.build_model()
    torch.nn.utils.vector_to_parameters(initial_weights(task, [run.seed])[0], model.parameters())
    optimizer: torch.optim.Optimizer
    momentum, decay = config.momentum, config.weight_decay
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), run.learning_rate, momentum=momentum, weight_decay=decay)
    else:
        betas = (momentum, 0.999)
        optimizer = torch.optim.Adam(model.parameters(), run.learning_rate, betas=betas, weight_decay=decay)
    factor: Callable[[int], float] = lambda step: (1 + math.cos(math.pi * step / steps)) / 2  # noqa: E731
    training, validation = task.draw(run.seed)
    order = DataOrder(task.order, [run.seed], len(training), config.batch_size)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = run.learning_rate * (factor(step) if config.schedule == "cosine" else 1)
        batch = order.batch(step)[0]
        optimizer.zero_grad()
        run.losses["loss"](model(training.images[batch]), training.labels[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        logits = model(validation.images)
    return float(task.judge("loss", {"logits": logits, "target": validation.labels}))


# Every value of each option, with others of the others.
PAIRED = {("sgd", "constant", 0.0, False), ("adam", "cosine", 0.01, True)}


@pytest.mark.parametrize(
    ("optimizer", "schedule", "weight_decay", "resample"),
    [
        pytest.param(*one, marks=thorough_unless(one in PAIRED))
        for one in itertools.product(("sgd", "adam"), ("constant", "cosine"), (0.0, 0.01), (False, True))
    ],
)
def test_training_equals_an_ordinary_loop(optimizer: str, schedule: str, weight_decay: float, resample: bool) -> None:
    task = make_task(optimizer=optimizer, schedule=schedule, weight_decay=weight_decay, resample=resample)
    scale = 0.05 if optimizer == "adam" else 1.0
    runs = [Run(run.loss, scale * run.learning_rate, run.seed) for run in GOOD]
    for run, outcome in zip(runs, train(task, runs, STEPS), strict=True):
        assert outcome.metric == pytest.approx(trained_by_torch(task, run, STEPS), rel=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_momentum_is_that_of_an_ordinary_optimiser(optimizer: str, momentum: float) -> None:
    task = make_task(optimizer=optimizer, momentum=momentum)
    run = Run(F.cross_entropy, 0.005 if optimizer == "adam" else 0.05, 0)
    (outcome,) = train(task, [run], STEPS)
    assert outcome.metric == pytest.approx(trained_by_torch(task, run, STEPS), rel=1e-4)
    assert outcome.metric != train(make_task(optimizer=optimizer), [run], STEPS)[0].metric


MODELS = {
    "mlp": {"name": "mlp", "hidden": [16, 12]},
    "cnn": {"name": "cnn", "channels": [4, 8]},
    "vit": {"name": "vit", "patch": 4, "width": 8, "depth": 1, "heads": 2},
}


@pytest.mark.parametrize("model", list(MODELS))
def test_training_together_equals_training_alone(model: str) -> None:
    task = make_task(model=MODELS[model])
    together = train(task, GOOD, STEPS)
    alone = [train(task, [run], STEPS)[0] for run in GOOD]
    assert all(outcome.status is Status.OK for outcome in together)
    assert [o.metric for o in together] == pytest.approx([o.metric for o in alone], rel=1e-4)
    assert len({o.metric for o in together}) == 3


def test_the_same_arguments_give_bitwise_the_same_results_whatever_the_global_generator(task: Task) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = train(task, GOOD, STEPS, eval_every=10)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again = train(task, GOOD, STEPS, eval_every=10)
    assert [o.curve for o in first] == [o.curve for o in again]


class _RaisesInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        return logits.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise ArithmeticError("only backward")


class _FailsLater:
    """Cross-entropy for a number of calls, then something else."""

    def __init__(self, calls: int, then: LossFunction) -> None:
        self.calls, self.then = calls, then

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        self.calls -= 1
        return F.cross_entropy(logits, target) if self.calls >= 0 else self.then(logits, target)


def raises(logits: Tensor, target: Tensor) -> Tensor:
    raise ArithmeticError("in forward")


def raises_in_backward(logits: Tensor, target: Tensor) -> Tensor:
    return _RaisesInBackward.apply(logits)  # pyright: ignore[reportReturnType]


def out_of_memory(logits: Tensor, target: Tensor) -> Tensor:
    raise torch.OutOfMemoryError("no more")


def nan(logits: Tensor, target: Tensor) -> Tensor:
    return logits.sum() * float("nan")


def nan_gradient(logits: Tensor, target: Tensor) -> Tensor:
    return (logits - logits.detach()).abs().sum().sqrt() * 0 + F.cross_entropy(logits, target)


def explodes(logits: Tensor, target: Tensor) -> Tensor:
    return -logits.pow(3).sum()


BAD: dict[str, tuple[LossFunction, Status, str]] = {
    "raises": (raises, Status.ERROR, "ArithmeticError: in forward"),
    "raises in backward": (raises_in_backward, Status.ERROR, "ArithmeticError: only backward"),
    "out of memory": (out_of_memory, Status.OUT_OF_MEMORY, "no more"),
    "nan": (nan, Status.DIVERGED, "not finite"),
    "nan gradient": (nan_gradient, Status.DIVERGED, "not finite"),
    "explodes": (explodes, Status.DIVERGED, "not finite"),
    "number": (lambda logits, target: 1.0, Status.ERROR, "scalar tensor, got float"),  # pyright: ignore
    "no scalar": (lambda logits, target: logits.sum(1), Status.ERROR, "shape (100,)"),
    "constant": (lambda logits, target: target.float().mean(), Status.ERROR, "does not depend on the predictions"),
    "in place": (lambda logits, target: logits.detach().exp_().sum(), Status.ERROR, "does not depend"),
}


@pytest.mark.parametrize("calls", first_of([23, 0]))
@pytest.mark.parametrize("name", list(BAD))
def test_a_run_that_fails_has_its_outcome_and_leaves_the_others_alone(task: Task, name: str, calls: int) -> None:
    loss, status, message = BAD[name]
    bad = Run(_FailsLater(calls, loss), 0.05, 0)
    outcomes = train(task, [GOOD[0], bad, *GOOD[1:]], STEPS, eval_every=15)
    expected = train(task, GOOD, STEPS, eval_every=15)
    failed = outcomes.pop(1)
    assert (failed.status, failed.metric) == (status, None)
    assert message in failed.message
    assert [step for step, _ in failed.curve] == ([15] if calls else [])
    for outcome, reference in zip(outcomes, expected, strict=True):
        assert outcome.status is Status.OK
        assert [s for s, _ in outcome.curve] == [15, 30, 45]
        assert [m for _, m in outcome.curve] == pytest.approx([m for _, m in reference.curve], rel=1e-4)


def test_a_loss_may_write_to_its_target_without_harm_to_others(task: Task) -> None:
    def writes(logits: Tensor, target: Tensor) -> Tensor:
        loss = F.cross_entropy(logits, target.clone())
        target.fill_(0)
        return loss

    together = train(task, [Run(loss, 0.05, 0) for loss in (writes, F.cross_entropy, F.cross_entropy)], STEPS)
    (alone,) = train(task, [Run(F.cross_entropy, 0.05, 0)], STEPS)
    assert [outcome.metric for outcome in together] == pytest.approx([alone.metric] * 3, rel=1e-4)


def test_a_loss_may_write_to_its_arguments_without_harm_to_others(task: Task) -> None:
    def writes(logits: Tensor, target: Tensor) -> Tensor:
        logits.mul_(2)
        loss = F.cross_entropy(logits, target.clone())
        target.fill_(0)
        return loss

    doubled = Run(lambda logits, target: F.cross_entropy(2 * logits, target), 0.05, 0)
    same_seed = [Run(run.loss, run.learning_rate, 0) for run in GOOD]
    together = train(task, [Run(writes, 0.05, 0), *same_seed], STEPS)
    expected = train(task, [doubled, *same_seed], STEPS)
    assert [o.metric for o in together] == pytest.approx([o.metric for o in expected], rel=1e-4)


def test_when_all_runs_fail_each_has_its_outcome(task: Task) -> None:
    runs = [Run(loss, 0.05, seed) for seed, (loss, _, _) in enumerate(BAD.values())]
    outcomes = train(task, runs, STEPS)
    assert [o.status for o in outcomes] == [status for _, status, _ in BAD.values()]
    assert train(task, [], STEPS) == []


def test_runs_of_one_seed_are_paired_and_those_of_another_are_not(task: Task) -> None:
    a, b, c = train(task, [Run(brier, 0.1, 3), Run(brier, 0.1, 3), Run(brier, 0.1, 4)], STEPS)
    assert a.curve == b.curve
    assert a.metric != c.metric
    assert torch.equal(*initial_weights(task, [3, 3]))


def test_each_epoch_shows_every_image_once_in_an_order_of_its_own() -> None:
    order = DataOrder(lambda samples, draw: draw.permutation(samples), [5, 6, 5], samples=12, batch_size=4)
    epochs = [torch.cat([order.batch(3 * epoch + i) for i in range(3)], dim=1) for epoch in range(2)]
    for epoch in epochs:
        assert epoch.sort(1).values.tolist() == [list(range(12))] * 3
        assert torch.equal(epoch[0], epoch[2])
        assert not torch.equal(epoch[0], epoch[1])
    assert not torch.equal(epochs[0], epochs[1])
    # A batch depends on its step alone, not on what was asked before or which runs are left.
    assert torch.equal(order.batch(1), epochs[0][:, 4:8])
    order.keep([1])
    assert torch.equal(order.batch(5), epochs[1][1:2, 8:])


def test_rungs_stop_the_runs_that_are_not_promoted(task: Task) -> None:
    seen: list[tuple[int, list[float | None]]] = []

    def promote(step: int, metrics: list[float | None]) -> list[bool]:
        seen.append((step, metrics))
        return [True, len(seen) < 2, False, True]

    runs = [GOOD[0], GOOD[1], GOOD[2], Run(raises, 0.1, 0)]
    outcomes = train(task, runs, STEPS, rungs=(1 / 9, 1 / 3), promote=promote)
    full = train(task, GOOD, STEPS, rungs=(1 / 9, 1 / 3))
    assert [step for step, _ in seen] == [5, 15]
    assert [[m is None for m in metrics] for _, metrics in seen] == [[False] * 3 + [True], [False] * 2 + [True] * 2]
    assert [o.status for o in outcomes] == [Status.OK] * 3 + [Status.ERROR]
    assert [[s for s, _ in o.curve] for o in outcomes] == [[5, 15, 45], [5, 15], [5], []]
    for outcome, reference in zip(outcomes, full, strict=False):
        expected = [m for _, m in reference.curve[: len(outcome.curve)]]
        assert [m for _, m in outcome.curve] == pytest.approx(expected, rel=1e-4)
        assert outcome.metric == outcome.curve[-1][1]
    assert "rung of step 5 of 45" in outcomes[2].message
    assert outcomes[0].message == ""


def test_a_promotion_for_another_number_of_runs_is_refused(task: Task) -> None:
    with pytest.raises(ValueError, match="2 runs of 3"):
        train(task, GOOD, STEPS, rungs=(0.5,), promote=lambda step, metrics: [True, True])


def test_a_time_limit_ends_what_is_under_way_and_keeps_the_curve(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_000_000))
    monkeypatch.setattr("lossearch.training.trainer.time.perf_counter", lambda: float(next(clock)))
    outcomes = train(task, GOOD, STEPS, eval_every=5, time_limit=12)
    for outcome in outcomes:
        assert (outcome.status, outcome.metric) == (Status.TIMEOUT, None)
        assert "12 s" in outcome.message
        assert [step for step, _ in outcome.curve] == [5, 10]


def test_seconds_are_shares_of_the_time_that_passed(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 6.0, 10.0])  # start, the failure, the end
    monkeypatch.setattr("lossearch.training.trainer.time.perf_counter", lambda: next(clock))
    outcomes = train(task, [*GOOD[:2], Run(raises, 0.1, 0)], STEPS)
    assert [o.seconds for o in outcomes] == [4.0, 4.0, 2.0]


def test_a_stack_too_large_for_memory_is_trained_in_halves(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train(task, GOOD, STEPS)
    call = Stack.__call__
    sizes: list[int] = []

    def limited(self: Stack, images: Tensor) -> Tensor:
        sizes.append(len(self))
        if len(self) > 1:
            raise torch.OutOfMemoryError("too large")
        return call(self, images)

    monkeypatch.setattr(Stack, "__call__", limited)
    outcomes = train(task, GOOD, STEPS)
    assert set(sizes) == {3, 2, 1}
    assert [o.metric for o in outcomes] == pytest.approx([o.metric for o in expected], rel=1e-4)
    with_rungs = train(task, GOOD, STEPS, rungs=(0.5,), promote=lambda step, metrics: [True] * 3)
    assert [o.status for o in with_rungs] == [Status.OUT_OF_MEMORY] * 3
    assert "3 runs at once" in with_rungs[0].message


def test_an_error_of_the_model_itself_is_no_outcome(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Stack, images: Tensor) -> Tensor:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Stack, "__call__", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        train(task, GOOD, STEPS)


def test_the_split_decides_what_is_evaluated() -> None:
    task = make_task(resample=False)

    def last(outcomes: list[Outcome]) -> list[float | None]:
        return [o.metric for o in outcomes]

    validation, on_train = last(train(task, GOOD, STEPS)), last(train(task, GOOD, STEPS, split="train"))
    with task.open_test(by="tests") as test:
        on_test = last(train(task, GOOD, STEPS, split=test))
    assert len({*validation, *on_train, *on_test}) == 9
    assert last(train(task, GOOD, STEPS, split=task.validation)) == validation
    with pytest.raises(UserError, match="open_test"):
        train(task, GOOD, STEPS, split="test")  # pyright: ignore[reportArgumentType]


def test_training_learns(task: Task) -> None:
    judged = Task("digits_noise")
    outcomes = train(judged, [Run(F.cross_entropy, judged.config.learning_rate, seed) for seed in range(4)])
    assert all(o.curve[-1][0] == judged.config.steps for o in outcomes)
    # Chance is 0.1; a network that fits the noisy labels stays below 0.6.
    assert all(o.metric is not None and o.metric > 0.85 for o in outcomes)


def test_evaluation_in_parts_equals_evaluation_at_once(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(task, GOOD, STEPS)
    monkeypatch.setattr("lossearch.training.trainer._EVALUATION_BATCH", 100)
    assert [o.metric for o in train(task, GOOD, STEPS)] == pytest.approx([o.metric for o in whole], rel=1e-5)


def test_initial_inputs_are_those_of_the_first_batch(task: Task) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def spy(logits: Tensor, target: Tensor) -> Tensor:
        seen.append((logits.detach().clone(), target.clone()))
        return F.cross_entropy(logits, target)

    train(task, [Run(spy, 0.1, 8)], 1)
    inputs = initial_inputs(task, seed=8, samples=100)["loss"]
    assert inputs.free == ("logits",)
    torch.testing.assert_close(inputs.tensors["logits"], seen[0][0])
    assert torch.equal(inputs.tensors["target"], seen[0][1])
    assert not inputs.tensors["logits"].requires_grad
    assert initial_inputs(task, 8, 7)["loss"].tensors["logits"].shape == (7, 10)
    with pytest.raises(UserError, match="1 to 800"):
        initial_inputs(task, 8, 1001)


@pytest.mark.parametrize("model", list(MODELS))
def test_off_the_cpu_a_stack_is_evaluated_at_once(model: str) -> None:
    task = make_task(model=MODELS[model])
    # The meta device computes shapes only, but takes the same way as an accelerator.
    stack = Stack(task.build_model().to("meta"), initial_weights(task, [0, 1], "meta"))
    assert stack(torch.empty(2, 3, 1, 8, 8, device="meta")).shape == (2, 3, 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"eval_every": 0}, "eval_every"),
        ({"rungs": (0.5, 0.2)}, "ascending"),
        ({"rungs": (0.5, 1.0)}, "rungs in"),
    ],
)
def test_arguments_out_of_range_are_refused(task: Task, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        training.train(task, GOOD, **settings)


@pytest.mark.parametrize("learning_rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_learning_rate_out_of_range_is_refused(task: Task, learning_rate: float) -> None:
    with pytest.raises(UserError, match="learning rate"):
        train(task, [Run(F.cross_entropy, learning_rate, 0)])
