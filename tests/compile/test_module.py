"""A loss module behaves like PyTorch's own losses."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from compile.examples import CLASS_WEIGHT, CROSS_ENTROPY, DENSE, LOG_P, LOGITS, TARGET, TRUE_P, P, buffers_of
from representative import each_loss
from torch import Tensor, nn

from lossearch import zoo
from lossearch.compile import LossModule, build
from lossearch.errors import UserError
from lossearch.ir import Graph, Input, Parameter, Signature, get_signature
from lossearch.ir.core.signature import DOMAIN
from lossearch.ir.operators import functions as fn

SPACES = [(), (3,), (3, 4), (2, 3, 2)]
WEIGHT = torch.tensor([0.5, 2.0, 1.0, 0.1, 1.5])
WEIGHTED = Graph(DENSE, CROSS_ENTROPY.root, (), fn.contract(TARGET, CLASS_WEIGHT, "class"))
DICE = Graph(DENSE, 1.0 - 2.0 * fn.sum(TARGET * P, "space") / (fn.sum(P, "space") + fn.sum(TARGET, "space")))


def data(space: tuple[int, ...] = (3, 4), seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 5, *space, generator=generator)
    return logits, torch.randint(5, (4, *space), generator=generator)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("ignore_index", [-100, 2])
@pytest.mark.parametrize("own_weight", [False, True])
def test_integer_labels_as_cross_entropy(
    space: tuple[int, ...], reduction: str, weight: Tensor | None, ignore_index: int, own_weight: bool
) -> None:
    if own_weight and weight is None:
        return
    logits, labels = data(space)
    labels.view(-1)[1::4] = ignore_index
    graph = WEIGHTED if own_weight else CROSS_ENTROPY
    module = build(graph, reduction=reduction, weight=weight, ignore_index=ignore_index)
    leaves = [logits.clone().requires_grad_() for _ in range(2)]
    found = module(leaves[0], labels)
    expected = F.cross_entropy(leaves[1], labels, weight, reduction=reduction, ignore_index=ignore_index)
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_probabilities_as_cross_entropy(space: tuple[int, ...], reduction: str) -> None:
    logits, _ = data(space)
    target = torch.softmax(data(space, seed=1)[0], 1)
    found = build(CROSS_ENTROPY, reduction=reduction)(logits, target)
    torch.testing.assert_close(found, F.cross_entropy(logits, target, reduction=reduction))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_labels_and_their_one_hot_form_agree(reduction: str) -> None:
    logits, labels = data()
    one_hot = F.one_hot(labels, 5).movedim(-1, 1).float()
    for graph in (CROSS_ENTROPY, DICE, zoo.get("brier").graph, zoo.get("tversky").graph):
        module = build(graph, reduction=reduction)
        torch.testing.assert_close(module(logits, labels), module(logits, one_hot))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_of_any_integer_dtype(dtype: torch.dtype) -> None:
    logits, labels = data()
    module = build(zoo.get("focal").graph)
    torch.testing.assert_close(module(logits, labels.to(dtype)), module(logits, labels))


@pytest.mark.parametrize("name", [name for name in zoo.names(signature="dense") if name != "weighted_cross_entropy"])
def test_predictions_in_channels_last(name: str) -> None:
    logits, labels = data()
    graph = zoo.get(name).graph
    module = build(graph, buffers={key: value.float() for key, value in buffers_of(graph).items()})
    leaves = [x.clone(memory_format=torch.preserve_format).requires_grad_() for x in (logits, _channels_last(logits))]
    values = [module(leaf, labels) for leaf in leaves]
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*(torch.autograd.grad(v, x)[0] for v, x in zip(values, leaves, strict=True)))


def _channels_last(x: Tensor) -> Tensor:
    return x.to(memory_format=torch.channels_last)


def test_an_ignored_pixel_has_no_influence_inside_a_loss_either() -> None:
    logits, labels = data()
    labels[:, 0, 1] = -100
    leaf = logits.clone().requires_grad_()
    value = build(DICE)(leaf, labels)
    kept_logits, kept = (
        torch.cat([x[..., :1, :1], x[..., :1, 2:], x[..., 1:, :].flatten(-2).unsqueeze(-2)], -1)
        for x in (logits, labels)
    )
    torch.testing.assert_close(value, build(DICE)(kept_logits, kept))
    value.backward()
    assert leaf.grad is not None
    assert (leaf.grad[:, :, 0, 1] == 0.0).all()
    assert (leaf.grad[:, :, 1, 1] != 0.0).all()


def test_an_image_without_a_kept_pixel_does_not_enter_the_mean() -> None:
    logits, labels = data()
    labels[1] = -100
    others = [0, 2, 3]
    torch.testing.assert_close(build(DICE)(logits, labels), build(DICE)(logits[others], labels[others]))


@pytest.mark.parametrize("graph", [CROSS_ENTROPY, DICE], ids=["cross_entropy", "dice"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_nothing_kept_is_zero_with_zero_gradient(graph: Graph, reduction: str) -> None:
    logits, labels = data()
    leaf = logits.requires_grad_()
    value = build(graph, reduction=reduction)(leaf, torch.full_like(labels, -100))
    value.backward()
    assert value.item() == 0.0
    torch.testing.assert_close(leaf.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("graph", [CROSS_ENTROPY, DICE, zoo.get("lovasz").graph if "lovasz" in zoo.names() else DICE])
def test_an_empty_batch_is_zero_with_zero_gradient(graph: Graph) -> None:
    logits = torch.empty(0, 5, 3, 4, requires_grad=True)
    labels = torch.empty(0, 3, 4, dtype=torch.int64)
    for reduction in ("mean", "sum"):
        value = build(graph, reduction=reduction)(logits, labels)
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.item() == 0.0
        assert gradient.shape == logits.shape
    sizes = {"batch": 0, "class": 5, "space": None}
    found = build(graph, reduction="none")(logits, labels).shape
    assert found == torch.Size([n for a in graph.root.axes for n in ((3, 4) if a == "space" else (sizes[a],))])  # type: ignore[misc]


def test_class_weights_multiply_losses_that_do_not_use_them() -> None:
    logits, labels = data()
    unreduced = build(zoo.get("focal").graph, reduction="none")(logits, labels)
    chosen = WEIGHT[labels]
    torch.testing.assert_close(
        build(zoo.get("focal").graph, weight=WEIGHT)(logits, labels), (chosen * unreduced).sum() / chosen.sum()
    )
    per_class = build(DICE, reduction="none")(logits, labels)
    torch.testing.assert_close(
        build(DICE, weight=WEIGHT)(logits, labels), (WEIGHT * per_class).sum() / (4 * WEIGHT.sum())
    )


def test_sample_weights_weigh_elements() -> None:
    logits, labels = data()
    unreduced = build(CROSS_ENTROPY, reduction="none")(logits, labels)
    for weight in (torch.rand(4), torch.rand(4, 3, 4)):
        full = weight.reshape(4, *([1, 1] if weight.dim() == 1 else weight.shape[1:])).expand(4, 3, 4)
        module = build(CROSS_ENTROPY)
        expected = (full * unreduced).sum() / full.sum()
        torch.testing.assert_close(module(logits, labels, sample_weight=weight), expected)
        torch.testing.assert_close(
            build(CROSS_ENTROPY, reduction="none")(logits, labels, sample_weight=weight), full * unreduced
        )
    images = torch.rand(4)
    per_image = build(DICE, reduction="none")(logits, labels)
    torch.testing.assert_close(
        build(DICE)(logits, labels, sample_weight=images), (images[:, None] * per_image).sum() / (5 * images.sum())
    )
    flat = torch.randn(4, 5), torch.randint(5, (4,))
    torch.testing.assert_close(
        build(CROSS_ENTROPY)(*flat, sample_weight=images),
        (images * F.cross_entropy(*flat, reduction="none")).sum() / images.sum(),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["focal", "dice", "style", "giou"])
def test_half_precision_inputs_are_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    graph = zoo.get(name).graph
    if graph.signature.name == "dense":
        first, target = data()
    elif graph.signature.name == "box":
        first, target = (torch.rand(4, 4) + torch.tensor([0.0, 0.0, 1.0, 1.0]) for _ in range(2))
    else:
        first, target = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    half = first.to(dtype).requires_grad_()
    value = build(graph)(half, target)
    value.backward()
    assert value.dtype == torch.float32
    assert half.grad is not None
    assert half.grad.dtype == dtype
    torch.testing.assert_close(value, build(graph)(half.detach().float(), target))


@pytest.mark.parametrize("backend", ["eager", "torchscript"])
@pytest.mark.parametrize("name", ["focal", "style"])
def test_autocast_does_not_reach_inside(name: str, backend: str) -> None:
    given = data() if name == "focal" else (torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8))
    module = build(zoo.get(name).graph, backend)
    expected = module(*given)
    for _ in range(3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = module(*given)
        assert torch.equal(found, expected)


@pytest.mark.parametrize("name", each_loss(zoo.names(signature="dense")))
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_finite_at_the_edge_of_the_domain(name: str, scale: float) -> None:
    graph = zoo.get(name).graph
    weight = WEIGHT if graph.uses("class_weight") else None
    buffers = {key: value.float() for key, value in buffers_of(graph).items()}
    logits = torch.zeros(5, 5, 2)
    logits[:, :, 0] = torch.eye(5) * scale
    labels = torch.arange(5)[:, None].expand(5, 2).clone()
    for target in (labels, labels.flip(0), F.one_hot(labels, 5).movedim(-1, 1).float()):
        leaf = logits.clone().requires_grad_()
        value = build(graph, weight=weight, buffers=buffers)(leaf, target)
        value.backward()
        assert torch.isfinite(value)
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()


LEARNABLE = Graph(
    DENSE,
    (1.0 - TRUE_P) ** Parameter("gamma", 2.0, 0.5, 5.0, learnable=True).node * Parameter("lambda", 3.0, 0.0, 9.0).node,
    (Parameter("gamma", 2.0, 0.5, 5.0, learnable=True), Parameter("lambda", 3.0, 0.0, 9.0)),
)


@pytest.mark.parametrize("backend", ["eager", "torchscript"])
def test_learnable_parameters(backend: str) -> None:
    module = build(LEARNABLE, backend)
    assert [name for name, _ in module.named_parameters()] == ["gamma"]
    logits, labels = data()
    value = module(logits, labels)
    base = 1.0 - torch.softmax(logits, 1).gather(1, labels.unsqueeze(1))
    torch.testing.assert_close(value, 3.0 * (base**2).mean())
    value.backward()
    assert module.get_parameter("gamma").grad is not None
    other = build(LEARNABLE, backend)
    with torch.no_grad():
        module.get_parameter("gamma").fill_(4.0)
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(other(logits, labels), 3.0 * (base**4).mean())
    changed = torch.func.functional_call(module, {"gamma": torch.tensor(1.0)}, (logits, labels))
    torch.testing.assert_close(changed, 3.0 * base.mean())


def test_a_learnable_parameter_is_held_in_its_bounds_and_comes_back() -> None:
    module = build(LEARNABLE)
    logits, labels = data()
    with torch.no_grad():
        module.get_parameter("gamma").fill_(7.0)
    at_bound = build(LEARNABLE.bind({"gamma": 5.0}))
    value = module(logits, labels)
    torch.testing.assert_close(value, at_bound(logits, labels))
    value.backward()
    gradient = module.get_parameter("gamma").grad
    assert gradient is not None
    assert gradient.item() < 0.0


def test_a_parameter_name_that_torch_needs_is_refused() -> None:
    parameter = Parameter("training", 1.0, 0.0, 2.0, learnable=True)
    with pytest.raises(UserError, match="'training'"):
        build(Graph(DENSE, P * parameter.node, (parameter,)))


@pytest.mark.parametrize("backend", ["eager", "torchscript", "compile"])
def test_copies_and_pickles(backend: str) -> None:
    module = build(WEIGHTED if backend == "eager" else LEARNABLE, backend, weight=WEIGHT)
    logits, labels = data()
    if backend != "compile":
        module(logits, labels)
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    copies: list[LossModule] = [
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        torch.load(buffer, weights_only=False),
    ]
    for other in copies:
        assert other.state_dict().keys() == module.state_dict().keys()
        assert repr(other) == repr(module)
        if backend != "compile":
            torch.testing.assert_close(other(logits, labels), module(logits, labels))


def test_repr_shows_the_formula() -> None:
    text = repr(nn.Sequential(build(zoo.get("focal").graph, name="focal")))
    assert "focal" in text
    assert "dense(" in text or "dense:" in text


def refused(
    match: str, *inputs: Any, graph: Graph = CROSS_ENTROPY, call: dict[str, Any] | None = None, **options: Any
) -> None:
    with pytest.raises(UserError, match=match):
        build(graph, **options)(*inputs, **(call or {}))


def test_wrong_inputs_are_named() -> None:
    logits, labels = data()
    refused(r"2 inputs \(logits, target\); found: 1", logits)
    refused("target as a tensor; found: list", logits, labels.tolist())
    refused("logits of a floating dtype; found: torch.int64", labels, labels)
    refused("target of a floating dtype or integer labels; found: torch.bool", logits, labels > 2)
    refused(r"target\[batch=4, space=3, space=4\]; found: shape \[4, 3\]", logits, labels[..., 0])
    refused(r"target\[batch=4, .*; found: shape \[2, 3, 4\]", logits, labels[:2])
    refused(r"target\[batch=4, class=5, space=3, space=4\]; found: shape \[4, 4, 3, 4\]", logits, logits[:, :4])
    refused("one-hot target as floating", logits, F.one_hot(labels, 5).movedim(-1, 1))
    refused(r"logits\[batch, class, \*space\]; found: shape \[5\]", torch.randn(5), torch.tensor([1, 2]))
    refused(
        r"target labels in \[0, 4\] or ignore_index -100; found: 5, 7",
        logits,
        labels.index_fill(0, torch.tensor(1), 7).clamp(5),
    )
    refused(r"target labels in \[0, 4\] or ignore_index -100; found: -1", logits, labels - 1)
    refused(r"target labels in \[0, 4\]; found: -100", logits, labels * 0 - 100, ignore_index=None)
    refused("coord of length 4; found: 3", torch.rand(2, 3), torch.rand(2, 3), graph=zoo.get("giou").graph)
    refused(r"all inputs on cpu; found: target on meta", logits, labels.to("meta"))


def test_wrong_options_are_named() -> None:
    logits, labels = data()
    refused("reduction none, mean, sum or batchmean; found: 'avg'", reduction="avg")
    refused("class weights `weight`", graph=WEIGHTED)
    refused(r"class_weight\[class\]; found: shape \[1, 1\]", weight=[[1.0]])
    refused("class_weight in", weight=[1.0, -1.0])
    refused(r"logits\[batch, class=3", logits, labels, weight=[1.0, 2.0, 3.0])
    whole = Graph(DENSE, fn.mean(LOG_P, ("batch", "class", "space")))
    refused("a value per batch and space or per class", graph=whole, weight=WEIGHT)
    refused("no `sample_weight`", logits, labels, graph=whole, call={"sample_weight": torch.ones(4)})
    refused(r"sample_weight\[batch\] or", logits, labels, call={"sample_weight": torch.ones(3)})
    names = "class_weight, class_count, noise_rate, progress"
    refused(f"buffers among {names}; found: other", buffers={"other": torch.ones(2)})
    refused("no `ignore_index`", graph=zoo.get("giou").graph, ignore_index=3)
    refused("no `weight`", graph=zoo.get("style").graph, weight=WEIGHT)


def test_ignoring_a_class_of_its_own() -> None:
    """ignore_index 0, a class like any other, as segmentation without background uses it."""
    logits, labels = data()
    found = build(CROSS_ENTROPY, ignore_index=0)(logits, labels)
    torch.testing.assert_close(found, F.cross_entropy(logits, labels, ignore_index=0))


def test_a_batch_of_another_shape_takes_the_same_module() -> None:
    module = build(zoo.get("dice").graph)
    for space in SPACES:
        logits, labels = data(space)
        fresh = build(zoo.get("dice").graph)
        for _ in range(3):
            torch.testing.assert_close(module(logits, labels), fresh(logits, labels))


def test_signatures_without_space() -> None:
    margin = get_signature("margin")
    cosine, target = margin["cosine"].node, margin["target"].node
    graph = Graph(margin, -fn.sum(target * fn.log_softmax(16.0 * cosine, "class"), "class"))
    given, labels = torch.rand(4, 5) * 2.0 - 1.0, torch.tensor([0, -100, 3, 4])
    torch.testing.assert_close(build(graph)(given, labels), F.cross_entropy(16.0 * given, labels))


def test_only_what_is_used_is_passed() -> None:
    graph = Graph(DENSE, fn.mean(fn.square(LOGITS), ("class", "space")))
    logits, labels = data()
    torch.testing.assert_close(build(graph)(logits, labels), logits.square().mean())


def test_a_primed_axis_is_as_long_as_its_axis() -> None:
    pairs = Signature("pairs_of_a_test", (Input("distance", ("batch", "batch'"), DOMAIN),))
    module = build(Graph(pairs, fn.mean(pairs["distance"].node, ("batch", "batch'"))))
    assert module(torch.ones(3, 3)).item() == 1.0
    with pytest.raises(UserError, match=r"distance\[batch, batch'\]; found: shape \[3, 4\]"):
        module(torch.ones(3, 4))


@pytest.mark.parametrize("backend", ["eager", "torchscript"])
def test_options_set_after_a_call_take_effect(backend: str) -> None:
    logits, labels = data()
    module = build(WEIGHTED, weight=WEIGHT)
    shallow = copy.copy(module)
    for name, value in (("reduction", "none"), ("ignore_index", 0), ("backend", backend), ("reduction", "sum")):
        module(logits, labels)
        setattr(module, name, value)
        options = {key: getattr(module, key) for key in ("reduction", "ignore_index", "backend")}
        torch.testing.assert_close(module(logits, labels), build(WEIGHTED, weight=WEIGHT, **options)(logits, labels))
    torch.testing.assert_close(shallow(logits, labels), build(WEIGHTED, weight=WEIGHT)(logits, labels))
    module.weight = 2.0 * WEIGHT
    torch.testing.assert_close(
        module(logits, labels),
        build(WEIGHTED, weight=2.0 * WEIGHT, reduction="sum", ignore_index=0)(logits, labels),
    )


def test_what_cannot_change_after_construction_is_refused() -> None:
    """A refused value leaves the module as it was."""
    logits, labels = data()
    module: Any = build(zoo.get("focal").graph)
    before = module(logits, labels)
    for name, value, match in (
        ("reduction", "avg", "reduction none, mean, sum or batchmean; found: 'avg'"),
        ("backend", "onnx", "a backend among"),
        ("ignore_index", 1.5, "`ignore_index` as an integer or None; found: 1.5"),
        ("gamma", 3.0, "gamma as it was when the module was made"),
        ("weight", WEIGHT, "weight as it was"),
        ("graph", CROSS_ENTROPY, "graph as it was"),
    ):
        with pytest.raises(UserError, match=match):
            setattr(module, name, value)
        torch.testing.assert_close(module(logits, labels), before)
    weighted: Any = build(WEIGHTED, weight=WEIGHT)
    for value, match in (
        (WEIGHT[:4], "class_weight.*of length 5"),
        (None, "as a tensor"),
        (-WEIGHT, "class_weight in"),
    ):
        with pytest.raises(UserError, match=match):
            weighted.weight = value


def test_an_empty_batch_gives_every_parameter_and_input_a_zero_gradient() -> None:
    """Data-parallel training waits for the gradient of every parameter, whether a shard is empty or not."""
    empty, labels = torch.randn(0, 5, 4, requires_grad=True), torch.zeros(0, 4, dtype=torch.int64)
    centres = build(zoo.get("center").graph, buffers={"centers": torch.ones(3, 6)})
    cases: list[tuple[nn.Module, tuple[Tensor, ...]]] = [
        (build(LEARNABLE), (empty, labels)),
        (centres, (torch.randn(0, 6, requires_grad=True), labels[:, 0])),
        (build(zoo.get("gaussian_nll").graph), tuple(torch.rand(0, 3, requires_grad=True) for _ in range(3))),
        (
            build(zoo.get("mahalanobis").graph, buffers={"precision": torch.eye(0)}),
            (torch.ones(4, 0).requires_grad_(),) * 2,
        ),
    ]
    for module, given in cases:
        value = module(*given)
        assert value.item() == 0.0
        leaves = [*module.parameters(), *(x for x in given if x.requires_grad)]
        for leaf, gradient in zip(leaves, torch.autograd.grad(value, leaves), strict=True):
            assert torch.equal(gradient, torch.zeros_like(leaf))
    weight = torch.rand(0, requires_grad=True)
    (gradient,) = torch.autograd.grad(build(LEARNABLE)(empty, labels, sample_weight=weight), weight)
    assert gradient.shape == (0,)
    with pytest.raises(UserError, match="sample_weight"):
        build(LEARNABLE)(empty, labels, sample_weight=torch.rand(2))
