"""Gradients of losses at confident, wrong predictions: known answers."""

import math

import pytest

from lossearch import zoo
from lossearch.training.confident import MARGIN, when_wrong


def test_cross_entropy_pushes_harder_where_it_is_wrong() -> None:
    found = when_wrong(zoo.get("cross_entropy").graph)
    assert found is not None
    # Softmax less target: at equal scores 0.9 once and 0.1 nine times; where it is wrong and sure, 1 at two classes.
    sure = math.exp(MARGIN) / (math.exp(MARGIN) + 9)
    rest = (1 - sure) / 9
    wrong = math.sqrt((1 - rest) ** 2 + sure**2 + 8 * rest**2)
    assert found.share == pytest.approx(wrong / math.sqrt(0.9**2 + 9 * 0.1**2), rel=1e-9)
    assert "hardly" not in str(found)


@pytest.mark.parametrize("name", ["probability_mae", "brier", "dice", "generalized_cross_entropy", "jensen_shannon"])
def test_bounded_losses_let_go(name: str) -> None:
    found = when_wrong(zoo.get(name).graph)
    assert found is not None
    assert found.share < 0.01
    assert "hardly learns" in str(found)


def test_only_class_scores_can_be_wrong_in_this_way() -> None:
    assert when_wrong(zoo.get("mse").graph) is None
    weighted = when_wrong(zoo.get("weighted_cross_entropy").graph)
    plain = when_wrong(zoo.get("cross_entropy").graph)
    assert weighted is not None
    assert plain is not None
    assert weighted.share == pytest.approx(plain.share)
