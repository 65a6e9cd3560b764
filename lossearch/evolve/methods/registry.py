"""Which search methods there are, by the name that a configuration gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from lossearch.evolve.method import Method
from lossearch.evolve.methods.cma_es import CMAES
from lossearch.evolve.methods.map_elites import MapElites
from lossearch.evolve.methods.nsga2 import NSGA2
from lossearch.evolve.methods.outside import Outside
from lossearch.evolve.methods.random_search import RandomSearch
from lossearch.evolve.methods.regularized_evolution import RegularizedEvolution
from lossearch.registry import Registry
from lossearch.search_spaces.joint import AnySpace
from lossearch.tasks.field_error import field_error

METHODS: Registry[type[Method]] = Registry("a search method", group="lossearch.methods")
"""Every search method by name. Modules in its entry-point group add their own with `METHODS.add`."""

METHODS.add("regularized_evolution", RegularizedEvolution)
METHODS.add("random", RandomSearch)
METHODS.add("cma_es", CMAES)
METHODS.add("nsga2", NSGA2)
METHODS.add("map_elites", MapElites)
METHODS.add("outside", Outside)


def make_method(name: str, space: AnySpace, seed: int, **settings: Any) -> Method:
    """A search method by name; raises `UserError` for an unknown name or setting."""
    method, own = settings_of(name, settings)
    return method(space, seed, own)


def settings_of(name: str, settings: Mapping[str, Any]) -> tuple[type[Method], BaseModel]:
    """A search method by name, and its settings; raises `UserError` for an unknown name or setting."""
    METHODS.extend()
    method = METHODS.find(name)
    try:
        return method, method.Settings(**settings)
    except ValidationError as error:
        known = ("name", *method.Settings.model_fields)
        raise field_error(error, f"the settings of {name}", lambda path: known, "method") from None
