"""Ignored elements: every operator leaves them out, in value and gradient, as if they were not there, or is refused."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from ir.random_graphs import attributes
from representative import first_of
from torch import Tensor

import lossearch.primitives  # noqa: F401  (registers the primitives)
from lossearch.compile import build
from lossearch.errors import UserError
from lossearch.ir import OPERATORS, Expr, Graph, IllTyped
from lossearch.ir.core.operator import Operator, register
from lossearch.ir.core.types import Type
from lossearch.ir.operators import functions as fn
from lossearch.ir.operators.elementwise import elementwise
from lossearch.ir.signatures import DENSE

LOGITS, TARGET = DENSE["logits"].node, DENSE["target"].node
P = fn.softmax(LOGITS, "class")
CROSS_ENTROPY = -fn.contract(TARGET, fn.log_softmax(LOGITS, "class"), "class")
MERGED = fn.merge(P)
RANKED = fn.rename(fn.sort(fn.merge(CROSS_ENTROPY), "element"), "element", "rank")
OF_IMAGES = fn.logsumexp(LOGITS, "space")

POOL = (
    *(P, LOGITS, LOGITS, CROSS_ENTROPY, fn.mean(P, "class"), TARGET, fn.less(P, 0.3)),
    *(fn.rename(P, "batch", "batch'"), fn.contract(P, fn.rename(P, "batch", "batch'"), "class")),
    *(fn.rename(LOGITS, "space", "space'"), fn.contract(P, fn.rename(LOGITS, "space", "space'"), "class")),
    *(MERGED, RANKED, fn.downsample(LOGITS), fn.mean(LOGITS, "space"), fn.max(P, ("class", "space")), OF_IMAGES),
    *(fn.sum(LOGITS, "batch"), fn.mean(P, ("batch", "space"))),
)
"""Operands of every sort: per element, image, pair, rank and block, and over several of them."""

OPEN = sorted(name for name, op in OPERATORS.items() if op.arity and not op.internal and op.expand is None)
CASES, TRIES = 10, 4000
MAY_REFUSE = {"step", "select", "sort", "sort_by", "size", "interior"}
"""Those that move elements, take one of them, or are one number only where all images have as many elements."""


OTHERS = {"equal", "along", "power_spectrum"}
"""One takes identities, which no loss of labels has; one takes as many numbers as there are entries; one is refused."""


def cases(name: str) -> Iterator[Graph]:
    """Losses whose last operator is this one, for operands that lie along every axis that it takes."""
    rng, seen = random.Random(name), set()
    for _ in range(TRIES):
        args = [rng.choice(POOL) for _ in range(OPERATORS[name].arity)]
        try:
            node = Expr.make(name, args, **attributes(name, args, rng))  # type: ignore[arg-type]
            node = fn.where(node, P, 0.5 * LOGITS) if node.type.kind == "boolean" else node
        except UserError:
            continue
        if node not in seen and len(node.axes) <= 4 and LOGITS in node.leaves:
            seen.add(node)
            yield Graph(DENSE, node)
        if len(seen) == CASES:
            return


def value_and_gradient(graph: Graph, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = build(graph).double()(leaf, labels)
    if not value.requires_grad:
        return value, torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
    return value.detach(), torch.zeros_like(leaf) if gradient is None else gradient


def batch(seed: int) -> tuple[Tensor, Tensor]:
    """Logits of three images along one axis of six, and labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
    return logits, torch.randint(4, (3, 6), generator=generator)


def agree(first: Tensor, second: Tensor, graph: Graph) -> None:
    torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-11, msg=lambda text: f"{graph.root}: {text}")


def refused(graph: Graph) -> bool:
    """Whether the loss takes no labels to ignore."""
    logits, labels = batch(0)
    labels[0, 0] = -100
    try:
        build(graph).double()(logits, labels)
    except IllTyped:
        return True
    return False


@pytest.mark.parametrize("count", first_of([2, CASES]))
@pytest.mark.parametrize("name", [name for name in OPEN if name not in OTHERS])
def test_an_ignored_element_influences_nothing(name: str, count: int) -> None:
    """Neither its logits, wherever it lies, nor, where it lies at the end, that it is there at all."""
    logits, labels = batch(1)
    scattered, at_end = labels.clone(), labels.clone()
    scattered[0, 1], scattered[2, 3:5], at_end[:, 4:], at_end[2] = -100, -100, -100, -100
    other = logits.clone()
    other.movedim(1, -1)[scattered == -100] = 3.0 * batch(2)[0].movedim(1, -1)[scattered == -100]
    checked = 0
    for graph in cases(name):
        if refused(graph):
            assert name in MAY_REFUSE, graph.root
            continue
        value, gradient = value_and_gradient(graph, logits, scattered)
        moved_value, moved_gradient = value_and_gradient(graph, other, scattered)
        agree(moved_value, value, graph)
        agree(moved_gradient, gradient, graph)
        assert not gradient.movedim(1, -1)[scattered == -100].any(), graph.root
        value, gradient = value_and_gradient(graph, logits, at_end)
        short_value, short_gradient = value_and_gradient(graph, logits[:2, :, :4], labels[:2, :4])
        agree(value, short_value, graph)
        agree(gradient[:2, :, :4], short_gradient, graph)
        assert not gradient[2].any(), graph.root
        assert not gradient[:, :, 4:].any(), graph.root
        checked += 1
        if checked == count:
            break
    assert checked, "no operands fit"


def test_frequencies_are_those_of_a_whole_image() -> None:
    assert refused(Graph(DENSE, fn.power_spectrum(LOGITS)))


def test_numbers_along_an_axis_are_those_of_its_places() -> None:
    logits, labels = batch(1)
    labels[0, 1], labels[2, 3:5] = -100, -100
    for axis, count in (("class", 4), ("space", 6)):
        graph = Graph(DENSE, P * fn.along(LOGITS, axis, [float(n) for n in range(1, count + 1)]))
        value, gradient = value_and_gradient(graph, logits, labels)
        factors = torch.arange(1.0, count + 1.0).double()
        expected = torch.softmax(logits, 1) * (factors[:, None] if axis == "class" else factors)
        agree(value, expected.movedim(1, -1)[labels >= 0].mean(), graph)
        assert not gradient.movedim(1, -1)[labels < 0].any()


def test_an_operator_that_does_not_say_how_it_leaves_elements_out_is_refused() -> None:
    def rule(operator: Operator, arguments: list[Expr], attrs: dict[str, object]) -> Type:
        return arguments[0].type

    silent, alone = "reversed_for_test", "doubled_for_test"
    register(Operator(silent, 1, rule, "{0}.flip(-1)", "Space backwards."))  # type: ignore[arg-type]
    elementwise(alone, 1, "2.0 * {0}", "Twice.", range=lambda a: a)
    try:
        graph = Graph(DENSE, Expr.make(silent, (CROSS_ENTROPY,)))
        logits, labels = batch(0)
        build(graph).double()(logits, labels)
        labels[0, 0] = -100
        with pytest.raises(IllTyped, match=rf"operators that can leave out ignored elements; found: {silent}"):
            build(graph).double()(logits, labels)
        assert not refused(Graph(DENSE, Expr.make(alone, (CROSS_ENTROPY,))))
    finally:
        del OPERATORS[silent], OPERATORS[alone]
