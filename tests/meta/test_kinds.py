"""Every kind of learned loss begins as its structure, is an ordinary graph, and can be learned by gradients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lossearch.candidates.screen import canonical
from lossearch.compile.export import export
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.scale import to_unit
from lossearch.ir.forms.text import format_graph, parse_graph
from lossearch.loss import Loss
from lossearch.meta.estimators.unrolled import Unrolled
from lossearch.meta.kinds.edges import WeightedEdges
from lossearch.meta.kinds.registry import KINDS, learned, make_kind
from lossearch.meta.learnable import Learnable
from lossearch.meta.method import Hypergradient, HypergradientSettings
from lossearch.meta.methods import make_method
from lossearch.meta.problem import whole_outcomes
from lossearch.search_spaces import load_space
from lossearch.search_spaces.space import Constants
from lossearch.tasks import build_task
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.optimizers import make_update
from lossearch.zoo.named import graph_of

FACT = "log(class_count / mean(class_count, over=class))"
SMALLEST_SHARE = "fraction(min(class_count, over=class), max(class_count, over=class))"
CASES: list[tuple[str | dict[str, Any], str]] = [
    ({"name": "combination", "others": ["probability_mae", "dense: 2.0 * entropy(logits)"]}, "cross_entropy"),
    ({"name": "combination", "others": ["focal", "focal(gamma=1)"], "knots": 3, "coefficients": True}, "cross_entropy"),
    ({"name": "combination", "others": ["mae"], "knots": 2}, "huber(delta=0.5)"),
    ("network", "cross_entropy"),
    ({"name": "network", "hidden": 3, "layers": 2, "activation": "tanh", "seed": 5}, "binary_cross_entropy"),
    ({"name": "network", "hidden": 4}, "mse"),
    ({"name": "network", "hidden": 4}, "dice"),
    ("edges", "cross_entropy"),
    ("edges", "focal"),
    ({"name": "edges", "expanded": False}, "nce_rce"),
    ("edges", "huber"),
    ("conditioned", "generalized_cross_entropy"),
    (
        {"name": "conditioned", "facts": [FACT]},
        "dense: sum(target * (-1.5) * log_softmax(logits, over=class), over=class)",
    ),
    ({"name": "conditioned", "facts": ["progress", SMALLEST_SHARE]}, "focal"),
    ("coefficients", "taylor"),
]
IDS = [f"{given if isinstance(given, str) else given['name']}-{structure[:20]}" for given, structure in CASES]


def _made(given: str | dict[str, Any], structure: str) -> Learnable:
    return make_kind(given).learnable(structure, Constants())


def _inputs(graph: Graph) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(3)
    if graph.signature.name == "regression":
        return tuple(torch.randn(1, 6, generator=draw, dtype=torch.float64) for _ in range(2)), {
            "progress": torch.tensor(0.3, dtype=torch.float64)
        }
    logits = 2.0 * torch.randn(1, 6, 4, generator=draw, dtype=torch.float64)
    buffers = {
        "class_count": torch.tensor([40.0, 10.0, 5.0, 20.0], dtype=torch.float64),
        "progress": torch.tensor(0.3, dtype=torch.float64),
    }
    return (logits, torch.randint(4, (1, 6), generator=draw)), buffers


def _value_and_gradient(loss: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    prediction = inputs[0].clone().requires_grad_()
    value = loss(prediction, *inputs[1:])
    return value.detach(), torch.autograd.grad(value.sum(), prediction)[0]


def _away(learnable: Learnable, size: float = 0.02) -> list[float]:
    """A point near the start, inside of all bounds."""
    return [x + size * (1.0 + k % 3) for k, x in enumerate(learnable.start)]


@pytest.mark.parametrize(("given", "structure"), CASES, ids=IDS)
def test_untrained_it_is_the_structure(given: str | dict[str, Any], structure: str) -> None:
    learnable, graph = _made(given, structure), graph_of(structure)
    inputs, buffers = _inputs(graph)
    wanted = _value_and_gradient(lambda *x: GraphLoss.stacked([GraphLoss(graph, buffers)], *x), inputs)
    values = learnable.values(torch.tensor([learnable.start], dtype=torch.float64))
    losses = {
        "function": lambda *x: learnable.function(values, x, buffers),
        "at": lambda *x: GraphLoss.stacked([GraphLoss(learnable.at(learnable.start), buffers)], *x),
        "read": lambda *x: GraphLoss.stacked([GraphLoss(learnable.read(learnable.start), buffers)], *x),
    }
    for name, loss in losses.items():
        found = _value_and_gradient(loss, inputs)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
    assert learnable.graph.root.axes == graph.root.axes
    if given in ("network", "edges") or "others" in given:
        assert canonical(learnable.read(learnable.start)).key == canonical(graph).key


@pytest.mark.parametrize(("given", "structure"), CASES, ids=IDS)
def test_its_coefficients_have_gradients_and_its_text_gives_it_back(
    given: str | dict[str, Any], structure: str
) -> None:
    learnable = _made(given, structure)
    inputs, buffers = _inputs(learnable.graph)

    def value(point: Tensor) -> Tensor:
        return learnable.function(learnable.values(point.unsqueeze(0)), inputs, buffers).sum()

    point = torch.tensor(_away(learnable), dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(value(point), point)
    step = 1e-5
    with torch.no_grad():
        differences = torch.stack(
            [
                (value(point + step * direction) - value(point - step * direction)) / (2 * step)
                for direction in torch.eye(len(learnable), dtype=torch.float64)
            ]
        )
    torch.testing.assert_close(gradient, differences, rtol=1e-5, atol=1e-8)
    assert (gradient != 0.0).sum() >= len(learnable) * 0.6
    for graph in (learnable.graph, learnable.at(_away(learnable))):
        assert parse_graph(format_graph(graph)) == graph
    at = GraphLoss(learnable.at(point.tolist()), buffers)
    torch.testing.assert_close(GraphLoss.stacked([at], *inputs).sum(), value(point).detach(), rtol=1e-5, atol=1e-7)


class _Fit:
    """A linear model of few samples, trained for few steps with a learned loss; the objective is a squared error."""

    name, steps = "fit", 4

    def __init__(self, learnable: Learnable) -> None:
        self.learnable, self.update = learnable, make_update("sgd", 0.0, 0.9)
        self.inputs, self.buffers = _inputs(learnable.graph)
        self.prediction, self.target = self.inputs

    def episode(self, seeds: Any) -> _Fit:
        return self

    def outcomes(self, points: Any, seeds: Any) -> list[float]:
        return whole_outcomes(self, points, seeds)

    def initial_weights(self) -> Tensor:
        return torch.full((1, self.prediction.numel()), 0.1, dtype=torch.float64)

    def inner_coefficients(self, points: Tensor) -> Tensor:
        return self.learnable.values(points)

    def loss(self, weights: Tensor, coefficients: Tensor, step: int) -> Tensor:
        predicted = self.prediction * (1.0 + weights.reshape(self.prediction.shape))
        buffers = {**self.buffers, "progress": torch.tensor(step / self.steps, dtype=torch.float64)}
        return self.learnable.function(coefficients, (predicted, self.target), buffers)

    def settled(self, gradient: Tensor) -> Tensor:
        return gradient

    def rates(self, step: int) -> tuple[Tensor, float]:
        return torch.full((1, 1), 0.2, dtype=torch.float64), 1.0

    def objective(self, weights: Tensor) -> Tensor:
        return (weights - 0.3).square().mean(1)


@pytest.mark.parametrize(("given", "structure"), CASES, ids=IDS)
def test_its_hypergradient_is_that_of_differences_of_a_training(given: str | dict[str, Any], structure: str) -> None:
    learnable = _made(given, structure)
    problem, point = _Fit(learnable), _away(learnable)
    gradient = Unrolled().estimate(problem, point, problem.steps, [0]).gradient
    draw = torch.Generator().manual_seed(1)
    direction = torch.randn(len(point), generator=draw, dtype=torch.float64)
    step = 1e-5
    ends = [[x + sign * step * float(d) for x, d in zip(point, direction, strict=True)] for sign in (1.0, -1.0)]
    high, low = (problem.outcomes([end], [0])[0] for end in ends)
    assert float(gradient @ direction) == pytest.approx((high - low) / (2 * step), rel=1e-5, abs=1e-11)
    assert gradient.norm() > 1e-7


def test_a_schedule_goes_from_knot_to_knot() -> None:
    made = _made({"name": "combination", "others": ["mae"], "knots": 3}, "mse")
    names = ["weight_mse_0", "weight_mse_1", "weight_mse_2", "weight_mae_0", "weight_mae_1", "weight_mae_2"]
    assert list(made.names) == names
    inputs, buffers = _inputs(made.graph)
    error = (inputs[0] - inputs[1]).abs()
    values = torch.tensor([[0.0, 0.0, 0.0, 1.0, 3.0, 2.0]], dtype=torch.float64)
    for progress, weight in ((0.0, 1.0), (0.25, 2.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0)):
        found = made.function(values, inputs, {**buffers, "progress": torch.tensor(progress, dtype=torch.float64)})
        torch.testing.assert_close(found, weight * error.mean(1))


def test_a_formula_is_read_back_from_weighted_edges() -> None:
    made = _made("edges", "dense: cross_entropy(logits, target) + entropy(logits)")
    assert isinstance(made, WeightedEdges)
    values = {p.name: p.default for p in made.coefficients}
    sums = [node for node in made.graph.nodes if node.op == "add"]
    assert len(sums) == 1
    kept, pruned = (
        next(iter(argument.leaves & {p.node for p in made.coefficients if p.node in argument.args}))
        for argument in sums[0].args
    )

    def read(changes: dict[str, float]) -> str:
        given = {**values, **changes}
        return format_graph(made.read([to_unit(p, given[p.name]) for p in made.coefficients]))

    assert read({}) == "dense: cross_entropy(logits, target) + entropy(logits)"
    assert read({pruned.attr("name"): 0.03}) == "dense: cross_entropy(logits, target)"
    assert read({pruned.attr("name"): 0.03, kept.attr("name"): 1.04}) == "dense: cross_entropy(logits, target)"
    shorter = read({pruned.attr("name"): 0.4001})
    assert "0.4" in shorter
    assert "cross_entropy" in shorter


def test_taylor_begins_as_the_truncated_series_of_cross_entropy() -> None:
    """Σ_c t_c [(1 - p_c) + (1 - p_c)²/2] is the one of third order in (t, p) that is nearest to it at p = 1."""
    learnable = _made("coefficients", "taylor")
    assert learnable.names == tuple(f"theta{k}" for k in range(8))
    ends = learnable.values(torch.tensor(learnable.bounds, dtype=torch.float64).T)
    torch.testing.assert_close(ends, torch.tensor([[-10.0] * 8, [10.0] * 8], dtype=torch.float64))
    logits = torch.tensor([[0.0, 4.0], [0.0, 6.0]], dtype=torch.float64)
    labels = torch.tensor([1, 1])
    gap = 1.0 - logits.softmax(1)[:, 1]
    found = GraphLoss(learnable.read(learnable.start))(logits, labels)
    torch.testing.assert_close(found, (gap + gap.square() / 2).mean())


@pytest.mark.thorough
def test_a_learned_network_is_exported_as_a_module_that_needs_torch_alone(tmp_path: Path) -> None:
    learnable = _made("network", "cross_entropy")
    loss = Loss("learned", learnable.read(_away(learnable, 0.1)))
    export(loss, tmp_path / "learned.py")
    torch.manual_seed(0)
    inputs = 3.0 * torch.randn(6, 4, dtype=torch.float64), torch.randint(4, (6,))
    wanted = _value_and_gradient(loss.to_module(), inputs)
    assert not torch.allclose(wanted[0], torch.nn.functional.cross_entropy(*inputs))
    torch.save((inputs, wanted), tmp_path / "cases.pt")
    command = [sys.executable, "-W", "error", "-I", "-c", _USE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]


_USE = """
import sys
import torch
sys.modules["lossearch"] = None
sys.path.insert(0, sys.argv[1])
from learned import LearnedLoss
(logits, labels), (value, gradient) = torch.load(sys.argv[1] + "/cases.pt")
logits.requires_grad_()
found = LearnedLoss()(logits, labels)
torch.testing.assert_close(found.detach(), value)
torch.testing.assert_close(torch.autograd.grad(found, logits)[0], gradient)
"""


def test_kinds_are_settings_of_the_method_and_make_room_for_what_they_propose() -> None:
    kind = {"name": "network", "hidden": 2}
    settings = {"structure": "cross_entropy", "kind": kind, "estimator": "unrolled", "steps": 3, "every": 1}
    space = load_space("dense").model_copy(update={"seeds": ()})
    method = make_method("hypergradient", space, 1, **settings)
    assert isinstance(method, Hypergradient)
    assert len(method.learnable) == 9
    task = build_task({"base": "digits", "train_size": 64, "batch_size": 16})
    method.use(task, graph_of("cross_entropy"), "cpu")
    first, second = method.ask().graph, method.ask().graph
    assert isinstance(first, Graph)
    assert isinstance(second, Graph)
    assert canonical(first).key == canonical(graph_of("cross_entropy")).key
    assert "softplus" in format_graph(second)
    large = HypergradientSettings(structure="cross_entropy", kind=make_kind("network"))
    assert Hypergradient.space_for(space, large).max_nodes >= 61
    assert Hypergradient.space_for(space, HypergradientSettings(structure="focal")).max_nodes == space.max_nodes


def test_mistakes_are_told() -> None:
    assert set(KINDS) == {"coefficients", "combination", "network", "edges", "conditioned"}

    def refused(given: str | dict[str, Any], structure: str, message: str) -> None:
        with pytest.raises(UserError, match=message):
            learned(make_kind(given), structure, Constants(), "dense")

    refused("combinations", "cross_entropy", "did you mean combination")
    refused("combination", "cross_entropy", r"the field kind\.others; found: none in the settings of combination")
    refused({"name": "network", "layers": 3}, "cross_entropy", r"kind\.layers: 1 or 2; found: 3")
    refused({"name": "combination", "others": ["mse"]}, "cross_entropy", "losses of signature dense, to be combined")
    refused({"name": "combination", "others": ["cross_entropi"]}, "cross_entropy", "did you mean")
    refused("network", "mse", "a structure of signature dense")
    refused("network", "triplet", "a prediction and a target of each element")
    refused("conditioned", "cross_entropy", "a loss with coefficients")
    refused({"name": "conditioned", "facts": ["noise"]}, "focal", "unknown name 'noise'")
    refused({"name": "conditioned", "facts": ["logits"]}, "focal", "unknown name 'logits'")
    refused({"name": "conditioned", "facts": ["class_count"]}, "focal", "at most 1e6 in size")
    refused({"name": "conditioned", "facts": ["2.0"]}, "focal", "a fact of the task")
    refused(
        {"name": "conditioned", "facts": ["log(class_count)"]}, "generalized_cross_entropy", "reduce it to one number"
    )
    made = _made({"name": "conditioned", "facts": [SMALLEST_SHARE]}, "focal")
    inputs, _ = _inputs(made.graph)
    with pytest.raises(UserError, match="class_count for a loss that uses it"):
        made.function(made.values(torch.tensor([made.start])), inputs, {})
    with pytest.raises(UserError, match="kind"):
        make_method("hypergradient", load_space("dense"), 0, structure="focal", kind=3)
