"""What one kernel of PyTorch's does at once, and what is emitted for it."""

from __future__ import annotations

import pytest
import torch

from lossearch import zoo
from lossearch.compile.variant import Variant, source_of


@pytest.mark.parametrize(
    ("name", "labels", "line"),
    [
        ("mse", False, "return F.mse_loss(prediction, target)"),
        ("binary_cross_entropy", False, "return F.binary_cross_entropy_with_logits(logits, target)"),
        ("byol", False, 'error = F.mse_loss(F.normalize(first_prediction, dim=1, eps=1e-08), unit, reduction="sum")'),
        ("vae", False, "return F.mse_loss(reconstruction, target) * 0.5 + gap.sum() / log_variance.shape[0] * 0.5"),
        ("huber", False, "return F.huber_loss(prediction, target, delta=1.0)"),
        ("content", False, 'ratio = F.mse_loss(features, target, reduction="sum") / features.shape[0]'),
        ("center", True, 'ratio = F.mse_loss(embeddings, centers[target], reduction="sum") / embeddings.shape[0]'),
        (
            "weighted_cross_entropy",
            True,
            'weighted_nll = F.nll_loss(torch.log_softmax(logits, 1), target, class_weight, reduction="sum")',
        ),
        ("box_l1", False, "return torch.abs(boxes - target).sum() / boxes.shape[0]"),
        (
            "n_pair",
            False,
            "diagonal = torch.diagonal(torch.log_softmax(torch.mm(anchor, positive.T), 1), 0, 0, 1)",
        ),
        ("min_snr", False, "minimum = torch.clamp_max(5.0 / torch.clamp_min(snr, 1e-12), 1.0)"),
    ],
)
def test_the_emitted_source_uses_whole_kernels(name: str, labels: bool, line: str) -> None:
    assert line in source_of(zoo.get(name).graph.frozen(), Variant(labels=labels, space=False), "mean").body


@pytest.mark.parametrize("name", ["lovasz_softmax", "lovasz_hinge"])
def test_what_several_follow_is_sorted_once(name: str) -> None:
    body = source_of(zoo.get(name).graph.frozen(), Variant(), "mean").text
    assert body.count("argsort(") == 1
    assert body.count("= in_order(") == 1
    assert body.count("(in_order(") == 1


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
