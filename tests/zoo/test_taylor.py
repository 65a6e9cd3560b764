"""The Taylor polynomial with coefficients for which it is a loss that is known."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lossearch import zoo

from .families.parametric import thetas


def test_with_those_of_a_squared_error_it_is_that_of_the_probabilities() -> None:
    """(t - p)² = t² - 2tp + p² is its own series: θ3 and θ5 are its second derivatives, and t² has no gradient."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(6, 4, 3, generator=generator, dtype=torch.float64)
    target = torch.rand(6, 4, 3, generator=generator, dtype=torch.float64).softmax(1)
    taylor = zoo.get("taylor", **thetas(0.0, 0.0, 0.0, 2.0, 0.0, -2.0, 0.0, 0.0)).to_module(reduction="none").double()
    brier = zoo.get("brier").to_module(reduction="none").double()
    expected = brier(logits, target) - target.square().sum(1)
    torch.testing.assert_close(taylor(logits, target), expected, rtol=1e-12, atol=1e-12)


def test_its_defaults_are_cross_entropy_up_to_the_third_power() -> None:
    """-log p = (1 - p) + (1 - p)²/2 + (1 - p)³/3 + …; what is left out is positive, and below the third term/p."""
    logits = torch.tensor([[3.0, 0.0], [5.0, 0.0], [7.0, 0.0]], dtype=torch.float64)
    labels = torch.zeros(3, dtype=torch.long)
    missing = F.cross_entropy(logits, labels, reduction="none") - zoo.get("taylor").to_module(
        reduction="none"
    ).double()(logits, labels)
    p = logits.softmax(1)[:, 0]
    third = (1 - p) ** 3 / 3
    assert bool(((third < missing) & (missing < third / p)).all())
