"""Which losses are compared, and under which names: those that are given, and hand-designed ones beside them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lossearch import zoo
from lossearch.comparison.conditions import Subject, in_words, signature_of
from lossearch.comparison.result import Source
from lossearch.errors import UserError
from lossearch.joint_loss import AnyLoss, JointLoss
from lossearch.loss import Loss
from lossearch.plain_text import is_name
from lossearch.search_spaces import load_space
from lossearch.tasks.user.task import default_for
from lossearch.training.loss_buffers import loss_buffers
from lossearch.zoo.named import graph_of, hand_designed_loss

DEFAULTS = "defaults"
"""What the default losses of all slots are called together."""

Given = Sequence[AnyLoss | str]
Signature = str | Mapping[str, str]
"""Of the losses that are compared; by slot where slots are compared together."""


@dataclass(frozen=True)
class Entry:
    """A loss that is compared.

    Attributes:
        name: by which tables and files call it; no two are alike.
        source: whether it is a hand-designed one.
        loss: the loss.
    """

    name: str
    source: Source
    loss: AnyLoss


def signature_compared(
    losses: Given, baselines: bool | Given, subject: Subject, told: Signature | None = None
) -> Signature:
    """The signature of a comparison: that of the task, or for a function what is told, or that of its first loss.

    Of several losses one of several slots comes first.
    """
    known = subject.searched_signature
    if known is not None:
        return known
    if told is not None:
        return told
    given = [_loss(one) for one in [*losses, *([] if isinstance(baselines, bool) else baselines)]]
    first = next((one for one in given if isinstance(one, JointLoss)), given[0] if given else None)
    return "dense" if first is None else signature_of(first)


def entries_for(losses: Given, baselines: bool | Given, signature: Signature, subject: Subject) -> list[Entry]:
    """The losses under distinct names; one that is given twice is compared once.

    Args:
        losses: that are given.
        baselines: hand-designed ones; True for those that searches begin with.
        signature: of all.
        subject: the task, which tells what losses can be made with, such as class weights.

    Raises:
        UserError: there is none, one has another signature, or needs what the task does not give.
    """
    slots = _Slots(signature, subject)
    chosen = slots.baselines() if baselines is True else [] if baselines is False else list(baselines)
    entries: dict[str, Entry] = {}
    for one in [*losses, *chosen]:
        given = _loss(one)
        loss, source = slots.placed(given), _source(given)
        if missing := slots.missing_buffers(loss):
            found = f"{loss.name}, which takes {', '.join(missing)}"
            raise UserError("losses that the task can give all that they are made with", found, "leave this loss out")
        if any(entry.loss.key == loss.key and entry.loss.name == loss.name for entry in entries.values()):
            continue
        name, number = loss.name, 1
        while name in entries:
            number += 1
            name = f"{loss.name}_{number}"
        entries[name] = Entry(name, source, loss)
    if not entries:
        raise UserError("at least one loss to compare", "none", "name a loss, or compare with the baselines")
    return list(entries.values())


def placed(loss: AnyLoss, subject: Subject, told: Signature | None = None) -> AnyLoss:
    """A loss as it is tuned: where a task's slots are tuned together, one of a single slot beside the defaults.

    Raises:
        UserError: it fits no slot, or several.
    """
    signature = signature_compared([loss], False, subject, told)
    return loss if isinstance(signature, str) else _Slots(signature, subject).placed(loss)


class _Slots:
    """The slots that are compared: which losses belong there, and what they can be made with."""

    def __init__(self, signature: Signature, subject: Subject) -> None:
        self._joint = not isinstance(signature, str)
        self._signature = signature
        self._by_slot = {"": signature} if isinstance(signature, str) else dict(signature)
        self._buffers: dict[str, Collection[str]] = {
            slot: loss_buffers(subject, slot or next(iter(subject.searched), "")).keys() for slot in self._by_slot
        }
        self._defaults: dict[str, Loss] = {}
        if self._joint:
            own = subject.slots
            self._defaults = {
                slot: _named(own[slot].default if slot in own else default_for(one))
                for slot, one in self._by_slot.items()
            }

    def placed(self, loss: AnyLoss) -> AnyLoss:
        """A loss as it is compared: where slots are compared together, one of a single slot beside the defaults."""
        if isinstance(loss, JointLoss) or not self._joint:
            if signature_of(loss) != self._signature:
                found = f"{loss.name} of {in_words(signature_of(loss))}"
                raise UserError(f"losses of signature {in_words(self._signature)}", found, "leave this loss out")
            return loss
        fitting = [slot for slot, one in self._by_slot.items() if one == loss.signature.name]
        if len(fitting) != 1:
            why = "fits several slots" if fitting else f"is of {loss.signature.name}"
            hint = "write out a loss for each slot" if fitting else "leave this loss out"
            required = f"losses of signature {in_words(self._signature)}, or of one of these slots alone"
            raise UserError(required, f"{loss.name}, which {why}", hint)
        return self._beside_defaults(fitting[0], loss)

    def baselines(self) -> list[AnyLoss]:
        """The hand-designed losses that searches begin with."""
        found: list[AnyLoss] = []
        if self._joint:
            found.append(JointLoss.of(self._defaults, DEFAULTS))
        for slot, signature in self._by_slot.items():
            for name in load_space(signature).seeds:
                loss = zoo.get(name)
                if _missing(loss, self._buffers[slot]) or (self._joint and loss.key == self._defaults[slot].key):
                    continue
                found.append(self._beside_defaults(slot, loss) if self._joint else loss)
        return found

    def _beside_defaults(self, slot: str, loss: Loss) -> JointLoss:
        return JointLoss.of({**self._defaults, slot: loss}, _name_in(slot, loss.name), loss.source)

    def missing_buffers(self, loss: AnyLoss) -> list[str]:
        """What a loss is made with, such as class weights, beyond what the task gives."""
        parts = loss.losses if isinstance(loss, JointLoss) else {"": loss}
        return [name for slot, one in parts.items() for name in _missing(one, self._buffers[slot])]


def _family(loss: Loss) -> list[str]:
    """The hand-designed losses of a loss's signature."""
    return zoo.names(signature=loss.signature.name)


def default_losses(slots: Mapping[str, str]) -> AnyLoss:
    """The default losses of slots, by their texts: of one alone that loss, of several all of them as one."""
    losses = {slot: _named(text) for slot, text in slots.items()}
    return next(iter(losses.values())) if len(losses) == 1 else JointLoss.of(losses, DEFAULTS)


def _named(text: str) -> Loss:
    return hand_designed_loss(text) if is_name(text) else Loss("default", graph_of(text))


def _loss(given: AnyLoss | str) -> AnyLoss:
    return zoo.get(given) if isinstance(given, str) else given


def _missing(loss: Loss, given: Collection[str]) -> list[str]:
    names = [buffer.name for buffer in loss.signature.buffers if loss.graph.uses(buffer.name)]
    return [name for name in names if name not in given]


def with_kept(entries: Sequence[Entry], kept: Mapping[str, AnyLoss]) -> list[Entry]:
    """The losses under names that no other kept loss has, and those that an earlier comparison finished beside them."""
    found: dict[str, Entry] = {}
    for entry in entries:
        base = entry.loss.name
        names = itertools.chain([base], (f"{base}_{number}" for number in itertools.count(2)))
        free = (name for name in names if name not in found and (name not in kept or kept[name].key == entry.loss.key))
        known = (name for name, loss in kept.items() if loss.key == entry.loss.key and loss.name == base)
        name = next(known, None)
        name = next(free) if name is None or name in found else name
        found[name] = Entry(name, entry.source, entry.loss)
    others = [Entry(name, _source(loss), loss) for name, loss in kept.items() if name not in found]
    return [*found.values(), *others]


def hand_designed_in(loss: JointLoss, slot: str) -> str | None:
    """Name of the hand-designed loss that stands in a slot beside the defaults of the others; None for any other."""
    family = _family(loss[slot])
    known = (name for name in family if _name_in(slot, name) == loss.name and zoo.get(name).source == loss.source)
    return next(known, None)


def _name_in(slot: str, name: str) -> str:
    """What a loss of one slot is called beside the defaults of the others."""
    return f"{slot}_{name}"


def _source(loss: AnyLoss) -> Source:
    if isinstance(loss, JointLoss):
        known = loss.name == DEFAULTS or any(hand_designed_in(loss, slot) for slot in loss.graph.slots)
        return "hand-designed" if known else "discovered"
    known = loss.name in _family(loss) and zoo.get(loss.name).source == loss.source
    return "hand-designed" if known else "discovered"
