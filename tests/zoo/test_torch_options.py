"""Options of PyTorch's losses, against PyTorch's own value and gradient, as a module and as an exported file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossearch import export, load, zoo
from lossearch.compile.export.standalone import class_name, standalone
from lossearch.compile.torchscript import load_class
from lossearch.errors import UserError
from lossearch.loss import Loss

from .harness import close, value_and_gradient

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Row:
    """A loss of ours with its options, PyTorch's, and what both are given."""

    loss: Loss
    torch: Callable[..., Tensor]
    inputs: Inputs
    constructor: Mapping[str, Any] = field(default_factory=dict)

    def modules(self) -> list[nn.Module]:
        """The module, and the one of an exported file."""
        own = self.loss.to_module(**self.constructor).double()
        made = load_class(standalone(self.loss), class_name(self.loss.name))
        weight = self.constructor.get("weight")
        given = {} if weight is None else {"weight": torch.as_tensor(weight, dtype=torch.float64)}
        return [own, made(**{**self.constructor, **given})]


def check(row: Row) -> None:
    """Value and gradient of the first input equal PyTorch's."""
    expected, (gradient,) = value_and_gradient(row.torch, row.inputs)
    for module in row.modules():
        found, (own,) = value_and_gradient(module, row.inputs)
        close(found, expected)
        close(own, gradient)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


LOGITS = drawn(6, 4)
LABELS = torch.tensor([0, 3, 1, 1, 2, 0])
IGNORED = torch.tensor([0, -100, 1, 1, 2, -100])
SOFT = drawn(6, 4, seed=1).softmax(1)
MANY = torch.rand(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
IMAGES, IMAGE_LABELS = drawn(2, 4, 3, 2, seed=3), torch.arange(12).reshape(2, 3, 2) % 4
TRIPLETS = tuple(drawn(6, 5, seed=seed) for seed in (4, 5, 6))
POSITIVE = (0.5, 1.0, 2.0, 7.0)


def _named(rows: Mapping[str, Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows.values(), ids=rows.keys())


def _focal(logits: Tensor, target: Tensor, alpha: Sequence[float] | float) -> Tensor:
    log_p = F.log_softmax(logits, 1)
    every = torch.as_tensor(alpha, dtype=torch.float64) * (1 - log_p.exp()) ** 2 * -log_p
    return every.gather(1, target[:, None]).mean()


QUANTILES = (0.1, 0.5, 0.9)


def _pinball(prediction: Tensor, target: Tensor, shape: tuple[int, ...]) -> Tensor:
    q = torch.tensor(QUANTILES, dtype=torch.float64).reshape(shape)
    residual = target.unsqueeze(1) - prediction
    return torch.maximum(q * residual, (q - 1) * residual).mean()


OPTIONS = {
    "label smoothing": Row(
        load("cross_entropy(label_smoothing=0.2)"),
        lambda x, y: F.cross_entropy(x, y, label_smoothing=0.2),
        (LOGITS, LABELS),
    ),
    "label smoothing of soft targets": Row(
        load("cross_entropy(label_smoothing=1)"),
        lambda x, y: F.cross_entropy(x, y, label_smoothing=1.0),
        (LOGITS, SOFT),
    ),
    "label smoothing of images": Row(
        load("cross_entropy(label_smoothing=0.3)"),
        lambda x, y: F.cross_entropy(x, y, label_smoothing=0.3),
        (IMAGES, IMAGE_LABELS),
    ),
    "label smoothing, labels ignored": Row(
        load("cross_entropy(label_smoothing=0.2)"),
        lambda x, y: F.cross_entropy(x, y, label_smoothing=0.2),
        (LOGITS, IGNORED),
    ),
    "one positive weight": Row(
        zoo.get("binary_cross_entropy", pos_weight=3),
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor(3.0)),
        (LOGITS, MANY),
    ),
    "a positive weight for each class": Row(
        zoo.get("binary_cross_entropy", pos_weight=torch.tensor(POSITIVE)),
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor(POSITIVE)),
        (LOGITS, MANY),
    ),
    "positive weights of images": Row(
        load("binary_cross_entropy(pos_weight=(0.5, 1, 2, 7))"),
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor(POSITIVE)[:, None, None]),
        (IMAGES, IMAGES.sigmoid()),
    ),
    "positive weights and class weights": Row(
        zoo.get("binary_cross_entropy", pos_weight=POSITIVE),
        lambda x, y: F.binary_cross_entropy_with_logits(
            x, y, weight=torch.tensor([3.0, 2.0, 1.0, 0.0]), pos_weight=torch.tensor(POSITIVE)
        ),
        (LOGITS, MANY),
        {"weight": [3.0, 2.0, 1.0, 0.0]},
    ),
    "focal loss with a factor": Row(load("focal(alpha=0.25)"), lambda x, y: _focal(x, y, 0.25), (LOGITS, LABELS)),
    "focal loss with a factor for each class": Row(
        zoo.get("focal", alpha=list(POSITIVE)), lambda x, y: _focal(x, y, POSITIVE), (LOGITS, LABELS)
    ),
    **{
        f"triplet, p={p}, swap={swap}, eps={eps}": Row(
            zoo.get("triplet", p=p, swap=swap, eps=eps, margin=2.0),
            lambda a, b, c, p=p, swap=swap, eps=eps: F.triplet_margin_loss(a, b, c, 2.0, p, eps, swap),
            TRIPLETS,
        )
        for p in (1, 2, 3.5)
        for swap in (False, True)
        for eps in (0.0, 0.1)
    },
    "logarithms of the target": Row(
        load("kl_divergence(log_target=True)"),
        lambda x, y: F.kl_div(F.log_softmax(x, 1), y, reduction="batchmean", log_target=True),
        (LOGITS, SOFT.log()),
    ),
    "logarithms of the target of images": Row(
        load("kl_divergence(log_target=True)"),
        lambda x, y: F.kl_div(F.log_softmax(x, 1), y, reduction="batchmean", log_target=True) / 6,
        (IMAGES, drawn(2, 4, 3, 2, seed=7).log_softmax(1)),
    ),
    "several quantiles": Row(
        zoo.get("pinball", quantile=QUANTILES), lambda x, y: _pinball(x, y, (1, 3)), (drawn(6, 3), drawn(6, seed=1))
    ),
    "several quantiles of maps": Row(
        load("pinball(quantile=(0.1, 0.5, 0.9))"),
        lambda x, y: _pinball(x, y, (1, 3, 1)),
        (drawn(2, 3, 5, seed=1), drawn(2, 5)),
    ),
    "batchmean": Row(
        load("kl_divergence"),
        lambda x, y: F.kl_div(F.log_softmax(x, 1), y, reduction="batchmean"),
        (LOGITS, SOFT),
        {"reduction": "batchmean"},
    ),
    "batchmean of images": Row(
        load("kl_divergence"),
        lambda x, y: F.kl_div(F.log_softmax(x, 1), y, reduction="batchmean"),
        (IMAGES, drawn(2, 4, 3, 2, seed=7).softmax(1)),
        {"reduction": "batchmean"},
    ),
    "batchmean of labels, some ignored": Row(
        load("cross_entropy"),
        lambda x, y: F.cross_entropy(x, y, reduction="sum") / len(x),
        (LOGITS, IGNORED),
        {"reduction": "batchmean"},
    ),
    "batchmean of squares": Row(
        load("mse"), lambda x, y: F.mse_loss(x, y, reduction="sum") / len(x), (LOGITS, MANY), {"reduction": "batchmean"}
    ),
}


@_named(OPTIONS)
def test_options_of_pytorch(row: Row) -> None:
    check(row)


def test_numbers_for_each_class_survive_text_and_json() -> None:
    for loss in (
        zoo.get("focal", alpha=POSITIVE),
        zoo.get("binary_cross_entropy", pos_weight=[2.0]),
        zoo.get("pinball", quantile=[0.5, 0.9]),
    ):
        assert Loss.from_text(loss.to_text()).graph == loss.graph
        assert Loss.from_json(loss.to_json()) == loss


def test_numbers_for_each_class_must_be_as_many_as_classes() -> None:
    module = zoo.get("focal", alpha=POSITIVE[:3]).to_module()
    with pytest.raises(UserError, match="class of length 3, one for each of the numbers given; found: 4"):
        module(LOGITS, LABELS)


def test_traced_files_have_as_many_classes_as_numbers(tmp_path: Path) -> None:
    for loss, inputs in (
        (zoo.get("pinball", quantile=QUANTILES), (drawn(5, 3).float(), drawn(5).float())),
        (zoo.get("focal", alpha=POSITIVE), (LOGITS.float(), LABELS)),
    ):
        path = export(loss, tmp_path / "loss.pt2", rank=0)
        torch.testing.assert_close(torch.export.load(path).module()(*inputs), loss.to_module()(*inputs))


def test_a_mean_over_the_batch_needs_a_batch() -> None:
    module = load("dice").to_module(reduction="batchmean")
    with pytest.raises(UserError, match=r"for batchmean; found: one with axes \[class\]"):
        module(IMAGES, IMAGE_LABELS)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("cross_entropy(label_smoothing=1.5)", r"label_smoothing in \[0, 1\]; found: 1.5"),
        ("binary_cross_entropy(pos_weight=(1, -2))", "pos_weight ≥ 0; found: -2"),
        ("focal(alpha=high)", "a number for alpha; found: 'high'"),
        ("focal(alpha=(low, 2))", "several numbers for alpha"),
        ("triplet(p=0.5)", "p ≥ 1; found: 0.5"),
        ("triplet(p=1, squared=True)", "p = 2 with squared=True; found: 1"),
        ("pinball(quantile=(0.1, 1.5))", r"quantile in \[0, 1\]; found: 1.5"),
        ("pinball(quantile=())", "at least one quantile"),
        ("huber(delta=(1, 2))", "a number for delta"),
        ("kl_divergence(log_target=2)", "log_target among False, True"),
        ("triplet(swap=2)", "swap among False, True; found: 2"),
    ],
)
def test_a_wrong_option_is_named(loss: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(loss)
