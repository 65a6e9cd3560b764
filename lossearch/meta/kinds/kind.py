"""What a kind of learned loss is, and the kinds by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lossearch.errors import UserError
from lossearch.meta.learnable import Learnable
from lossearch.registry import Registry
from lossearch.search_spaces.space import Constants
from lossearch.tasks.field_error import field_error


class Kind(BaseModel, ABC):
    """Settings of a kind of learned loss."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @abstractmethod
    def learnable(self, structure: str, constants: Constants) -> Learnable:
        """What is learned, with the structure as the first loss.

        Args:
            structure: a hand-designed loss with arguments ("focal"), or a text form ("dense: …").
            constants: how small and how large a constant may become.

        Raises:
            UserError: there is no such loss, or it does not fit this kind.
        """


KINDS: Registry[type[Kind]] = Registry("a kind of learned loss")
"""Every kind by name."""


class Coefficients(Kind):
    """The tunable parameters of a hand-designed loss, or these and the constants of a loss that is written out."""

    def learnable(self, structure: str, constants: Constants) -> Learnable:
        """See `Kind`."""
        return Learnable.of(structure, constants)


KINDS.add("coefficients", Coefficients)


def make_kind(given: str | Mapping[str, Any]) -> Kind:
    """A kind by name, or from a table of its name and settings; raises `UserError` for what there is not."""
    settings = {"name": given} if isinstance(given, str) else dict(given)
    name = settings.pop("name", "coefficients")
    kind = KINDS.find(name)
    try:
        return kind(**settings)
    except ValidationError as error:
        known = ("name", *kind.model_fields)
        raise field_error(error, f"the settings of {name}", lambda path: known, "kind") from None


def learned(kind: Kind, structure: str, constants: Constants, signature: str) -> Learnable:
    """A learned loss of a signature.

    Raises:
        UserError: the structure does not fit the kind, or has another signature.
    """
    found = kind.learnable(structure, constants)
    if found.graph.signature.name != signature:
        told = f"{structure[:80]!r} of signature {found.graph.signature.name}"
        raise UserError(f"a structure of signature {signature}", told, "choose another, or another space")
    return found
