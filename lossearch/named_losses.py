"""The loss that a name stands for: of the zoo, of a file, of a run, or written out."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from lossearch.archive.discovered import discovered_loss, identifier
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Ranked
from lossearch.errors import UserError
from lossearch.ir.forms.joint import format_any
from lossearch.joint_loss import AnyLoss, JointLoss, loss_from_json, loss_from_text
from lossearch.loss import Loss
from lossearch.reading import read_text, whole_in
from lossearch.zoo.named import hand_designed_loss

LossLike = Loss | JointLoss | str | Path
"""A loss, the losses of several slots, or what `load` takes."""

_FORMS = 'a loss: a zoo name ("focal(gamma=2)"), a .json or .txt file, a text form ("dense: …"), or DIR@RANK[.SLOT]'
_RANK = re.compile(r"([0-9]+)(?:\.([^\W\d]\w*))?")
_ZOO_CALL = re.compile(r"\s*[A-Za-z_]\w*\s*(\(.*)?", re.DOTALL)


@dataclass(frozen=True)
class Resolved:
    """A loss and, where it comes from a run, its place there.

    Attributes:
        loss: The loss, or the losses of several slots.
        run: The run that found it.
        ranked: Its candidate and score in that run.
        rank: Its rank there, from 1.
        slot: That of it alone, where the name says one; else empty.
    """

    loss: AnyLoss
    run: RunDirectory | None = None
    ranked: Ranked | None = None
    rank: int = 0
    slot: str = ""


def load(loss: LossLike) -> Loss:
    """The loss that a name stands for.

    Args:
        loss: A zoo name with arguments (`focal(gamma=2)`), a `.json` file, a `.txt` file with the text form, the text
            form itself (`dense: …`), or a rank in a run (`runs/x@1`, the best one), with a slot after it where the
            search was over several (`runs/x@1.box`). A `Loss` is returned as it is.

    Raises:
        UserError: It is none of these, what it names is missing, malformed or ill-typed, or it stands for the losses of
            several slots, which `load_slots` gives.
    """
    return one_of(find(loss).loss, loss)


def load_slots(loss: LossLike) -> dict[str, Loss]:
    """The losses of several slots that a name stands for, by slot; of one loss alone under `loss`.

    Args:
        loss: What `load` takes, such as `runs/x@1` of a search over several slots.

    Raises:
        UserError: As `load`.
    """
    found = find(loss).loss
    return found.losses if isinstance(found, JointLoss) else {"loss": found}


def one_of(found: AnyLoss, called: object) -> Loss:
    """A loss that is one alone; raises `UserError` for the losses of several slots, which it names.

    Args:
        found: the loss.
        called: what it was called.
    """
    if isinstance(found, JointLoss):
        slots = ", ".join(found.graph.slots)
        name = called if isinstance(called, str) and "@" in called else "DIR@RANK of its run, as DIR@RANK"
        hint = f"name a slot: {name}.{found.graph.slots[0]} (in Python load_slots and export_slots give all)"
        raise UserError("one loss", f"those of the slots {slots}", hint)
    return found


def as_seed(loss: LossLike) -> str:
    """A loss as a configuration's `seeds` take it, free of files and runs: names and text forms as they are.

    Raises `UserError` as `load` does; the losses of several slots are in the text form of all.
    """
    found = find(loss)
    text = str(loss)
    named = isinstance(loss, str) and found.run is None and Path(text).suffix not in (".json", ".txt")
    return text if named else format_any(found.loss.graph.frozen())


def find(loss: LossLike) -> Resolved:
    """As `load`, with the loss's place in the run that it comes from."""
    if isinstance(loss, Loss | JointLoss):
        return Resolved(loss)
    text = str(loss)
    if Path(text).suffix in (".json", ".txt"):
        return Resolved(_from_file(Path(text)))
    if isinstance(loss, Path):
        raise UserError("a .json or .txt file with a loss", text, "give the .json that `lossearch export` writes")
    if "@" in text:
        return _from_run(text)
    if ":" in text:
        return Resolved(loss_from_text(text))
    if _ZOO_CALL.fullmatch(text) and not os.path.exists(text):  # false, too, for what no path can be
        return Resolved(hand_designed_loss(text))
    raise UserError(_FORMS, repr(text[:80]), _advice(Path(text)))


def _advice(path: Path) -> str:
    if os.path.exists(path / "archive.sqlite"):  # false, too, for what no path can be
        return f"for the best loss of this run give {path}@1"
    if os.path.isfile(path):
        return "give the .json that `lossearch export` writes: other files cannot be read back"
    return "see: lossearch zoo"


def _from_file(path: Path) -> AnyLoss:
    text = read_text(path, "a file with a loss", "check the path, and give a file that lossearch wrote")
    try:
        if path.suffix == ".json":
            return loss_from_json(text)
        return loss_from_text(text.strip(), identifier(path.stem))
    except UserError as error:
        raise type(error)(error.required, error.found, f"{error.hint} (in {path})") from None


def _from_run(text: str) -> Resolved:
    directory, _, wanted = text.rpartition("@")
    form = _RANK.fullmatch(wanted)
    rank = None if form is None else whole_in(form.group(1))
    if form is None or rank is None or rank < 1:
        raise UserError("DIR@RANK with a rank from 1", repr(text), f"see: lossearch ls {directory}")
    run = RunDirectory.open(directory)
    with run.open_archive(read_only=True) as archive:
        rows = archive.ranked(rank)
    if len(rows) < rank:
        found = f"rank {rank}, but {len(rows)} candidates are ranked"
        raise UserError(f"a rank that {directory} has", found, f"see: lossearch ls {directory}")
    found, slot = discovered_loss(run.path.resolve().name, rows[-1], rank), form.group(2)
    if slot is not None:
        if not isinstance(found, JointLoss):
            raise UserError(f"DIR@RANK without a slot, as {directory} searched one alone", repr(text), "leave it out")
        found = found[slot]
    return Resolved(found, run, rows[-1], rank, slot or "")
