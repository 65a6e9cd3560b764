"""The configuration of meta-learning: that of a search by its method, with the defaults that such a search needs."""

from __future__ import annotations

from typing import Any

from lossearch.engine.setup.config import SearchConfig
from lossearch.errors import UserError

METHOD = "hypergradient"
"""Name of the method."""

_EXAMPLE = 'structure = "dense: 1.5 * cross_entropy(clipped_logits(logits, 4.0), target)"'


def learning(config: SearchConfig) -> SearchConfig:
    """The configuration with what meta-learning takes where it says nothing.

    That is the method's name; generations of one candidate, since outer steps between two proposals can take long, and
    an island's state is saved after each generation; and `evaluation.variants = 1`, so that the very coefficients that
    were learned are scored.

    Raises:
        UserError: it names another method, or no loss whose coefficients are learned.
    """
    given = config.method
    if "name" in given.model_fields_set and given.name != METHOD:
        hint = f'set name = "{METHOD}", or run this configuration with: lossearch search'
        raise UserError(f"the search method {METHOD}, for meta-learning", f'method.name = "{given.name}"', hint)
    if "structure" not in given.settings:
        found = ", ".join(given.settings) or "none of its settings"
        hint = f"add a hand-designed loss with parameters or a text form, for example:  [method]  {_EXAMPLE}"
        raise UserError("method.structure, the loss whose coefficients are learned", found, hint)
    changes: dict[str, Any] = {"method": type(given)(name=METHOD, **given.settings)}
    if "generation_size" not in config.model_fields_set:
        changes["generation_size"] = 1
    if "variants" not in config.evaluation.model_fields_set:
        changes["evaluation"] = config.evaluation.model_copy(update={"variants": 1})
    return config.model_copy(update=changes)
