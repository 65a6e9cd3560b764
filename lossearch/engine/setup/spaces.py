"""What a search may build in each slot that it searches, and the losses at whose step size it trains there."""

from __future__ import annotations

from collections.abc import Mapping

from lossearch.engine.setup.config import SearchConfig
from lossearch.errors import UserError
from lossearch.ir.core.signature import PROGRESS, get_signature
from lossearch.ir.forms.joint import format_any
from lossearch.ir.signatures import DENSE
from lossearch.search_spaces import SearchSpace, load_space
from lossearch.search_spaces.restricted import with_complexity, with_seeds, without
from lossearch.search_spaces.seeds import joint_seed, signature_of
from lossearch.tasks.base import Slot
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.untrained import AnyTask
from lossearch.zoo import names
from lossearch.zoo.named import graph_of


def spaces_of(config: SearchConfig, task: AnyTask) -> dict[str, SearchSpace]:
    """The spaces of the slots that are searched, as the configuration changes them.

    Raises:
        UserError: names and seeds that do not fit, one space for several slots, or one for a slot that is not searched.
    """
    slots, given = task.searched, config.space
    if isinstance(given, dict):
        if unknown := given.keys() - set(slots):
            required = f"spaces for the slots that are searched: {', '.join(slots)}"
            raise UserError(required, ", ".join(sorted(unknown)), "correct the slot, or search it too")
        named = {slot: given.get(slot, task.slots[slot].signature) for slot in slots}
    elif len(slots) > 1 and given is not None:
        hint = f'write space = {{ {slots[0]} = "{task.slots[slots[0]].signature}", … }}, or leave it out'
        raise UserError(f"a table of spaces by slot, as {' and '.join(slots)} are searched", repr(given), hint)
    else:
        named = {slot: task.slots[slot].signature if given is None else given for slot in slots}
    found = {slot: _changed(config, load_space(name)) for slot, name in named.items()}
    for slot, space in found.items():
        if space.signature != (wanted := task.slots[slot].signature):
            hint = "choose a space of that signature, or search with a training function of your own"
            where = f"{task.name}, slot {slot}" if len(task.slots) > 1 else task.name
            raise UserError(f"a space of signature {wanted} for {where}", space.signature, hint)
    return _with_seeds(config, found)


def _changed(config: SearchConfig, space: SearchSpace) -> SearchSpace:
    """A space without what the configuration excludes, with complexities as it counts them."""
    return without(with_complexity(space, config.complexity), **config.exclude.model_dump())


def _with_seeds(config: SearchConfig, spaces: Mapping[str, SearchSpace]) -> dict[str, SearchSpace]:
    """The spaces with the configuration's seeds: each is one of the slots whose losses have its signature."""
    if len(spaces) == 1:
        return {slot: with_seeds(space, config.seeds) for slot, space in spaces.items()}
    signatures = {seed: signature_of(seed) for seed in config.seeds if joint_seed(seed) is None}
    for seed, signature in signatures.items():
        if signature not in {space.signature for space in spaces.values()}:
            known = ", ".join(dict.fromkeys(space.signature for space in spaces.values()))
            raise UserError(f"seeds of signature {known}", f"{seed[:80]!r} of {signature}", "leave it out")
    return {
        slot: with_seeds(space, [seed for seed, signature in signatures.items() if signature == space.signature])
        for slot, space in spaces.items()
    }


def joint_seeds(config: SearchConfig, spaces: Mapping[str, SearchSpace]) -> list[str]:
    """The configuration's seeds that have a loss in every slot, in text form.

    Raises:
        UserError: one has other slots, or losses of other signatures there.
    """
    wanted = {slot: space.signature for slot, space in spaces.items()}
    found: list[str] = []
    for seed in config.seeds:
        graph = joint_seed(seed)
        if graph is None:
            continue
        signatures = {slot: one.signature.name for slot, one in graph.items()}
        if signatures != wanted:
            told = ", ".join(f"{slot} of {signature}" for slot, signature in signatures.items())
            searched = ", ".join(f"{slot} of {signature}" for slot, signature in wanted.items())
            raise UserError(f"seeds with losses for {searched}", told, f"correct {seed[:80]!r}")
        found.append(format_any(graph.frozen()))
    return found


def space_for(task: AnyTask, slot: str, space: SearchSpace) -> SearchSpace:
    """The space without what needs tensors that the task does not give, such as class weights.

    Nor is anything written with a number that is the same in every training, as the noise of a single task is: it would
    be one more constant. Over the tasks of a distribution it differs.
    """
    given = loss_buffers(task, slot)
    if not task.buffers_vary:
        given = {name: value for name, value in given.items() if value.dim() or name == PROGRESS.name}
    missing = (one.name for one in get_signature(space.signature).buffers if one.name not in given)
    absent = tuple(dict.fromkeys((*space.absent, *missing)))
    if not absent:
        return space
    kept = tuple(name for name in space.seeds if not any(map(graph_of(name).uses, absent)))
    return space.model_copy(update={"seeds": kept, "absent": absent})


def reference_name(configured: str | None, space: SearchSpace, slot: Slot) -> str:
    """The reference loss of a slot: the configured one, else the slot's own default, else one of the space.

    Args:
        configured: loss that the configuration names.
        space: of the slot's losses.
        slot: of the task.

    Raises:
        UserError: there is none.
    """
    if configured is not None:
        return configured
    if not slot.stand_in and slot.signature == space.signature:
        return slot.default
    if space.signature == DENSE.name and "class" not in space.sorts[space.root]:
        return "cross_entropy"
    known = space.seeds or names(signature=space.signature)
    if not known:
        raise UserError(f"a `reference` loss of signature {space.signature}", "none", "name a loss of that signature")
    return known[0]


def references(config: SearchConfig, task: AnyTask, spaces: Mapping[str, SearchSpace]) -> dict[str, str]:
    """The reference loss of each slot that is searched; raises `UserError` where one is missing or fits no slot."""
    given = config.reference
    if isinstance(given, dict):
        if unknown := given.keys() - spaces.keys():
            required = f"a reference for slots that are searched: {', '.join(spaces)}"
            raise UserError(required, ", ".join(sorted(unknown)), "correct the slot")
        configured: Mapping[str, str | None] = given
    elif given is not None and len(spaces) > 1:
        required = f"a table of references by slot, where {', '.join(spaces)} are searched together"
        raise UserError(required, f"reference = {given!r:.60}", f'write reference = {{ {next(iter(spaces))} = "…" }}')
    else:
        configured = dict.fromkeys(spaces, given)
    return {slot: reference_name(configured.get(slot), space, task.slots[slot]) for slot, space in spaces.items()}
