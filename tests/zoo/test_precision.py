"""float32 against float64 where rounding could be all that is left: large offsets, tiny scales, constant features."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from representative import each_loss
from torch import Tensor

from lossearch import zoo
from lossearch.ir.core.signature import Input, Signature

LENGTHS = {"batch": 12, "class": 5, "coord": 4, "channel": 3, "feature": 6, "component": 3}
EXTENTS = {"ssim": 12, "ms_ssim": 161}


def drawn(signature: Signature, extent: int) -> dict[str, Tensor]:
    """Ordinary inputs of a signature in float64, each a number of float32."""
    generator = torch.Generator().manual_seed(3)
    found = {declared.name: _drawn(declared, extent, generator) for declared in signature.inputs}
    if signature.name == "box":
        boxes, shift = found["boxes"], 0.1 * found["target"]
        boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:].abs() + 0.5], 1)
        found = {"boxes": boxes, "target": boxes + shift.clamp(-0.2, 0.2)}
    return {n: x.float().double() if x.is_floating_point() else x for n, x in found.items()}


def _drawn(declared: Input, extent: int, generator: torch.Generator) -> Tensor:
    shape = [LENGTHS[axis.rstrip("'")] for axis in declared.axes if axis != "space"]
    shape += [extent] if "space" in declared.axes else []
    if declared.kind == "index":
        return torch.arange(shape[0]) // 3
    x = torch.randn(shape, generator=generator).double()
    if declared.labels:
        return F.one_hot(x.argmax(1), shape[1]).movedim(-1, 1).double()
    lower, upper = declared.domain
    if upper <= 1.0:
        return 0.9 * torch.tanh(x) if lower < 0.0 else torch.sigmoid(x)
    square = len({axis.rstrip("'") for axis in declared.axes}) < len(declared.axes)
    return x @ x.T + torch.eye(len(x)) if square else x.abs() + max(0.1, lower) if lower >= 0.0 else x


def value_and_gradient(
    name: str, given: Mapping[str, Tensor], dtype: torch.dtype, **arguments: Any
) -> tuple[Tensor, Tensor]:
    """The unreduced loss and the gradients of its sum, one after another, in float64."""
    loss = zoo.get(name, **arguments)
    cast = {n: x.to(dtype) if x.is_floating_point() else x for n, x in given.items()}
    buffers = {d.name: cast[d.name] for d in loss.signature.buffers if loss.graph.uses(d.name)}
    declared = loss.signature.forward_inputs
    leaves = [cast[d.name].clone().requires_grad_(d.role == "prediction") for d in declared]
    value = loss.to_module(reduction="none", buffers=buffers).to(dtype)(*leaves)
    sources = [leaf for leaf in leaves if leaf.requires_grad]
    found = torch.autograd.grad(value.sum(), sources, allow_unused=True)
    gradients = [torch.zeros_like(x) if g is None else g for x, g in zip(sources, found, strict=True)]
    return value.detach().double(), torch.cat([g.flatten().double() for g in gradients])


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "ordinary": lambda x: x,
    "far from zero": lambda x: 1000.0 + x,
    "small": lambda x: 1e-4 * x,
    "with a constant feature": lambda x: torch.cat([0.0 * x[:, :1] + 33.3, x[:, 1:]], 1) if x.dim() > 1 else x,
    "all the same": lambda x: x[:1].expand_as(x),
}
"""What becomes of every input that may be any number."""

FAR_IS_ANOTHER_LOSS = {"vae", "boundary", "normalized_wasserstein"}
"""Variances of e^1000; a gradient that is what is left of numbers of a thousand; an exponential of a distance."""


@pytest.mark.parametrize("name", each_loss(name for name in zoo.names() if name != "ms_ssim"))
def test_float32_is_near_float64(name: str) -> None:
    """Relative to what is usual of a loss and its gradient where they are small, as where a prediction is right."""
    signature = zoo.entry(name).signature
    ordinary = drawn(signature, EXTENTS.get(name, 5))
    free = [d.name for d in signature.forward_inputs if d.kind == "real" and d.domain.lower < 0.0 and not d.labels]
    free = [n for n in free if signature[n].domain.upper > 1.0]
    usual, usual_gradient = value_and_gradient(name, ordinary, torch.float64)
    for kind, change in KINDS.items():
        if name in FAR_IS_ANOTHER_LOSS and kind in ("far from zero", "all the same"):
            continue
        if signature.family == "box" and kind == "with a constant feature":
            continue  # a corner beyond its opposite
        if signature.name == "latent_prior" and kind == "far from zero":
            continue  # variances of e^1000, far outside of the domain
        given = {n: change(x).float().double() if n in free else x for n, x in ordinary.items()}
        value, gradient = value_and_gradient(name, given, torch.float64)
        found, found_gradient = value_and_gradient(name, given, torch.float32)
        least = min(1e-2, float(usual.abs().max()))
        assert (found - value).abs().max() <= 3e-5 * max(float(value.abs().max()), least), kind
        most = 1e-3 * max(gradient.norm(), 1e-3 * usual_gradient.norm())
        assert (found_gradient - gradient).norm() <= most, kind


def test_correlations_know_a_collapse_however_far_from_zero() -> None:
    for level in (0.1, 33.3, 9999.9):
        z = torch.full((64, 8), level)
        assert zoo.get("barlow_twins").to_module()(z, z.clone()).item() == 8.0
        z = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
        z[:, 3] = level  # one dead feature among others
        found, expected = (zoo.get("barlow_twins").to_module()(x, x.flip(1)) for x in (z, z.double()))
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("level", [0.6, 13.0, 1013.0])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_equal_images_are_alike(level: float, spread: float) -> None:
    x = level + spread * torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(2))
    leaf = x.clone().requires_grad_()
    value = zoo.get("ssim", data_range=10.0).to_module()(leaf, x)
    (gradient,) = torch.autograd.grad(value, leaf)
    assert value.item() == 0.0
    assert not gradient.any()


def test_hardest_pairs_are_measured_by_differences() -> None:
    """Two heaps far from each other, whose classes lie near each other within them."""
    generator = torch.Generator().manual_seed(0)
    e = (0.01 * torch.randn(24, 16, generator=generator)).double()
    e[:12, 0] += 100.0
    e[12:, 0] -= 100.0
    given = {"embeddings": e.float().double(), "target": torch.arange(24) // 3}
    found, expected = (value_and_gradient("triplet_batch_hard", given, d, margin=0.1) for d in (torch.float32, e.dtype))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("residual", [0.0, 1e-12, 1e-4, -0.01, 0.7, -3.0, 19.9, 20.1, 1e4])
def test_log_cosh_is_exact_everywhere(residual: float) -> None:
    r = torch.tensor([residual], requires_grad=True)
    value = zoo.get("log_cosh").to_module()(r, torch.zeros(1))
    (slope,) = torch.autograd.grad(value, r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, r)
    size = abs(r.item())
    expected = math.log1p(2.0 * math.sinh(size / 2) ** 2) if size < 300 else size - math.log(2.0)
    assert value.item() == pytest.approx(expected, rel=1e-6)
    assert slope.item() == pytest.approx(math.tanh(r.item()), rel=1e-6)
    assert curvature.item() == pytest.approx(1.0 - math.tanh(size) ** 2, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-35, 1e-14, 1e-6, 1e4])
def test_weights_count_by_their_relation(scale: float) -> None:
    generator = torch.Generator().manual_seed(4)
    logits, labels = torch.randn(6, 3, generator=generator), torch.arange(6) % 3
    soft, weight = torch.softmax(torch.randn(6, 3, generator=generator), 1), torch.tensor([0.2, 0.3, 0.5])
    for target in (labels, soft):
        plain, scaled = (zoo.get("weighted_cross_entropy").to_module(weight=w) for w in (weight, weight * scale))
        assert scaled(logits, target).item() == pytest.approx(plain(logits, target).item(), rel=1e-5)
    samples = torch.tensor([1.0, 2.0, 3.0, 0.0, 1.0, 2.0])
    module = zoo.get("focal").to_module()
    plain = module(logits, labels, sample_weight=samples).item()
    assert module(logits, labels, sample_weight=samples * min(scale, 1.0)).item() == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("name", ["iou", "giou", "diou", "ciou", "eiou"])
def test_ratios_of_boxes_have_no_unit(name: str) -> None:
    boxes = drawn(zoo.entry(name).signature, 0)
    at_one = value_and_gradient(name, boxes, torch.float32)
    for unit in (1e-8, 1e-5, 1e-4, 1e3):
        value, gradient = value_and_gradient(name, {n: unit * x for n, x in boxes.items()}, torch.float32)
        torch.testing.assert_close(value, at_one[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(unit * gradient, at_one[1], rtol=1e-4, atol=1e-5)


def test_maps_that_are_nearly_equal_diverge_by_the_square_of_their_difference() -> None:
    generator = torch.Generator().manual_seed(5)
    maps = torch.randn(2, 4, 9, generator=generator)
    near = {"attention": maps[0].double() + 1e-3 * maps[1].double(), "target": maps[0].double()}
    near["attention"] = near["attention"].float().double()
    found, expected = (
        value_and_gradient("attention_target", near, dtype, distance="kl") for dtype in (torch.float32, torch.float64)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=1e-7)
