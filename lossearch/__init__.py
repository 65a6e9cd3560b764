"""Find, prove and export loss functions for PyTorch models."""

from typing import TYPE_CHECKING, Any

from lossearch.version import __version__

if TYPE_CHECKING:
    from lossearch import zoo
    from lossearch.across import compare_across
    from lossearch.api import (
        advise,
        combine,
        compare,
        export,
        export_slots,
        layered,
        load,
        load_slots,
        meta_learn,
        meta_trainable,
        search,
        simplify,
        tune,
    )
    from lossearch.cards import verify, write_card
    from lossearch.errors import UserError

__all__ = [
    "UserError",
    "__version__",
    "advise",
    "combine",
    "compare",
    "compare_across",
    "export",
    "export_slots",
    "layered",
    "load",
    "load_slots",
    "meta_learn",
    "meta_trainable",
    "search",
    "simplify",
    "tune",
    "verify",
    "write_card",
    "zoo",
]


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: PyTorch and Ray take seconds to import."""
    if name == "zoo":
        import lossearch.zoo

        return lossearch.zoo
    if name == "UserError":
        from lossearch.errors import UserError

        return UserError
    if name == "compare_across":
        from lossearch.across import compare_across

        return compare_across
    if name in ("verify", "write_card"):
        from lossearch import cards

        return getattr(cards, name)
    if name in __all__:
        from lossearch import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
