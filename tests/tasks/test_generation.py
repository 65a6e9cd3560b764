"""Generation tasks: conformance, noise and its removal, and metrics against torchmetrics and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torchmetrics.image.fid import FrechetInceptionDistance

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.described import DescribedTask
from lossearch.tasks.generation.diffusion import LATEST, DiffusionTask, schedule
from lossearch.tasks.generation.features import FEATURES, fitted, fixed_features
from lossearch.tasks.generation.metrics import NEIGHBOURS, coverage, frechet_distance
from lossearch.tasks.generation.pictures import Pictures
from lossearch.testing import check_task

SIZES: dict[str, Any] = {"train_size": 200, "val_size": 100, "test_size": 100, "copies": 4, "steps": 60}
SMALL: dict[str, Any] = {"base": "digits_diffusion", "hidden": [32], "sampling_steps": 4, **SIZES}


def _pictures(**changes: Any) -> Pictures:
    return Pictures(**{"dataset": "digits", "shrink": 1, "split_seed": 0, "train_size": 200, "val_size": 100} | changes)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        pytest.param({"base": "digits_vae_reconstruction"}, 60, id="reconstruction"),
        *(
            pytest.param(changes, steps, id=name, marks=pytest.mark.thorough)
            for name, changes, steps in (
                ("diffusion", {}, 60),
                ("shrunk", {"shrink": 2, "metric": "class_accuracy"}, 60),
                ("generator", {"base": "digits_gan_discriminator", "slot": "generator", "hidden": [128]}, 200),
                ("discriminator", {"base": "digits_gan_discriminator", "hidden": [128], "metric": "coverage"}, 200),
                ("prior", {"base": "digits_vae_prior", "latent": 4}, 60),
            )
        ),
    ],
)
def test_the_family_conforms(changes: dict[str, Any], steps: int) -> None:
    check_task(build_task({**SMALL, **changes}), steps)


def test_noise_is_told_by_its_schedule() -> None:
    signal, deviation = schedule(torch.linspace(0.0, 1.0, 5))
    torch.testing.assert_close(signal.square() + deviation.square(), torch.ones(5))
    assert (signal[0], deviation[0]) == (1.0, 0.0)
    task = build_task(SMALL)
    train = task.draw(0)[0]
    rows = torch.arange(6)
    seen: list[Tensor] = []

    def model(given: Tensor) -> Tensor:
        seen.append(given)
        return torch.zeros(6, 64)

    (phase,) = task.step(model, {name: tensor[rows] for name, tensor in train.tensors.items()})
    given = phase.inputs["noise"]
    signal, deviation = (x.reshape(6, 1, 1, 1) for x in schedule(train["time"][rows]))
    noised = signal * train["images"][rows] + deviation * train["noise"][rows]
    assert torch.equal(seen[0][:, :64], noised.flatten(1))
    assert torch.equal(seen[0][:, -10:], train["classes"][rows])
    assert torch.equal(given["noise"], train["noise"][rows])
    torch.testing.assert_close(given["snr"], (signal / deviation).square().flatten())
    torch.testing.assert_close(given["prediction"], deviation * noised)  # the network said nothing


@pytest.mark.parametrize("steps", [1, 7])
def test_a_network_that_knows_the_image_generates_it(steps: int) -> None:
    task = build_task({**SMALL, "sampling_steps": steps})
    assert isinstance(task, DiffusionTask)
    wanted = task.draw(0)[1]["images"][:5].unsqueeze(0)
    calls: list[int] = []

    def model(given: Tensor) -> Tensor:
        """What the network adds to the noised image for the noise to be the true one: (ε - σ·x_t)/α."""
        time = torch.full((1,), LATEST * (1 - len(calls) / steps))
        calls.append(len(calls))
        signal, deviation = schedule(time)
        noised = given[..., :64]
        noise = (noised - signal * wanted.flatten(-3)) / deviation
        return (noise - deviation * noised) / signal

    draw = torch.Generator().manual_seed(0)
    batch = {"noise": torch.randn(wanted.shape, generator=draw), "classes": torch.zeros(1, 5, 10)}
    torch.testing.assert_close(task.generated(model, batch), wanted, atol=1e-3, rtol=0.0)
    assert len(calls) == steps


def _batch(task: DescribedTask, samples: int) -> dict[str, Tensor]:
    return {name: tensor[:samples] for name, tensor in task.draw(0)[0].tensors.items()}


def test_a_discriminator_and_a_generator_are_given_scores_of_the_same_images() -> None:
    task = build_task({**SMALL, "base": "digits_gan_discriminator"})
    model, batch = task.build_model(), _batch(task, 6)
    fake = model(batch["latent"], batch["classes"], part="generator")
    assert fake.abs().max() <= 1.0
    scores = [model(x, batch["classes"], part="discriminator") for x in (fake, batch["images"].flatten(1))]
    phases = list(task.step(model, batch))
    assert [(phase.parameters, *phase.inputs) for phase in phases] == [
        ("discriminator", "discriminator"),
        ("generator", "generator"),
    ]
    for phase in phases:
        given = phase.inputs[phase.parameters]
        torch.testing.assert_close([given["fake"], given["real"]], scores)
        assert given["fake"].shape == (6,)
    first, second = ([phase.inputs[phase.parameters]["fake"].sum()] for phase in phases)
    weights = list(model.get_submodule("generator").parameters())
    assert all(g is None for g in torch.autograd.grad(first, weights, allow_unused=True))
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(second, weights))


def test_an_autoencoder_decodes_what_it_drew_from_its_distribution() -> None:
    task = build_task({**SMALL, "base": "digits_vae_prior"})
    model, batch = task.build_model(), _batch(task, 6)
    (phase,) = task.step(model, batch)
    prior, decoded = phase.inputs["prior"], phase.inputs["reconstruction"]
    mean, log_variance = model(batch["images"].flatten(1), batch["classes"], part="encoder")
    torch.testing.assert_close([prior["mean"], prior["log_variance"]], [mean, log_variance])
    latent = Normal(mean, (log_variance / 2).exp()).icdf(Normal(0.0, 1.0).cdf(batch["latent"]))
    wanted = model(latent, batch["classes"], part="decoder")
    torch.testing.assert_close(decoded["prediction"], wanted, atol=1e-4, rtol=1e-4)
    assert torch.equal(decoded["target"], batch["images"].flatten(1))


def test_copies_of_an_image_have_noise_of_their_own() -> None:
    train, validation = build_task(SMALL).draw(0)
    assert (len(train), len(validation)) == (800, 100)
    assert torch.equal(train["images"][:200], train["images"][200:400])
    assert len(train["noise"].flatten(1).unique(dim=0)) == 800
    assert (train["images"].min(), train["images"].max()) == (-1.0, 1.0)


class _Given(nn.Module):
    """Stands for a network whose features are what it is given."""

    num_features = 6

    def forward(self, features: Tensor) -> Tensor:
        return features


def _features(samples: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(2, samples, 6, generator=draw) @ torch.randn(6, 6, generator=draw) + seed


@pytest.mark.parametrize("samples", [40, 4])
def test_the_frechet_distance_agrees_with_torchmetrics(samples: int) -> None:
    first, second = _features(40, 1), _features(samples, 2)
    found = frechet_distance(first, second)
    for run in range(2):
        metric = FrechetInceptionDistance(feature=_Given())
        metric.update(first[run], real=True)
        metric.update(second[run], real=False)
        assert float(found[run]) == pytest.approx(float(metric.compute()), rel=1e-4)
    torch.testing.assert_close(frechet_distance(first, first), torch.zeros(2).double(), atol=1e-6, rtol=0.0)
    torch.testing.assert_close(frechet_distance(first, first + 2.0), torch.full((2,), 24.0).double())


def test_coverage_counts_real_samples_with_a_generated_one_near() -> None:
    generated, real = _features(20, 1), _features(30, 1) + 1.0
    found = coverage(generated, real)
    for run in range(2):
        own = np.linalg.norm(real[run].numpy()[:, None] - real[run].numpy(), axis=-1)
        others = np.linalg.norm(real[run].numpy()[:, None] - generated[run].numpy(), axis=-1)
        radius = np.sort(own, 1)[:, NEIGHBOURS]
        assert float(found[run]) == pytest.approx((others.min(1) <= radius).mean())
    assert coverage(real, real).tolist() == [1.0, 1.0]
    assert coverage(real[:, :1].expand(2, 30, 6), real).max() < 0.5


@pytest.mark.thorough
def test_features_tell_classes_that_were_not_fitted() -> None:
    pictures = _pictures(test_size=100)
    network = fixed_features(pictures, torch.device("cpu"))
    images, labels = pictures.search()[1]
    features, scores = network(images)
    assert features.shape == (100, FEATURES)
    assert (scores.argmax(1) == labels).float().mean() > 0.85
    assert fixed_features(_pictures(test_size=100), torch.device("cpu")) is network
    state = torch.get_rng_state()
    again = fitted(*pictures.search()[0], pictures.classes)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(again(images)[0], features)


def test_a_task_tells_its_sizes() -> None:
    told = "diffusion on digits of 8x8, 200 training images, as many generated as the 100 of validation"
    assert told in build_task(SMALL).describe()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train_size": 1700}, "more than the 1797"),
        ({"test_size": None}, "test_size is required"),
        ({"batch_size": 256}, "batch_size 256 exceeds train_size 200"),
        ({"shrink": 9}, "shrink 9 exceeds a side"),
        ({"val_size": 5}, "greater than 5"),
        ({"dataset": "co2"}, "must be one of digits"),
        ({"metric": "fid"}, "must be one of frechet_distance"),
        ({"kind": "flow"}, "kind"),
        ({"flip": True}, "flip"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        task_config({**SMALL, **changes})
