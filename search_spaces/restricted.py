"""A search space as a configuration changes it: seeds more, some things excluded, operators that count more or less."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.ir.core.operator import OPERATORS
from lossearch.search_spaces.seeds import read_seeds
from lossearch.search_spaces.space import SearchSpace
from lossearch.zoo.named import graph_of, hand_designed_loss, is_text_form


def with_seeds(space: SearchSpace, seeds: Collection[str], source: str = "the configuration") -> SearchSpace:
    """The space with these seeds before its own; raises `UserError` for one that cannot be used.

    They must be within the limits of the space: a loss that screening would reject is no seed.
    """
    if not seeds:
        return space
    own = read_seeds(list(seeds), space.signature, Path.cwd(), source)
    for seed in own:
        graph = graph_of(seed)
        if graph.complexity > space.max_nodes:
            raise UserError(
                f"seeds of at most {space.max_nodes} operators, max_nodes of space {space.name}",
                f"{graph.complexity} in {seed[:80]!r}",
                "simplify it, or raise max_nodes in a space file of your own",
            )
        if used := sorted(_operators(seed) & set(space.exclude)):
            raise UserError("seeds without what is excluded", f"{', '.join(used)} in {seed[:80]!r}", "leave one out")
    added = {graph_of(one).key for one in own}
    kept = {seed: space.label(seed) for seed in space.seeds if graph_of(seed).key not in added}
    return space.with_seeds({**own, **kept})


def without(
    space: SearchSpace, losses: Collection[str] = (), primitives: Collection[str] = (), operators: Collection[str] = ()
) -> SearchSpace:
    """The space without these hand-designed losses, primitives and operators.

    A loss is then neither a seed nor found. Primitives and operators occur in no formula; what a primitive is made of
    counts where the primitive is opened only.

    Raises:
        UserError: a name is unknown.
    """
    expandable = {name for name, operator in OPERATORS.items() if operator.expand is not None}
    _check(losses, zoo.names(), "exclude.losses", "hand-designed losses", "lossearch zoo")
    _check(primitives, expandable, "exclude.primitives", "primitives", "lossearch primitives")
    _check(operators, OPERATORS.keys() - expandable, "exclude.operators", "operators", "lossearch show LOSS")
    excluded = tuple(sorted({*space.exclude, *primitives, *operators}))
    update = {"exclude": excluded, "exclude_losses": tuple(sorted(losses))}
    found = space.model_copy(update=update)
    return found.model_copy(update={"seeds": tuple(seed for seed in space.seeds if allows(found, seed))})


def allows(space: SearchSpace, seed: str) -> bool:
    """Whether nothing that a space excludes is in a loss, and it is none of the excluded ones."""
    excluded = not is_text_form(seed) and hand_designed_loss(seed).name in space.exclude_losses
    return not excluded and not _operators(seed) & {*space.exclude}


def with_complexity(space: SearchSpace, weights: Mapping[str, int]) -> SearchSpace:
    """The space with operators and primitives that count this much in a loss's complexity.

    Raises `UserError` for unknown names.
    """
    _check(weights, OPERATORS.keys(), "complexity", "operators and primitives", "lossearch primitives")
    return space.model_copy(update={"complexity": {**space.complexity, **weights}})


def _operators(seed: str) -> set[str]:
    return {node.op for node in graph_of(seed).nodes}


def _check(names: Iterable[str], known: Collection[str], field: str, what: str, listing: str) -> None:
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
            hint = f"did you mean {' or '.join(close)}?" if close else f"see: {listing}"
            raise UserError(f"names of {what} in {field}", repr(name), hint)
