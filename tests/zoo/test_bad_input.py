"""What a hostile user gives the losses of every family: a message that names the argument, or the documented result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from representative import each_loss
from torch import Tensor

import lossearch
from lossearch import zoo
from lossearch.compile import LossModule, torchscript
from lossearch.compile.export.standalone import class_name, standalone
from lossearch.compile.input_checker import takes_integers
from lossearch.compile.targets import class_by_class
from lossearch.errors import UserError
from lossearch.ir.core.signature import Input
from lossearch.ir.rewriting.lowering import label_input
from lossearch.report.sweeps import sweeps_of

get: Any = zoo.get  # as somebody without a type checker calls them
layered: Any = lossearch.layered
NAN, INF = float("nan"), float("inf")
NAMES = zoo.names()
SMALL = [name for name in NAMES if name != "ms_ssim"]  # whose least image takes a while


@functools.cache
def sound(name: str) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
    """What a loss takes at construction, and inputs that it takes, in float32."""
    loss = zoo.get(name)
    sweep = sweeps_of(loss)[0]
    inputs = tuple(x.float() if x.is_floating_point() else x for x in sweep.inputs(sweep.grid[len(sweep.grid) // 3]))
    given = {key: value.float() for key, value in sweep.buffers.items() if loss.graph.uses(key)}
    if loss.graph.uses("class_weight"):
        given["class_weight"] = torch.ones(10)
    return given, tuple(x.contiguous() for x in inputs)


def module_of(name: str, **options: Any) -> LossModule:
    return zoo.get(name).to_module(buffers=sound(name)[0], **options)


def with_entry(x: Tensor, value: float, at: int = 0) -> Tensor:
    changed = x.clone()
    changed.view(-1)[at] = value
    return changed


def wrong_kinds(x: Tensor, declared: Input, mask: bool) -> Iterator[Any]:
    """An input as what it must not be; one that may be a mask is sound as booleans, numbers may be as integers."""
    yield from (None, x.tolist(), x.to(torch.complex64))
    if not mask and not sound_as(declared, torch.bool):
        yield x > 0
    if not sound_as(declared, torch.int64):
        yield x.long() if x.is_floating_point() else x.float()


def sound_as(declared: Input, dtype: torch.dtype) -> bool:
    """Whether integers or masks stand for the numbers of an input."""
    return declared.kind == "real" and not declared.labels and takes_integers(declared, dtype)


def wrong_shapes(x: Tensor, only: bool) -> Iterator[Tensor]:
    """An input of another shape than the others ask for; alone it may have any length."""
    yield x.reshape(-1)[0]
    if not only:
        yield torch.cat([x, x[:1]])
        yield x[None]


@pytest.mark.parametrize("name", each_loss())
def test_a_wrong_kind_or_shape_is_named(name: str) -> None:
    _, inputs = sound(name)
    declared = zoo.get(name).signature.forward_inputs
    module = module_of(name)
    by_class = class_by_class(zoo.get(name).graph)
    for place, one in enumerate(declared):
        required = {"dtype": "of an? (floating|integer)|as a tensor"}
        for kind in wrong_kinds(inputs[place], one, by_class and bool(one.labels)):
            if one.labels and isinstance(kind, Tensor) and kind.is_floating_point():
                required["dtype"] = r"\["  # a floating target has the class axis
            with pytest.raises(UserError, match=f"required: {one.name}.*({required['dtype']})"):
                module(*inputs[:place], kind, *inputs[place + 1 :])
        for shape in wrong_shapes(inputs[place], len(declared) == 1):
            with pytest.raises(UserError, match=r"required: \w+\[.*found: shape \["):
                module(*inputs[:place], shape, *inputs[place + 1 :])
    for count in (inputs[:-1], (*inputs, inputs[0])):
        with pytest.raises(UserError, match=rf"{len(declared)} inputs \({declared[0].name}"):
            module(*count)


@pytest.mark.parametrize("name", each_loss())
def test_sound_inputs_pass_validation(name: str) -> None:
    _, inputs = sound(name)
    module_of(name).check(*inputs)
    if name in SMALL:
        torch.testing.assert_close(module_of(name, validate=True)(*inputs), module_of(name)(*inputs))


@pytest.mark.parametrize("name", each_loss(SMALL))
def test_nan_gives_nan_and_is_named_by_validation(name: str) -> None:
    _, inputs = sound(name)
    loss = zoo.get(name)
    plain, validating = module_of(name), module_of(name, validate=True)
    for place, declared in enumerate(loss.signature.forward_inputs):
        x = inputs[place]
        if not x.is_floating_point():
            continue
        for at in {0, x.numel() // 2, x.numel() - 1}:
            given = (*inputs[:place], with_entry(x, NAN, at), *inputs[place + 1 :])
            if loss.graph.uses(declared.name):
                assert plain(*given).isnan().all()
            for check in (plain.check, validating):
                with pytest.raises(UserError, match=rf"required: finite {declared.name}; found: nan at \["):
                    check(*given)
        with pytest.raises(UserError, match=rf"finite {declared.name}; found: -inf at \[0.* and \d+ more of|-inf at"):
            plain.check(*inputs[:place], x * 0 - INF, *inputs[place + 1 :])


LOGITS = torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]])
LABELS = torch.tensor([0, 2])
BOXES = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 4.0]])
IMAGE = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
ROWS = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
NUMBERS = torch.zeros(2, 3)

VALUES: list[tuple[str, tuple[Tensor, ...], str]] = [
    ("cross_entropy", (LOGITS, torch.tensor([0, 3])), r"target labels in \[0, 2\] or ignore_index -100; found: 3"),
    ("cross_entropy", (LOGITS, torch.tensor([-1, 0])), r"target labels in \[0, 2\] or ignore_index -100; found: -1"),
    ("cross_entropy", (LOGITS, torch.full((2, 3), 0.5)), r"target that sums to 1 over class; found: sum 1.5 at \[0\]"),
    ("dice", (LOGITS, torch.zeros(2, 3)), r"target that sums to 1 over class; found: sum 0 at \[0\] and 1 more of 2"),
    ("focal", (LOGITS, torch.tensor([[2.0, -1.0, 0.0], [1, 0, 0]])), r"target in \[0, 1\]; found: 2 at \[0, 0\]"),
    ("arcface", (1.5 * ROWS, torch.tensor([0, 1])), r"cosine in \[-1, 1\]; found: 1.5 at \[0, 0\] and 1 more of 4"),
    ("giou", (BOXES.flip(1), BOXES), r"boxes with x1 ≤ x2; found: x1 = 2, x2 = 0 at \[0\] and 1 more of 2"),
    ("box_l1", (BOXES, BOXES[:, [0, 3, 2, 1]]), r"target with y1 ≤ y2; found: y1 = 2, y2 = 0 at \[0\]"),
    ("gaussian_nll", (NUMBERS, NUMBERS, NUMBERS - 1.0), r"variance ≥ 0; found: -1 at \[0, 0\] and 5 more of 6"),
    ("contrastive", (ROWS, ROWS, torch.tensor([1.0, 2.0])), r"target in \[0, 1\]; found: 2 at \[1\]"),
    ("margin_ranking", (ROWS[0], ROWS[1], torch.tensor([1.0, -2.0])), r"target in \[-1, 1\]; found: -2 at \[1\]"),
    ("cross_correlation", (NUMBERS, NUMBERS + 3.0), r"target in \[-1, 1\]; found: 3"),
    ("masked_reconstruction", (IMAGE, IMAGE, 2.0 + IMAGE[:, 0]), r"masked in \[0, 1\]; found: 2"),
    ("vae", (NUMBERS, NUMBERS, ROWS, 100.0 * ROWS), r"log_variance in \[-60, 60\]; found: 100 at \[0, 0\]"),
    ("denoising_score_matching", (NUMBERS, NUMBERS, torch.tensor([1.0, -1.0])), r"sigma ≥ 0; found: -1 at \[1\]"),
    ("min_snr", (NUMBERS, NUMBERS, torch.tensor([-1.0, 1.0])), r"snr ≥ 0; found: -1 at \[0\]"),
]


@pytest.mark.parametrize(("name", "inputs", "message"), VALUES)
def test_wrong_values_are_named_by_validation(name: str, inputs: tuple[Tensor, ...], message: str) -> None:
    for check in (zoo.get(name).to_module().check, zoo.get(name).to_module(validate=True)):
        with pytest.raises(UserError, match=message):
            check(*inputs)


def test_what_is_large_or_one_against_the_rest_is_no_mistake() -> None:
    zoo.get("mse").to_module().check(NUMBERS + 1e6, NUMBERS)
    binary = lossearch.load("dense: target * softplus(-logits) + (1.0 - target) * softplus(logits)")
    binary.to_module().check(LOGITS, torch.ones(2, 3))


def test_sample_weights_and_own_tensors_are_looked_at() -> None:
    module = zoo.get("cross_entropy").to_module()
    for weight, message in (([1.0, -1.0], r"sample_weight ≥ 0; found: -1 at \[1\]"), ([NAN, 1.0], "finite sample_w")):
        with pytest.raises(UserError, match=message):
            module.check(LOGITS, LABELS, sample_weight=torch.tensor(weight))
    for weight, message in (
        ([1.0, 1.0], "as a tensor of real numbers; found: list"),
        (torch.ones(2, dtype=torch.complex64), "real numbers; found: torch.complex64"),
        (torch.ones(2, device="meta"), "`sample_weight` on cpu as the inputs; found: meta"),
        (torch.ones(3), r"sample_weight\[batch\].*found: shape \[3\]"),
    ):
        with pytest.raises(UserError, match=message):
            module(LOGITS, LABELS, sample_weight=weight)
    centers = zoo.get("center").to_module(buffers={"centers": torch.zeros(3, 2)})
    with torch.no_grad():
        dict(centers.named_parameters())["centers"][1, 0] = NAN
    with pytest.raises(UserError, match=r"finite centers; found: nan at \[1, 0\]"):
        centers.check(ROWS, LABELS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: zoo.get("cross_entropy").to_module(weight=[1.0, NAN]), r"finite class_weight; found: nan at \[1\]"),
        (lambda: zoo.get("cross_entropy").to_module(weight=[1.0, -1.0]), "class_weight in"),
        (lambda: zoo.get("cross_entropy").to_module(weight="abc"), "`weight` as a number for each class; found: 'abc'"),
        (lambda: zoo.get("cross_entropy").to_module(weight=torch.ones(2) * 1j), "found: torch.complex64"),
        (
            lambda: zoo.get("cross_entropy").to_module(weight=[1.0, 1.0])(LOGITS, LABELS),
            "tensors given at construction",
        ),
        (lambda: zoo.get("cross_entropy").to_module(ignore_index=1.5), "`ignore_index` as an integer or None"),
        (lambda: zoo.get("center").to_module(buffers={"centers": [[1.0]]}), "as a tensor; found: list"),
        (lambda: zoo.get("center").to_module(buffers={"centers": torch.ones(2, 2).long()}), "of a floating dtype"),
        (lambda: zoo.get("center").to_module(buffers={"centers": torch.ones(2)}), r"centers\[class, feature\]; found"),
        (lambda: zoo.get("mahalanobis").to_module(buffers={"precision": torch.ones(3, 2)}), "feature' of length 3"),
        (lambda: zoo.get("mahalanobis").to_module(buffers={"precision": -torch.eye(2)}), "positive definite"),
        (lambda: zoo.get("focal", gamma=-1.0), "gamma ≥ 0; found: -1"),
        (lambda: zoo.get("focal", gamma=NAN), "a number for gamma; found: nan"),
        (lambda: get("focal", gamma=None), "a number for gamma; found: None"),
        (lambda: zoo.get("ssim", size=7.5), "an integer for size; found: 7.5"),
        (lambda: zoo.get("ssim", size="7"), "an integer for size; found: '7'"),
        (lambda: zoo.get("ssim", sigma=NAN), "a number for sigma; found: nan"),
        (lambda: layered("perceptual", weights=["a"]), "a finite weight for each layer"),
        (lambda: zoo.get("giou").to_module()(torch.ones(2, 5), torch.ones(2, 5)), "coord of length 4; found: 5"),
        (lambda: zoo.get("box_l1").to_module()(torch.ones(2, 3), torch.ones(2, 3)), "coord of length 4; found: 3"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


MAPS = [torch.rand(1, 2, 3, 3), torch.rand(1, 4, 2, 2)]


@pytest.mark.parametrize(
    ("weights", "inputs", "message"),
    [
        (None, (MAPS, MAPS[:1]), "lists of 2, 1"),
        (None, ([], []), "lists of 0, 0"),
        (None, (MAPS[0], MAPS[0]), "a list of tensors"),
        (None, (MAPS, MAPS[::-1]), r"target\[batch=1, channel=2"),
        (None, (MAPS, [None, None]), "target as a tensor; found: NoneType"),
        ([1.0], (MAPS, MAPS), "as weights, 1; found: lists of 2, 2"),
    ],
)
def test_lists_of_feature_maps_must_fit(weights: list[float] | None, inputs: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        lossearch.layered("perceptual", weights=weights)(*inputs)


def gradient_of(module: LossModule, *inputs: Tensor) -> tuple[float, Tensor]:
    leaf = inputs[0].clone().requires_grad_()
    value = module(leaf, *inputs[1:])
    return value.item(), torch.autograd.grad(value, leaf)[0]


@pytest.mark.parametrize("name", ["triplet_batch_hard", "supervised_contrastive"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("count", [1, 4])
def test_a_batch_without_positives_is_zero_with_zero_gradient(name: str, reduction: str, count: int) -> None:
    embeddings = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    value, gradient = gradient_of(module_of(name, reduction=reduction, validate=True), embeddings, torch.arange(count))
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("name", ["info_nce", "nt_xent", "n_pair", "clip"])
def test_one_pair_has_no_negatives_and_loss_zero(name: str) -> None:
    first, second = torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(0))
    value, gradient = gradient_of(module_of(name, validate=True), first, second)
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("name", each_loss(SMALL))
def test_an_empty_batch_is_zero_with_an_empty_gradient(name: str) -> None:
    loss = zoo.get(name)
    if any("batch" not in declared.axes for declared in loss.signature.forward_inputs):
        return
    value, gradient = gradient_of(module_of(name, validate=True), *(x[:0] for x in sound(name)[1]))
    assert value == 0.0
    assert gradient.numel() == 0


def test_an_inverted_box_is_empty_without_validation() -> None:
    module = zoo.get("iou").to_module()
    assert module(BOXES[:1], BOXES[:1].flip(1)).item() == 1.0


@pytest.mark.parametrize("name", each_loss(SMALL))
def test_a_standalone_module_refuses_wrong_kinds_and_shapes(name: str) -> None:
    loss, (given, inputs) = zoo.get(name), sound(name)
    options = {"weight" if key == "class_weight" else key: value for key, value in given.items()}
    module = torchscript.load_class(standalone(loss), class_name(name))(**options)
    torch.testing.assert_close(module(*inputs), module_of(name)(*inputs))
    by_class = class_by_class(loss.graph)
    for place, declared in enumerate(loss.signature.forward_inputs):
        x = inputs[place]
        kinds = {torch.bool: x > 0, torch.int64: x.long() if x.is_floating_point() else x.double()}
        if by_class and declared.labels:
            del kinds[torch.bool]  # the mask of a class
        for wrong in (wrong for dtype, wrong in kinds.items() if not sound_as(declared, dtype)):
            with pytest.raises(ValueError, match=f"{declared.name} must (be of|have shape)"):
                module(*inputs[:place], wrong, *inputs[place + 1 :])
        if len(inputs) > 1:
            with pytest.raises(ValueError, match=r"\w+ must have shape \["):
                module(*inputs[:place], torch.cat([x, x[:1]]), *inputs[place + 1 :])


@pytest.mark.parametrize("name", zoo.names("box"))
@pytest.mark.parametrize("shape", [(3, 5), (3, 3), (5,), (3, 4, 1)])
def test_a_standalone_module_refuses_boxes_of_other_than_four_coordinates(name: str, shape: tuple[int, ...]) -> None:
    module = torchscript.load_class(standalone(zoo.get(name)), class_name(name))()
    with pytest.raises(ValueError, match=r"boxes must have shape \[batch, 4\], not \["):
        module(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("name", [name for name in SMALL if label_input(zoo.get(name).graph)])
def test_a_standalone_module_gives_no_value_for_a_label_that_is_no_class(name: str) -> None:
    loss, (given, inputs) = zoo.get(name), sound(name)
    options = {"weight" if key == "class_weight" else key: value for key, value in given.items()}
    module = torchscript.load_class(standalone(loss), class_name(name))(**options)
    classes = 3 if name == "center" else 10
    for wrong in (-1, classes):
        with pytest.raises((IndexError, RuntimeError), match=r"out of (bounds|range)"):
            module(inputs[0], with_entry(inputs[1], wrong), *inputs[2:])


@pytest.mark.parametrize(("name", "least"), [("ssim", 11), ("ms_ssim", 161)])
def test_a_standalone_module_refuses_images_smaller_than_its_windows(name: str, least: int) -> None:
    module = torchscript.load_class(standalone(zoo.get(name)), class_name(name))()
    small = torch.zeros(1, 1, least, least - 1)
    with pytest.raises(ValueError, match=rf"image must be {least} or longer .* not \[{least}, {least - 1}\]"):
        module(small, small)


def test_labels_that_are_one_hot_integers_are_explained() -> None:
    with pytest.raises(UserError, match="give a one-hot target as floating numbers"):
        zoo.get("cross_entropy").to_module()(LOGITS, F.one_hot(LABELS, 3))


def test_rounding_beyond_an_end_of_a_range_is_sound() -> None:
    """Cosines of normalised embeddings exceed 1, and differences of equal numbers fall below 0, by rounding."""
    arcface, labels = module_of("arcface"), torch.zeros(4, dtype=torch.int64)
    above = [torch.full((4, 10), 1.0).nextafter(torch.tensor(2.0)) + 2.4e-7, torch.full((4, 10), 1.000001).double()]
    for cosine in (*above, torch.full((4, 10), 1.0078125).bfloat16(), torch.full((4, 10), -1.001).half()):
        arcface.check(cosine, labels)
        assert arcface(cosine, labels).isfinite()
    place = (torch.tensor(2), torch.tensor(3))
    for cosine, found in ((1.0002, "1.0002"), (1.00001001, "1.00001")):
        with pytest.raises(UserError, match=rf"cosine in \[-1, 1\]; found: {found}\d* at \[2, 3\]"):
            arcface.check(torch.zeros(4, 10).index_put(place, torch.tensor(cosine)), labels)
    prediction, variance = torch.randn(5), torch.tensor([-1e-7, 0.5, 1.0, 0.0, 2.0])
    module_of("gaussian_nll").check(prediction, prediction, variance)
    with pytest.raises(UserError, match=r"variance ≥ 0; found: -1e-07 at \[0\]"):
        module_of("gaussian_nll").check(prediction, prediction, variance.clamp(max=1e-7))
    boxes = torch.tensor([[5000.0, 0.0, 4999.9995, 1.0]])
    module_of("giou").check(boxes, boxes)
    with pytest.raises(UserError, match=r"x1 ≤ x2; found: x1 = 5000, x2 = 4999.5 at \[0\]"):
        module_of("giou").check(boxes, torch.tensor([[5000.0, 0.0, 4999.5, 1.0]]))
