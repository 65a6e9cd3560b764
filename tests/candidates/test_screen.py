"""Every filter of the screen, and that the hand-designed losses pass all of them."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from representative import each_loss

from lossearch import zoo
from lossearch.candidates.screen import FILTERS, Screen, ScreeningConfig, canonical
from lossearch.engine.writer.messages import AUDITED_FILTERS
from lossearch.errors import UserError
from lossearch.ir.core.signature import SIGNATURES, get_signature
from lossearch.ir.forms.text import parse_graph
from lossearch.ir.rewriting.ranges import graph_out_of_range
from lossearch.search_spaces import load_space
from lossearch.search_spaces.derived import derived_space
from lossearch.tasks import Task, UserTask
from lossearch.tasks.user.first_call import FirstCall
from lossearch.training.first_lengths import axis_lengths
from lossearch.training.probe_inputs import declared_inputs, labelled_inputs


@pytest.fixture(scope="module")
def screen() -> Screen:
    return Screen(Task("digits_noise"), load_space("dense"), zoo.get("cross_entropy").graph, ScreeningConfig())


def check(screen: Screen, text: str, seen: set[str] | None = None):
    return screen.check(parse_graph(f"dense: {text}"), seen or set())


@cache
def screen_of(signature: str) -> Screen:
    """The filters of a signature with the space that its own losses span, for a user's training function."""
    space = derived_space(get_signature(signature), buffers=True)
    return Screen(
        UserTask("train.py:train", signature=space.signature), space, zoo.get(space.seeds[0]).graph, ScreeningConfig()
    )


@pytest.mark.parametrize("name", each_loss())
def test_every_loss_of_the_zoo_passes_every_filter_of_its_signature(screen, name):
    graph = zoo.get(name).graph
    verdict = (screen if graph.signature.name == "dense" else screen_of(graph.signature.name)).check(graph, set())
    assert verdict.accepted, (verdict.filter, verdict.reason)
    assert verdict.graph.key == canonical(graph).key  # not taken for one that leads away from the target


@pytest.mark.parametrize(
    ("signature", "axis", "length"),
    [
        ("dense", "class", 2),
        ("margin", "class", 2),
        ("image", "channel", 1),
        *(pytest.param("dense", "class", length, marks=pytest.mark.thorough) for length in (3, 7, 150)),
        pytest.param("margin", "class", 150, marks=pytest.mark.thorough),
        pytest.param("image", "channel", 3, marks=pytest.mark.thorough),
    ],
)
def test_the_zoo_passes_the_filters_at_the_sizes_of_a_function(signature, axis, length):
    space = load_space("dense") if signature == "dense" else derived_space(get_signature(signature), buffers=True)
    reference = zoo.get("cross_entropy" if signature == "dense" else space.seeds[0]).graph
    screen = Screen(
        UserTask("train.py:train", signature=space.signature), space, reference, ScreeningConfig(), {axis: length}
    )
    for name in zoo.names(signature=signature):
        verdict = screen.check(zoo.get(name).graph, set())
        assert verdict.accepted, (name, verdict.filter, verdict.reason)
    values = screen.probes._set_for(reference).inputs.values
    assert next(iter(values.values())).shape[1] == length
    if screen.rejection is not None:
        assert screen.rejection.inputs.tensors["logits"].shape[1] == length


@pytest.mark.parametrize("classes", range(2, 40))
def test_labels_of_dense_probes_are_of_many_classes_and_those_of_a_pair_differ(classes):
    target = labelled_inputs(get_signature("dense"), classes).values["target"].argmax(1)
    first, second = target.chunk(2)
    assert bool((first != second).all())
    assert len(target.unique()) == min(classes, 32) or classes > 16


@pytest.mark.parametrize(
    ("signature", "call", "expected"),
    [
        ("dense", FirstCall((torch.zeros(4, 2, 6, 6), torch.zeros(4, 6, 6).long())), {"class": 2}),
        ("dense", FirstCall((), {"target": torch.zeros(4).long(), "logits": torch.zeros(4, 3)}), {"class": 3}),
        ("dense", FirstCall((torch.zeros(4, 30_000), torch.zeros(4).long())), {"class": 1000}),
        ("dense", FirstCall((torch.zeros(5), torch.tensor(1))), {}),  # one sample without a batch
        ("image", FirstCall((torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))), {"channel": 3}),
        ("box", FirstCall((torch.zeros(8, 4), torch.zeros(8, 4))), {}),
    ],
)
def test_lengths_are_those_of_the_first_call(signature, call, expected):
    assert axis_lengths(call, get_signature(signature)) == expected


@pytest.mark.parametrize(
    ("text", "rejected_by", "reason"),
    [
        ("regression: square(prediction)", "type", "does not depend on target"),
        ("regression: exp(square(prediction)) * exp(square(prediction - target))", "range", ""),
        ("regression: stop_gradient(square(prediction - target))", "probe", "does not depend on the prediction"),
        ("regression: square(prediction) + square(target)", "probe", "does not depend on the target"),
        ("regression: relu(-square(prediction - target) - 1.0)", "probe", "vanishes"),
        ("regression: 3.0 * square(prediction - target) + 1.0", "known", "a constant multiple of mse"),
        ("regression: 3.0 * pinball_penalty(target - prediction, 0.5)", "known", "a constant multiple of mae"),
        ("box: 0.5 * sum(abs(boxes - target), over=coord)", "known", "a constant multiple of box_l1"),
        ("triplet: sum(square(anchor - positive), over=feature)", "type", "does not depend on negative"),
        ("pair: sum(square(first - second), over=feature) + target", "probe", "does not depend on the target"),
        ("image: square(image) + square(target)", "probe", "does not depend on the target"),
    ],
)
def test_useless_candidates_of_other_signatures_are_rejected_too(text, rejected_by, reason):
    graph = parse_graph(text)
    verdict = screen_of(graph.signature.name).check(graph, set())
    assert verdict.filter == rejected_by, verdict.reason
    assert reason in verdict.reason


@pytest.mark.parametrize(
    "text", ["regression: abs(prediction - target) ** 1.5", "box: sum(abs(boxes - target) ** 1.5, over=coord)"]
)
def test_inverted_candidates_of_other_signatures_are_flipped(text):
    graph = parse_graph(text)
    screen = screen_of(graph.signature.name)
    right, flipped = (screen.check(graph.with_roots([factor * graph.root]), set()) for factor in (1.0, -1.0))
    assert right.accepted, right.reason
    assert flipped.accepted
    assert flipped.fingerprint == right.fingerprint
    assert flipped.graph.key == right.graph.key


@pytest.mark.parametrize("signature", sorted(SIGNATURES))
def test_probe_inputs_keep_to_what_the_signature_declares(signature):
    declared = get_signature(signature)
    inputs = declared_inputs(declared)
    for values in (inputs.values, inputs.others or {}, *inputs.ends):
        for given in declared.inputs:
            if given.name in values:
                value = values[given.name]
                assert value.dim() == len(given.axes)
                assert bool((value >= given.domain.lower).all())
                assert bool((value <= given.domain.upper).all())
                assert value.requires_grad == (given.role == "prediction")
    targets = [given.name for given in declared.inputs if given.role == "target"]
    assert (inputs.others is not None) == bool(targets)
    assert all(not torch.equal(inputs.values[name], (inputs.others or {})[name]) for name in targets)


def test_a_space_of_another_signature_than_the_task_is_refused():
    space = derived_space(get_signature("regression"))
    with pytest.raises(UserError, match="a space of signature dense for digits_noise"):
        Screen(Task("digits_noise"), space, zoo.get("mse").graph, ScreeningConfig())


@pytest.mark.parametrize("name", each_loss())
def test_every_loss_of_the_zoo_has_its_inputs_and_a_proven_range(name):
    loss = zoo.get(name).graph
    for graph in (loss, canonical(loss)):  # with parameters anywhere in their bounds, and at their defaults
        assert all(map(graph.uses, graph.signature.needed))
        assert graph_out_of_range(graph) is None


def test_a_loss_of_the_zoo_with_the_gradient_of_another_passes_but_no_multiple_of_it(screen):
    divergence, first = zoo.get("kl_divergence").graph, screen.check(zoo.get("cross_entropy").graph, set())
    passed = screen.check(divergence, set())
    assert passed.accepted
    assert passed.fingerprint == first.fingerprint
    assert screen.check(divergence, {first.fingerprint}).filter == "duplicate_fingerprint"
    multiple = screen.check(divergence.with_roots([2.5 * divergence.root]), set())
    assert (multiple.filter, multiple.reason) == ("known", "a constant multiple of cross_entropy")


@pytest.mark.parametrize(
    ("text", "rejected_by"),
    [
        ("max(logits, over=class)", "type"),
        ("sum(target, over=class)", "type"),
        ("logits * target * 0.0", "probe"),
        (
            "exp(cross_entropy(logits, target)) * exp(entropy(logits) + 2.0 * cross_entropy(logits, target))",
            "range",
        ),
        ("stop_gradient(cross_entropy(logits, target))", "probe"),
        ("sum(softmax(logits, over=class), over=class) + sum(target * 2.5, over=class)", "probe"),
        ("entropy(logits) + stop_gradient(cross_entropy(logits, target))", "probe"),
        ("2.5 * cross_entropy(logits, target) + 3.0", "known"),
        ("-3.0 * true_class_probability(logits, target)", "known"),
        ("square(entropy(logits)) + 0.000001 * cross_entropy(logits, target)", "rejection"),
    ],
)
def test_useless_candidates_are_rejected_by_the_filter_meant_for_them(screen, text, rejected_by):
    verdict = check(screen, text)
    assert (verdict.accepted, verdict.filter) == (False, rejected_by), verdict.reason


def test_a_loss_without_a_gradient_at_confident_wrong_predictions_is_rejected_where_asked_for(screen) -> None:
    bounded = parse_graph("dense: 1.0 - true_class_probability(logits, target) ** 1.3")
    assert screen.check(bounded, set()).accepted
    settings = ScreeningConfig(confident_gradient=0.05)
    strict = Screen(Task("digits_noise"), load_space("dense"), zoo.get("cross_entropy").graph, settings)
    verdict = strict.check(bounded, set())
    assert verdict.filter == "confident"
    assert verdict.numbers["confident_gradient"] < 0.05
    assert strict.check(parse_graph("dense: cross_entropy(logits, target) ** 1.3"), set()).accepted
    assert strict.counts()["confident"].rejected == 1
    assert screen.counts()["confident"].considered == 0
    assert "confident" in AUDITED_FILTERS


def test_an_inverted_candidate_is_flipped_instead_of_discarded(screen):
    right = check(screen, "true_class_probability(logits, target) ** 1.7 * -1.0")
    flipped = check(screen, "true_class_probability(logits, target) ** 1.7")
    assert right.accepted
    assert flipped.accepted
    assert flipped.fingerprint == right.fingerprint


def test_duplicates_are_recognised_by_expression_and_by_behaviour(screen):
    first = check(screen, "cross_entropy(logits, target) ** 1.3")
    assert first.accepted
    assert first.fingerprint is not None
    assert screen.fingerprint(parse_graph("dense: 30.0 * cross_entropy(logits, target) ** 1.3")) == first.fingerprint
    seen = {first.key, first.fingerprint}
    assert check(screen, "cross_entropy(logits, target) ** 1.3 + 0.0", seen).filter == "duplicate_key"
    assert check(screen, "exp(1.3 * log(cross_entropy(logits, target)))", seen).filter == "duplicate_fingerprint"
    assert check(screen, "cross_entropy(logits, target) ** 1.31", seen).accepted


def test_counts_add_up(screen):
    screen.reset_counts()
    for text in (
        "cross_entropy(logits, target) ** 1.2",
        "max(logits, over=class)",
        "2.0 * cross_entropy(logits, target)",
    ):
        check(screen, text)
    counts = screen.counts()
    assert tuple(counts) == FILTERS
    assert counts["type"].considered == 3
    assert counts["type"].rejected == 1
    assert counts["known"].rejected == 1
    assert counts["rejection"].considered == 1
    assert all(count.seconds >= 0.0 for count in counts.values())


def test_the_canonical_key_ignores_order_and_neutral_elements():
    first = parse_graph("dense: 2.0 * cross_entropy(logits, target) + entropy(logits)")
    second = parse_graph("dense: entropy(logits) * 1.0 + cross_entropy(logits, target) * 2.0 - 0.0")
    assert canonical(first).key == canonical(second).key


@pytest.mark.thorough
def test_fingerprints_do_not_depend_on_the_process(screen):
    import subprocess
    import sys

    code = (
        "from lossearch import zoo\n"
        "from lossearch.candidates.probes import Probes\n"
        "from lossearch.candidates.screen import canonical\n"
        "loss = zoo.get('focal').graph\n"
        "print(Probes(loss.signature, {'class': 10}).measure(canonical(loss)).fingerprint)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == screen.check(zoo.get("focal").graph, set()).fingerprint


@pytest.mark.parametrize("signature", ["dense", "regression", "image", "box"])
def test_losses_that_change_over_a_training_pass_and_are_no_fixed_mixture(screen, signature):
    first, second = {
        "dense": ("cross_entropy(logits, target)", "absolute_probability_error(logits, target)"),
        "regression": ("square(prediction - target)", "abs(prediction - target)"),
        "image": ("square(image - target)", "abs(image - target)"),
        "box": ("1.0 - box_iou(boxes, target)", "1.0 - box_giou(boxes, target)"),
    }[signature]
    found = screen if signature == "dense" else screen_of(signature)
    fixed = found.check(parse_graph(f"{signature}: {first} + {second}"), set())
    changing = found.check(parse_graph(f"{signature}: (1.0 - progress) * ({first}) + progress * ({second})"), set())
    assert fixed.fingerprint != changing.fingerprint
    assert changing.accepted, (changing.filter, changing.reason)


def test_a_share_of_the_training_is_more_than_a_factor(screen):
    for text in ("cross_entropy(logits, target)", "square(1.0 - true_class_probability(logits, target))"):
        fixed, falling = (found for found in (check(screen, text), check(screen, f"progress * {text}")))
        assert falling.fingerprint != fixed.fingerprint
        assert falling.accepted, (falling.filter, falling.reason)
        twice = check(screen, f"progress * (2.0 * {text})")
        assert twice.fingerprint == falling.fingerprint


def test_losses_that_differ_at_the_beginning_of_a_training_alone_are_told_apart(screen):
    exponents = (
        "clamp(0.8 - 2.4 * progress, lower=0.0, upper=10.0)",
        "clamp(0.6 - 2.4 * progress, lower=0.0, upper=10.0)",
    )
    text = "cross_entropy(logits, target) * modulating_factor(true_class_probability(logits, target), {})"
    first, second = (check(screen, text.format(exponent)) for exponent in exponents)
    assert first.fingerprint != second.fingerprint
