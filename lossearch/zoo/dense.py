"""Losses for classification and segmentation: `logits[batch, class, *space]`, `target` of the same axes.

A target is one-hot, a soft distribution, or integer labels [batch, *space]. A loss that is published for labels is
applied to a soft target as its expectation over labels drawn from it.
"""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.interval import UNIT
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, REAL, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import ONE, Numbers, choose, each, hand_designed, within

SIGNATURE = "dense"


@hand_designed(signature=SIGNATURE, source="Good 1952")
def cross_entropy(logits: Expr, target: Expr, *, label_smoothing: float = 0.0) -> Expr:
    """Cross-entropy, -Σ_c t_c log p_c, as `torch.nn.functional.cross_entropy`.

    `label_smoothing=s` takes (1 - s)·t + s/C for t; `label_smoothing_cross_entropy` has s as a parameter to tune. Class
    weights `weight` are PyTorch's in either form, also for soft targets.
    """
    if within("label_smoothing", label_smoothing, 0.0, 1.0) == 0.0:
        return pr.cross_entropy(logits, target)
    return pr.label_smoothed_cross_entropy(logits, target, fn.constant(label_smoothing))


@hand_designed(signature=SIGNATURE, source="King and Zeng 2001")
def weighted_cross_entropy(logits: Expr, target: Expr, class_weight: Expr) -> tuple[Expr, Expr]:
    """Cross-entropy weighted by class, as `torch.nn.functional.cross_entropy(weight=class_weight)`.

    The mean divides by the sum of the elements' weights Σ_c w_c t_c. For integer labels so does PyTorch; for soft
    targets PyTorch's mean divides by the number of elements instead, as does that of `cross_entropy` given a `weight`.
    """
    return pr.class_weighted_cross_entropy(logits, target, class_weight), fn.contract(target, class_weight, "class")


@hand_designed(
    signature=SIGNATURE,
    source="Kullback and Leibler 1951",
    variants={("log_target", True): "dense_log_target"},
)
def kl_divergence(logits: Expr, target: Expr, *, log_target: bool = False) -> Expr:
    """Kullback-Leibler divergence Σ_c t_c (log t_c - log p_c), as `torch.nn.functional.kl_div`, summed over classes.

    Cross-entropy less the target's entropy: the same gradient, and zero where the prediction is right. It takes logits
    where PyTorch's takes log-probabilities (log-softmax changes them no more, so these can be given too), and its mean
    is over elements: PyTorch's "batchmean" where there is no space. PyTorch's own "mean" also divides by the classes.
    `log_target=True` takes logarithms of the target's probabilities.
    """
    if choose("log_target", log_target, {False: False, True: True}):
        return fn.sum(fn.exp(target) * (target - fn.log_softmax(logits, "class")), "class")
    return pr.cross_entropy(logits, target) + fn.sum(target * fn.log(target), "class")


@hand_designed(
    signature=SIGNATURE,
    source="Szegedy et al. 2016",
    parameters=[Parameter("smoothing", 0.1, 0.0, 0.95, tunable=True, defined=UNIT)],
)
def label_smoothing_cross_entropy(logits: Expr, target: Expr, smoothing: Expr) -> Expr:
    """Cross-entropy to (1 - s)·t + s/C, as `torch.nn.functional.cross_entropy(label_smoothing=s)`."""
    return pr.label_smoothed_cross_entropy(logits, target, smoothing)


@hand_designed(
    signature=SIGNATURE,
    source="Lin et al. 2017",
    parameters=[Parameter("gamma", 2.0, 0.0, 10.0, tunable=True, defined=NON_NEGATIVE)],
)
def focal(logits: Expr, target: Expr, gamma: Expr, *, alpha: Numbers = ONE) -> Expr:
    """Focal loss over softmax, -Σ_c α_c t_c (1 - p_c)^γ log p_c; cross-entropy at γ = 0.

    `alpha` is a factor, or one for each class. The mean divides by the number of elements, where that of class weights
    given as `weight` divides by their sum. `binary_focal` has a sigmoid for each class and weighs presence against
    absence.
    """
    modulated = pr.modulating_factor(fn.softmax(logits, "class"), gamma) * -fn.log_softmax(logits, "class")
    if within("alpha", alpha, 0.0) != 1.0:
        modulated = each(alpha, logits, "class") * modulated
    return fn.contract(target, modulated, "class")


@hand_designed(
    signature=SIGNATURE,
    source="Weston and Watkins 1999",
    parameters=[Parameter("margin", 1.0, 0.0, 100.0, tunable=True, search=(0.0, 10.0), defined=NON_NEGATIVE)],
)
def hinge(logits: Expr, target: Expr, margin: Expr, *, p: int = 1) -> Expr:
    """Multi-class hinge Σ_{c≠y} max(m - x_y + x_c, 0)^p/C, as `torch.nn.functional.multi_margin_loss`; p is 1 or 2.

    For a soft target the expected score Σ_c t_c x_c stands for x_y. The mean divides by the number of elements whatever
    the class weights `weight` are, as PyTorch's does.
    """
    penalty = choose("p", p, {1: pr.multiclass_hinge, 2: pr.squared_multiclass_hinge})
    return penalty(logits, target, margin)


@hand_designed(signature=SIGNATURE, source="Brier 1950")
def brier(logits: Expr, target: Expr) -> Expr:
    """Brier score Σ_c (p_c - t_c)², between 0 and 2."""
    return pr.squared_probability_error(logits, target)


@hand_designed(signature=SIGNATURE, source="Ghosh et al. 2017")
def probability_mae(logits: Expr, target: Expr) -> Expr:
    """Absolute error of the probabilities Σ_c |p_c - t_c|, between 0 and 2: 2(1 - p_y) for a label."""
    return pr.absolute_probability_error(logits, target)


@hand_designed(
    signature=SIGNATURE,
    source="Zhang and Sabuncu 2018",
    parameters=[Parameter("q", 0.7, 0.01, 1.0, tunable=True, defined=POSITIVE)],
    limits={("q", 0.0): cross_entropy},
)
def generalized_cross_entropy(logits: Expr, target: Expr, q: Expr) -> Expr:
    """Generalised cross-entropy Σ_c t_c (1 - p_c^q)/q: cross-entropy as q → 0, half `probability_mae` at q = 1."""
    return pr.generalized_cross_entropy(logits, target, q)


@hand_designed(
    signature=SIGNATURE,
    source="Wang et al. 2019",
    parameters=[
        Parameter("alpha", 0.1, 1e-3, 100.0, tunable=True, log=True, search=(0.01, 10.0), defined=NON_NEGATIVE),
        Parameter("beta", 1.0, 1e-3, 100.0, tunable=True, log=True, search=(0.01, 10.0), defined=NON_NEGATIVE),
        Parameter("log_zero", -4.0, -20.0, -0.1, defined=(-27.0, 0.0)),
    ],
)
def symmetric_cross_entropy(logits: Expr, target: Expr, alpha: Expr, beta: Expr, log_zero: Expr) -> Expr:
    """Symmetric cross-entropy α·CE + β·RCE with RCE = -Σ_c p_c max(log t_c, A); `log_zero` A stands for log 0.

    A = -4 is the paper's; the authors' code holds the target at 1e-4 or more, which is A = -9.21. α and β are the
    paper's for CIFAR-10; its other tasks have larger ones.
    """
    reverse = pr.reverse_cross_entropy(logits, target, log_zero)
    return alpha * pr.cross_entropy(logits, target) + beta * reverse


@hand_designed(
    signature=SIGNATURE,
    source="Leng et al. 2022",
    parameters=[Parameter("epsilon", 1.0, -1.0, 100.0, tunable=True, search=(-1.0, 10.0), defined=REAL)],
)
def poly1(logits: Expr, target: Expr, epsilon: Expr) -> Expr:
    """Poly-1 cross-entropy CE + ε(1 - p_y), with p_y = Σ_c t_c p_c."""
    true_probability = pr.true_class_probability(logits, target)
    return pr.cross_entropy(logits, target) + pr.poly1_term(true_probability, epsilon)


@hand_designed(
    signature=SIGNATURE,
    source="Wu et al. 2016",
    parameters=[Parameter("share", 0.1, 0.001, 1.0, tunable=True, log=True, search=(0.02, 1.0), defined=(1e-6, 1.0))],
)
def top_k_cross_entropy(logits: Expr, target: Expr, share: Expr) -> Expr:
    """Mean cross-entropy of the hardest elements of the batch, a `share` of all, at least one: one number.

    Online hard example mining, as the TopK loss of nnU-Net, whose share is 0.1. `cross_entropy`'s mean at share 1.
    """
    elements = fn.merge(pr.cross_entropy(logits, target))
    # Once ordered, places are ranks: an element that a mask leaves out has loss 0 and comes last.
    hardest_first = fn.rename(fn.sort_by(elements, elements, "element"), "element", "rank")
    place = fn.position(hardest_first, "rank")
    chosen = fn.where(fn.less(place, share * fn.size(elements, "element")), 1.0, 0.0)
    return fn.contract(hardest_first, chosen, "rank") / fn.clamp(fn.sum(chosen, "rank"), lower=1.0)
