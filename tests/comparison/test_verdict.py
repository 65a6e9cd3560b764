from __future__ import annotations

from dataclasses import replace

import pytest

from lossearch import zoo
from lossearch.comparison.assembly import assemble
from lossearch.comparison.comparison import Comparison
from lossearch.comparison.result import Compared
from lossearch.comparison.tuning import Tuned
from lossearch.comparison.tuning_space import Hyperparameters
from lossearch.comparison.verdict import Units, p_text
from lossearch.tasks import metric

SPREAD = (-0.004, 0.001, 0.003, 0.0, -0.002, 0.004, -0.001, 0.002, 0.005, -0.003)


def measured(name: str, mean: float | None, source: str = "hand-designed", wobble: float = 0.0) -> Compared:
    tuned = Tuned(
        zoo.get("cross_entropy"), 0.1, Hyperparameters({}, 0.1), mean, (), {}, "digits_noise", metric("accuracy")
    )
    values = () if mean is None else tuple(mean + s + wobble * (-1) ** k for k, s in enumerate(SPREAD))
    return Compared(name, source, tuned, values, "" if values else "diverged: boom")  # pyright: ignore[reportArgumentType]


def assembled(*compared: Compared, judged_by: str = "accuracy") -> Comparison:
    return assemble("digits_noise", metric(judged_by), compared, tuple(range(len(SPREAD))), {}, 0.95)


BAR = measured("poly1", 0.90)
OTHER = measured("focal", 0.88)


def test_a_discovered_loss_that_wins() -> None:
    comparison = assembled(OTHER, BAR, measured("found", 0.912, "discovered", wobble=0.001))
    assert comparison.reference == "poly1"
    text = comparison.verdict
    assert text.startswith("found beats the best tuned hand-designed loss poly1 by 1.2 points [")
    assert "p = 0.0039" in text  # twice 2 / 2**10, for two losses
    assert text.endswith("; noise floor 0.3.")
    row = comparison.rows[0]
    assert (row.loss, row.better) == ("found", True)


def test_a_discovered_loss_within_the_noise() -> None:
    comparison = assembled(BAR, measured("found", 0.901, "discovered", wobble=0.01))
    assert comparison.verdict.startswith(
        "found does not beat the best tuned hand-designed loss poly1: difference +0.1 points [-"
    )


def test_a_discovered_loss_that_loses() -> None:
    comparison = assembled(BAR, measured("found", 0.89, "discovered", wobble=0.001))
    assert "found is worse than the best tuned hand-designed loss poly1 by 1.0 points [0." in comparison.verdict


@pytest.mark.parametrize(("mean", "verb"), [(0.3, "beats"), (0.5, "is worse than")])
def test_of_a_metric_to_be_minimised_less_is_better(mean: float, verb: str) -> None:
    found = measured("found", mean, "discovered", wobble=0.001)
    worse = measured("focal", 0.6)
    comparison = assembled(measured("poly1", 0.4), found, worse, judged_by="negative_log_likelihood")
    assert comparison.reference == "poly1"
    assert f"found {verb} the best tuned hand-designed loss poly1 by 0.100" in comparison.verdict
    assert comparison.rows[-1].loss == "focal"


def test_without_discovered_losses_it_names_the_best() -> None:
    text = assembled(OTHER, BAR).verdict
    assert text.startswith("The best hand-designed loss: poly1 with 90.1 % [")
    assert "next focal, difference -2.0 points" in text


def test_failures_are_named() -> None:
    failed = measured("found", None, "discovered")
    assert assembled(BAR, failed).verdict.startswith("No discovered loss could be trained; the best")
    assert assembled(failed).verdict == "No loss could be trained, so nothing can be said."
    assert assembled(BAR, failed).rows[-1].loss == "found"


def constant(name: str, value: float, **others: float) -> Compared:
    told = tuple({"accuracy": value} | {key: seed * one for key, one in others.items()} for seed in range(len(SPREAD)))
    return replace(measured(name, value), values=(value,) * len(SPREAD), all_metrics=told)


def test_seeds_that_change_nothing_are_told_with_their_cause() -> None:
    unused = assembled(constant("poly1", 0.9), constant("focal", 0.8)).verdict
    assert "p = 1. digits_noise gives the same accuracy with every seed; it does not use `seed`. So p-" in unused
    assert "noise floor" not in unused
    perfect = assembled(constant("poly1", 1.0), constant("focal", 1.0)).verdict
    assert "does not use `seed`, or the metric does not tell these trainings apart. So p-values" in perfect
    coarse = assembled(constant("poly1", 0.9, nll=0.1), constant("focal", 0.8)).verdict
    assert "Every loss gives the same accuracy with every seed on the test split, though trainings" in coarse
    assert "seed" not in assembled(constant("poly1", 0.9), OTHER).verdict


def test_without_hand_designed_losses_it_says_so() -> None:
    text = assembled(measured("found", 0.9, "discovered")).verdict
    assert text.startswith("No hand-designed loss could be compared; found with")


def test_units_of_fractions_are_points() -> None:
    fraction, nats = Units.of(metric("accuracy")), Units.of(metric("negative_log_likelihood"))
    assert (fraction.value(0.9042), fraction.difference(0.008)) == ("90.4", "+0.8")
    assert nats.value(0.41234) == "0.412"
    assert (p_text(0.0001), p_text(0.0123)) == ("< 0.001", "0.012")
