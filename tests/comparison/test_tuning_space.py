from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossearch import zoo
from lossearch.comparison.tuning_space import EXTENSION, LEARNING_RATE, OCTAVES, Edge, TuningSpace
from lossearch.ir.core.graph import Parameter

GAMMA = Parameter("gamma", 2.0, 0.0, 10.0, tunable=True)
EPSILON = Parameter("epsilon", 1.0, -1.0, 100.0, tunable=True)
NEAR_TOP = Parameter("keep", 0.99, 0.0, 1.0, tunable=True)
SMOOTH = Parameter("smooth", 1e-5, 1e-6, 1e3, tunable=True, log=True)
FIXED = Parameter("fixed", 3.0, 1.0, 5.0)
WIDE = Parameter("margin", 1.0, 0.0, 100.0, tunable=True, search=(0.0, 10.0))
WIDE_LOG = Parameter("smooth", 1e-4, 1e-6, 1e3, tunable=True, log=True, search=(1e-5, 10.0))


def space(*parameters: Parameter, centre: float = 0.1) -> TuningSpace:
    return TuningSpace.of(parameters, centre)


@st.composite
def parameters(draw: st.DrawFn) -> Parameter:
    log = draw(st.booleans())
    low = draw(st.floats(1e-6, 10.0)) if log else draw(st.floats(-50.0, 50.0))
    high = low + draw(st.floats(0.1, 100.0))
    default = min(max(low + (high - low) * draw(st.floats(0.0, 1.0)), low), high)
    lower = low * draw(st.floats(0.01, 1.0)) if log else low - draw(st.floats(0.0, 100.0))
    upper = high + draw(st.floats(0.0, 1000.0))
    return Parameter("x", default, lower, upper, tunable=True, log=log, search=(low, high))


@given(parameters())
def test_unit_interval_covers_the_search_monotonically_and_meets_the_default(parameter: Parameter) -> None:
    one = space(parameter)
    values = [one.setting((0.5, unit / 20)).parameters["x"] for unit in range(21)]
    low, high = parameter.searched
    width = high - low
    rounding = 0.01 * max(abs(low), abs(high))
    assert values[0] == pytest.approx(low, abs=rounding)
    assert values[-1] == pytest.approx(high, abs=rounding)
    assert values == sorted(values)
    assert all(parameter.lower <= value <= parameter.upper for value in values)
    assert one.setting(one.default).parameters["x"] == pytest.approx(parameter.default, abs=0.01 * width + rounding)


@given(parameters())
def test_coordinates_beyond_the_search_reach_the_bounds_monotonically(parameter: Parameter) -> None:
    one = space(parameter)
    start, end = one.limits[1]
    assert start <= 1e-9
    assert end >= 1 - 1e-9
    units = [start + (end - start) * step / 50 for step in range(51)]
    values = [one.setting((0.5, unit)).parameters["x"] for unit in units]
    assert values == sorted(values)
    assert values[0] == pytest.approx(parameter.lower, rel=0.01, abs=1e-6)
    assert values[-1] == pytest.approx(parameter.upper, rel=0.01, abs=1e-6)


@pytest.mark.parametrize("parameter", [EPSILON, NEAR_TOP])
def test_a_default_near_a_bound_gets_fine_steps_there(parameter: Parameter) -> None:
    unit = space(parameter).default[1]
    assert min(unit, 1 - unit) == pytest.approx(0.25)


def test_fixed_parameters_are_not_tuned() -> None:
    assert [p.name for p in space(GAMMA, FIXED, SMOOTH).parameters] == ["gamma", "smooth"]


@pytest.mark.parametrize("tuned", [(), (GAMMA,), (GAMMA, EPSILON, SMOOTH)])
def test_first_points_begin_with_the_defaults_and_fill_the_space(tuned: tuple[Parameter, ...]) -> None:
    one = space(*tuned)
    points = one.first_points(24)
    assert points[0] == one.default or not tuned
    assert len(set(points)) == 24
    for axis in range(len(one.default)):
        coordinates = sorted(point[axis] for point in points)
        assert coordinates[0] == 0.0
        assert coordinates[-1] == 1.0
        assert max(b - a for a, b in itertools.pairwise(coordinates)) < 0.1
    assert one.first_points(1) == [one.default]
    assert one.first_points(2)[0] == one.default


def test_learning_rates_span_more_than_three_decades() -> None:
    one = space(centre=0.1)
    assert one.setting((1.0,)).learning_rate / one.setting((0.0,)).learning_rate == pytest.approx(2**OCTAVES, rel=0.01)
    assert 2**OCTAVES > 1e3
    assert one.setting((0.5,)).learning_rate == 0.1


def test_points_around_the_best_stay_in_the_bounds_and_in_the_box() -> None:
    one = space(GAMMA)
    for point in one.points_around((0.7, 0.02), 0.125, 20, {}, start=10):
        assert 0.575 <= point[0] <= 0.825
        assert 0.0 <= point[1] <= 0.25  # shifted, not cut


@pytest.mark.parametrize(("side", "sign"), [("low", -1), ("high", 1)])
def test_a_learning_rate_at_an_edge_is_passed(side: str, sign: int) -> None:
    one = space()
    best = 0.98 if side == "high" else 0.02
    points = one.points_around((best,), 0.125, 20, {LEARNING_RATE: side}, start=5)  # pyright: ignore[reportArgumentType]
    distances = [sign * (point[0] - best) * OCTAVES for point in points]
    assert min(distances) > 0
    assert max(distances) == pytest.approx(EXTENSION)


def values_around(parameter: Parameter, unit: float, edges: dict[str, Edge]) -> list[float]:
    one = space(parameter)
    points = one.points_around((0.5, unit), 0.125, 20, edges, start=5)
    return [one.setting(point).parameters[parameter.name] for point in points]


def test_a_parameter_at_an_edge_of_its_search_goes_on_towards_its_bounds() -> None:
    values = values_around(WIDE, 1.0, {"margin": "high"})
    assert min(values) > 10.0
    assert max(values) == pytest.approx(20.0)  # the range is doubled
    values = values_around(WIDE_LOG, 1.0, {"smooth": "high"})
    assert min(values) > 10.0
    assert max(values) == pytest.approx(1e3)  # a third of six decades, which is where the bounds end
    values = values_around(WIDE_LOG, 0.0, {"smooth": "low"})
    assert max(values) < 1e-5
    assert min(values) == pytest.approx(1e-6)


def test_a_parameter_at_its_bounds_has_nowhere_to_go() -> None:
    values = values_around(WIDE, 0.0, {"margin": "low"})
    assert 0.0 <= min(values) < 0.1
    assert 0.5 < max(values) < 1.0  # a box of the usual size


def test_an_edge_of_the_search_is_none_once_values_beyond_it_were_tried() -> None:
    one = space(WIDE)
    inside, beyond = (0.5, 0.98), (0.5, 1.3)
    around = [(0.4, 0.5), (0.6, 0.5)]
    assert one.edges(inside, [*around, inside]) == {"margin": "high"}
    assert one.edges(inside, [*around, inside, beyond]) == {}
    assert one.edges(beyond, [*around, inside, beyond]) == {"margin": "high"}


def test_edges_are_those_of_what_was_tried_and_of_the_bounds() -> None:
    one = space(GAMMA)
    tried = [(0.1, 0.5), (0.5, 0.5), (0.9, 0.5)]
    assert one.edges((0.5, 0.5), tried) == {}
    assert one.edges((0.1, 0.5), tried) == {"learning_rate": "low"}
    assert one.edges((0.9, 0.99), tried) == {"learning_rate": "high", "gamma": "high"}
    assert one.edges((0.5, 0.01), tried) == {"gamma": "low"}
    assert one.edges((0.9, 0.5), [*tried, (0.95, 0.5)]) == {}


def test_every_setting_can_be_bound_to_its_loss() -> None:
    for name in zoo.names(signature="dense"):
        loss = zoo.get(name)
        one = TuningSpace.of(loss.parameters, 0.01)
        for point in one.first_points(16):
            bound = loss.bind(**one.setting(point).parameters)
            assert all(math.isfinite(p.default) for p in bound.parameters)


def test_without_a_learning_rate_points_are_of_the_parameters_alone() -> None:
    one = TuningSpace.of([GAMMA, SMOOTH], 0.1, tunes_rate=False)
    assert one.names == ("gamma", "smooth")
    points = [*one.first_points(5), *one.points_around(one.default, 0.25, 3, {}, 5)]
    assert len(set(points)) == 8
    assert {one.setting(point).learning_rate for point in points} == {0.1}
    assert one.edges(points[0], points).get(LEARNING_RATE) is None
    assert one.edges((0.99, 0.5), points) == {"gamma": "high"}
    nothing = TuningSpace.of([FIXED], 0.1, tunes_rate=False)
    assert (nothing.names, nothing.first_points(7), nothing.edges((), [()])) == ((), [()], {})
