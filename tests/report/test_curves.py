"""Curves of losses against closed forms and finite differences, and the files that they are drawn into."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from representative import each_loss, first_of

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.ir.core.signature import SIGNATURES, VARIANTS, Signature
from lossearch.loss import Loss
from lossearch.report.curves import REFERENCES, LossCurves, loss_curves, plot_loss, swept_module, with_reference
from lossearch.report.sweep import SWEEPS, SweepSizes
from lossearch.report.sweeps import sweeps_of

pytestmark = pytest.mark.xdist_group("curves")  # of each loss they are computed once, in one process


@functools.cache
def curves(name: str) -> list[LossCurves]:
    return loss_curves(zoo.get(name))


@pytest.mark.parametrize("name", each_loss())
def test_every_loss_has_finite_curves(name: str) -> None:
    for curve in curves(name):
        assert np.isfinite(curve.value).all()
        assert np.isfinite(curve.gradient).all()
        assert curve.gradient.any()


HELD = ("ciou", "wiou", "wiou_v2", "wiou_v3", "circle", "beta_nll", "seesaw")
"""Losses part of which has no gradient."""


@pytest.mark.parametrize("name", each_loss(name for name in zoo.names() if name not in HELD))
def test_a_gradient_is_the_slope_of_its_value(name: str) -> None:
    loss, step = zoo.get(name), 1e-6
    for sweep, curve in zip(sweeps_of(loss), curves(name), strict=True):
        module = swept_module(loss, sweep)
        for at in np.linspace(0, len(curve.x) - 1, 9).astype(int)[1::2] + 1:  # beside kinks
            x = sweep.grid[at]
            with torch.no_grad():
                slope = (module(*sweep.inputs(x + step)) - module(*sweep.inputs(x - step))) / (2 * step)
            slope = slope if sweep.rate is None else slope * sweep.rate(x)
            assert curve.gradient[at] == pytest.approx(float(slope), rel=1e-4, abs=1e-6)


P = {"cross_entropy": lambda p: -np.log(p), "brier": lambda p: (1 - p) ** 2 + (1 - p) ** 2 / 9}
P |= {"focal": lambda p: -((1 - p) ** 2) * np.log(p), "probability_mae": lambda p: 2 * (1 - p)}
P |= {"dice": lambda p: 1 - 2 * p / (p**2 + (1 - p) ** 2 / 9 + 1)}
OVERLAP = {"iou": lambda x: 1 - np.maximum(x, 0) / (2 - np.maximum(x, 0))}
OVERLAP |= {"giou": lambda x: OVERLAP["iou"](x) + np.maximum(-x, 0) / (2 - x), "box_l1": lambda x: 20 * (1 - x)}
OTHERS = {
    "mse": lambda e: e**2,
    "huber": lambda e: np.where(np.abs(e) < 1, e**2 / 2, np.abs(e) - 0.5),
    "mahalanobis": lambda e: e**2,
    "contrastive": lambda d: d**2 / 2,
    "triplet": lambda d: np.maximum(d - 1, 0),
    "center": lambda d: d**2 / 2,
    "margin_ranking": lambda d: np.maximum(1 - d, 0),
    "info_nce": lambda s: np.log1p(7 * np.exp(-s / 0.07)),
    "clip": lambda s: np.log1p(7 * np.exp(-s / 0.07)),
    "nt_xent": lambda s: np.log1p(14 * np.exp(-s / 0.1)),
    "triplet_batch_hard": lambda s: np.maximum(1 + np.sqrt(2 - 2 * s) - math.sqrt(2), 0),
    "normalized_softmax": lambda a: np.log1p(9 * np.exp(-64 * np.cos(a))),
    "byol": lambda s: 4 - 4 * s,
    "simsiam": lambda s: -s,
    "cross_correlation": lambda s: np.log1p(np.exp(-s)),
    "l1": lambda e: np.abs(e),
    "masked_reconstruction": lambda e: e**2,
    "total_variation": lambda h: 32 * np.abs(h),
    "perceptual": lambda scale: scale**2,
    "lsgan": lambda s: (1 + s**2) / 2,
    "wgan": lambda s: s,
    "vae": lambda m: m**2 / 2,
    "noise_prediction": lambda e: e**2,
    "denoising_score_matching": lambda e: e**2 / 2,
    "min_snr": lambda e: e**2 / 2,
    "weighted_sum": lambda c: 1 + c / 2,
    "uncertainty_weighting": lambda c: c / (2 * math.e) + 0.5 + 0.5,
}


@pytest.mark.parametrize(("name", "formula"), [*P.items(), *OVERLAP.items(), *OTHERS.items()])
def test_values_are_the_closed_form_s(name: str, formula: Callable[[Any], Any]) -> None:
    curve = curves(name)[0]
    np.testing.assert_allclose(curve.value, formula(curve.x), rtol=1e-4, atol=1e-5)


def test_cross_entropy_at_one_half_is_log_2() -> None:
    curve = curves("cross_entropy")[0]
    middle = len(curve.x) // 2
    assert curve.x[middle] == pytest.approx(0.5)
    assert curve.value[middle] == pytest.approx(math.log(2.0), abs=1e-12)
    assert curve.gradient[middle] == pytest.approx(-0.5, abs=1e-12)
    assert curve.axis == "probability of the true class, of 10"


@pytest.mark.parametrize("classes", [2, 10])
def test_scaled_cross_entropy_is_as_it_is(classes: int) -> None:
    curve = loss_curves(zoo.get("cross_entropy"), classes)[0].scaled()
    assert curve.scale == pytest.approx(1.0)
    np.testing.assert_allclose(curve.value, np.log(curve.x[-1]) - np.log(curve.x), atol=1e-12)
    np.testing.assert_allclose(curve.gradient, curve.x - 1.0, atol=1e-12)


@pytest.mark.parametrize("name", each_loss(zoo.names(signature="dense")))
def test_scaled_losses_have_one_gradient_at_an_untrained_prediction(name: str) -> None:
    curve = curves(name)[0].scaled()
    untrained = np.interp(0.1, curve.x, curve.gradient)
    assert untrained == pytest.approx(-0.9, rel=0.02)


def test_a_factor_does_not_change_a_scaled_curve() -> None:
    one, ten = (
        loss_curves(Loss.from_text(f"dense: {text}"))[0].scaled()
        for text in ("cross_entropy(logits, target)", "10.0 * cross_entropy(logits, target)")
    )
    np.testing.assert_allclose(one.value, ten.value, atol=1e-12)
    np.testing.assert_allclose(one.gradient, ten.gradient, atol=1e-12)


def test_a_gradient_that_vanishes_is_not_scaled() -> None:
    held = loss_curves(Loss.from_text("dense: stop_gradient(cross_entropy(logits, target))"))[0]
    assert held.scale is None
    assert not held.gradient.any()
    flat = Loss.from_text("dense: square(sum(softmax(logits, over=class), over=class) - 1.0)")
    assert loss_curves(flat)[0].scale is None


VARIED = {
    "kl_divergence": [{"log_target": True}],
    "pinball": [{"quantile": (0.1, 0.5, 0.9)}, {"quantile": [0.3]}],
    "focal": [{"alpha": 0.25}, {"alpha": (1.0, 2.0, 3.0)}],
    "binary_cross_entropy": [{"pos_weight": 2.0}, {"pos_weight": (1.0, 2.0, 3.0)}],
    "triplet": [{"p": 1.0}, {"p": 3.0}, {"swap": True}, {"squared": True}],
    "ssim": [{"size": 7, "sigma": 1.0}],
}
"""Losses with options that change their inputs or their lengths."""


@pytest.mark.parametrize(("name", "options"), [(name, one) for name, several in VARIED.items() for one in several])
def test_variants_of_losses_have_curves(name: str, options: dict[str, Any]) -> None:
    found = loss_curves(zoo.get(name, **options))
    assert len(found) == len(curves(name))
    for curve in found:
        assert np.isfinite(curve.value).all()
        assert curve.gradient.any()


def test_variants_are_drawn_where_their_loss_is() -> None:
    (plain,), (logarithms,) = curves("kl_divergence"), loss_curves(zoo.get("kl_divergence", log_target=True))
    np.testing.assert_allclose(logarithms.value, plain.value, atol=1e-9)
    (median,), (several,) = curves("pinball"), loss_curves(zoo.get("pinball", quantile=(0.3, 0.5, 0.7)))
    np.testing.assert_allclose(several.value, median.value, atol=1e-12)  # their mean is the median's


def test_every_variant_of_a_signature_is_in_the_zoo() -> None:
    assert {other for entry in zoo.entries() for other in entry.variants.values()} == set(VARIANTS)
    assert {entry.name for entry in zoo.entries() if entry.variants} <= set(VARIED)


@pytest.mark.parametrize("signature", [*SIGNATURES.values(), *VARIANTS.values()], ids=lambda one: one.name)
def test_every_signature_is_swept(signature: Signature) -> None:
    names = {declared.name for declared in signature.forward_inputs}
    for sweep in SWEEPS[signature.name](SweepSizes(10, 32)):
        assert set(sweep.moves) <= names
        inputs = sweep.inputs(sweep.grid[3])
        moved = sweep.inputs(sweep.grid[4])
        changed = {
            declared.name
            for declared, x, y in zip(signature.forward_inputs, inputs, moved, strict=True)
            if not x.equal(y)
        }
        assert changed == set(sweep.moves)
        for end in (sweep.ideal, sweep.untrained):
            assert sweep.grid[0] - 1e-12 <= end <= sweep.grid[-1] + 1e-12


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("focal", {}, "cross_entropy"),
        ("cross_entropy", {}, "brier"),
        ("giou", {}, "iou"),
        ("iou", {}, "giou"),
        ("mae", {}, "mse"),
        ("nt_xent", {}, "info_nce"),
        ("ssim", {}, "l1"),
        ("gan_non_saturating", {}, "lsgan"),
        ("gan_non_saturating", {"side": "generator"}, "gan_minimax"),
        ("contrastive", {}, None),
        ("vae", {}, None),
    ],
)
def test_a_loss_is_drawn_beside_its_reference(name: str, options: dict[str, str], expected: str | None) -> None:
    own = zoo.get(name, **options)
    assert [loss.name for loss in with_reference([own])] == [name] + ([expected] if expected else [])


def test_references_are_of_their_signature() -> None:
    for signature, references in REFERENCES.items():
        assert {zoo.get(name, **options).signature.name for name, options in references} == {signature}


@pytest.mark.parametrize(
    ("suffix", "head"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")]
)
def test_curves_are_drawn_into_a_file(tmp_path: Path, suffix: str, head: bytes) -> None:
    path = tmp_path / f"loss{suffix}"
    plot_loss([zoo.get("focal")], path)
    assert path.read_bytes().startswith(head)


@pytest.mark.parametrize("name", first_of(["margin_ranking", "weighted_sum", "vae"]))
def test_axes_are_labelled(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    path = tmp_path / "loss.svg"
    plot_loss([zoo.get(name)], path)
    text = path.read_text(encoding="utf-8")
    for curve in curves(name):
        assert curve.axis in text.replace("&apos;", "'")
        assert curve.slope in text


def test_several_losses_are_drawn_without_a_reference(tmp_path: Path) -> None:
    path = tmp_path / "loss.svg"
    plot_loss([zoo.get("focal"), zoo.get("brier")], path)
    assert "brier" in path.read_text(encoding="utf-8")
    assert "cross_entropy" not in path.read_text(encoding="utf-8")


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


def test_a_loss_that_nothing_moves_is_refused() -> None:
    with pytest.raises(UserError, match="a loss of fake, real"):
        loss_curves(Loss.from_text("adversarial: 1.0"))


def test_what_a_run_gives_its_losses_is_neutral_in_a_drawing() -> None:
    """Losses that use the progress of a training, or class counts, are drawn at its middle, with equal classes."""
    cross_entropy, error = "cross_entropy(logits, target)", "absolute_probability_error(logits, target)"
    scheduled = Loss.from_text(f"dense: (1.0 - progress) * {cross_entropy} + progress * {error}", "scheduled")
    mixed = Loss.from_text(f"dense: 0.5 * {cross_entropy} + 0.5 * {error}", "mixed")
    adjusted = Loss.from_text("dense: cross_entropy(logits + 0.5 * log(class_count), target)", "adjusted")
    plain = Loss.from_text(f"dense: {cross_entropy}", "plain")
    for one, other in ((scheduled, mixed), (adjusted, plain)):
        for a, b in zip(loss_curves(one), loss_curves(other), strict=True):
            np.testing.assert_allclose(a.value, b.value, rtol=1e-12)
            np.testing.assert_allclose(a.gradient, b.gradient, rtol=1e-12)
