"""The members of a distribution, each made once for a device."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from lossearch.tasks.distribution.function_task import FunctionTask
from lossearch.tasks.distribution.task import DistributionTask
from lossearch.training.bundled_member import BundledMember, Train
from lossearch.training.function_member import FunctionMember
from lossearch.training.member import Member
from lossearch.training.stacked_models import Device

_KEPT: WeakKeyDictionary[DistributionTask, dict[tuple[str, int], Member[Any]]] = WeakKeyDictionary()
"""By distribution, place and device: what was measured of the members, which costs trainings."""


def members_of(distribution: DistributionTask, device: Device, train: Train) -> list[Member[Any]]:
    """The members of a distribution, each made once for a device."""
    kept = _KEPT.setdefault(distribution, {})
    for place, task in enumerate(distribution.members):
        if (str(device), place) in kept:
            continue
        if isinstance(task, FunctionTask):
            kept[str(device), place] = FunctionMember(task, distribution.panel, device)
        else:
            kept[str(device), place] = BundledMember(task, distribution.panel, device, train)
    return [kept[str(device), place] for place in range(len(distribution.members))]


def check_functions(distribution: DistributionTask, device: Device, train: Train, time_limit: float | None) -> None:
    """Call the functions of a distribution until they call their losses, for at most `time_limit` seconds.

    Raises:
        UserError: one fails before, or the reference has no gradient there.
    """
    if distribution.functions:
        for member in members_of(distribution, device, train):
            if isinstance(member, FunctionMember):
                member.limit(time_limit)
                member.begin()
