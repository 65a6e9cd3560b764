"""A model that contains a loss can be traced: the loss's eager source becomes part of what is traced."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from compile.examples import module_of, prediction_and_targets
from representative import each_loss, first_of
from torch import Tensor, nn
from torch.export import Dim
from torch.func import functional_call, grad, vmap

import lossearch
from lossearch import zoo
from lossearch.combining.balancing import DynamicWeightAverage, GradNorm
from lossearch.compile.input_checker import least_extent
from lossearch.errors import UserError
from lossearch.loss import Loss

# torch's own notices about what it calls itself while it traces.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.torch._prims_common.check. is deprecated:FutureWarning"),
]


def calls(loss: Loss, batch: int = 4) -> list[list[Tensor]]:
    """Inputs in float32 for every kind of target, one label ignored."""
    least = least_extent(loss.graph)
    found = []
    for given in prediction_and_targets(loss.signature, (max(2, least), max(3, least))):
        inputs = [x[:batch].float() if x.is_floating_point() else x[:batch].clone() for x in given]
        for declared, x in zip(loss.signature.forward_inputs, inputs, strict=True):
            if declared.labels and not x.is_floating_point() and declared.kind != "index":
                x.view(-1)[0] = -100
        found.append(inputs)
    return found


def gradients(function: Callable[..., Tensor], given: list[Tensor], own: list[nn.Parameter]) -> list[Tensor | None]:
    """The value, and its gradients by floating inputs and by parameters."""
    leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in given]
    value = function(*leaves)
    sources = [x for x in leaves if x.requires_grad] + own
    return [value.detach(), *torch.autograd.grad(value.sum(), sources, allow_unused=True)]


def assert_same(found: list[Tensor | None], expected: list[Tensor | None]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(
            torch.zeros(()) if one is None else one, torch.zeros(()) if other is None else other, rtol=1e-5, atol=1e-6
        )


ONE_OF_EACH = {zoo.get(name).signature.name: name for name in reversed(zoo.names())}
"""One loss a signature."""

SPECIAL = [
    "cross_entropy",
    "weighted_cross_entropy",
    "lovasz_softmax",
    "huber",
    "ssim",
    "center",
    "supervised_contrastive",
]
"""What has a way of its own through a module: kernels, weights, sorting, windows, learnable tensors, identities."""

QUICK = ["cross_entropy", "weighted_cross_entropy", "center", "giou", "mse"]


@pytest.mark.parametrize("name", each_loss(sorted({*ONE_OF_EACH.values(), *SPECIAL}), QUICK))
def test_a_loss_is_part_of_a_compiled_step(name: str) -> None:
    """In one graph."""
    loss = zoo.get(name)
    module = module_of(loss)
    own = list(module.parameters())
    for given in calls(loss):
        expected = gradients(lambda *inputs: module(*inputs) * 2.0, given, own)
        assert_same(gradients(compiled(lambda *inputs: module(*inputs) * 2.0), given, own), expected)


@pytest.mark.parametrize("name", each_loss(SPECIAL, QUICK))
def test_what_is_compiled_serves_other_sizes(name: str) -> None:
    module = module_of(zoo.get(name))
    torch._dynamo.reset()
    step = torch.compile(module, fullgraph=True, backend="eager", dynamic=True)
    for batch in (4, 3, 2):
        for given in calls(zoo.get(name), batch):
            torch.testing.assert_close(step(*given), module(*given))


@pytest.mark.parametrize("name", each_loss(ONE_OF_EACH.values(), QUICK))
def test_a_loss_of_every_signature_is_exported(name: str) -> None:
    module, given = module_of(zoo.get(name)), calls(zoo.get(name))[-1]
    program = torch.export.export(module, tuple(given)).module()
    assert_same(gradients(program, given, []), gradients(module, given, []))


def dense(batch: int = 4, space: tuple[int, ...] = (3, 2)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    labels = torch.randint(5, (batch, *space), generator=generator)
    labels.view(-1)[1] = -100
    return torch.randn(batch, 5, *space, generator=generator), labels


def compiled(function: Callable[..., Any], backend: str = "eager") -> Callable[..., Any]:
    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, backend=backend)


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_program_takes_other_sizes(strict: bool) -> None:
    model = nn.ModuleDict({"loss": zoo.get("focal").to_module()})

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.loss = nn.Conv2d(5, 5, 1), model["loss"]

        def forward(self, x: Tensor, target: Tensor) -> Tensor:
            return self.loss(self.head(x), target)

    whole = Model()
    dims = {"x": {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}, "target": dict.fromkeys(range(3), Dim.DYNAMIC)}
    program = torch.export.export(whole, dense(), dynamic_shapes=dims, strict=strict).module()
    for given in (dense(), dense(7, (6, 5))):
        torch.testing.assert_close(program(*given), whole(*given))


@pytest.mark.parametrize("backend", first_of(["eager", "torchscript", "compile"], 2))
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_options_and_weights_count_where_a_loss_is_traced(reduction: str, backend: str) -> None:
    weight, sample_weight = torch.linspace(0.5, 1.5, 5), torch.rand(4, 3, 2)
    module = module_of(zoo.get("brier"), backend, reduction=reduction, weight=weight, ignore_index=2)
    reference = module_of(zoo.get("brier"), reduction=reduction, weight=weight, ignore_index=2)
    logits, labels = dense()
    labels = labels.clamp_min(0)
    step = compiled(lambda *inputs: module(*inputs, sample_weight=sample_weight))
    assert_same(
        gradients(step, [logits, labels], []),
        gradients(lambda *inputs: reference(*inputs, sample_weight=sample_weight), [logits, labels], []),
    )


def test_an_option_that_changes_is_traced_again() -> None:
    module = zoo.get("focal").to_module()
    step = compiled(module)
    given = dense()
    torch.testing.assert_close(step(*given), module(*given))
    for name, value in (("reduction", "sum"), ("ignore_index", 1)):
        setattr(module, name, value)
        logits, labels = given[0], given[1].clamp_min(0)
        torch.testing.assert_close(step(logits, labels), module(logits, labels))


def test_learnable_tensors_of_a_traced_loss_learn() -> None:
    module = zoo.get("center").to_module(buffers={"centers": torch.randn(3, 4)})
    given = [torch.randn(5, 4), torch.tensor([0, 1, 2, 1, 0])]
    own = list(module.parameters())
    expected = gradients(module, given, own)
    assert len(own) == 1
    assert_same(gradients(compiled(module), given, own), expected)


def test_wrong_shapes_are_found_while_tracing() -> None:
    module = zoo.get("focal").to_module()
    logits, labels = dense()
    with pytest.raises(UserError, match=r"target\[batch=4, space=3, space=2\]; found: shape \[4, 3, 1\]"):
        torch.export.export(module, (logits, labels[..., :1]), strict=False)
    torch._dynamo.reset()
    with pytest.raises(UserError, match=r"target\[batch=4, space=3, space=2\]"):
        torch.compile(module, backend="eager")(logits, labels[..., :1])


def test_an_empty_batch_in_a_compiled_step() -> None:
    module = zoo.get("focal").to_module()
    step = compiled(module)
    for batch in (4, 0, 3):
        logits, labels = torch.randn(batch, 5, requires_grad=True), torch.zeros(batch, dtype=torch.int64)
        value = step(logits, labels)
        torch.testing.assert_close(value, module(logits, labels))
        value.backward()


@pytest.mark.parametrize("name", first_of(["dice", "focal", "style", "nt_xent"]))
def test_transforms_of_torch_func_inside_a_compiled_step(name: str) -> None:
    loss = zoo.get(name)
    module = module_of(loss)
    given = calls(loss)[-1]
    stacked = [torch.stack([x, x.flip(0)]) for x in given]

    def step(*inputs: Tensor) -> Tensor:
        return vmap(grad(module))(*inputs)

    torch.testing.assert_close(compiled(step)(*stacked), step(*stacked))


def test_functional_call_inside_a_compiled_step() -> None:
    module = zoo.get("center").to_module(buffers={"centers": torch.randn(3, 4)})
    given = (torch.randn(5, 4), torch.tensor([0, 1, 2, 1, 0]))

    def step(centers: Tensor, *inputs: Tensor) -> Tensor:
        return functional_call(module, {"centers": centers}, inputs)

    other = torch.randn(3, 4)
    torch.testing.assert_close(compiled(step)(other, *given), step(other, *given))


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "style", "ssim", "center", "giou"])
def test_a_trace_by_torch_jit_takes_other_values(name: str) -> None:
    loss = zoo.get(name)
    module = module_of(loss)
    first, second = calls(loss)[-1], [x.flip(0) for x in calls(loss)[-1]]
    trace: Any = torch.jit.trace(module, tuple(first))
    for given in (first, second):
        assert_same(gradients(trace, given, []), gradients(module, given, []))


def test_fake_tensors_pass_through() -> None:
    with torch._subclasses.FakeTensorMode():
        value = zoo.get("cross_entropy").to_module()(torch.randn(4, 5), torch.zeros(4, dtype=torch.int64))
    assert value.shape == ()
    with torch.device("meta"):
        value = zoo.get("focal").to_module()(torch.randn(4, 5), torch.zeros(4, dtype=torch.int64))
    assert value.device.type == "meta"


def test_a_replica_takes_its_own_tensors() -> None:
    """As nn.DataParallel makes replicas: what the module remembers is not that of another."""
    module = zoo.get("weighted_cross_entropy").to_module(weight=torch.linspace(0.5, 1.5, 5))
    given = dense()[0], dense()[1].clamp_min(0)
    for _ in range(2):
        module(*given)
    other = torch.tensor([1.0, 5.0, 1.0, 0.5, 0.1])
    replica = module._replicate_for_data_parallel()
    replica._buffers["weight"] = other
    expected = zoo.get("weighted_cross_entropy").to_module(weight=other)(*given)
    for _ in range(2):
        torch.testing.assert_close(replica(*given), expected)
    assert not torch.equal(module(*given), expected)


def test_copies_of_a_traced_loss() -> None:
    module = zoo.get("dice").to_module()
    given = dense()
    expected = compiled(module)(*given)
    torch.testing.assert_close(copy.deepcopy(module)(*given), expected)


class TwoHeads(nn.Module):
    """A shared layer, and a loss of each head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.near, self.far = nn.Linear(3, 4), nn.Linear(4, 1), nn.Linear(4, 5)

    def forward(self, x: Tensor, target: Tensor, labels: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        hidden = torch.tanh(self.trunk(x))
        return {"near": (self.near(hidden), target), "far": (self.far(hidden), labels)}


def trained(method: str, compile_it: Callable[[Callable[..., Any]], Callable[..., Any]]) -> list[Tensor]:
    """What a few documented steps of a combination give, by totals, reports and parameters."""
    model = TwoHeads()
    combined = lossearch.combine({"near": "mse", "far": "focal(gamma=2)"}, method)
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    target, labels = x[:, :1].square(), (x[:, 1] > 0).long()
    parameters = [*model.parameters(), *combined.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    step = compile_it(lambda *inputs: combined(model(*inputs)))
    found: list[Tensor] = []
    for _ in range(3):
        total = step(x, target, labels)
        found += [total.detach(), *(c.value for c in combined.components.values())]
        found += [c.weight for c in combined.components.values()]
        if isinstance(combined, GradNorm):
            combined.update(model.trunk.parameters())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        if isinstance(combined, DynamicWeightAverage):
            combined.update()
    return [*found, *(p.detach() for p in parameters)]


@pytest.mark.parametrize(
    "method", first_of(["gradnorm", "weighted_sum", "uncertainty_weighting", "dynamic_weight_average"])
)
def test_a_step_with_combined_losses_is_one_graph(method: str) -> None:
    found, expected = trained(method, lambda step: compiled(step, "aot_eager")), trained(method, lambda step: step)
    assert_same([*found], [*expected])


@pytest.mark.xdist_group("inductor")
@pytest.mark.thorough
def test_gradnorm_goes_back_through_a_compiled_model_more_than_once() -> None:
    """inductor's backward passes otherwise refuse `retain_graph=True`."""
    found, expected = trained("gradnorm", lambda step: compiled(step, "inductor")), trained("gradnorm", lambda s: s)
    assert_same([*found], [*expected])


def test_what_was_reported_is_that_of_the_last_call() -> None:
    """Though the log-variances, on which the weights depend, have moved since."""
    combined = lossearch.combine({"near": None, "far": None}, "uncertainty_weighting")
    combined({"near": torch.tensor(2.0), "far": torch.tensor(3.0)})
    with torch.no_grad():
        for parameter in combined.parameters():
            parameter.add_(1.0)
    assert [float(c.weight) for c in combined.components.values()] == pytest.approx([0.5, 0.5])
    with torch.inference_mode():
        combined({"near": torch.tensor(2.0), "far": torch.tensor(3.0)})
    assert [float(c.value) for c in combined.components.values()] == [2.0, 3.0]
