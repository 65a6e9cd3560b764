from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from lossearch.errors import UserError
from lossearch.tasks.classification.config import MLPConfig, ViTConfig
from lossearch.tasks.models import CNN, MLP, StackedModule, ViT

SHAPE = (3, 8, 12)


def _models(count: int = 3) -> dict[str, list[nn.Module]]:
    torch.manual_seed(0)
    return {
        "linear": [MLP(SHAPE, 5, ()) for _ in range(count)],
        "mlp": [MLP(SHAPE, 5, (16, 8)) for _ in range(count)],
        "cnn": [CNN(SHAPE, 5, (6, 8, 4)) for _ in range(count)],
        "vit": [ViT(SHAPE, 5, patch=4, width=8, depth=2, heads=2) for _ in range(count)],
    }


@pytest.mark.parametrize("name", list(_models(1)))
def test_stacked_evaluation_equals_each_model_alone(name: str) -> None:
    models = _models()[name]
    images = torch.randn(3, 4, *SHAPE)
    alone = torch.stack([model(x) for model, x in zip(models, images, strict=True)])
    parameters, buffers = stack_module_state(models)  # pyright: ignore[reportArgumentType]
    assert alone.shape == (3, 4, 5)
    assert not buffers
    stacked = vmap(lambda p, x: functional_call(models[0], p, (x,)))(parameters, images)
    torch.testing.assert_close(stacked, alone)
    if isinstance(models[0], StackedModule):
        torch.testing.assert_close(models[0].stacked_forward(parameters, images), alone)


@pytest.mark.parametrize("name", list(_models(1)))
def test_samples_of_a_batch_do_not_influence_each_other(name: str) -> None:
    model = _models(1)[name][0]
    images = torch.randn(4, *SHAPE)
    torch.testing.assert_close(model(images)[:1], model(images[:1]))


@pytest.mark.parametrize("name", list(_models(1)))
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = _models(1)[name][0]
    model(torch.randn(4, *SHAPE)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_configs_build_what_they_say_and_refuse_what_does_not_fit() -> None:
    model = MLPConfig(hidden=(7,)).build((1, 4, 4), 3)
    assert [tuple(p.shape) for p in model.parameters()] == [(7, 16), (7,), (3, 7), (3,)]
    with pytest.raises(UserError, match="8x8"):
        ViTConfig(patch=3).build((1, 8, 8), 10)
    with pytest.raises(ValueError, match="width 30"):
        ViTConfig(width=30, heads=4)
