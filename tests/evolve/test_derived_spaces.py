"""The spaces that hand-designed losses span: every loss is a seed of one, and what is made of it is well typed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from representative import each_loss

from lossearch import zoo
from lossearch.compile import build
from lossearch.compile.targets import class_by_class
from lossearch.engine.setup.spaces import reference_name
from lossearch.errors import UserError
from lossearch.evolve import make_method
from lossearch.evolve.grammar import Grammar
from lossearch.evolve.variation import crossover, mutate
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import SIGNATURES, get_signature
from lossearch.ir.forms.text import format_graph, parse_graph
from lossearch.search_spaces import load_space, space_names
from lossearch.search_spaces.derived import derivable, derived_space
from lossearch.tasks import UserTask

WITH_LOSSES = sorted({entry.signature.name for entry in zoo.entries()})


@pytest.fixture(scope="module")
def grammars() -> dict[str, Grammar]:
    return {name: Grammar(derived_space(get_signature(name), buffers=True)) for name in WITH_LOSSES}


@pytest.mark.parametrize("name", each_loss())
def test_mutations_of_every_loss_are_well_typed(grammars: dict[str, Grammar], name: str) -> None:
    """Each of a chain of mutations can be written down and read again, and many still use every input."""
    loss = zoo.get(name).graph.frozen()
    grammar, rng = grammars[loss.signature.name], random.Random(7)
    assert name in grammar.space.seeds
    complete = 0
    for _ in range(4):
        root = loss.root
        for _ in range(5):
            changed, mutation = mutate(root, grammar, rng)
            assert changed is not root
            assert mutation != "random" or root is not loss.root
            graph = Graph(loss.signature, changed, weight=loss.weight if changed.axes == root.axes else None)
            assert parse_graph(format_graph(graph)).root is changed
            if graph.complexity > grammar.space.max_nodes:
                break
            complete += all(map(graph.uses, loss.signature.needed))
            root = changed
    assert complete >= 3
    crossed = crossover(loss.root, zoo.get(grammar.space.seeds[0]).graph.frozen().root, grammar, rng)
    assert crossed is None or crossed.axes == loss.root.axes


@pytest.mark.parametrize("name", derivable())
def test_random_losses_of_every_space_have_its_axes_and_inputs(name: str) -> None:
    space = load_space(name) if name != "dense" else derived_space(get_signature(name))
    method = make_method("random", space, 3)
    axes = Grammar(space).axes[space.root]
    for _ in range(10):
        graph = method.random_graph()
        assert graph.root.axes == axes
        assert all(map(graph.uses, graph.signature.needed))
        assert not any(graph.uses(declared.name) for declared in graph.signature.buffers)


def test_every_signature_has_a_space_unless_its_losses_need_more_than_inputs() -> None:
    assert set(space_names()) == {*derivable(), "binary"}
    assert set(WITH_LOSSES) == set(SIGNATURES)
    lacking = {"centers", "regression_vector", "uncertain_components", "weighted_components"}
    assert set(SIGNATURES) - set(derivable()) == lacking
    with pytest.raises(UserError, match="need nothing but its inputs; found: centers with center"):
        derived_space(get_signature("centers"))


@pytest.mark.parametrize(
    ("sorts", "message"),
    [
        ('E = ["bogus"]', "an axis among .*'bogus'"),
        ('C = ["batch"]', "should match pattern"),
        ('E = ["batch", "space"]\nK = ["space", "batch"]', "sorts with different axes; found: two have the same"),
        ('F = ["batch", "space"]', "templates of the sorts F; found: E is another"),
        ('E = ["batch"]', "a terminal of sort E with axes"),
    ],
)
def test_a_mistake_in_the_sorts_of_a_space_is_named(tmp_path: Path, sorts: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(
        f'name = "mine"\nsignature = "regression"\n[sorts]\n{sorts}\n'
        '[terminals.E]\n"square(prediction - target)" = 1.0\n[templates.E]\n"E + C" = 1.0\n'
    )
    with pytest.raises(UserError, match=message):
        Grammar(load_space(tmp_path / "mine.toml"))


def test_a_space_is_the_same_in_every_process() -> None:
    assert derived_space(get_signature("box")) == derived_space(get_signature("box"))
    assert next(iter(derived_space(get_signature("box")).sorts.values())) == ("batch",)


def test_the_space_of_single_classes_holds_losses_that_one_channel_can_be_trained_with() -> None:
    space = load_space("binary")
    method = make_method("regularized_evolution", space, 3)
    logits, mask = torch.randn(4, 1, 6, requires_grad=True), torch.randint(2, (4, 6))
    vanishing = 0
    graphs = [method.random_graph() for _ in range(40)]
    for graph in [*graphs, *(zoo.get(name).graph.frozen() for name in space.seeds)]:
        assert class_by_class(graph)
        value = build(graph)(logits, mask) + 0.0 * logits.sum()  # some are functions of the target alone
        vanishing += bool((torch.autograd.grad(value, logits)[0] == 0).all())
    assert vanishing < 10
    assert reference_name(None, space, UserTask("train.py:train").slots["loss"]) == "binary_cross_entropy"
