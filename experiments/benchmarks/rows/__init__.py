"""One file a group of task families: inputs, forms and rows."""

from __future__ import annotations

from . import (
    boundary,
    box,
    dense,
    embedding,
    generative,
    image,
    long_tailed,
    one_vs_rest,
    parametric,
    regression,
    robust,
)
from .row import Row

ROWS: list[Row] = [
    *dense.ROWS,
    *long_tailed.ROWS,
    *robust.ROWS,
    *parametric.ROWS,
    *one_vs_rest.ROWS,
    *boundary.ROWS,
    *box.ROWS,
    *regression.ROWS,
    *embedding.ROWS,
    *image.ROWS,
    *generative.ROWS,
]
