"""docs/MIGRATING.md: every loss of ours on it loads, every loss of an installed library is on it, and equals ours."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from monai import losses as monai
from monai.losses.contrastive import ContrastiveLoss
from monai.losses.dice import DiceCELoss, DiceLoss
from monai.losses.focal_loss import FocalLoss
from monai.losses.tversky import TverskyLoss
from pytorch_metric_learning import losses as metric_learning
from torch import Tensor, nn

from lossearch import load

from .harness import close
from .test_torch_options import IMAGE_LABELS, IMAGES, LABELS, LOGITS, MANY, SOFT, TRIPLETS, drawn

PAGE = Path(__file__).parents[2] / "docs" / "MIGRATING.md"


def rows() -> Iterator[tuple[str, list[str], list[str]]]:
    """Section, their names, our names."""
    section = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        section = line.removeprefix("## ") if line.startswith("## ") else section
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            yield section, re.findall(r"`([^`]+)`", cells[0]), re.findall(r"`([^`]+)`", cells[1])


ROWS = list(rows())
OURS = sorted({ours for _, _, found in ROWS for ours in found})


@pytest.mark.parametrize("ours", OURS)
def test_every_loss_of_ours_loads(ours: str) -> None:
    assert load(ours).source


def test_losses_named_beside_the_tables_load_too() -> None:
    known = set(re.findall(r"`([a-z_0-9]+)`", PAGE.read_text(encoding="utf-8")))
    for name in ("focal", "focal_tversky", "contrastive", "hinge_gan", "gan_non_saturating", "triplet_batch_hard"):
        assert name in known
        assert load(name)


@pytest.mark.parametrize(
    ("section", "library"),
    [("torch.nn", nn), ("monai.losses", monai), ("pytorch_metric_learning.losses", metric_learning)],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_every_loss_of_a_library_is_on_the_page(section: str, library: object) -> None:
    ending = ("Loss",) if library is nn else ("",)
    theirs = {n for n, x in vars(library).items() if inspect.isclass(x) and n[0].isupper() and n.endswith(ending)}
    assert theirs == {name for where, names, _ in ROWS if where == section for name in names}


def ours(section: str, name: str) -> nn.Module:
    """Our module for a loss of theirs, as the page has it."""
    (found,) = (ours for where, names, ours in ROWS if where == section and name in names)
    return load(found[0]).to_module()


def torch_nn(name: str) -> tuple[nn.Module, nn.Module]:
    return getattr(nn, name)(), ours("torch.nn", name)


HOT = nn.functional.one_hot(IMAGE_LABELS, 4).movedim(-1, 1).double()
SIGNS = MANY.round() * 2 - 1
BATCH = nn.functional.normalize(drawn(8, 5, seed=9))
CLASSES = torch.tensor([0, 0, 1, 1, 2, 2, 0, 1])


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("BCEWithLogitsLoss", (LOGITS, MANY)),
        ("CrossEntropyLoss", (LOGITS, LABELS)),
        ("GaussianNLLLoss", (LOGITS, MANY, MANY)),
        ("HuberLoss", (LOGITS, MANY)),
        ("L1Loss", (LOGITS, MANY)),
        ("MSELoss", (LOGITS, MANY)),
        ("MarginRankingLoss", (LOGITS[:, 0], MANY[:, 0], SIGNS[:, 0])),
        ("MultiLabelSoftMarginLoss", (LOGITS, MANY)),
        ("MultiMarginLoss", (LOGITS, LABELS)),
        ("NLLLoss", (LOGITS.log_softmax(1), LABELS)),
        ("PoissonNLLLoss", (LOGITS, MANY)),
        ("SmoothL1Loss", (LOGITS, MANY)),
        ("SoftMarginLoss", (LOGITS, SIGNS)),
        ("TripletMarginLoss", TRIPLETS),
    ],
)
def test_pytorch_gives_the_same(name: str, inputs: tuple[Tensor, ...]) -> None:
    theirs, own = torch_nn(name)
    close(own(*inputs), theirs(*inputs))


def test_pytorch_gives_the_same_where_the_call_differs() -> None:
    close(ours("torch.nn", "BCELoss")(LOGITS, MANY), nn.BCELoss()(LOGITS.sigmoid(), MANY))
    theirs = nn.KLDivLoss(reduction="batchmean")(LOGITS.log_softmax(1), SOFT)
    close(ours("torch.nn", "KLDivLoss")(LOGITS, SOFT), theirs)
    close(ours("torch.nn", "KLDivLoss")(LOGITS.log_softmax(1), SOFT), theirs)


@pytest.mark.parametrize(
    ("name", "theirs", "inputs", "target"),
    [
        ("DiceLoss", DiceLoss(softmax=True), (IMAGES, IMAGE_LABELS), HOT),
        ("DiceCELoss", DiceCELoss(softmax=True), (IMAGES, IMAGE_LABELS), HOT),
        ("TverskyLoss", TverskyLoss(softmax=True), (IMAGES, IMAGE_LABELS), HOT),
        ("FocalLoss", FocalLoss(), (IMAGES, HOT), HOT),
        ("ContrastiveLoss", ContrastiveLoss(), (BATCH, BATCH.roll(1, 1)), BATCH.roll(1, 1)),
    ],
)
def test_monai_gives_the_same(
    name: str, theirs: Callable[..., Tensor], inputs: tuple[Tensor, Tensor], target: Tensor
) -> None:
    torch.testing.assert_close(
        ours("monai.losses", name)(*inputs), theirs(inputs[0], target).double(), rtol=1e-5, atol=1e-6
    )


def test_pytorch_metric_learning_gives_the_same() -> None:
    section = "pytorch_metric_learning.losses"
    for name in ("SupConLoss", "CircleLoss", "MultiSimilarityLoss"):
        close(ours(section, name)(BATCH, CLASSES), getattr(metric_learning, name)()(BATCH, CLASSES))
    views = BATCH, nn.functional.normalize(drawn(8, 5, seed=10))
    theirs = metric_learning.SelfSupervisedLoss(metric_learning.NTXentLoss())(*views)
    close(ours(section, "SelfSupervisedLoss")(*views), theirs)
