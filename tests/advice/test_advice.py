"""Advice: the rules are sound data, and what is measured is what was put in."""

from __future__ import annotations

import re

import pytest
import torch

from lossearch import api, zoo
from lossearch.advice import Situation, advise, rules
from lossearch.advice.measure import foreground_share, outlier_share
from lossearch.errors import UserError
from lossearch.tasks import Task
from lossearch.tasks.classification.statistics import neighbour_disagreement


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: f"{rule.family}-{rule.loss}")
def test_each_rule_names_a_loss_of_its_family_known_facts_and_a_source(rule):
    assert rule.loss in zoo.names(rule.family)
    for name in (*rule.within, *rule.among):
        assert name in Situation.model_fields or name == "imbalance"
    assert all(least <= most for least, most in rule.within.values())
    assert re.search(r"\b(17|18|19|20)\d\d$", rule.source)
    assert rule.reason.endswith(".")


def test_noise_brings_robust_losses_to_the_front():
    clean = [advice.loss for advice in advise(Situation())]
    noisy = [advice.loss for advice in advise(Situation(label_noise=0.4))]
    assert clean[0] == "cross_entropy"
    assert noisy.index("symmetric_cross_entropy") < noisy.index("cross_entropy")


def test_rules_for_one_loss_add_up_and_each_reason_is_told():
    (smoothing,) = [a for a in advise(Situation(label_noise=0.4)) if a.loss == "label_smoothing_cross_entropy"]
    assert smoothing.strength == pytest.approx(0.8 + 1.2)
    assert len(smoothing.reasons) == 2


def test_a_rule_needs_the_facts_that_it_asks_for():
    assert "dice" not in {advice.loss for advice in advise(Situation(foreground_share=0.01))}
    assert "dice" in {advice.loss for advice in advise(Situation(foreground_share=0.01, spatial=True))}


def test_imbalance_counts_classes_that_occur():
    assert Situation(class_frequencies=(0.9, 0.1, 0.0)).imbalance == pytest.approx(9.0)
    assert Situation().imbalance is None


def test_a_bundled_task_is_measured_on_its_training_split():
    task = Task("digits_noise")
    situation = Situation.of(task.facts())
    assert situation.class_frequencies is not None
    assert sum(situation.class_frequencies) == pytest.approx(1.0)
    assert situation.label_noise == pytest.approx(task.config.noise_rate, abs=0.1)
    assert (situation.metric, situation.architecture) == ("accuracy", "mlp")


def test_neighbours_tell_wrong_labels_from_right_ones():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    images = 10.0 * torch.nn.functional.one_hot(labels, 3) + torch.randn(300, 3, generator=generator)
    assert neighbour_disagreement(images, labels, 3) == 0.0
    wrong = torch.where(torch.arange(300) < 60, (labels + 1) % 3, labels)
    assert neighbour_disagreement(images, wrong, 3) == pytest.approx(0.2, abs=0.02)


def test_foreground_and_outliers():
    assert foreground_share(torch.tensor([0, 0, 1, 2])) == 0.5
    normal = torch.randn(2000, generator=torch.Generator().manual_seed(1))
    assert outlier_share(normal) < 0.01
    assert outlier_share(torch.cat([normal, torch.full((200,), 50.0)])) == pytest.approx(200 / 2200, abs=0.01)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"label_noise": 1.5}, "label_noise"),
        ({"family": "dense", "labelnoise": 0.1}, "labelnoise.*facts are: family"),
    ],
)
def test_a_wrong_fact_is_named(facts, message):
    with pytest.raises(UserError, match=message):
        Situation.of(facts)


def test_an_unknown_family_is_refused():
    with pytest.raises(UserError, match="a task family"):
        advise(Situation(family="boxes"))


@pytest.mark.parametrize(
    ("signature", "family", "first"),
    [
        ("views", "multi_view", "clip"),
        ("regression", "regression", "huber"),
        ("regression_counts", "regression", "squared_log"),
        ("survival", "survival", "cox"),
    ],
)
def test_only_losses_that_the_slot_takes_are_advised(signature: str, family: str, first: str) -> None:
    found = advise(Situation(family=family, signature=signature, outlier_share=0.1))
    assert found[0].loss == first
    assert {zoo.entry(one.loss).signature.name for one in found} == {signature}
    others = {zoo.entry(rule.loss).signature.name for rule in rules() if rule.family == family}
    assert signature in others


def test_a_task_tells_which_losses_fit() -> None:
    found = api.advise("diabetes_outliers")
    assert {zoo.entry(one.loss).signature.name for one in found} == {"regression"}


def test_signatures_that_do_not_fit_are_told():
    with pytest.raises(UserError, match="survivals"):
        Situation.of({"family": "survival", "signature": "survivals"})
    with pytest.raises(UserError, match="a signature of the family dense; found: views of multi_view"):
        Situation.of({"family": "dense", "signature": "views"})
