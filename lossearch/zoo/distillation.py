"""Losses by which a student learns from a teacher's class scores: `logits`, `target` and `teacher`.

Both are [batch, class, *space]. No gradient flows to the teacher. `features` has losses between feature maps.
"""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.interval import UNIT
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import hand_designed

SIGNATURE = "distillation"
TEMPERATURE = Parameter("temperature", 4.0, 0.5, 100.0, tunable=True, log=True, search=(1.0, 20.0), defined=POSITIVE)


@hand_designed(
    signature=SIGNATURE,
    source="Hinton et al. 2015",
    parameters=[Parameter("alpha", 0.9, 0.0, 1.0, tunable=True, defined=UNIT), TEMPERATURE],
)
def knowledge_distillation(logits: Expr, target: Expr, teacher: Expr, alpha: Expr, temperature: Expr) -> Expr:
    """α·T²·KL(softmax(v/T) ‖ softmax(z/T)) + (1 - α)·CE(z, t), with the teacher's logits v.

    The factor T² keeps the size of the first term's gradient. α = 0.9 and T = 4 are usual; the paper has several.
    """
    student, known = logits / temperature, teacher / temperature
    divergence = pr.cross_entropy(student, fn.softmax(known, "class")) - pr.entropy(known)
    return alpha * (fn.square(temperature) * divergence) + (1 - alpha) * pr.cross_entropy(logits, target)


@hand_designed(
    signature=SIGNATURE,
    source="Zhao et al. 2022",
    parameters=[
        Parameter("alpha", 1.0, 0.01, 100.0, tunable=True, log=True, search=(0.1, 10.0), defined=NON_NEGATIVE),
        Parameter("beta", 8.0, 0.01, 100.0, tunable=True, log=True, search=(0.5, 32.0), defined=NON_NEGATIVE),
        TEMPERATURE,
    ],
)
def decoupled_distillation(
    logits: Expr, target: Expr, teacher: Expr, alpha: Expr, beta: Expr, temperature: Expr
) -> Expr:
    """DKD: CE(z, t) + T²·(α·KL(b' ‖ b) + β·KL(q' ‖ q)): b = (p_y, 1 - p_y), q the distribution over all classes but y.

    The primed are the teacher's; all at temperature T. In a soft target each class counts by its share: p_y = ⟨t, p⟩
    and q ∝ (1 - t)·p.
    """
    student, known = logits / temperature, teacher / temperature
    true, wrong = _shares(target), _shares(1 - target)
    yes, no = (_log_share(student, mask) for mask in (true, wrong))
    known_yes, known_no = (_log_share(known, mask) for mask in (true, wrong))
    of_target = fn.exp(known_yes) * (known_yes - yes) + fn.exp(known_no) * (known_no - no)
    others = fn.softmax(known + wrong, "class")
    ratio = fn.log_softmax(known + wrong, "class") - fn.log_softmax(student + wrong, "class")
    of_others = fn.contract(others, ratio, "class")
    return pr.cross_entropy(logits, target) + fn.square(temperature) * (alpha * of_target + beta * of_others)


HIDDEN = -1e6
"""What stands for log 0: below any difference of scores, even at a low temperature."""


def _shares(target: Expr) -> Expr:
    """Logarithms of shares; of none, a number so low that its exponential is zero beside any other."""
    return fn.where(fn.greater(target, 0.0), fn.log(target), HIDDEN)


def _log_share(scores: Expr, shares: Expr) -> Expr:
    """log Σ share·p, with p the softmax of scores."""
    return fn.logsumexp(fn.log_softmax(scores, "class") + shares, "class")
