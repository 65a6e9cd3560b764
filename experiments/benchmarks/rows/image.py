"""Images and feature maps: PyTorch, torchmetrics, kornia and MONAI."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from kornia.losses import charbonnier_loss
from kornia.losses import total_variation as kornia_total_variation
from kornia.metrics import ssim as kornia_ssim
from monai.losses.ssim_loss import SSIMLoss
from monai.metrics.regression import compute_ms_ssim
from torch import Tensor
from torchmetrics.functional.image import total_variation as torchmetrics_total_variation

from .row import Form, Inputs, Row

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def similar(*size: int) -> tuple[Tensor, Tensor]:
    """An image, and another with the same structure in it."""
    target = torch.rand(size)
    return 0.6 * target + 0.4 * torch.rand(size), target


def alone(*size: int) -> tuple[Tensor]:
    """An image."""
    return (torch.rand(size),)


def masked(*size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, and positions that were hidden from the network."""
    return *similar(*size), (torch.rand(size[0], *size[2:]) < 0.6).float()


def cycles(*size: int) -> tuple[Tensor, ...]:
    """Two reconstructions, and what they should be."""
    (a, first), (b, second) = similar(*size), similar(*size)
    return a, b, first, second


def maps(*size: int) -> tuple[Tensor, Tensor]:
    """Feature maps."""
    return torch.randn(size), torch.randn(size)


SIZES = {"small": (4, 3, 32, 32), "large": (8, 3, 256, 256), "tiny": (2, 3, 12, 13)}
IMAGE, PRIOR, MASKED, CYCLE = (Inputs(make, **SIZES) for make in (similar, alone, masked, cycles))
FIVE_SCALES = Inputs(similar, small=(1, 3, 192, 192), large=(4, 3, 256, 256), tiny=(1, 1, 176, 176))
FEATURES = Inputs(maps, small=(4, 32, 16, 16), large=(8, 128, 64, 64), tiny=(2, 3, 4, 4))
FEW_FEATURES = Inputs(maps, small=(2, 16, 8, 8), large=(2, 64, 48, 48), tiny=(2, 3, 4, 4))


def l1_by_abs(image: Tensor, target: Tensor) -> Tensor:
    return (image - target).abs().mean()


def charbonnier_by_sqrt(image: Tensor, target: Tensor) -> Tensor:
    """ε = 1, which is the library's."""
    return ((image - target).square() + 1).sqrt().mean()


def total_variation_by_slices(image: Tensor) -> Tensor:
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().sum()
    return (down + (image[..., 1:] - image[..., :-1]).abs().sum()) / len(image)


def _blurred(x: Tensor) -> Tensor:
    """Gaussian windows of 11, σ = 1.5, where they fit, one axis after the other."""
    steps = torch.arange(11, dtype=x.dtype, device=x.device) - 5
    kernel = torch.softmax(-steps.square() / (2 * 1.5**2), 0)
    return F.conv2d(F.conv2d(x, kernel.view(1, 1, 11, 1)), kernel.view(1, 1, 1, 11))


def _similarity(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Contrast and whole, averaged over windows: five maps in one convolution."""
    x, y = image.flatten(0, 1), target.flatten(0, 1)
    mx, my, xx, yy, xy = _blurred(torch.stack([x, y, x * x, y * y, x * y]).flatten(0, 1).unsqueeze(1)).chunk(5)
    c1, c2 = 0.01**2, 0.03**2
    product, squares = mx * my, mx.square() + my.square()
    contrast = (2 * (xy - product) + c2) / (xx + yy - squares + c2)
    whole = (2 * product + c1) / (squares + c1) * contrast
    batch = len(image)
    return contrast.reshape(batch, -1).mean(1), whole.reshape(batch, -1).mean(1)


def ssim_by_convolution(image: Tensor, target: Tensor) -> Tensor:
    return 1 - _similarity(image, target)[1].mean()


def ms_ssim_by_convolution(image: Tensor, target: Tensor) -> Tensor:
    product = 1.0
    for weight in SCALE_WEIGHTS[:-1]:
        product = product * F.relu(_similarity(image, target)[0]) ** weight
        image, target = F.avg_pool2d(image, 2), F.avg_pool2d(target, 2)
    return 1 - (product * F.relu(_similarity(image, target)[1]) ** SCALE_WEIGHTS[-1]).mean()


def reconstruction_by_square(image: Tensor, target: Tensor) -> Tensor:
    return (image - target).square().sum() / len(image)


def masked_by_product(image: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """As the authors' code."""
    return ((image - target).square().mean(1) * mask).sum() / mask.sum()


def cycle_by_abs(first_cycle: Tensor, second_cycle: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return 10 * ((first_cycle - first).abs().mean() + (second_cycle - second).abs().mean())


def torch_cycle(first_cycle: Tensor, second_cycle: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return 10 * (F.l1_loss(first_cycle, first) + F.l1_loss(second_cycle, second))


def _gram(maps: Tensor) -> Tensor:
    flat = maps.flatten(2)
    return flat @ flat.mT / (flat.shape[1] * flat.shape[2])


def style_by_product(features: Tensor, target: Tensor) -> Tensor:
    return (_gram(features) - _gram(target)).square().sum() / (4 * len(features))


def style_by_mse(features: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(_gram(features), _gram(target), reduction="sum") / (4 * len(features))


def content_by_square(features: Tensor, target: Tensor) -> Tensor:
    return (features - target).square().sum() / (2 * len(features))


def perceptual_by_square(features: Tensor, target: Tensor) -> Tensor:
    return (features - target).square().mean()


def contextual_by_product(features: Tensor, target: Tensor) -> Tensor:
    """h = 0.5, ε = 1e-5."""
    x, y = features.flatten(2), target.flatten(2)
    centre = y.mean(2, keepdim=True)
    distance = 1 - F.normalize(x - centre).mT @ F.normalize(y - centre)
    weight = torch.exp((1 - distance / (distance.min(2, keepdim=True).values + 1e-5)) / 0.5)
    return -(weight / weight.sum(2, keepdim=True)).max(1).values.mean(1).log().mean()


def gradient_difference_by_diff(image: Tensor, target: Tensor) -> Tensor:
    across, down = ((torch.diff(image, dim=d).abs() - torch.diff(target, dim=d).abs()).abs().sum() for d in (-1, -2))
    return (across + down) / image.numel()


ROWS = [
    Row("gradient_difference", IMAGE, (), (gradient_difference_by_diff,)),
    Row("l1", IMAGE, (Form("torch l1_loss", F.l1_loss),), (l1_by_abs,)),
    Row(
        "charbonnier",
        IMAGE,  # the library subtracts one
        (Form("kornia charbonnier_loss", lambda x, y: charbonnier_loss(x, y, "mean") + 1),),
        (charbonnier_by_sqrt,),
        {"eps": 1.0},
    ),
    Row(
        "total_variation",
        PRIOR,
        (
            Form("torchmetrics total_variation", lambda x: torchmetrics_total_variation(x, reduction="mean")),
            Form("kornia total_variation", lambda x: kornia_total_variation(x).sum() / len(x)),
        ),
        (total_variation_by_slices,),
    ),
    Row(
        "ssim",
        IMAGE,
        (
            Form("monai SSIMLoss", SSIMLoss(spatial_dims=2)),
            Form("kornia ssim", lambda x, y: 1 - kornia_ssim(x, y, 11, padding="valid").mean()),
        ),
        (ssim_by_convolution,),
    ),
    Row(
        "ms_ssim",
        FIVE_SCALES,
        (Form("monai compute_ms_ssim", lambda x, y: 1 - compute_ms_ssim(x, y, spatial_dims=2).mean()),),
        (ms_ssim_by_convolution,),
    ),
    Row(
        "reconstruction",
        IMAGE,
        (Form("torch mse_loss", lambda x, y: F.mse_loss(x, y, reduction="sum") / len(x)),),
        (reconstruction_by_square,),
    ),
    Row("masked_reconstruction", MASKED, (), (masked_by_product,)),
    Row("cycle_consistency", CYCLE, (Form("torch l1_loss", torch_cycle),), (cycle_by_abs,)),
    Row("style", FEATURES, (Form("torch mse_loss", style_by_mse),), (style_by_product,)),
    Row(
        "content",
        FEATURES,
        (Form("torch mse_loss", lambda x, y: F.mse_loss(x, y, reduction="sum") / (2 * len(x))),),
        (content_by_square,),
    ),
    Row("perceptual", FEATURES, (Form("torch mse_loss", F.mse_loss),), (perceptual_by_square,)),
    Row("feature_matching", FEATURES, (Form("torch l1_loss", F.l1_loss),), (l1_by_abs,)),
    Row("contextual", FEW_FEATURES, (), (contextual_by_product,)),
]
