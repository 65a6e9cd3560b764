"""Writing losses to files that work without lossearch, by what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossearch.errors import UserError
from lossearch.files import write_atomically
from lossearch.joint_loss import JointLoss
from lossearch.loss import Loss
from lossearch.named_losses import LossLike, Resolved, find, one_of
from lossearch.reading import usable_path


def export(loss: LossLike, path: str | Path, **options: Any) -> Path:
    """Write a loss to a file that works without lossearch, and return its path.

    The docstring of a `.py` file tells the shorter form of a run's loss, where the run keeps one.

    Args:
        loss: What `load` takes.
        path: The suffix decides: `.py`, `.pt` (TorchScript), `.pt2` (torch.export), `.json` or `.tex`.
        options: `reduction`, `ignore_index`, `weight`, `labels`, `rank`; see `lossearch.compile.export.export`.

    Raises:
        UserError: The loss is unknown, or suffix, option or path do not fit.
    """
    from lossearch.compile.export import export as write

    found = find(loss)
    one = one_of(found.loss, loss)
    return write(one, path, **_with_shorter(found, one, found.slot, Path(path), options))


def export_slots(loss: LossLike, path: str | Path, **options: Any) -> dict[str, Path]:
    """Write the losses of several slots to a file each, named after it, and return their paths by slot.

    `best.py` becomes `best_box.py` and `best_classification.py`. A `.json` file holds all of them, so that it can be
    read back as one.

    Args:
        loss: What `load_slots` takes.
        path: As of `export`.
        options: As of `export`, the same for all.

    Raises:
        UserError: As `export`.
    """
    from lossearch.compile.export import export as write

    found, path = find(loss), Path(path)
    if not isinstance(found.loss, JointLoss):
        return {"loss": export(loss, path, **options)}
    if path.suffix == ".json":
        if options:
            raise UserError("no options of a .json file", ", ".join(options), "leave them out")
        target = usable_path(path, "a path to write the losses to")
        write_atomically(target, found.loss.to_json() + "\n")
        return dict.fromkeys(found.loss.losses, target)
    return {
        slot: write(
            one,
            path.with_name(f"{path.stem}_{slot}{path.suffix}"),
            **_with_shorter(found, one, slot, path, options),
        )
        for slot, one in found.loss.losses.items()
    }


def _with_shorter(found: Resolved, one: Loss, slot: str, path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the shorter form of a run's loss, or of that of one of its slots, where the run keeps one."""
    from lossearch.archive.simplified import shorter_of

    if found.run is None or found.ranked is None or path.suffix != ".py":
        return dict(options)
    kept = shorter_of(found.run, one.key) or shorter_of(found.run, found.ranked.candidate.key)
    shorter = None if kept is None else kept.loss.losses.get(slot) if isinstance(kept.loss, JointLoss) else kept.loss
    if kept is None or shorter is None or shorter.key == one.key:
        return dict(options)
    return {"shorter": (shorter.to_text(), kept.how), **options}
