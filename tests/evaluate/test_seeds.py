"""What is proven is proven on seeds that nothing was chosen by."""

from itertools import combinations

import pytest

from lossearch.evaluate import seeds
from lossearch.evaluate.compare import compare
from lossearch.evaluate.tuning import Budget
from lossearch.tasks import Task


def test_each_purpose_has_seeds_of_its_own():
    purposes = (seeds.SCORING, seeds.COMPARISON, seeds.TUNING, seeds.CONSTANTS)
    for one, other in combinations(purposes, 2):
        assert set(one).isdisjoint(other)
    budget = Budget()
    assert set(budget.first_seeds + budget.further_seeds) <= set(seeds.TUNING)


def test_a_comparison_refuses_the_seed_that_chose_constants():
    from lossearch.errors import UserError

    with pytest.raises(UserError, match=r"seeds that tuning does not use.*30000"):
        compare(Task("digits_noise"), ["focal"], [seeds.CONSTANTS[0], 5], baselines=False)
