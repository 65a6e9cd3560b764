"""Losses of adversarial training, from a discriminator's scores: `fake[batch, *space]` and `real[batch, *space]`.

`side` is "discriminator" or "generator"; a generator's loss looks at `fake` alone, unless it is relativistic.
Conditional models condition their scores, not the loss. Generators' losses, `generator_…`, have a signature of their
own, so that a search for one begins with them.
"""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import choose, hand_designed

SIGNATURE = "adversarial"
GENERATOR = "adversarial_generator"


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
    return _side(side, _relativistic(real, fake, average), _relativistic(fake, real, average))


def _relativistic(high: Expr, low: Expr, average: bool) -> Expr:
    """Asks for `high` scores above `low` ones."""
    if choose("average", average, {False: False, True: True}):
        return fn.softplus(-(high - _average(low))) + fn.softplus(low - _average(high))
    return fn.softplus(low - high)


def _relativistic_squares(high: Expr, low: Expr) -> Expr:
    return (fn.square(high - _average(low) - 1) + fn.square(low - _average(high) + 1)) / 2


def _average(scores: Expr) -> Expr:
    return fn.mean(scores, ("batch", "space"))


@hand_designed(signature=SIGNATURE, source="Jolicoeur-Martineau 2019")
def relativistic_lsgan(fake: Expr, real: Expr, *, side: str = "discriminator") -> Expr:
    """Relativistic least squares, RaLSGAN: discriminator ((r - f̄ - 1)² + (f - r̄ + 1)²)/2.

    Each sample is set beside the mean score of the other kind over the batch; the generator has the roles exchanged.
    """
    return _side(side, _relativistic_squares(real, fake), _relativistic_squares(fake, real))


@hand_designed(signature=GENERATOR, source="Goodfellow et al. 2014")
def generator_non_saturating(fake: Expr) -> Expr:
    """Non-saturating generator -log σ(f)."""
    return fn.softplus(-fake)


@hand_designed(signature=GENERATOR, source="Goodfellow et al. 2014")
def generator_minimax(fake: Expr) -> Expr:
    """Minimax generator log(1 - σ(f)), without a gradient where the discriminator is sure."""
    return -fn.softplus(fake)


@hand_designed(signature=GENERATOR, source="Mao et al. 2017")
def generator_least_squares(fake: Expr) -> Expr:
    """Least squares generator (f - 1)²/2."""
    return fn.square(fake - 1) / 2


@hand_designed(signature=GENERATOR, source="Arjovsky et al. 2017")
def generator_linear(fake: Expr) -> Expr:
    """The generator's -f of Wasserstein and hinge discriminators."""
    return -fake


@hand_designed(signature=GENERATOR, source="Hjelm et al. 2018")
def generator_boundary_seeking(fake: Expr) -> Expr:
    """Boundary-seeking generator (log D - log(1 - D))²/2 = f²/2, with D = σ(f): least where D is 1/2."""
    return fn.square(fake) / 2


@hand_designed(signature=GENERATOR, source="Jolicoeur-Martineau 2019")
def generator_relativistic(fake: Expr, real: Expr, *, average: bool = False) -> Expr:
    """Relativistic generator -log σ(f - r), each generated sample beside a real one.

    `average=True` sets samples beside the other kind's mean: -log σ(f - r̄) - log(1 - σ(r - f̄)).
    """
    return _relativistic(fake, real, average)


@hand_designed(signature=GENERATOR, source="Jolicoeur-Martineau 2019")
def generator_relativistic_lsgan(fake: Expr, real: Expr) -> Expr:
    """Relativistic least squares generator ((f - r̄ - 1)² + (r - f̄ + 1)²)/2, with means over the batch."""
    return _relativistic_squares(fake, real)
