"""What a card says of a task: its values, and what it is known by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lossearch.cards.card import CardTask, identity_of
from lossearch.comparison.conditions import Subject
from lossearch.errors import UserError
from lossearch.tasks import DescribedTask, TrainingConfig
from lossearch.tasks.catalogue import task_config
from lossearch.tasks.datasets.registry import datasets
from lossearch.tasks.distribution.config import DistributionConfig
from lossearch.tasks.user.config import FunctionConfig

_ANOTHER = "write the card again with `lossearch export … --card`"


def task_facts(subject: Subject | TrainingConfig) -> CardTask:
    """What a card says of a task."""
    if isinstance(subject, FunctionConfig):
        return function_task(subject.name, subject.ranking_metric().name, subject.higher_is_better, subject.identity())
    config = subject.config if isinstance(subject, DescribedTask) else subject
    return described_task(config)


def described_task(config: TrainingConfig) -> CardTask:
    """What a card says of a described task, or of a distribution."""
    metric, values = config.ranking_metric(), config.model_dump(mode="json")
    return CardTask(
        name=config.name,
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        config=values,
        identity=identity_of(values, _digests(config)),
    )


def function_task(name: str, metric: str, higher_is_better: bool, identity: Mapping[str, Any]) -> CardTask:
    """What a card says of a training function."""
    known = dict(identity)
    told = {"name": name, "metric": metric, "higher_is_better": higher_is_better}
    return CardTask(**told, function=known, identity=identity_of(known, {}))


def config_on(task: CardTask) -> TrainingConfig:
    """The configuration of a described task on a card.

    Raises:
        UserError: there is no such task here, its values do not fit, or it or its data are others than the card knows.
    """
    assert task.config is not None
    try:
        config = task_config(task.config)
    except UserError as error:
        hint = f"install what has this task, or the version of lossearch that wrote the card ({error.hint})"
        raise UserError(f"the task {task.name} of the card: {error.required}", error.found, hint) from error
    if identity_of(task.config, _digests(config)) != task.identity:
        found = "other values of it, or other data, than the card's identity is of"
        raise UserError(f"the task {task.name} as the card knows it", found, f"it was changed since: {_ANOTHER}")
    return config


def _digests(config: TrainingConfig) -> dict[str, dict[str, str]]:
    """By data set of a task the digests of its files; of one that comes with an installed package none are known."""
    known = datasets()
    return {name: dict(known[name].files) for name in sorted(set(_data_of(config))) if name in known}


def _data_of(config: TrainingConfig) -> Iterator[str]:
    # Distributions of distributions are refused where they are built.
    for one in config.drawn() if isinstance(config, DistributionConfig) else [config]:
        name = getattr(one, "dataset", None)
        if isinstance(name, str):
            yield name
