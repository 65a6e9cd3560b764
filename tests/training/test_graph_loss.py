"""Losses evaluated together give what each gives alone."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from ir.random_graphs import group_of, random_graph
from representative import each_loss

from lossearch import zoo
from lossearch.compile.input_checker import least_extent
from lossearch.errors import UserError
from lossearch.ir.forms.text import parse_graph
from lossearch.ir.rewriting.lowering import lower
from lossearch.ir.signatures import DENSE
from lossearch.tasks import Task
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.plan import Run
from lossearch.training.probe_inputs import declared_inputs
from lossearch.training.train import train

LOGITS = torch.randn(3, 20, 10, generator=torch.Generator().manual_seed(0)) * 3
LABELS = torch.randint(0, 10, (3, 20), generator=torch.Generator().manual_seed(1))
WEIGHT = torch.linspace(0.5, 2.0, 10)


@pytest.mark.parametrize("name", zoo.names(signature="dense"))
def test_agrees_with_the_module(name):
    loss = zoo.get(name)
    given = {"class_weight": WEIGHT, "class_count": 100.0 * WEIGHT}
    used = {key: value for key, value in given.items() if loss.graph.uses(key)}
    module, graph_loss = loss.to_module(buffers=used), GraphLoss(loss.graph, given, scale=2.0)
    for logits, labels in zip(LOGITS, LABELS, strict=True):
        torch.testing.assert_close(graph_loss(logits, labels), 2.0 * module(logits, labels), rtol=1e-5, atol=1e-5)


def test_one_pass_serves_losses_that_differ_in_constants_and_scale():
    graphs = [zoo.get("generalized_cross_entropy", q=q).graph for q in (0.3, 0.5, 0.7)]
    losses = [GraphLoss(graph, scale=scale) for graph, scale in zip(graphs, (1.0, 2.0, 0.5), strict=True)]
    assert len({loss.group for loss in losses}) == 1
    logits = LOGITS.clone().requires_grad_()
    together = GraphLoss.stacked(losses, logits, LABELS)
    alone = torch.stack([loss(x, y) for loss, x, y in zip(losses, logits, LABELS, strict=True)])
    torch.testing.assert_close(together, alone)
    gradients = [torch.autograd.grad(values.sum(), logits, retain_graph=True)[0] for values in (together, alone)]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_structure_stays_one_however_many_others_come_between():
    graphs = [zoo.get("generalized_cross_entropy", q=q).graph for q in (0.3, 0.5)]
    first = GraphLoss(graphs[0])
    for wrap, depth in itertools.product(("tanh", "sin"), range(1, 50)):
        GraphLoss(parse_graph(f"dense: {f'{wrap}(' * depth}cross_entropy(logits, target){')' * depth}"))
        assert GraphLoss(graphs[0]).group is first.group
    assert GraphLoss(graphs[1]).group is first.group


MIXED = "dense: cross_entropy(logits, target) / ({} + mean(cross_entropy(logits, target), over=(batch, space)))"


def test_one_pass_serves_losses_that_mix_the_batch():
    losses = [GraphLoss(parse_graph(MIXED.format(value))) for value in (0.3, 0.4, 0.7)]
    assert len({loss.group for loss in losses}) == 1
    together = GraphLoss.stacked(losses, LOGITS, LABELS)
    alone = torch.stack([loss(x, y) for loss, x, y in zip(losses, LOGITS, LABELS, strict=True)])
    torch.testing.assert_close(together, alone)


@pytest.mark.xdist_group(group_of(0))
def test_together_equals_alone_for_random_losses_of_every_kind():
    compared = 0
    for seed in range(400):
        graph = random_graph(seed, DENSE)
        selects = any(node.op == "select" for node in graph.nodes)  # positions that these tensors do not have
        if graph.uses("class_weight") or selects or not lower(graph.frozen(), labels=True).root.leaves:
            continue
        loss = GraphLoss(graph)
        together = GraphLoss.stacked([loss] * 3, LOGITS, LABELS)
        alone = torch.stack([loss(x, y) for x, y in zip(LOGITS, LABELS, strict=True)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4, equal_nan=True)
        compared += 1
    assert compared > 200


def test_training_together_equals_training_alone():
    task = Task("digits_noise")
    runs = [Run(GraphLoss(zoo.get("poly1", epsilon=e).graph), 0.02, seed) for seed, e in enumerate((0.3, 2.5, 7.0))]
    together = train(task, runs, steps=30)
    alone = [train(task, [run], steps=30)[0] for run in runs]
    for first, second in zip(together, alone, strict=True):
        assert first.metric == pytest.approx(second.metric, abs=0.005)


def test_a_stack_of_several_groups_and_plain_functions_trains_as_each_alone():
    task = Task("digits_noise")
    functions = [
        GraphLoss(zoo.get("brier").graph),
        F.cross_entropy,
        GraphLoss(zoo.get("poly1", epsilon=0.3).graph),
        GraphLoss(zoo.get("brier").graph, scale=2.0),
        GraphLoss(zoo.get("poly1", epsilon=7.0).graph),
    ]
    runs = [Run(function, 0.02, seed) for seed, function in enumerate(functions)]
    together = train(task, runs, steps=30)
    alone = [train(task, [run], steps=30)[0] for run in runs]
    assert len({outcome.metric for outcome in alone}) == len(runs)
    assert [o.metric for o in together] == pytest.approx([o.metric for o in alone], abs=0.005)


def test_class_weights_are_required_where_they_are_used():
    with pytest.raises(UserError, match="class_weight"):
        GraphLoss(zoo.get("weighted_cross_entropy").graph)


@pytest.mark.parametrize("name", each_loss())
def test_every_loss_of_the_zoo_agrees_with_its_module_in_a_stack(name):
    loss = zoo.get(name)
    drawn = declared_inputs(loss.signature, least_extent(loss.graph))
    values = {one: x.detach().float() if x.is_floating_point() else x for one, x in drawn.values.items()}
    for declared in loss.signature.forward_inputs:
        x = values[declared.name]
        if declared.labels:
            x = x.argmax(1)
        if "space" in declared.axes:
            x = x.unflatten(-1, drawn.shape)
        values[declared.name] = x
    buffers = {one.name: values[one.name] for one in loss.signature.buffers if loss.graph.uses(one.name)}
    inputs = [values[declared.name] for declared in loss.signature.forward_inputs]
    wanted = loss.to_module(buffers=buffers)(*inputs)
    together = GraphLoss.stacked([GraphLoss(loss.graph, buffers)] * 2, *(torch.stack([x, x]) for x in inputs))
    torch.testing.assert_close(together, torch.stack([wanted, wanted]), rtol=2e-4, atol=1e-5)


def test_a_distribution_in_place_of_labels_is_refused():
    with pytest.raises(UserError, match="target as labels"):
        GraphLoss(zoo.get("cross_entropy").graph)(torch.randn(4, 3), torch.softmax(torch.randn(4, 3), 1))
