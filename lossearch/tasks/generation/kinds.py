"""Which task a kind of generation is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossearch.tasks.generation.adversarial import AdversarialTask
from lossearch.tasks.generation.autoencoder import AutoencoderTask
from lossearch.tasks.generation.config import GenerationConfig, generation_config
from lossearch.tasks.generation.diffusion import DiffusionTask
from lossearch.tasks.generation.task import GenerationTask

KINDS: Mapping[str, type[GenerationTask]] = {
    "diffusion": DiffusionTask,
    "adversarial": AdversarialTask,
    "autoencoder": AutoencoderTask,
}
"""By the name of a configuration."""


def generation_task(spec: str | Mapping[str, Any] | GenerationConfig) -> GenerationTask:
    """The task that a name, a table or a configuration means.

    Raises:
        UserError: the configuration does not fit, or the data is missing or damaged.
    """
    config = generation_config(spec)
    return KINDS[config.kind](config)
