"""Training of described tasks: several slots, phases with parameters of their own, and tasks that cannot be stacked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossearch.errors import UserError
from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase, Split
from lossearch.tasks.outcome import Status
from lossearch.tasks.training_config import TrainingConfig
from lossearch.training.graph_loss import GraphLoss, Structure
from lossearch.training.plan import Run
from lossearch.training.stacked_models import DataOrder, initial_weights
from lossearch.training.train import train
from lossearch.training.untrained import initial_inputs
from lossearch.zoo.named import graph_of

STEPS = 30


class _Config(TrainingConfig):
    def ranking_metric(self) -> Metric:
        return Metric("error", False, 0.0)


def config(**values: Any) -> _Config:
    return _Config(**{"name": "two", "learning_rate": 0.05, "batch_size": 20, "steps": STEPS} | values)


class TwoHeads(nn.Module):
    """A class and a number from one layer of features."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(4, 8)
        self.classes = nn.Linear(8, 3)
        self.number = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.features(x).tanh()
        return {"logits": self.classes(features), "number": self.number(features).squeeze(-1)}


class TwoSlots(DescribedTask):
    """Points in four dimensions have a class and a distance from the origin."""

    @property
    def slots(self) -> Mapping[str, Slot]:
        return {"which": Slot("dense", "cross_entropy"), "far": Slot("regression", "mse")}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        return {"error": Metric("error", False, 0.0), "accuracy": Metric("accuracy", True, 0.0, 1.0)}

    def describe(self) -> str:
        return "points"

    def build_model(self) -> nn.Module:
        return TwoHeads()

    def draw(self, seed: int) -> tuple[Split, Split]:
        return self._points(seed, 60), self._points(seed + 1000, 40)

    def test_split(self) -> Split:
        return self._points(10**6, 40)

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        found = model(batch["x"])
        return [
            Phase(
                {
                    "which": {"logits": found["logits"], "target": batch["label"]},
                    "far": {"prediction": found["number"], "target": batch["far"]},
                }
            )
        ]

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        errors, hits = [], []
        for part in parts:
            found = model(part["x"])
            errors.append((found["number"] - part["far"]).abs())
            hits.append((found["logits"].argmax(-1) == part["label"]).float())
        return {"error": torch.cat(errors, -1).mean(-1), "accuracy": torch.cat(hits, -1).mean(-1)}

    def _points(self, seed: int, count: int) -> Split:
        x = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
        return Split({"x": x, "label": x[:, :3].argmax(1), "far": x.norm(dim=1)})


class InTurn(TwoSlots):
    stackable = False


LOSSES = {"which": F.cross_entropy, "far": F.mse_loss}
RUNS = [Run(LOSSES, rate, seed) for seed, rate in enumerate((0.05, 0.1, 0.02))]


def reference(seed: int, rate: float, which: float = 1.0, far: float = 1.0) -> tuple[float, float]:
    """Error and accuracy of the same training as an ordinary loop over an ordinary module."""
    task = TwoSlots(config())
    model = TwoHeads()
    nn.utils.vector_to_parameters(initial_weights(task, [seed])[0], model.parameters())
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    training, held_out = task.draw(seed)
    order = DataOrder(task.order, [seed], len(training), 20)
    for step in range(STEPS):
        batch = {name: tensor[order.batch(step)[0]] for name, tensor in training.tensors.items()}
        found = model(batch["x"])
        loss = which * F.cross_entropy(found["logits"], batch["label"]) + far * F.mse_loss(
            found["number"], batch["far"]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        measured = task.measure(model, [held_out.tensors])
    return float(measured["error"]), float(measured["accuracy"])


@pytest.mark.parametrize("kind", [TwoSlots, InTurn])
def test_slots_are_trained_together_as_in_an_ordinary_loop(kind: type[TwoSlots]) -> None:
    outcomes = train(kind(config()), RUNS)
    for run, outcome in zip(RUNS, outcomes, strict=True):
        error, accuracy = reference(run.seed, run.learning_rate)
        assert outcome.metrics == pytest.approx({"error": error, "accuracy": accuracy}, abs=1e-4)
        assert outcome.metric == outcome.metrics["error"]


def test_a_slot_of_one_run_may_have_another_loss_than_that_of_the_next() -> None:
    doubled = {"which": lambda x, y: 2.0 * F.cross_entropy(x, y), "far": lambda x, y: 0.5 * F.mse_loss(x, y)}
    outcomes = train(TwoSlots(config()), [*RUNS, Run(doubled, 0.05, 0)])
    assert outcomes[0].metrics["error"] == pytest.approx(reference(0, 0.05)[0], abs=1e-4)
    assert outcomes[-1].metrics["error"] == pytest.approx(reference(0, 0.05, 2.0, 0.5)[0], abs=1e-4)


@pytest.mark.parametrize("kind", [TwoSlots, InTurn])
def test_a_loss_that_raises_in_one_slot_ends_its_run_alone(kind: type[TwoSlots]) -> None:
    def broken(prediction: Tensor, target: Tensor) -> Tensor:
        raise ArithmeticError("no such distance")

    outcomes = train(kind(config()), [RUNS[0], Run({**LOSSES, "far": broken}, 0.05, 1), RUNS[2]])
    assert [outcome.status for outcome in outcomes] == [Status.OK, Status.ERROR, Status.OK]
    assert "no such distance" in outcomes[1].message
    assert outcomes[2].metrics["error"] == pytest.approx(reference(2, 0.02)[0], abs=1e-4)


@pytest.mark.parametrize("kind", [TwoSlots, InTurn])
def test_rungs_stop_runs_whether_they_are_stacked_or_trained_in_turn(kind: type[TwoSlots]) -> None:
    seen: list[list[float | None]] = []

    def promote(step: int, metrics: list[float | None]) -> list[bool]:
        seen.append(metrics)
        return [False, True, True]

    outcomes = train(kind(config()), RUNS, rungs=(0.5,), promote=promote)
    assert len(seen) == 1
    assert len(seen[0]) == 3
    assert [outcome.curve[-1][0] for outcome in outcomes] == [15, STEPS, STEPS]
    assert outcomes[1].metric == pytest.approx(reference(1, 0.1)[0], abs=1e-4)


@pytest.mark.parametrize("kind", [TwoSlots, InTurn])
def test_a_run_that_fails_before_a_rung_is_out_of_the_question_there(kind: type[TwoSlots]) -> None:
    def broken(prediction: Tensor, target: Tensor) -> Tensor:
        raise ArithmeticError("no such distance")

    seen: list[list[float | None]] = []

    def promote(step: int, metrics: list[float | None]) -> list[bool]:
        seen.append(metrics)
        return [True, True, False]

    runs = [RUNS[0], Run({**LOSSES, "far": broken}, 0.05, 1), RUNS[2]]
    outcomes = train(kind(config()), runs, rungs=(0.5,), promote=promote)
    assert [metric is None for metric in seen[0]] == [False, True, False]
    assert [outcome.status for outcome in outcomes] == [Status.OK, Status.ERROR, Status.OK]
    assert [outcome.curve[-1][0] for outcome in (outcomes[0], outcomes[2])] == [STEPS, 15]


class _RaisesBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise ArithmeticError("on the way back")


def test_a_graph_that_raises_on_the_way_back_ends_its_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = {slot: GraphLoss(graph_of(name)) for slot, name in (("which", "cross_entropy"), ("far", "mse"))}
    broken = GraphLoss(graph_of("mae"))
    means = Structure.means

    def raising(self: Structure, *given: Any) -> Tensor:
        found = means(self, *given)
        return _RaisesBackward.apply(found) if self is broken.structure else found

    monkeypatch.setattr(Structure, "means", raising)
    runs = [Run(graphs, 0.05, 0), Run({**graphs, "far": broken}, 0.05, 1), Run(graphs, 0.02, 2)]
    outcomes = train(TwoSlots(config()), runs)
    assert [outcome.status for outcome in outcomes] == [Status.OK, Status.ERROR, Status.OK]
    assert "on the way back" in outcomes[1].message
    assert outcomes[2].metrics["error"] == pytest.approx(reference(2, 0.02)[0], abs=1e-4)


class Adversaries(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3))
        self.discriminator = nn.Linear(3, 1)

    def forward(self, x: Tensor, part: str) -> Tensor:
        return self.generator(x) if part == "generator" else self.discriminator(x).squeeze(-1)


class Gan(TwoSlots):
    """A generator of points in three dimensions against a discriminator, each with a loss of its own."""

    @property
    def slots(self) -> Mapping[str, Slot]:
        return {"discriminator": Slot("adversarial", "lsgan"), "generator": Slot("adversarial", "lsgan")}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        return {"error": Metric("error", False, 0.0)}

    def build_model(self) -> nn.Module:
        return Adversaries()

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        latent, real = batch["x"][..., :2], batch["x"][..., 1:]
        fake = model(latent, part="generator")
        judged = {"fake": model(fake.detach(), part="discriminator"), "real": model(real, part="discriminator")}
        yield Phase({"discriminator": judged}, "discriminator")
        fake = model(latent, part="generator")
        judged = {"fake": model(fake, part="discriminator"), "real": model(real, part="discriminator")}
        yield Phase({"generator": judged}, "generator")

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        (part,) = parts
        return {"error": model(part["x"][..., :2], part="generator").mean(-2).abs().mean(-1)}


def _hinge(fake: Tensor, real: Tensor) -> Tensor:
    return (1 + fake).relu().mean() + (1 - real).relu().mean()


def _fooling(fake: Tensor, real: Tensor) -> Tensor:
    return -fake.mean()


class GanInTurn(Gan):
    stackable = False


@pytest.mark.parametrize("kind", [Gan, GanInTurn])
def test_phases_update_their_own_parameters_in_order(kind: type[Gan]) -> None:
    task = kind(config(schedule="constant"))
    outcomes = train(task, [Run({"discriminator": _hinge, "generator": _fooling}, 0.05, seed) for seed in (4, 5)])
    for seed, outcome in zip((4, 5), outcomes, strict=True):
        model = Adversaries()
        nn.utils.vector_to_parameters(initial_weights(task, [seed])[0], model.parameters())
        optimizers = [torch.optim.SGD(part.parameters(), 0.05, 0.9) for part in (model.discriminator, model.generator)]
        training, held_out = task.draw(seed)
        order = DataOrder(task.order, [seed], len(training), 20)
        for step in range(STEPS):
            x = training["x"][order.batch(step)[0]]
            fake = model(x[:, :2], "generator")
            first = _hinge(model(fake.detach(), "discriminator"), model(x[:, 1:], "discriminator"))
            model.zero_grad()
            first.backward()
            optimizers[0].step()
            second = _fooling(model(fake, "discriminator"), model(x[:, 1:], "discriminator"))
            model.zero_grad()
            second.backward()
            optimizers[1].step()
        wanted = model(held_out["x"][:, :2], "generator").mean(0).abs().mean()
        assert outcome.metric == pytest.approx(wanted.item(), abs=1e-4)


def test_initial_inputs_tell_what_each_slot_is_given() -> None:
    for kind in (TwoSlots, InTurn):
        found = initial_inputs(kind(config()), seed=1, samples=7)
        assert {slot: inputs.free for slot, inputs in found.items()} == {"which": ("logits",), "far": ("prediction",)}
        assert found["which"].tensors["logits"].shape == (7, 3)
        assert found["far"].tensors["target"].shape == (7,)


def test_a_run_without_a_loss_for_every_slot_is_refused() -> None:
    with pytest.raises(UserError, match="a loss for each slot of two: which, far"):
        train(TwoSlots(config()), [Run({"which": F.cross_entropy}, 0.05, 0)])


def test_a_step_that_gives_other_inputs_than_its_signature_is_refused() -> None:
    class Wrong(TwoSlots):
        def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
            return [Phase({"which": {"scores": model(batch["x"])["logits"], "target": batch["label"]}})]

    with pytest.raises(UserError, match=r"logits, target for 'which'.*scores, target for 'which'"):
        train(Wrong(config()), RUNS)


def test_a_step_that_does_not_call_the_model_is_refused() -> None:
    class Deaf(TwoSlots):
        def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
            logits = torch.zeros(*batch["label"].shape, 3)
            return [Phase({"which": {"logits": logits, "target": batch["label"]}})]

    with pytest.raises(UserError, match="call model in step"):
        train(Deaf(config()), RUNS)
