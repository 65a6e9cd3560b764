"""Losses of adversarial training, from a discriminator's scores: `fake[batch, *space]` and `real[batch, *space]`.

`side` is "discriminator" or "generator"; a generator's loss looks at `fake` alone. Conditional models condition their
scores, not the loss.
"""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import choose, hand_designed

SIGNATURE = "adversarial"


def _side(side: str, discriminator: Expr, generator: Expr) -> Expr:
    return choose("side", side, {"discriminator": discriminator, "generator": generator})


@hand_designed(signature=SIGNATURE, source="Goodfellow et al. 2014")
def gan_minimax(fake: Expr, real: Expr, *, side: str = "discriminator") -> Expr:
    """Minimax game: discriminator -log σ(r) - log(1 - σ(f)), generator log(1 - σ(f))."""
    return _side(side, fn.softplus(-real) + fn.softplus(fake), -fn.softplus(fake))


@hand_designed(signature=SIGNATURE, source="Goodfellow et al. 2014")
def gan_non_saturating(fake: Expr, real: Expr, *, side: str = "discriminator") -> Expr:
    """Non-saturating form: generator -log σ(f), with a gradient where the discriminator is sure; else as minimax."""
    return _side(side, fn.softplus(-real) + fn.softplus(fake), fn.softplus(-fake))


@hand_designed(signature=SIGNATURE, source="Mao et al. 2017")
def lsgan(fake: Expr, real: Expr, *, side: str = "discriminator") -> Expr:
    """Least squares: discriminator ((r - 1)² + f²)/2, generator (f - 1)²/2."""
    return _side(side, (fn.square(real - 1) + fn.square(fake)) / 2, fn.square(fake - 1) / 2)


@hand_designed(signature=SIGNATURE, source="Lim and Ye 2017")
def hinge_gan(fake: Expr, real: Expr, *, side: str = "discriminator") -> Expr:
    """Hinge: discriminator max(1 - r, 0) + max(1 + f, 0), generator -f."""
    return _side(side, fn.relu(1 - real) + fn.relu(1 + fake), -fake)


@hand_designed(signature=SIGNATURE, source="Arjovsky et al. 2017")
def wgan(fake: Expr, real: Expr, *, side: str = "discriminator") -> Expr:
    """Wasserstein: critic f - r, generator -f. The critic's Lipschitz bound is the training's business."""
    return _side(side, fake - real, -fake)


@hand_designed(signature=SIGNATURE, source="Jolicoeur-Martineau 2019")
def relativistic_gan(fake: Expr, real: Expr, *, side: str = "discriminator", average: bool = False) -> Expr:
    """Relativistic: discriminator -log σ(r - f), generator -log σ(f - r), each real sample beside a generated one.

    `average=True` sets samples beside the other kind's mean score over the batch, RaGAN: discriminator -log σ(r - f̄) -
    log(1 - σ(f - r̄)), generator with the roles exchanged.
    """
    if choose("average", average, {False: False, True: True}):
        above_fake, above_real = real - _average(fake), fake - _average(real)
        ours, theirs = (
            fn.softplus(-above_fake) + fn.softplus(above_real),
            fn.softplus(above_fake) + fn.softplus(-above_real),
        )
        return _side(side, ours, theirs)
    return _side(side, fn.softplus(fake - real), fn.softplus(real - fake))


def _average(scores: Expr) -> Expr:
    return fn.mean(scores, ("batch", "space"))
