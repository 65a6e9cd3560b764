"""Curves of losses against closed forms, and the files that they are drawn into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.loss import Loss
from lossearch.report.curves import loss_curves, plot_loss, with_reference


@pytest.mark.parametrize("classes", [2, 10])
def test_cross_entropy_is_as_it_is(classes: int) -> None:
    curves = loss_curves(zoo.get("cross_entropy"), classes)
    assert curves.scale == pytest.approx(1.0)
    np.testing.assert_allclose(curves.value, np.log(curves.x[-1]) - np.log(curves.x), atol=1e-12)
    np.testing.assert_allclose(curves.gradient, 1.0 - curves.x, atol=1e-12)


def test_focal_follows_its_formula() -> None:
    p = loss_curves(zoo.get("focal", gamma=2.0)).x
    curves = loss_curves(zoo.get("focal", gamma=2.0))
    assert curves.scale is not None
    value = -((1 - p) ** 2) * np.log(p)
    np.testing.assert_allclose(curves.value, curves.scale * (value - value[-1]), atol=1e-12)
    slope = (1 - p) ** 2 / p - 2 * (1 - p) * np.log(p)
    np.testing.assert_allclose(curves.gradient, curves.scale * slope * p * (1 - p), atol=1e-12)


@pytest.mark.parametrize("name", zoo.names(signature="dense"))
def test_losses_have_one_gradient_at_an_untrained_prediction(name: str) -> None:
    loss = zoo.get(name)
    curves = loss_curves(loss)
    logits, weight = torch.zeros(1, 10, requires_grad=True), torch.ones(10) if loss.graph.uses("class_weight") else None
    (gradient,) = torch.autograd.grad(loss.to_module(weight=weight)(logits, torch.tensor([0])), logits)
    assert curves.scale is not None
    assert curves.scale * gradient.square().mean().sqrt().item() == pytest.approx(0.3, rel=1e-4)
    if gradient.sum().abs() < 1e-6:  # as every softmax's is; then the true logit's is as cross-entropy's
        assert np.interp(0.1, curves.x, curves.gradient) == pytest.approx(0.9, rel=0.02)


def test_a_factor_does_not_change_a_curve() -> None:
    one = loss_curves(Loss.from_text("dense: cross_entropy(logits, target)"))
    ten = loss_curves(Loss.from_text("dense: 10.0 * cross_entropy(logits, target)"))
    np.testing.assert_allclose(one.value, ten.value, atol=1e-12)
    np.testing.assert_allclose(one.gradient, ten.gradient, atol=1e-12)


def test_a_gradient_that_vanishes_is_not_scaled() -> None:
    curves = loss_curves(Loss.from_text("dense: stop_gradient(cross_entropy(logits, target))"))
    assert curves.scale is None
    assert not curves.gradient.any()
    flat = loss_curves(Loss.from_text("dense: square(sum(softmax(logits, over=class), over=class) - 1.0)"))
    assert flat.scale is None


@pytest.mark.parametrize("name", ["giou", "style", "arcface"])
def test_other_families_have_curves(name: str) -> None:
    curves = loss_curves(zoo.get(name))
    assert np.isfinite(curves.value).all()
    assert np.isfinite(curves.gradient).all()
    if name != "arcface":  # no error, no loss
        assert abs(curves.value[len(curves.x) // 2]) < 1e-12
        assert curves.value.min() >= -1e-12


def test_a_gradient_is_the_slope_of_its_value() -> None:
    # Moving every box by the same error, so the slope along the line is the sum over coordinates.
    curves = loss_curves(zoo.get("giou"))
    inner = slice(2, 60)
    np.testing.assert_allclose(curves.gradient[inner], np.gradient(curves.value, curves.x)[inner], rtol=0.02)


@pytest.mark.parametrize(
    ("suffix", "head"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")]
)
def test_curves_are_drawn_into_a_file(tmp_path: Path, suffix: str, head: bytes) -> None:
    path = tmp_path / f"loss{suffix}"
    plot_loss([zoo.get("focal")], path)
    assert path.read_bytes().startswith(head)


def test_a_loss_is_drawn_beside_its_reference(tmp_path: Path) -> None:
    path = tmp_path / "loss.svg"
    assert [loss.name for loss in with_reference([zoo.get("focal")])] == ["focal", "cross_entropy"]
    assert [loss.name for loss in with_reference([zoo.get("cross_entropy")])] == ["cross_entropy"]
    plot_loss([zoo.get("focal"), zoo.get("brier")], path)
    assert "brier" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("losses", "name", "message"),
    [
        (["focal"], "loss.jpg", "'loss.jpg'"),
        (["focal", "giou"], "loss.png", "box, dense"),
        ([], "loss.png", "none"),
        (["focal"], "missing/loss.png", "No such file"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, losses: list[str], name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plot_loss([zoo.get(loss) for loss in losses], tmp_path / name)


def test_fewer_than_two_classes_are_refused() -> None:
    with pytest.raises(UserError, match="two classes"):
        loss_curves(zoo.get("focal"), classes=1)
