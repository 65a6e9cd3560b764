"""Combinations of losses against the papers' formulas, step by step."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lossearch
from lossearch.combining.balancing import DynamicWeightAverage, GradNorm
from lossearch.combining.combine import METHODS, OPTIONS
from lossearch.combining.combined import CombinedLoss
from lossearch.errors import UserError

COMPUTED = {"near": None, "far": None}


def losses(*values: float) -> dict[str, Tensor]:
    return dict(zip(COMPUTED, torch.tensor(values, requires_grad=True).unbind(), strict=True))


def reported(combined: CombinedLoss) -> tuple[list[float], list[float]]:
    components = combined.components.values()
    return [float(c.value) for c in components], [float(c.weight) for c in components]


def test_components_are_computed_or_given_and_reported() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, image, target = (torch.randn(4, 5, generator=generator) for _ in range(3))
    labels = torch.tensor([0, 1, 2, 3])
    combined = lossearch.combine(
        {"class": "focal(gamma=2)", "pixel": nn.L1Loss(), "given": None}, weights={"pixel": 0.5, "given": 3}
    )
    total = combined({"class": (logits, labels), "pixel": (image, target), "given": torch.tensor(0.25)})
    focal = lossearch.zoo.get("focal", gamma=2).to_module()(logits, labels)
    pixel = F.l1_loss(image, target)
    torch.testing.assert_close(total, focal + 0.5 * pixel + 0.75)
    assert list(combined.components) == ["class", "pixel", "given"]
    values, weights = reported(combined)
    assert values == pytest.approx([float(focal), float(pixel), 0.25])
    assert weights == [1.0, 0.5, 3.0]


def test_uncertainty_weighting_learns_the_papers_optimum() -> None:
    """For a squared error e^s = L at the optimum, for a cross-entropy e^s = 2L."""
    combined = lossearch.combine(COMPUTED, "uncertainty_weighting", kinds={"far": "classification"})
    parameters = list(combined.parameters())
    assert [tuple(p.shape) for p in parameters] == [(2,)]
    optimizer = torch.optim.LBFGS(parameters, max_iter=200, tolerance_grad=1e-8, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = combined(losses(0.2, 3.0))
        total.backward()
        return total

    optimizer.step(closure)
    torch.testing.assert_close(parameters[0].exp(), torch.tensor([0.2, 6.0]), rtol=1e-3, atol=0.0)
    combined(losses(0.2, 3.0))
    assert reported(combined)[1] == pytest.approx([0.5 / 0.2, 1 / 6.0], rel=1e-3)


def test_uncertainty_weighting_equals_the_formula() -> None:
    given = {"near": 0.3, "far": -1.0}
    combined = lossearch.combine(COMPUTED, "uncertainty_weighting", log_variance=given)
    total = combined(losses(2.0, 5.0))
    sigma = torch.tensor([0.3, -1.0]).div(2).exp()
    expected = (torch.tensor([2.0, 5.0]) / (2 * sigma**2) + sigma.log()).sum()
    torch.testing.assert_close(total, expected)
    with torch.inference_mode():
        torch.testing.assert_close(combined({"near": torch.tensor(2.0), "far": torch.tensor(5.0)}), expected)


class Shared(nn.Module):
    """A shared layer with two heads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.near, self.far = nn.Linear(3, 4), nn.Linear(4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = torch.tanh(self.trunk(x))
        return {"near": self.near(hidden).square().mean(), "far": 30 * (self.far(hidden) - 1).square().mean()}


def test_gradnorm_steps_as_the_paper_says() -> None:
    """Equations 1 and 2 of Chen et al., differentiated by autograd with the goal held constant."""
    model, data = Shared(), torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    combined = lossearch.combine(COMPUTED, "gradnorm", alpha=0.5, learning_rate=0.01)
    assert isinstance(combined, GradNorm)
    shared = list(model.trunk.parameters())
    optimizer = torch.optim.SGD([*model.parameters(), *combined.parameters()], lr=0.01)
    weights, first = torch.ones(2), None
    for _ in range(4):
        found = model(data)
        total = combined(found)
        torch.testing.assert_close(total, weights[0] * found["near"] + weights[1] * found["far"])
        stacked = torch.stack(list(found.values()))
        first = stacked.detach() if first is None else first
        leaf = weights.clone().requires_grad_()
        norms = []
        for w, loss in zip(leaf, stacked, strict=True):
            gradients = torch.autograd.grad(w * loss, shared, create_graph=True)
            norms.append(torch.cat([g.flatten() for g in gradients]).norm())
        rate = stacked.detach() / first
        goal = (torch.stack(norms).mean() * (rate / rate.mean()) ** 0.5).detach()
        (step,) = torch.autograd.grad((torch.stack(norms) - goal).abs().sum(), leaf)
        weights = (weights - 0.01 * step).clamp(min=1e-6)
        weights = 2 * weights / weights.sum()
        combined.update(shared)
        torch.testing.assert_close(combined.weights.detach(), weights)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert combined.weights[0] > 1.0 > combined.weights[1], "the component with the smaller gradient gains"


def test_dynamic_weight_average_follows_the_epochs() -> None:
    """Equation 7 of Liu et al., with ratios of epoch means."""
    combined = lossearch.combine(COMPUTED, "dynamic_weight_average", temperature=2.0)
    assert isinstance(combined, DynamicWeightAverage)
    epochs = [[(4.0, 2.0), (2.0, 2.0)], [(2.0, 1.0), (1.0, 2.0)], [(1.0, 1.0)]]
    third = (2 * torch.softmax(torch.tensor([1.5 / 3.0, 1.5 / 2.0]) / 2.0, 0)).tolist()
    for epoch, expected in zip(epochs, ([1.0, 1.0], [1.0, 1.0], third), strict=True):
        for near, far in epoch:
            combined(losses(near, far))
            assert reported(combined)[1] == pytest.approx(expected)
        combined.eval()(losses(100.0, 100.0))  # validation does not count
        combined.train().update()
    torch.testing.assert_close(combined.weights, 2 * torch.softmax(torch.tensor([1 / 1.5, 1 / 1.5]) / 2.0, 0))


@pytest.mark.parametrize("method", METHODS)
def test_the_state_goes_on(method: str) -> None:
    """Weights, histories and log-variances come back from a state dict, a copy and a pickle."""
    combined = lossearch.combine(COMPUTED, method)
    data, model = torch.randn(4, 3), Shared()
    for _ in range(2):
        total = combined(model(data))
        if isinstance(combined, GradNorm):
            combined.update(model.trunk.parameters())
        if isinstance(combined, DynamicWeightAverage):
            combined.update()
        total.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter -= 0.01 * parameter.grad
            for parameter in combined.parameters():
                parameter += 0.0 if parameter.grad is None else -0.1 * parameter.grad
    expected = combined(losses(2.0, 3.0))
    fresh = lossearch.combine(COMPUTED, method)
    fresh.load_state_dict(combined.state_dict())
    others: list[CombinedLoss] = [fresh, copy.deepcopy(combined), pickle.loads(pickle.dumps(combined))]
    for other in others:
        torch.testing.assert_close(other(losses(2.0, 3.0)), expected)
        assert reported(other) == reported(combined)


def test_every_method_says_what_it_takes() -> None:
    assert METHODS.keys() == OPTIONS.keys()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lossearch.combine({}), "one component at least; found: none"),
        (lambda: lossearch.combine({"a b": None}), "free identifiers; found: 'a b'"),
        (lambda: lossearch.combine({"keys": None}), "free identifiers; found: 'keys'"),
        (lambda: lossearch.combine(COMPUTED, "mean"), "a method among weighted_sum, .*found: 'mean'"),
        (lambda: lossearch.combine(COMPUTED, alpha=1.0), "options of weighted_sum: weights; found: alpha"),
        (lambda: lossearch.combine(COMPUTED, weights={"nar": 1.0}), "weights of near, far; found: nar"),
        (lambda: lossearch.combine(COMPUTED, weights={"near": float("inf")}), "finite weights"),
        (lambda: lossearch.combine(COMPUTED, "uncertainty_weighting", kinds={"near": "x"}), "a kind among regression"),
        (lambda: lossearch.combine(COMPUTED, "gradnorm", alpha=-1.0), r"alpha ≥ 0"),
        (
            lambda: lossearch.combine(COMPUTED, "dynamic_weight_average", temperature=0.0),
            r"temperature > 0; found: 0",
        ),
        (lambda: lossearch.combine(COMPUTED)({"near": torch.zeros(())}), "inputs for near, far; found: near"),
        (
            lambda: lossearch.combine(COMPUTED)(losses(1.0, 2.0) | {"far": torch.zeros(3)}),
            "one number as the loss of far",
        ),
        (
            lambda: lossearch.combine(COMPUTED)(losses(1.0, 2.0) | {"far": (torch.zeros(3),)}),
            "this component has no module",
        ),
        (lambda: _of("gradnorm").update([]), "`update` after `forward`"),
        (lambda: _of("dynamic_weight_average").update(), "since the last update"),
        (lambda: _updated(-1.0, [torch.zeros(1, requires_grad=True)]), "positive first losses"),
        (lambda: _updated(float("nan"), []), "finite component losses"),
        (lambda: _updated(1.0, [torch.zeros(1, requires_grad=True)]), "shared parameters that near depends on"),
    ],
)
def test_mistakes_are_named(call: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()  # type: ignore[operator]


def _of(method: str) -> Any:
    return lossearch.combine(COMPUTED, method)


def _updated(near: float, shared: list[Tensor]) -> None:
    combined = _of("gradnorm")
    combined(losses(near, 1.0))
    combined.update(shared)


@pytest.mark.parametrize("weights", [[1, 2], (1.0, 2.0), torch.tensor([1.0, 2.0]), {"L1Loss": 2}], ids=type)
def test_components_may_be_listed(weights: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, image, target = (torch.randn(4, 5, generator=generator) for _ in range(3))
    labels = torch.tensor([0, 1, 2, 3])
    combined = lossearch.combine(["focal(gamma=2)", nn.L1Loss()], weights=weights)
    total = combined([(logits, labels), (image, target)])
    expected = lossearch.zoo.get("focal", gamma=2).to_module()(logits, labels) + 2.0 * F.l1_loss(image, target)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(combined({"L1Loss": (image, target), "focal": (logits, labels)}), expected)
    torch.testing.assert_close(combined([torch.tensor(0.5), torch.tensor(0.25)]), torch.tensor(1.0))
    assert list(combined.components) == ["focal", "L1Loss"]


def test_listed_components_of_one_name_are_numbered() -> None:
    combined = lossearch.combine(["focal(gamma=1)", "focal", nn.L1Loss(), nn.L1Loss()], "uncertainty_weighting")
    assert combined.names == ("focal", "focal_2", "L1Loss", "L1Loss_2")
    kinds = ["classification", "regression"]
    listed = lossearch.combine(["focal", "mse"], "uncertainty_weighting", kinds=kinds, log_variance=[0.1, 0.2])
    options = {"kinds": {"focal": kinds[0], "mse": kinds[1]}, "log_variance": {"focal": 0.1, "mse": 0.2}}
    named = lossearch.combine({"focal": "focal", "mse": "mse"}, "uncertainty_weighting", **options)
    given = [torch.tensor(0.3), torch.tensor(0.7)]
    torch.testing.assert_close(listed(given), named(given))


def test_gradnorm_takes_one_shared_tensor() -> None:
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    found = []
    for shared in (weight, [weight]):
        combined = lossearch.combine({"a": None, "b": None}, "gradnorm", learning_rate=0.1)
        assert isinstance(combined, GradNorm)
        combined([(weight**2).sum(), (3.0 * weight).sum()])
        combined.update(shared)
        found.append(combined.weights.detach().clone())
    assert torch.equal(*found)
    assert not torch.equal(found[0], torch.ones(2))


@pytest.mark.parametrize(
    ("components", "options", "given", "told"),
    [
        ("focal", {}, None, "by name or in a list; found: 'focal'"),
        ([3], {}, None, "a loss or a module; found: 3"),
        ({"a": 3}, {}, None, "a loss or a module; found: 3"),
        ([], {}, None, "one component at least"),
        (["focal", "mse"], {"weights": [1]}, None, "weights of focal, mse; found: 1 of them"),
        (["focal", "mse"], {"weights": 2}, None, "weights of focal, mse; found: 2"),
        (["focal", "mse"], {"weights": ["a", "b"]}, None, "numbers as weights"),
        (["focal", "mse"], {}, [torch.tensor(1.0)], "inputs for focal, mse; found: 1 of them"),
        (["focal", "mse"], {}, torch.tensor(1.0), "inputs for focal, mse; found: a Tensor"),
    ],
)
def test_what_cannot_be_combined_is_told(components: Any, options: dict[str, Any], given: Any, told: str) -> None:
    def use() -> Any:
        combined = lossearch.combine(components, **options)
        return combined(given)

    with pytest.raises(UserError, match=told):
        use()
