"""Adversarial, latent, diffusion and tracking losses: PyTorch's own, torch.distributions, or the papers' formulas."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from ..harness import Case
from ..samples import Sample, Samples

SHAPES = {"scores": (7,), "one element": (1,), "patches": (2, 3, 4), "volume": (2, 2, 3, 2)}


def _log_sigmoid(x: Tensor, real: bool) -> Tensor:
    """-log σ(x), or -log(1 - σ(x)), by PyTorch's binary cross-entropy."""
    return F.binary_cross_entropy_with_logits(x, torch.full_like(x, float(real)), reduction="none")


def gan_minimax(fake: Tensor, real: Tensor, side: str) -> Tensor:
    if side == "generator":
        return -_log_sigmoid(fake, False)
    return _log_sigmoid(real, True) + _log_sigmoid(fake, False)


def gan_non_saturating(fake: Tensor, real: Tensor, side: str) -> Tensor:
    return _log_sigmoid(fake, True) if side == "generator" else gan_minimax(fake, real, side)


def lsgan(fake: Tensor, real: Tensor, side: str) -> Tensor:
    """Equation 2 of Mao et al. with a = 0, b = c = 1."""
    if side == "generator":
        return 0.5 * F.mse_loss(fake, torch.ones_like(fake), reduction="none")
    return 0.5 * (F.mse_loss(real, torch.ones_like(real), reduction="none") + fake**2)


def hinge_gan(fake: Tensor, real: Tensor, side: str) -> Tensor:
    """Equations 16 and 17 of Miyato et al., who use Lim and Ye's."""
    return -fake if side == "generator" else F.relu(1.0 - real) + F.relu(1.0 + fake)


def wgan(fake: Tensor, real: Tensor, side: str) -> Tensor:
    return -fake if side == "generator" else fake - real


def relativistic_gan(fake: Tensor, real: Tensor, side: str, average: bool) -> Tensor:
    """Equations 9, 10, 16 and 17 of Jolicoeur-Martineau: the generator's are those with the roles exchanged."""
    first, second = (fake, real) if side == "generator" else (real, fake)
    if not average:
        return _log_sigmoid(first - second, True)
    return _log_sigmoid(first - second.mean(), True) + _log_sigmoid(second - first.mean(), False)


def relativistic_lsgan(fake: Tensor, real: Tensor, side: str) -> Tensor:
    """Equations 12 and 13 of Jolicoeur-Martineau with f(x) = (x - 1)²/2 and its mirror."""
    first, second = (fake, real) if side == "generator" else (real, fake)
    above, below = first - second.mean(), second - first.mean()
    return 0.5 * (above - torch.ones_like(above)) ** 2 + 0.5 * (below + torch.ones_like(below)) ** 2


def generator_non_saturating(fake: Tensor, real: Tensor) -> Tensor:
    return _log_sigmoid(fake, True)


def generator_minimax(fake: Tensor, real: Tensor) -> Tensor:
    return -_log_sigmoid(fake, False)


def generator_least_squares(fake: Tensor, real: Tensor) -> Tensor:
    return lsgan(fake, real, "generator")


def generator_linear(fake: Tensor, real: Tensor) -> Tensor:
    return -fake


def generator_boundary_seeking(fake: Tensor, real: Tensor) -> Tensor:
    """Equation 13 of Hjelm et al."""
    return 0.5 * (F.logsigmoid(fake) - F.logsigmoid(-fake)) ** 2


def generator_relativistic(fake: Tensor, real: Tensor, average: bool) -> Tensor:
    return relativistic_gan(fake, real, "generator", average)


def generator_relativistic_lsgan(fake: Tensor, real: Tensor) -> Tensor:
    return relativistic_lsgan(fake, real, "generator")


def _posterior(mean: Tensor, log_variance: Tensor) -> Normal:
    return Normal(mean, (0.5 * log_variance).exp())


def gaussian_prior(mean: Tensor, log_variance: Tensor, beta: float) -> Tensor:
    return beta * kl_divergence(_posterior(mean, log_variance), Normal(0.0, 1.0)).sum(1)


def free_bits(mean: Tensor, log_variance: Tensor, bits: float) -> Tensor:
    """Equation 15 of Kingma et al. with groups of one."""
    return kl_divergence(_posterior(mean, log_variance), Normal(0.0, 1.0)).mean(0).clamp(min=bits).sum()


def capacity_prior(mean: Tensor, log_variance: Tensor, capacity: float) -> Tensor:
    return (gaussian_prior(mean, log_variance, 1.0) - capacity).abs()


def reverse_kl_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return kl_divergence(prior, _posterior(mean, log_variance)).sum(1)


def jeffreys_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    return gaussian_prior(mean, log_variance, 1.0) + reverse_kl_prior(mean, log_variance)


def wasserstein_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    return (mean**2 + (_posterior(mean, log_variance).stddev - 1) ** 2).sum(1)


def renyi_prior(mean: Tensor, log_variance: Tensor, alpha: float) -> Tensor:
    """log ∫ q^α·p^(1 - α) / (α - 1), where q^α·p^(1 - α) is exp of a quadratic (Gil et al. 2013)."""
    precision = alpha * (-log_variance).exp() + 1 - alpha
    shift = alpha * mean * (-log_variance).exp()
    exponent = shift**2 / (2 * precision) - alpha * mean**2 * (-log_variance).exp() / 2
    logarithm = exponent - 0.5 * precision.log() - 0.5 * alpha * log_variance
    return (logarithm / (alpha - 1)).sum(1)


def vae(
    reconstruction: Tensor, target: Tensor, mean: Tensor, log_variance: Tensor, beta: float, norm: str = "squared"
) -> Tensor:
    error = 0.5 * (reconstruction - target) ** 2 if norm == "squared" else (reconstruction - target).abs()
    divergence = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(1)
    return error.reshape(len(error), -1).sum(1) + beta * divergence


def _per_sample(value: Tensor, like: Tensor) -> Tensor:
    return value.reshape(-1, *[1] * (like.ndim - 1))


def noise_prediction(prediction: Tensor, noise: Tensor) -> Tensor:
    return F.mse_loss(prediction, noise, reduction="none")


def denoising_score_matching(score: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Equation 5 of Song and Ermon times λ(σ) = σ², of each entry; x̃ - x = σ·ε."""
    sigma = _per_sample(sigma, score)
    return 0.5 * sigma**2 * (score + sigma * noise / sigma**2) ** 2


def min_snr(prediction: Tensor, noise: Tensor, snr: Tensor, gamma: float) -> Tensor:
    """Section 3.4 of Hang et al. for predicted noise."""
    weight = _per_sample(snr.clamp(max=gamma) / snr, prediction)
    return weight * (prediction - noise) ** 2


def _of_image(prediction: Tensor, noise: Tensor, snr: Tensor) -> tuple[Tensor, ...]:
    """Signal and noise deviations, α² + σ² = 1, and the image x̂ that predicted noise stands for where x is 0.3."""
    snr = _per_sample(snr, prediction)
    signal, deviation = (snr / (1 + snr)).sqrt(), (1 + snr).rsqrt()
    noised = signal * 0.3 + deviation * noise
    return signal, deviation, (noised - deviation * prediction) / signal


def signal_prediction(prediction: Tensor, noise: Tensor, snr: Tensor) -> Tensor:
    return (_of_image(prediction, noise, snr)[2] - 0.3) ** 2


def truncated_snr(prediction: Tensor, noise: Tensor, snr: Tensor) -> Tensor:
    """Section 4 of Salimans and Ho: the larger one of both errors."""
    return torch.maximum(signal_prediction(prediction, noise, snr), (prediction - noise) ** 2)


def velocity_prediction(prediction: Tensor, noise: Tensor, snr: Tensor) -> Tensor:
    """Appendix D of Salimans and Ho: v = α·ε - σ·x."""
    signal, deviation, image = _of_image(prediction, noise, snr)
    return (signal * prediction - deviation * image - (signal * noise - deviation * 0.3)) ** 2


def edm_weighting(prediction: Tensor, noise: Tensor, snr: Tensor, sigma_data: float) -> Tensor:
    """Table 1 of Karras et al.: λ(σ) = (σ² + s²)/(σ·s)² on the error of the image, of which x + σ·ε is noised."""
    sigma = _per_sample(snr.rsqrt(), prediction)
    image = 0.3 + sigma * noise - sigma * prediction
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2 * (image - 0.3) ** 2


def flow_matching(prediction: Tensor, noise: Tensor, snr: Tensor) -> Tensor:
    """Section 4.1 of Lipman et al.: the field ε - x on x_t = (1 - t)·x + t·ε, where x is 0.3 and follows from noise."""
    t = _per_sample(1 / (1 + snr.sqrt()), prediction)
    noised = (1 - t) * 0.3 + t * noise
    image = (noised - t * prediction) / (1 - t)
    return F.mse_loss(prediction - image, noise - 0.3, reduction="none")


def soft_min_snr(prediction: Tensor, noise: Tensor, snr: Tensor, gamma: float) -> Tensor:
    """Section 4.4 of Crowson et al.: 1/(σ² + 1/γ) on the error of the image, with SNR = 1/σ²."""
    weight = 1 / (1 / snr + 1 / gamma)
    return _per_sample(weight, prediction) * signal_prediction(prediction, noise, snr)


def p2_weighting(prediction: Tensor, noise: Tensor, snr: Tensor, k: float, gamma: float) -> Tensor:
    """Equation 8 of Choi et al. with the weight of the simple objective."""
    return _per_sample((k + snr) ** -gamma, prediction) * (prediction - noise) ** 2


def cross_correlation(response: Tensor, target: Tensor, balanced: bool = False) -> Tensor:
    """Equation 3 of Bertinetto et al.; balanced, each kind of position weighs one in all."""
    loss = F.soft_margin_loss(response, target, reduction="none")
    if not balanced:
        return loss
    return loss * balance(response, target)


def balance(response: Tensor, target: Tensor) -> Tensor:
    """The weight of each position: one over how many of its kind its image has."""
    positive = (target > 0).double().reshape(len(target), -1)
    counts = [kind.sum(1, keepdim=True).clamp(min=1) for kind in (positive, 1 - positive)]
    return (positive / counts[0] + (1 - positive) / counts[1]).reshape(target.shape)


def _normal(*shape: int, seed: int) -> Tensor:
    return 2.0 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pairs() -> list[Sample]:
    return [Sample(name, (_normal(*shape, seed=1), _normal(*shape, seed=2))) for name, shape in SHAPES.items()]


def levels(*ends: float) -> list[Tensor]:
    return [torch.full((2, 3), end, dtype=torch.float64) for end in ends]


def extreme_pairs() -> list[Sample]:
    ends = levels(1e4, -1e4, 0.0)
    return [Sample(f"{float(x[0, 0])}, {float(y[0, 0])}", (x, y)) for x in ends for y in ends]


def signs() -> list[Sample]:
    return [Sample(s.name, (s.inputs[0], torch.where(s.inputs[1] > 0, 1.0, -1.0).double())) for s in pairs()]


def extreme_signs() -> list[Sample]:
    return [
        Sample(f"{float(x[0, 0])}, {y}", (x, torch.full_like(x, y)))
        for x in levels(1e4, -1e4, 0.0)
        for y in (1.0, -1.0)
    ]


def latent() -> list[Sample]:
    return [
        Sample(s.name, (*s.inputs, _normal(len(s.inputs[0]), 3, seed=3), _normal(len(s.inputs[0]), 3, seed=4)))
        for s in pairs()
    ]


def extreme_latent() -> list[Sample]:
    inner = [(m, v) for m in (1e4, 0.0, -1e4) for v in (60.0, 0.0, -60.0)]
    ones = torch.ones(2, 4, dtype=torch.float64)
    return [
        Sample(f"{s.name}, {m}, {v}", (*s.inputs, m * ones, v * ones)) for s in extreme_pairs()[:3] for m, v in inner
    ]


def with_positive(samples: list[Sample]) -> list[Sample]:
    return [Sample(s.name, (*s.inputs, _normal(len(s.inputs[0]), seed=5).abs() + 0.05)) for s in samples]


def with_levels(samples: list[Sample], *ends: float) -> list[Sample]:
    return [
        Sample(f"{s.name}, {end}", (*s.inputs, torch.full((2,), end, dtype=torch.float64)))
        for s in samples
        for end in ends
    ]


def posterior() -> list[Sample]:
    return [Sample(s.name, s.inputs[2:]) for s in latent()]


def extreme_posterior() -> list[Sample]:
    return [Sample(s.name, s.inputs[2:]) for s in extreme_latent()]


def _empty(*widths: int) -> list[Sample]:
    shapes = [(0, width) if width else (0,) for width in widths]
    return [Sample("empty", tuple(torch.zeros(shape, dtype=torch.float64) for shape in shapes))]


SIDES = ("discriminator", "generator")
GANS = (gan_minimax, gan_non_saturating, lsgan, hinge_gan, wgan)
FLAT = (hinge_gan, wgan)
CASES = [
    *(Case(gan.__name__, gan, {"side": side}, twice=gan not in FLAT) for gan in GANS for side in SIDES),
    *(Case("relativistic_gan", relativistic_gan, {"side": s, "average": a}) for s in SIDES for a in (False, True)),
    *(Case("relativistic_lsgan", relativistic_lsgan, {"side": side}) for side in SIDES),
    Case("generator_non_saturating", generator_non_saturating),
    Case("generator_minimax", generator_minimax),
    Case("generator_least_squares", generator_least_squares),
    Case("generator_linear", generator_linear, twice=False),
    Case("generator_boundary_seeking", generator_boundary_seeking),
    *(Case("generator_relativistic", generator_relativistic, {"average": average}) for average in (False, True)),
    Case("generator_relativistic_lsgan", generator_relativistic_lsgan),
    *(Case("gaussian_prior", gaussian_prior, {"beta": beta}) for beta in (1.0, 0.01)),
    *(Case("free_bits", free_bits, {"bits": bits}) for bits in (0.1, 3.0)),
    *(Case("capacity_prior", capacity_prior, {"capacity": capacity}) for capacity in (5.0, 0.5)),
    Case("reverse_kl_prior", reverse_kl_prior),
    Case("jeffreys_prior", jeffreys_prior),
    Case("wasserstein_prior", wasserstein_prior),
    *(Case("renyi_prior", renyi_prior, {"alpha": alpha}) for alpha in (0.5, 0.9)),
    Case("vae", vae, {"beta": 1.0}),
    Case("vae", vae, {"beta": 4.0, "norm": "absolute"}),
    Case("noise_prediction", noise_prediction),
    Case("denoising_score_matching", denoising_score_matching),
    *(Case("min_snr", min_snr, {"gamma": gamma}) for gamma in (5.0, 0.5)),
    Case("soft_min_snr", soft_min_snr, {"gamma": 4.0}),
    *(Case("p2_weighting", p2_weighting, {"k": k, "gamma": gamma}) for k, gamma in ((1.0, 1.0), (0.1, 0.5))),
    Case("truncated_snr", truncated_snr),
    Case("velocity_prediction", velocity_prediction),
    *(Case("edm_weighting", edm_weighting, {"sigma_data": s}) for s in (0.5, 2.0)),
    Case("flow_matching", flow_matching),
    Case("signal_prediction", signal_prediction),
    Case("cross_correlation", cross_correlation),
    Case("cross_correlation", cross_correlation, {"balanced": True}, balance),
]

ORDINARY: dict[str, Samples] = {
    "adversarial": pairs,
    "adversarial_generator": pairs,
    "latent": latent,
    "latent_prior": posterior,
    "diffusion": pairs,
    "diffusion_score": lambda: with_positive(pairs()),
    "diffusion_snr": lambda: with_positive(pairs()),
    "response": signs,
}
EMPTY: dict[str, Samples] = {
    "adversarial": lambda: _empty(3, 3),
    "adversarial_generator": lambda: _empty(3, 3),
    "latent": lambda: _empty(3, 3, 2, 2),
    "latent_prior": lambda: _empty(2, 2),
    "diffusion": lambda: _empty(3, 3),
    "diffusion_score": lambda: _empty(3, 3, 0),
    "diffusion_snr": lambda: _empty(3, 3, 0),
    "response": lambda: _empty(3, 3),
}
EXTREME: dict[str, Samples] = {
    "adversarial": extreme_pairs,
    "adversarial_generator": extreme_pairs,
    "latent": extreme_latent,
    "latent_prior": extreme_posterior,
    "diffusion": extreme_pairs,
    "diffusion_score": lambda: with_levels(extreme_pairs(), 0.0, 1e-30, 1.0, 1e4),
    "diffusion_snr": lambda: with_levels(extreme_pairs(), 0.0, 1e-30, 1.0, 1e8),
    "response": extreme_signs,
}
