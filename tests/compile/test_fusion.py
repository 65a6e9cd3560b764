"""What one kernel of PyTorch's does at once, and what is emitted for it."""

from __future__ import annotations

import pytest
import torch

from lossearch import zoo
from lossearch.compile import build
from lossearch.compile.variant import Variant, source_of
from lossearch.ir.forms.text import parse_graph


@pytest.mark.parametrize(
    ("name", "labels", "line"),
    [
        ("mse", False, "return F.mse_loss(prediction, target)"),
        ("binary_cross_entropy", False, "return F.binary_cross_entropy_with_logits(logits, target)"),
        ("byol", False, 'error = F.mse_loss(F.normalize(first_prediction, dim=1, eps=1e-08), unit, reduction="sum")'),
        ("vae", False, "return F.mse_loss(reconstruction, target) * 0.5 + gap.sum() / log_variance.shape[0] * 0.5"),
        ("huber", False, "return F.huber_loss(prediction, target, delta=1.0)"),
        ("content", False, 'ratio = F.mse_loss(features, target, reduction="sum") / features.shape[0]'),
        ("center", True, 'error = F.mse_loss(embeddings, F.embedding(target, centers), reduction="sum")'),
        (
            "weighted_cross_entropy",
            True,
            'weighted_nll = F.nll_loss(torch.log_softmax(logits, 1), target, class_weight, reduction="sum")',
        ),
        ("box_l1", False, "return torch.abs(boxes - target).sum() / boxes.shape[0]"),
        ("n_pair", False, "diagonal = torch.diagonal(torch.log_softmax(inner_product, 1), 0, 0, 1)"),
        ("min_snr", False, "minimum = torch.clamp_max(5.0 / torch.clamp_min(snr, 1e-12), 1.0)"),
    ],
)
def test_the_emitted_source_uses_whole_kernels(name: str, labels: bool, line: str) -> None:
    assert line in source_of(zoo.get(name).graph.frozen(), Variant(labels=labels, space=False), "mean").body


@pytest.mark.parametrize("name", ["lovasz_softmax", "lovasz_hinge"])
def test_what_several_follow_is_sorted_once(name: str) -> None:
    body = source_of(zoo.get(name).graph.frozen(), Variant(), "mean").text
    assert body.count("torch.sort(") == 1
    assert body.count(" in_order(") == 2  # its definition, and the truth that follows the errors
    assert "argsort(" not in body


@pytest.mark.parametrize(
    ("name", "labels", "change"),
    [
        ("arcface", True, "cosine.scatter_add(1, target.unsqueeze(1), (chosen + nll).unsqueeze(1))"),
        ("cosface", True, "cosine.new_full((), -0.35).expand_as(target).unsqueeze(1))"),
    ],
)
def test_margins_are_added_at_the_labels(name: str, labels: bool, change: str) -> None:
    body = source_of(zoo.get(name).graph.frozen(), Variant(labels=labels, space=False), "mean").text
    assert change in body
    assert "one_hot" not in body


def test_differences_are_summed_where_they_are() -> None:
    plain, isotropic = (zoo.get("total_variation", isotropic=given).graph.frozen() for given in (False, True))
    text = source_of(plain, Variant(), "mean").text
    assert text.count("variation(image, shape, ") == 3
    assert "spatial_difference" not in text
    assert "spatial_difference" in source_of(isotropic, Variant(), "mean").text


@pytest.mark.parametrize("shape", [(), (5,), (4, 5), (3, 4, 2)])
@pytest.mark.parametrize("factor", ["1.0", "-2.5"])
def test_sums_of_differences_equal_those_of_the_padded_ones(shape: tuple[int, ...], factor: str) -> None:
    text = f"sum(abs(difference(image, along=width)) + {factor} * square(difference(image, along=height)), over={{}})"
    image = torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=True)
    fused, padded = (
        build(parse_graph(f"image_prior: {text.format(over)}"), reduction="none")(image)
        for over in ("(channel, space)", "channel")
    )
    total = padded.reshape(2, -1).sum(1)
    torch.testing.assert_close(fused, total)
    pairs = zip(*(torch.autograd.grad(value.sum(), image) for value in (fused, total)), strict=True)
    for found, expected in pairs:
        torch.testing.assert_close(found, expected)


def test_entries_of_an_axis_are_taken_apart_once() -> None:
    text = source_of(zoo.get("ciou").graph.frozen(), Variant(), "mean").text
    assert text.count(".unbind(1)") == 2
    assert ".select(" not in text


@pytest.mark.parametrize("length", [40, 530])
def test_a_window_is_the_same_as_product_and_as_convolution(length: int) -> None:
    """Images are longer than a product is used for, or not: the same windows either way."""
    torch.manual_seed(0)
    image, target = torch.rand(2, 1, 2, 12, length, dtype=torch.float64)
    expected = torch.stack([1 - _similarity(x, y).mean() for x, y in zip(image, target, strict=True)])
    torch.testing.assert_close(zoo.get("ssim").to_module(reduction="none")(image, target), expected)


def _similarity(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    def blurred(image: torch.Tensor) -> torch.Tensor:
        kernel = torch.softmax(-((torch.arange(11, dtype=x.dtype) - 5) ** 2) / (2 * 1.5**2), 0)
        rows = torch.nn.functional.conv2d(image[:, None], kernel.view(1, 1, 11, 1))
        return torch.nn.functional.conv2d(rows, kernel.view(1, 1, 1, 11))

    mx, my = blurred(x), blurred(y)
    spread = blurred(x * x) - mx**2 + blurred(y * y) - my**2
    structure = (2 * (blurred(x * y) - mx * my) + 0.0009) / (spread + 0.0009)
    return (2 * mx * my + 0.0001) / (mx**2 + my**2 + 0.0001) * structure
