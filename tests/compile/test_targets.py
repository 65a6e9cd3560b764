"""What a target means: integers of every dtype, a single class as its mask, zeros and ones of each class, signs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from compile.examples import DENSE, LOGITS, TARGET
from torch import Tensor

from lossearch import zoo
from lossearch.compile import build
from lossearch.compile.targets import BINARY, class_by_class
from lossearch.errors import UserError
from lossearch.ir import Graph, get_signature
from lossearch.ir.operators import functions as fn

INTEGERS = [torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32, torch.uint64, torch.int64]
BY_CLASS = ["binary_cross_entropy", "binary_focal", "binary_hinge", "logistic", "lovasz_hinge"]
BY_CLASS += ["binary_dice", "binary_jaccard", "binary_tversky", "binary_cross_entropy_dice"]
BY_CLASS += ["asymmetric", "quality_focal", "varifocal"]
SIGNS = ["binary_hinge", "logistic", "lovasz_hinge"]
SHARED = [
    name
    for name in zoo.names("dense")
    if name not in BY_CLASS and zoo.get(name).signature.name in ("dense", "boundary_map", "boundary_distance")
]


def scores(*shape: int) -> Tensor:
    return 2.0 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def mask_of(*shape: int) -> Tensor:
    return torch.randint(2, shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_are_compared_as_int64(dtype: torch.dtype) -> None:
    """-100 in uint8 is 156, a class like any other."""
    classes = 120 if dtype == torch.int8 else 171
    logits = scores(2, classes, 3)
    labels = torch.tensor([[classes - 15, 3, 100], [7, classes - 1, 0]])
    for name in ("cross_entropy", "dice"):
        module = zoo.get(name).to_module(validate=True)
        torch.testing.assert_close(module(logits, labels.to(dtype)), module(logits, labels))
    with pytest.raises(UserError, match=r"target labels in \[0, 99\] or ignore_index -100; found: 1\d\d"):
        zoo.get("cross_entropy").to_module()(logits[:, :100], labels.to(dtype))


def test_a_wrapped_ignore_index_is_explained() -> None:
    labels = torch.tensor([1, -100]).to(torch.uint8)
    with pytest.raises(UserError, match=r"found: 156; torch\.uint8 cannot hold -100: give signed labels"):
        zoo.get("focal").to_module()(scores(2, 4), labels)
    ignoring = zoo.get("focal").to_module(ignore_index=255)
    torch.testing.assert_close(
        ignoring(scores(2, 4), torch.tensor([1, 255], dtype=torch.uint8)),
        zoo.get("focal").to_module()(scores(2, 4), torch.tensor([1, -100])),
    )


@pytest.mark.parametrize("backend", ["eager", "torchscript"])
@pytest.mark.parametrize("name", BY_CLASS)
@pytest.mark.parametrize("space", [(), (5,), (3, 4)])
def test_a_single_class_takes_its_mask(name: str, backend: str, space: tuple[int, ...]) -> None:
    """1 is where the class is, with or without an axis for it, in every kind of number."""
    logits, mask = scores(6, 1, *space), mask_of(6, *space)
    module = zoo.get(name).to_module(backend, validate=True)
    wanted = module(logits, mask.unsqueeze(1).double())
    for given in (mask, mask.bool(), mask.byte(), mask.int(), mask.double()):
        torch.testing.assert_close(module(logits, given), wanted)
        torch.testing.assert_close(module(logits, given.unsqueeze(1)), wanted)
    ignored = mask.clone()
    ignored[0] = -100
    rest = module(logits[1:], mask[1:])
    for given in (ignored, ignored.unsqueeze(1)):
        torch.testing.assert_close(module(logits, given), rest)
    for wrong in (2 * mask, 255 * mask.unsqueeze(1)):
        with pytest.raises(UserError, match=r"target labels in \[-?\d, 1\] or ignore_index -100; found: 2"):
            module(logits, wrong)


@pytest.mark.parametrize("name", BY_CLASS)
def test_zeros_and_ones_of_each_class_may_be_integers(name: str) -> None:
    logits, mask = scores(4, 3, 5), mask_of(4, 3, 5)
    module = zoo.get(name).to_module(validate=True)
    for given in (mask, mask.bool(), mask.byte()):
        torch.testing.assert_close(module(logits, given), module(logits, mask.double()))
    with pytest.raises(UserError, match=r"target labels in \[(-1|0), 1\]; found: -100"):
        module(logits, mask - 100 * (mask == 0).long())


def test_the_mask_of_one_class_is_what_binary_cross_entropy_of_pytorch_takes() -> None:
    logits, mask = scores(2, 1, 4, 4), mask_of(2, 4, 4)
    wanted = F.binary_cross_entropy_with_logits(logits[:, 0], mask.double())
    torch.testing.assert_close(zoo.get("binary_cross_entropy").to_module()(logits, mask), wanted)


@pytest.mark.parametrize("name", SIGNS)
def test_signs_stand_for_zeros_and_ones(name: str) -> None:
    """-1 and 1 are what PyTorch's soft_margin_loss takes, 0 and 1 what the other losses of each class take."""
    for shape in ((7, 1), (2, 3, 4), (2, 1, 3, 3)):
        logits, mask = scores(*shape).requires_grad_(), mask_of(*shape)
        signs = 2 * mask - 1
        module = zoo.get(name).to_module(validate=True)
        wanted = module(logits, mask.double())
        (gradient,) = torch.autograd.grad(wanted, logits)
        for given in (signs, signs.double(), *([signs.squeeze(1)] if shape[1] == 1 else [])):
            found = module(logits, given)
            torch.testing.assert_close(found, wanted)
            torch.testing.assert_close(torch.autograd.grad(found, logits)[0], gradient)
        if name == "logistic":
            torch.testing.assert_close(wanted, F.soft_margin_loss(logits, signs.double()))
        share = mask.double() - 0.5 * (mask == mask.flatten()[0])
        with pytest.raises(UserError, match=r"target in \[0, 1\], or -1 and 1 alone; found: -?0.5"):
            module.check(logits, torch.where(mask > 0, share, -1.0))


def test_mixed_signs_are_ambiguous() -> None:
    with pytest.raises(UserError, match="target of 0 and 1, or of -1 and 1; found: -1, 0 and 1"):
        zoo.get("logistic").to_module()(scores(3, 1), torch.tensor([-1, 0, 1]))
    ignoring = zoo.get("logistic").to_module(ignore_index=-1)(scores(3, 1), torch.tensor([-1, 0, 1]))
    torch.testing.assert_close(ignoring, zoo.get("logistic").to_module()(scores(3, 1)[1:], torch.tensor([0, 1])))


@pytest.mark.parametrize("name", SHARED)
def test_one_class_is_refused_where_classes_share_probability(name: str) -> None:
    loss = zoo.get(name)
    counts = {"class_count": torch.ones(1)} if loss.graph.uses("class_count") else {}
    module = loss.to_module(weight=[1.0] if loss.graph.uses("class_weight") else None, buffers=counts)
    others = [torch.rand(2, *([1] if "class" in one.axes else []), 4, 4) for one in loss.signature.forward_inputs[2:]]
    second = mask_of(2, 4, 4) if loss.signature.forward_inputs[1].labels else torch.rand(2, 1, 4, 4)
    with pytest.raises(UserError, match=r"two classes or more: .*found: class of length 1; for one.* binary_cross_ent"):
        module(torch.randn(2, 1, 4, 4), second, *others)


def test_what_is_recommended_for_one_class_takes_it() -> None:
    assert set(BINARY.replace(" or ", ", ").split(", ")) < set(BY_CLASS)
    found = [name for name in zoo.names("dense") if class_by_class(zoo.get(name).graph)]
    assert sorted(found) == sorted(BY_CLASS)
    with pytest.raises(UserError, match=r"two classes or more: .*; give two or more"):
        zoo.get("arcface").to_module()(torch.rand(3, 1), torch.zeros(3, dtype=torch.long))
    one_centre = zoo.get("center").to_module(buffers={"centers": torch.zeros(1, 3)})
    assert one_centre(torch.ones(2, 3), torch.zeros(2, dtype=torch.long)).item() > 0.0


def test_a_loss_of_each_class_is_known_by_its_graph() -> None:
    """A mean over classes in the end leaves every class by itself; anything else that runs over them does not."""
    error = fn.square(fn.sigmoid(LOGITS) - TARGET)
    assert class_by_class(Graph(DENSE, error))
    assert class_by_class(Graph(DENSE, fn.mean(error, ("batch", "class"))))
    assert class_by_class(Graph(DENSE, fn.mean(error, "space")))
    assert not class_by_class(Graph(DENSE, fn.sqrt(fn.sum(error, "class"))))
    assert not class_by_class(Graph(DENSE, error * fn.max(LOGITS, "class")))
    assert not class_by_class(Graph(get_signature("box"), fn.mean(get_signature("box")["boxes"].node, "coord")))
    mask = mask_of(2, 3)
    expected = (torch.sigmoid(scores(2, 1, 3)[:, 0]) - mask).square().mean()
    torch.testing.assert_close(build(Graph(DENSE, fn.mean(error, "class")))(scores(2, 1, 3), mask), expected)


def test_two_classes_take_a_mask_of_booleans() -> None:
    logits, mask = scores(2, 2, 3), mask_of(2, 3)
    torch.testing.assert_close(
        zoo.get("dice").to_module()(logits, mask.bool()), zoo.get("dice").to_module()(logits, mask)
    )
