"""Lowering: what the tables make of known losses, masks, guards, and the verifier."""

from __future__ import annotations

import pytest
import torch
from ir.evaluation import SIZES, inputs

from lossearch import zoo
from lossearch.compile.interpret import evaluate
from lossearch.ir import Graph
from lossearch.ir.forms.text import format_graph, parse_graph
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting import rule as rewrite
from lossearch.ir.rewriting.lowering import LABEL_TABLE, lower
from lossearch.ir.rewriting.rule import Rule, Table
from lossearch.ir.rewriting.verify import VerificationError, verify_lowered
from lossearch.ir.signatures import DENSE

MASKED = ("cross_entropy", "dice", "jaccard", "tversky", "label_smoothing_cross_entropy", "brier")
EVERY_ENTRY = ("binary_cross_entropy", "binary_focal", "binary_hinge", "logistic", "lovasz_softmax", "lovasz_hinge")
EVERY_ENTRY += ("asymmetric", "quality_focal", "varifocal", "binary_cross_entropy_dice")
EVERY_ENTRY += ("joint_asymmetric", "jensen_shannon", "ldam", "seesaw", "taylor", "equalization", "binary_equalization")
"""Losses in which every entry of a one-hot target counts, its zeros too."""


def labels_form(text: str) -> str:
    return format_graph(lower(parse_graph(f"dense: {text}"), labels=True)).removeprefix("dense: ")


@pytest.mark.parametrize(
    ("text", "lowered"),
    [
        ("cross_entropy(logits, target)", "-gather(log_softmax(logits, over=class), target, over=class)"),
        (
            "-log(contract(softmax(logits, over=class), target, over=class))",
            "-gather(log_softmax(logits, over=class), target, over=class)",
        ),
        ("log(1.0 + exp(max(logits, over=class)))", "softplus(max(logits, over=class))"),
        ("log(sum(exp(logits), over=class))", "logsumexp(logits, over=class)"),
        ("sqrt(sum(square(logits), over=class))", "norm(logits, over=class)"),
        ("mean(mean(logits, over=class), over=batch)", "mean(logits, over=(batch, class))"),
        ("log(sigmoid(max(logits, over=class)))", "-softplus(-max(logits, over=class))"),
        (
            "contract(where(greater(logits, 0.5), logits, 1.0), target, over=class)",
            "t1 := gather(logits, target, over=class); where(greater(t1, 0.5), t1, 1.0)",
        ),
        (
            "sum(abs(softmax(logits, over=class) - target), over=class)",
            "2.0 - 2.0 * exp(gather(log_softmax(logits, over=class), target, over=class))",
        ),
    ],
)
def test_known_expressions_lower_to_their_best_form(text, lowered):
    assert labels_form(text) == lowered


def test_no_one_hot_target_is_made_for_labels_where_a_gather_will_do():
    for name in zoo.names(signature="dense"):
        if name in EVERY_ENTRY:
            continue
        assert "one_hot" not in format_graph(lower(zoo.get(name).graph, labels=True)), name


def test_a_guard_stands_only_where_an_interval_does_not_prove_it_needless():
    assert "clamp" in format_graph(lower(parse_graph("dense: log(softmax(logits, over=class) + 0.0 * target)")))
    assert "clamp" not in format_graph(lower(parse_graph("dense: log(softmax(logits, over=class) + 0.1)")))


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("labels", [False, True])
def test_a_mask_equals_leaving_elements_out(name, labels):
    graph = zoo.get(name).graph
    given = inputs(graph, seed=3)
    flat = {k: v.movedim(1, -1).reshape(-1, SIZES["class"], 1) for k, v in given.items() if v.dim() == 3}
    kept = torch.rand(flat["logits"].shape[0], 1, generator=torch.Generator().manual_seed(1)) < 0.6
    part = {k: v[kept[:, 0]] for k, v in flat.items()}
    if labels:
        flat["target"], part["target"] = flat["target"].argmax(1), part["target"].argmax(1)
    masked, _ = evaluate(lower(graph, labels=labels, masked=True), {**flat, "mask": kept.double()})
    expected, _ = evaluate(lower(graph, labels=labels), part)
    if masked.shape[:1] == kept.shape[:1]:
        masked = masked[kept[:, 0]]
    torch.testing.assert_close(masked, expected)


@pytest.mark.parametrize(
    ("text", "at", "of_images"),
    [
        (
            "softmax(sum(logits, over=(class, space)), over=batch)",
            [0, 2, 3],
            lambda images: torch.softmax(torch.stack([x.sum() for x in images]), 0),
        ),
        (
            "sum(exp(-square(mean(logits, over=space))), over=batch)",
            ...,
            lambda images: torch.stack([torch.exp(-(x.mean(1) ** 2)) for x in images]).sum(0),
        ),
        (
            "mean(max(logits, over=space), over=(batch, class))",
            ...,
            lambda images: torch.stack([x.amax(1) for x in images]).mean(),
        ),
        (
            "sort(max(logits, over=(class, space)), over=batch)",
            slice(3),
            lambda images: torch.stack([x.amax() for x in images]).sort(descending=True)[0],
        ),
        (
            "sum(contract(sum(logits, over=space), logits, over=batch), over=space)",
            ...,
            lambda images: sum(x.sum(1) * x.sum(1) for x in images),
        ),
    ],
)
def test_a_mask_counts_once_for_what_is_reduced_already(text, at, of_images):
    """The value, at the places that are kept, is that of the kept elements of each image that has any."""
    images = torch.randn(4, SIZES["class"], 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 1, 0]], dtype=torch.float64)
    graph = Graph(DENSE, parse_graph(f"dense: {text} + 0.0 * sum(target, over=(batch, class, space))").root)
    lowered = lower(graph, masked=True)
    found, _ = evaluate(lowered, {"logits": images, "target": images.sigmoid(), "mask": mask})
    expected = of_images([x[:, kept > 0.5] for x, kept in zip(images, mask, strict=True) if kept.any()])
    torch.testing.assert_close(found[at], expected)


def test_no_identity_is_stated_twice():
    assert len({rule.identity for rule in LABEL_TABLE.rules}) == len(LABEL_TABLE.rules)


@pytest.mark.parametrize("rule", ["x + y = y + x", "x + y = neg(x + y)", "x + y = neg(neg(x) + y)"])
def test_a_circular_table_is_reported(rule, monkeypatch):
    monkeypatch.setattr(rewrite, "MOST_NESTED", 100)
    table = Table("circular", [Rule(rule)])
    nodes = DENSE.nodes()
    with pytest.raises(RuntimeError, match="table circular does not come to rest"):
        table.rewrite([nodes["logits"] + nodes["target"]])


def test_the_verifier_refuses_calls_and_missing_guards():
    with pytest.raises(VerificationError, match="not expanded"):
        verify_lowered(zoo.get("cross_entropy").graph)
    with pytest.raises(VerificationError, match="guard"):
        verify_lowered(Graph(DENSE, fn.log(fn.softmax(DENSE.nodes()["logits"], "class"))))
