"""Losses over lists of layers: the sum of the layers, weighed, and each of them reported."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lossearch
from lossearch.errors import UserError

SHAPES = ((2, 3, 8, 8), (2, 5, 4, 4), (2, 7, 2))


def maps(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]


@pytest.mark.parametrize("weights", [None, (1.0, 0.5, 0.25)])
def test_the_total_is_the_weighted_sum_of_the_layers(weights: tuple[float, ...] | None) -> None:
    predictions, targets = [x.requires_grad_() for x in maps(0)], maps(1)
    loss = lossearch.layered("perceptual", weights)
    total = loss(predictions, targets)
    layers = [F.mse_loss(x, y) for x, y in zip(predictions, targets, strict=True)]
    expected = torch.stack([w * layer for w, layer in zip(weights or (1.0,) * 3, layers, strict=True)]).sum()
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(loss.layers, torch.stack(layers).detach())
    for found, wanted in zip(
        torch.autograd.grad(total, predictions), torch.autograd.grad(expected, predictions), strict=True
    ):
        torch.testing.assert_close(found, wanted)


def test_it_takes_losses_modules_and_options() -> None:
    predictions, targets = maps(0), maps(1)
    total = lossearch.layered(lossearch.zoo.get("content"), reduction="sum", backend="torchscript")(
        predictions, targets
    )
    expected = torch.stack([F.mse_loss(x, y, reduction="sum") / 2 for x, y in zip(predictions, targets, strict=True)])
    torch.testing.assert_close(total, expected.sum())
    torch.testing.assert_close(
        lossearch.layered(nn.MSELoss())(predictions[:1], targets[:1]), F.mse_loss(maps(0)[0], maps(1)[0])
    )


def test_it_serves_a_loss_of_one_input() -> None:
    images = [x for x in maps(0) if x.dim() == 4]
    total = lossearch.layered("total_variation")(images)
    alone = lossearch.zoo.get("total_variation").to_module()
    torch.testing.assert_close(total, torch.stack([alone(x) for x in images]).sum())


def test_it_copies_pickles_and_keeps_its_weights_in_the_state() -> None:
    loss = lossearch.layered("perceptual", (1.0, 2.0, 3.0))
    total = loss(maps(0), maps(1))
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.testing.assert_close(other(maps(0), maps(1)), total)
    fresh = lossearch.layered("perceptual", (0.0, 0.0, 0.0))
    fresh.load_state_dict(loss.state_dict())
    torch.testing.assert_close(fresh(maps(0), maps(1)), total)


def test_mistakes_are_named() -> None:
    loss = lossearch.layered("perceptual", (1.0, 2.0))
    with pytest.raises(UserError, match=r"as weights, 2; found: lists of 3, 3"):
        loss(maps(0), maps(1))
    with pytest.raises(UserError, match=r"found: lists of 3, 2"):
        lossearch.layered("perceptual")(maps(0), maps(1)[:2])
    with pytest.raises(UserError, match=r"one at least; found: lists of 0, 0"):
        lossearch.layered("perceptual")([], [])
    with pytest.raises(UserError, match=r"a list of tensors.*found: Tensor"):
        loss(maps(0)[0], maps(1)[0])
    with pytest.raises(UserError, match=r"one number from each layer"):
        lossearch.layered("perceptual", reduction="none")(maps(0), maps(1))
    with pytest.raises(UserError, match=r"a finite weight for each layer"):
        lossearch.layered("perceptual", (float("nan"),))
    with pytest.raises(UserError, match=r"no options beside a module of your own; found: reduction"):
        lossearch.layered(nn.MSELoss(), reduction="sum")
