"""One file a group of task families: inputs, forms and rows."""

from __future__ import annotations

from . import box, dense, embedding, generative, image, regression
from .row import Row

ROWS: list[Row] = [
    *dense.ROWS,
    *box.ROWS,
    *regression.ROWS,
    *embedding.ROWS,
    *image.ROWS,
    *generative.ROWS,
]
