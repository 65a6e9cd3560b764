"""Small models to train many of at once: all state is parameters, and no batch norm couples samples.

Each is an ordinary `nn.Module`, `images[batch, channel, height, width] -> logits[batch, class]`, that works
under `torch.func.functional_call` and `torch.func.vmap`. A model may offer `stacked_forward`, a faster way to
evaluate many sets of its parameters at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

ImageShape = tuple[int, int, int]


@runtime_checkable
class StackedModule(Protocol):
    """A model that evaluates a stack of parameter sets by itself."""

    def stacked_forward(self, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """Logits of many runs.

        Args:
            parameters: by name, each with a leading axis: `[run, ...]`.
            images: `[run, batch, channel, height, width]`.

        Returns:
            `logits[run, batch, class]`.
        """
        ...


class MLP(nn.Module):
    """Multilayer perceptron with ReLU.

    Args:
        image_shape: (channel, height, width).
        classes: number of logits.
        hidden: width of each hidden layer; none gives a linear classifier.
    """

    def __init__(self, image_shape: Sequence[int], classes: int, hidden: Sequence[int] = (64,)) -> None:
        super().__init__()
        widths = [math.prod(image_shape), *hidden, classes]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1)
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)

    def stacked_forward(self, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """See `StackedModule`: one batched matrix product per layer."""
        x = images.flatten(2)
        last = len(self.layers) - 1
        for i in range(len(self.layers)):
            weight, bias = parameters[f"layers.{i}.weight"], parameters[f"layers.{i}.bias"]
            x = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
            if i < last:
                x = x.relu()
        return x


class CNN(nn.Module):
    """Convolutional network: 3x3 convolutions of stride 2, group normalisation, ReLU; then a linear layer.

    Args:
        image_shape: (channel, height, width).
        classes: number of logits.
        channels: of each convolution; each halves height and width, rounding up.
    """

    def __init__(self, image_shape: ImageShape, classes: int, channels: Sequence[int] = (16, 32)) -> None:
        super().__init__()
        previous, height, width = image_shape
        blocks: list[nn.Module] = []
        for current in channels:
            blocks += [
                nn.Conv2d(previous, current, kernel_size=3, stride=2, padding=1),
                nn.GroupNorm(math.gcd(4, current), current),
                nn.ReLU(),
            ]
            previous, height, width = current, (height + 1) // 2, (width + 1) // 2
        self.features = nn.Sequential(*blocks)
        self.head = nn.Linear(previous * height * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).flatten(1))


class ViT(nn.Module):
    """Tiny vision transformer: patches, learned positions, pre-norm blocks, mean over tokens.

    Dosovitskiy et al. 2021.

    Args:
        image_shape: (channel, height, width); height and width are multiples of `patch`.
        classes: number of logits.
        patch: side of a patch, pixels.
        width: features per token, a multiple of `heads`.
        depth: number of blocks.
        heads: attention heads per block.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        classes: int,
        patch: int = 4,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        channels, image_height, image_width = image_shape
        tokens = (image_height // patch) * (image_width // patch)
        self.embed = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(1))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self._attend(self.norm_attention(tokens))
        return tokens + self.mlp(self.norm_mlp(tokens))

    def _attend(self, x: Tensor) -> Tensor:
        # [batch, token, 3 · width] -> three times [batch, head, token, feature]. Written out, because the
        # fused kernel has no batching rule that would let vmap run many models at once without a warning.
        query, key, value = self.query_key_value(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attention = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(-1)
        return self.out((attention @ value).transpose(1, 2).flatten(2))
