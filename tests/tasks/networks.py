"""Networks with few channels and random weights in the place of trained ones, and formulas of what they give."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lossearch.tasks.datasets import registry
from lossearch.tasks.datasets.dataset import Weights

Tree = dict[str, Any]
"""Dictionaries with arrays as leaves."""

CHANNELS = (3, 4, 6, 5, 4, 3)
SIDES = (11, 5, 3, 3, 3)


def alexnet() -> Tree:
    """As the package has it: kernels with the channels last."""
    draw = np.random.default_rng(0)

    def random(*shape: int) -> np.ndarray:
        return (draw.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)

    layers = enumerate(zip(SIDES, CHANNELS, CHANNELS[1:], strict=False))
    convolutions = {
        f"Conv_{layer}": {"kernel": random(side, side, before, after), "bias": random(after)}
        for layer, (side, before, after) in layers
    }
    heads = {
        f"NetLinLayer_{layer}": {"Conv_0": {"kernel": np.abs(random(1, 1, channels, 1))}}
        for layer, channels in enumerate(CHANNELS[1:])
    }
    return {"AlexNet_0": convolutions, **heads}


def register(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, tree: object) -> None:
    """Have the registry know a network by these weights, and put them where `fetch` puts them."""
    known = registry.DATASETS[name]
    assert isinstance(known, Weights)
    ((file, _),) = known.files.items()
    content = pickle.dumps(tree, protocol=3)
    (folder / name).mkdir(exist_ok=True)
    (folder / name / file).write_bytes(content)
    files, sizes = {file: hashlib.sha256(content).hexdigest()}, {file: len(content)}
    monkeypatch.setitem(registry.DATASETS, name, dataclasses.replace(known, files=files, sizes=sizes))


def lpips(tree: Tree, first: Tensor, second: Tensor) -> Tensor:
    """LPIPS in float64, through the modules that torchvision's AlexNet is made of."""
    places = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
    stages = nn.ModuleList()
    for layer, (stride, padding) in enumerate(places):
        weights = tree["AlexNet_0"][f"Conv_{layer}"]
        side, _, before, after = weights["kernel"].shape
        convolution = nn.Conv2d(before, after, side, stride, padding).double()
        convolution.weight.data = torch.from_numpy(weights["kernel"].transpose(3, 2, 0, 1)).double()
        convolution.bias = nn.Parameter(torch.from_numpy(weights["bias"]).double())
        pooling = [nn.MaxPool2d(kernel_size=3, stride=2)] if layer in (1, 2) else []
        stages.append(nn.Sequential(*pooling, convolution, nn.ReLU()))
    shift = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64).reshape(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64).reshape(3, 1, 1)
    x, y = ((images.double() * 2 - 1 - shift) / scale for images in (first, second))
    total = torch.zeros(len(first), dtype=torch.float64)
    with torch.no_grad():
        for layer, stage in enumerate(stages):
            x, y = stage(x), stage(y)
            gap = nn.functional.normalize(x, eps=1e-10) - nn.functional.normalize(y, eps=1e-10)
            head = torch.from_numpy(tree[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"]).double().flatten()
            total += torch.einsum("nchw,c->nhw", gap.square(), head).mean((1, 2))
    return total
