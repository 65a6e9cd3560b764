"""Losses between feature maps `features[batch, channel, *space]` and `target` of one layer of any network."""

from __future__ import annotations

from lossearch import primitives as pr
from lossearch.ir.expr import Expr
from lossearch.zoo.registry import hand_designed


@hand_designed(signature="features", source="Gatys et al. 2016")
def style(features: Expr, target: Expr) -> Expr:
    """Style loss of one layer, Σ_ij (G_ij - A_ij)² / (4 N² M²) per image.

    G and A are the Gram matrices Σ_space F_i F_j of N channels over M positions.
    """
    return pr.gram_difference(features, target) / 4
