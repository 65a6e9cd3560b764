"""The components of a combined loss, and their weights."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from lossearch.report.sweep import Sweep, SweepSizes, grid, sweeps
from lossearch.report.sweeps.common import vector


def _component(buffers: dict[str, Tensor], axis: str) -> tuple[Sweep, ...]:
    values = grid(0.0, 3.0)
    others, first = vector(0.0, 1.0), vector(1.0, 0.0)
    return (
        Sweep(
            axis,
            "d(total)/d(component)",
            values,
            lambda c: (others + c * first,),
            ("losses",),
            ideal=0.0,
            untrained=1.0,
            buffers=buffers,
        ),
    )


@sweeps("weighted_components")
def _weighted_components(sizes: SweepSizes) -> tuple[Sweep, ...]:
    return _component({"weights": vector(0.5, 1.0)}, "first component, of weight ½; the second is 1, of weight 1")


@sweeps("uncertain_components")
def _uncertain_components(sizes: SweepSizes) -> tuple[Sweep, ...]:
    buffers = {"log_variance": vector(1.0, 0.0), "factor": vector(0.5, 0.5)}
    return _component(buffers, "first component, of log-variance 1; the second is 1, of log-variance 0")


@sweeps("averaged_components")
def _averaged_components(sizes: SweepSizes) -> tuple[Sweep, ...]:
    course = (vector(0.5, 1.0), vector(1.0, 1.0))
    (sweep,) = _component({}, "first component, which fell by half; the second is 1 and stood still")
    return (replace(sweep, inputs=lambda c: (*sweep.inputs(c), *course)),)


@sweeps("weights_of_components")
def _weights_of_components(sizes: SweepSizes) -> tuple[Sweep, ...]:
    others, first = vector(0.0, 1.0), vector(1.0, 0.0)
    norms = rates = vector(1.0, 1.0)
    return (
        Sweep(
            "weight of the first of two components with gradients of one size; the second's is 1",
            "dL/d(weight)",
            grid(0.0, 3.0),
            lambda w: (others + w * first, norms, rates),
            ("weights",),
            ideal=1.0,
            untrained=2.0,
        ),
    )
