"""What is known of somebody's task: the facts on which advice rests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lossearch.advice.words import architecture_named, metric_named
from lossearch.errors import UserError
from lossearch.ir.core.signature import get_signature
from lossearch.zoo.families import family_of

ROUNDING, MOST_ROUNDING = 0.005, 0.02
"""How far frequencies may be off in sum: each by its second decimal, and all together."""

SPATIAL = {"segmentation": True, "semantic_segmentation": True, "instance_segmentation": True, "classification": False}
"""Common names of families that say whether predictions are maps."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Situation(BaseModel):
    """Facts of a task; None where something is not known.

    Attributes:
        family: Task family, as `lossearch.zoo.names(family)` takes it; common names such as segmentation too.
        signature: Of the losses that fit, a task's own; None for any of the family.
        classes: Number of classes.
        class_frequencies: Share of each class in the training data; they sum to 1.
        label_noise: Share of wrong training labels.
        foreground_share: Share of elements that are not background (class 0), for maps.
        outlier_share: Share of targets far from the rest: more than three robust standard deviations off.
        metric: What the model is judged by, such as accuracy, balanced_accuracy, mean_iou, boundary_f1, map.
        architecture: Of the model, such as mlp, cnn, vit.
        spatial: Whether predictions are maps (segmentation) rather than one a sample.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: str = "dense"
    signature: str | None = None
    classes: Annotated[int, Field(ge=1)] | None = None
    class_frequencies: Annotated[tuple[Share, ...], Field(min_length=1)] | None = None
    label_noise: Share | None = None
    foreground_share: Share | None = None
    outlier_share: Share | None = None
    metric: str | None = None
    architecture: str | None = None
    spatial: bool | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Situation:
        """The situation of these facts; raises `UserError` that names a wrong one, or one that no rule could know."""
        given = _in_our_words(facts)
        try:
            found = cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            known = ", ".join(cls.model_fields)
            raise UserError(f"{place}: {first['msg']}", repr(first["input"])[:80], f"facts are: {known}") from None
        found._check_frequencies()
        if found.signature is not None:
            found._check_signature(found.signature)
        return found

    def _check_signature(self, signature: str) -> None:
        family = get_signature(signature).family
        if family != self.family:
            raise UserError(
                f"a signature of the family {self.family}", f"{signature} of {family}", "correct one of them"
            )

    def _check_frequencies(self) -> None:
        shares = self.class_frequencies
        if shares is None:
            return
        total = math.fsum(shares)
        if abs(total - 1.0) > min(ROUNDING * len(shares), MOST_ROUNDING):
            hint = "give the share of every class, or counts divided by their sum"
            raise UserError(
                "class frequencies that sum to 1", f"{', '.join(map('{:g}'.format, shares))[:80]}: {total:g}", hint
            )
        if self.classes is not None and self.classes != len(shares):
            raise UserError(
                f"one frequency for each of {self.classes} classes", str(len(shares)), "correct one of them"
            )

    @property
    def imbalance(self) -> float | None:
        """How much more frequent the most frequent class is than the rarest that occurs; at least 1."""
        present = [share for share in self.class_frequencies or () if share > 0.0]
        return max(present) / min(present) if present else None

    def fact(self, name: str) -> float | str | bool | None:
        """The fact that a rule asks for by name."""
        return getattr(self, name)


def _in_our_words(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with families, metrics and architectures as the rules name them."""
    given = {name: fact for name, fact in facts.items() if fact is not None}
    family = given.get("family")
    if isinstance(family, str):
        spatial = SPATIAL.get(family.strip().lower().replace("-", "_"))
        given |= {
            "family": family_of(family),
            **({} if spatial is None else {"spatial": given.get("spatial", spatial)}),
        }
    for name, known in (("metric", metric_named), ("architecture", architecture_named)):
        if isinstance(given.get(name), str):
            given[name] = known(given[name])
    return given
