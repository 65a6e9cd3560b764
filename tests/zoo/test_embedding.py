"""What losses over embeddings and views do at their edges, and what they are made of."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch import zoo
from lossearch.ir.rewriting.lowering import lower
from lossearch.ir.rewriting.ranges import graph_out_of_range

from .cases import CASES
from .harness import Case, Modules, value_and_gradient
from .samples import EXTREME, ORDINARY

FAMILIES = {name for family in ("embedding", "multi_view") for name in zoo.names(family)}
HERE = [case for case in CASES if case.name in FAMILIES]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def collapsed(count: int = 4) -> Tensor:
    return torch.tensor([[3.0, -1.0, 0.5]], dtype=torch.float64).repeat(count, 1)


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.id)
def test_finite_in_float64(case: Case) -> None:
    """Collapsed embeddings, zero vectors and the ends of the domain; float32 is the harness's."""
    modules = Modules(case, "eager")
    for sample in case.samples(EXTREME) + case.samples(ORDINARY):
        value, gradients = value_and_gradient(modules("none", sample), sample.inputs, case.predictions)
        assert value.isfinite().all(), sample.name
        assert all(gradient.isfinite().all() for gradient in gradients), sample.name


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.id)
def test_range_is_proven(case: Case) -> None:
    assert graph_out_of_range(case.loss.graph) is None


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.id)
def test_pairwise_work_is_matrix_products(case: Case) -> None:
    """No value has an axis besides those of a pair."""
    assert max(len(node.axes) for node in lower(case.loss.graph.frozen()).nodes) <= 2


def test_far_from_the_origin_distances_keep_their_digits() -> None:
    embeddings, labels = normal(6, 4), torch.tensor([0, 0, 1, 1, 2, 2])
    module = zoo.get("triplet_batch_hard").to_module()
    near, far = module(embeddings.float(), labels), module(embeddings.float() + 4096.0, labels)
    torch.testing.assert_close(far, near, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["triplet_batch_hard", "supervised_contrastive"])
def test_mean_counts_the_anchors_that_have_what_they_need(name: str) -> None:
    """Element 2 has no positive."""
    embeddings, labels = normal(5, 3), torch.tensor([0, 0, 7, 1, 1])
    loss = zoo.get(name)
    terms = loss.to_module(reduction="none")(embeddings, labels)
    assert terms[2] == 0
    torch.testing.assert_close(loss.to_module()(embeddings, labels), terms.sum() / 4)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("triplet_batch_hard", [0, 1, 2, 3]),
        ("triplet_batch_hard", [0, 0, 0, 0]),
        ("triplet_batch_hard", [0]),
        ("supervised_contrastive", [0, 1, 2, 3]),
        ("supervised_contrastive", [0]),
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_without_positives_or_negatives_the_loss_is_zero(name: str, labels: list[int], reduction: str) -> None:
    module = zoo.get(name).to_module(reduction=reduction)
    embeddings = normal(len(labels), 3)
    value, (gradient,) = value_and_gradient(module, (embeddings, torch.tensor(labels)))
    assert not value.any()
    assert not gradient.any()


def test_collapsed_batches_cost_the_margin() -> None:
    """Hardest positive and negative are both at distance zero: 1e-6 once held away from the root's pole."""
    labels = torch.tensor([0, 0, 1, 1])
    module = zoo.get("triplet_batch_hard", margin=0.3).to_module(reduction="none")
    value, (gradient,) = value_and_gradient(module, (collapsed(), labels))
    torch.testing.assert_close(value, torch.full((4,), 0.3, dtype=torch.float64))
    assert not gradient.any()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("info_nce", 4.0), ("clip", 4.0), ("nt_xent", 7.0)],
)
def test_collapsed_views_are_chance(name: str, expected: float) -> None:
    """-log of one in all candidates: the batch's other side, or every other view."""
    value = zoo.get(name).to_module()(collapsed(), collapsed())
    torch.testing.assert_close(value, torch.tensor(expected, dtype=torch.float64).log())


def test_equal_embeddings_of_a_contrastive_pair() -> None:
    """Same class: zero; other class: m²/2, without gradient."""
    module = zoo.get("contrastive", margin=2.0).to_module(reduction="none")
    target = torch.tensor([1.0, 0.0], dtype=torch.float64)
    value, gradients = value_and_gradient(module, (collapsed(2), collapsed(2), target), (0, 1))
    assert value.tolist() == [0.0, 2.0]
    assert not any(gradient.any() for gradient in gradients)


def test_a_zero_vector_has_no_direction() -> None:
    zero, ones = torch.zeros(1, 3), torch.ones(1, 3)
    assert zoo.get("simsiam").to_module()(zero, zero, ones, ones).item() == 0.0
    torch.testing.assert_close(zoo.get("byol").to_module()(zero, zero, ones, ones), torch.tensor(2.0))


@pytest.mark.parametrize("views", [normal(1, 5), collapsed()[:, [0, 1, 2, 0, 1]]], ids=["one element", "constant"])
def test_features_without_spread_correlate_with_nothing(views: Tensor) -> None:
    """Σ_i (1 - 0)² is the number of features."""
    value, (gradient,) = value_and_gradient(zoo.get("barlow_twins").to_module(), (views, views.clone()))
    assert value.item() == 5.0
    assert not gradient.any()


def test_class_centres_are_learned() -> None:
    """The gradient of a centre is n (c - x̄) over its elements, and zero without any."""
    embeddings, labels, centers = normal(5, 3), torch.tensor([0, 2, 0, 2, 2]), normal(3, 3, seed=1)
    module = zoo.get("center").to_module(reduction="sum", buffers={"centers": centers})
    (parameter,) = module.parameters()
    module(embeddings, labels).backward()
    assert parameter.grad is not None
    expected = torch.stack([(c - embeddings[labels == k]).sum(0) for k, c in enumerate(centers)])
    torch.testing.assert_close(parameter.grad, expected)


def test_targets_of_predicted_views_get_no_gradient() -> None:
    for name in ("byol", "simsiam"):
        leaves = [normal(4, 3, seed=seed).requires_grad_() for seed in range(4)]
        zoo.get(name).to_module()(*leaves).backward()
        assert [leaf.grad is not None for leaf in leaves] == [True, True, False, False]


def test_nt_xent_is_the_cross_entropy_over_all_views() -> None:
    """Chen et al.'s equation 1 as it is usually written: one matrix of 2N × 2N without its diagonal."""
    anchor, positive = normal(5, 4), normal(5, 4, seed=1)
    direction = F.normalize(torch.cat([anchor, positive]), dim=1)
    similarity = (direction @ direction.T / 0.2).masked_fill(torch.eye(10, dtype=torch.bool), -torch.inf)
    expected = F.cross_entropy(similarity, torch.arange(10).roll(5))
    torch.testing.assert_close(zoo.get("nt_xent", temperature=0.2).to_module()(anchor, positive), expected)
