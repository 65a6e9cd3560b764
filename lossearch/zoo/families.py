"""Task families by the names that people give them."""

from __future__ import annotations

import difflib

from lossearch.errors import UserError
from lossearch.ir.core.signature import SIGNATURES

COMMON_NAMES = {
    "classification": "dense",
    "image_classification": "dense",
    "segmentation": "dense",
    "semantic_segmentation": "dense",
    "instance_segmentation": "dense",
    "detection": "box",
    "object_detection": "box",
    "depth": "regression",
    "forecasting": "regression",
    "time_to_event": "survival",
    "time_series": "regression",
    "metric_learning": "embedding",
    "retrieval": "embedding",
    "ranking": "embedding",
    "face_recognition": "margin",
    "self_supervised": "multi_view",
    "contrastive": "multi_view",
    "restoration": "image",
    "denoising": "image",
    "super_resolution": "image",
    "style_transfer": "features",
    "distillation": "features",
    "gan": "adversarial",
    "gans": "adversarial",
    "vae": "latent",
    "multi_task": "combining",
}
"""What people call a family, and its name here."""


def family_names() -> list[str]:
    """The families of the signatures."""
    return list(dict.fromkeys(known.family for known in SIGNATURES.values()))


def family_of(name: str) -> str:
    """The family that a name stands for: its own, or a common one such as `segmentation`.

    Raises:
        UserError: There is none of that name.
    """
    families = family_names()
    word = name.strip().lower().replace("-", "_").replace(" ", "_")
    if word in families:
        return word
    if word in COMMON_NAMES:
        return COMMON_NAMES[word]
    close = difflib.get_close_matches(word, [*families, *COMMON_NAMES], n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join([*families, *COMMON_NAMES])}"
    raise UserError("a task family", repr(name), hint)
