"""One row per loss and set of arguments: what the harness runs through every check."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from . import oracles, samples
from .families import MODULES
from .harness import Case

CASES = [
    Case("cross_entropy", oracles.cross_entropy),
    *(
        Case("label_smoothing_cross_entropy", oracles.label_smoothing_cross_entropy, {"smoothing": s})
        for s in (0.0, 0.1, 0.7)
    ),
    *(Case("focal", oracles.focal, {"gamma": gamma}) for gamma in (0.0, 0.5, 2.0)),
    *(Case("hinge", oracles.hinge, {"margin": margin}) for margin in (1.0, 0.3)),
    Case("brier", oracles.brier),
    Case("probability_mae", oracles.probability_mae),
    *(Case("generalized_cross_entropy", oracles.generalized_cross_entropy, {"q": q}) for q in (0.01, 0.7, 1.0)),
    Case("symmetric_cross_entropy", oracles.symmetric_cross_entropy, {"alpha": 0.1, "beta": 1.0, "log_zero": -4.0}),
    Case("symmetric_cross_entropy", oracles.symmetric_cross_entropy, {"alpha": 6.0, "beta": 0.1, "log_zero": -1.0}),
    *(Case("poly1", oracles.poly1, {"epsilon": epsilon}) for epsilon in (-1.0, 1.0, 15.0)),
    Case("dice", oracles.dice, {"smooth": 1e-5}),
    Case("dice", oracles.dice, {"smooth": 1.0, "squared": False}),
    Case("dice", oracles.dice, {"smooth": 1.0, "per": "image"}),
    Case("dice", oracles.dice, {"smooth": 1e-5, "per": "image", "squared": False}),
    Case("jaccard", oracles.jaccard, {"smooth": 1e-5}),
    Case("jaccard", oracles.jaccard, {"smooth": 1.0, "per": "image"}),
    Case("tversky", oracles.tversky, {"alpha": 0.3, "beta": 0.7, "smooth": 1e-5}),
    Case("tversky", oracles.tversky, {"alpha": 2.0, "beta": 0.0, "smooth": 1.0, "per": "image"}),
    Case("giou", oracles.giou),
    Case("box_l1", oracles.box_l1, twice=False),
    *(Case("box_smooth_l1", oracles.box_smooth_l1, {"beta": beta}) for beta in (1.0, 0.2)),
    *(Case("iou", oracles.iou, {"form": form}) for form in ("linear", "log")),
    Case("diou", oracles.diou),
    Case("ciou", oracles.ciou),
    Case("eiou", oracles.eiou),
    *(Case("gaussian_wasserstein", oracles.gaussian_wasserstein, {"tau": 1.0, "form": f}) for f in ("sqrt", "log")),
    *(Case("normalized_wasserstein", oracles.normalized_wasserstein, {"constant": c}) for c in (12.8, 2.0)),
    *(Case("normalized_softmax", oracles.normalized_softmax, {"scale": scale}) for scale in (64.0, 4.0)),
    *(Case("cosface", oracles.cosface, {"margin": m, "scale": s}) for m, s in ((0.35, 64.0), (0.0, 8.0))),
    *(
        Case("arcface", oracles.arcface, {"margin": margin, "scale": scale})
        for margin, scale in ((0.5, 64.0), (0.0, 1.0), (1.2, 16.0))
    ),
    *(Case("sphereface", oracles.sphereface, {"margin": m, "scale": s}) for m, s in ((1.4, 64.0), (3.0, 8.0))),
    *(Case("curricularface", oracles.curricularface, {"margin": m, "scale": s}) for m, s in ((0.5, 64.0), (1.2, 4.0))),
    *(Case("proxy_anchor", oracles.proxy_anchor, {"margin": m, "scale": s}) for m, s in ((0.1, 32.0), (0.3, 4.0))),
    Case("style", oracles.style),
]


def collect(modules: Sequence[ModuleType]) -> None:
    """Add what each family's file declares: cases, and samples by signature."""
    for module in modules:
        CASES.extend(module.CASES)
        for kind in ("ORDINARY", "EMPTY", "EXTREME"):
            known, new = getattr(samples, kind), getattr(module, kind)
            assert not known.keys() & new.keys(), "each signature's samples are declared once"
            known.update(new)


collect(MODULES)
