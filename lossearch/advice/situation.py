"""What is known of somebody's task: the facts on which advice rests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lossearch.errors import UserError

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Situation(BaseModel):
    """Facts of a task; None where something is not known.

    Attributes:
        family: Task family, as `lossearch.zoo.names(family)` takes it.
        classes: Number of classes.
        class_frequencies: Share of each class in the training data.
        label_noise: Share of wrong training labels.
        foreground_share: Share of elements that are not background (class 0), for maps.
        outlier_share: Share of targets far from the rest: more than three robust standard deviations off.
        metric: What the model is judged by, such as accuracy, balanced_accuracy, mean_iou, boundary_f1, map.
        architecture: Of the model, such as mlp, cnn, vit.
        spatial: Whether predictions are maps (segmentation) rather than one a sample.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: str = "dense"
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
        """The situation of these facts; raises `UserError` that names a wrong one."""
        try:
            return cls.model_validate(dict(facts))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            known = ", ".join(cls.model_fields)
            raise UserError(f"{place}: {first['msg']}", repr(first["input"])[:80], f"facts are: {known}") from None

    @property
    def imbalance(self) -> float | None:
        """How much more frequent the most frequent class is than the rarest that occurs; at least 1."""
        present = [share for share in self.class_frequencies or () if share > 0.0]
        return max(present) / min(present) if present else None

    def fact(self, name: str) -> float | str | bool | None:
        """The fact that a rule asks for by name."""
        return getattr(self, name)
