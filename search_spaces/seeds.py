"""Seeds: losses that a search begins with, by the zoo's names, in text form or in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lossearch.errors import UserError
from lossearch.ir.core.joint import JointGraph
from lossearch.ir.forms.joint import is_joint_text
from lossearch.ir.forms.text import format_graph
from lossearch.joint_loss import JointLoss, loss_from_json, loss_from_text
from lossearch.loss import Loss
from lossearch.reading import read_text
from lossearch.zoo.named import graph_of, is_text_form

FILES = (".json", ".txt")


def is_file(seed: str) -> bool:
    """Whether a seed is named by a file."""
    return Path(seed).suffix in FILES


def read_seeds(given: Sequence[str], signature: str, folder: Path, source: str) -> dict[str, str]:
    """The seeds as the zoo's names and text forms, files read, each loss once; with what each is called in tables.

    Args:
        given: zoo names with arguments (`focal(gamma=2)`), text forms (`dense: …`), or `.json` and `.txt` files.
        signature: that the losses must have.
        folder: that paths are relative to.
        source: where the seeds are declared, for messages.

    Raises:
        UserError: a seed is none of these, cannot be read, or has another signature.
    """
    found: dict[str, tuple[str, str]] = {}
    for rank, seed in enumerate(given):
        try:
            text = _text_of_file(folder / seed) if is_file(seed) else seed
            graph = graph_of(text)
        except UserError as error:
            raise type(error)(error.required, error.found, f"{error.hint} (seeds[{rank}] of {source})") from None
        if graph.signature.name != signature:
            told = f"seeds[{rank}] = {seed[:80]!r} of signature {graph.signature.name}"
            raise UserError(f"seeds of signature {signature}", told, f"correct {source}, or choose another space")
        found.setdefault(graph.key, (text, label(seed)))
    return dict(found.values())


def joint_seed(seed: str, folder: Path = Path()) -> JointGraph | None:
    """The losses of several slots that a seed is, in text form or in a file; None for one loss alone."""
    text = seed
    if is_file(seed) and not is_joint_text(seed):
        text = read_text(folder / seed, "a file with a loss", "check the path")
        if Path(seed).suffix == ".json":
            loss = loss_from_json(text)
            return loss.graph if isinstance(loss, JointLoss) else None
    if not is_joint_text(text):
        return None
    loss = loss_from_text(text.strip())
    return loss.graph if isinstance(loss, JointLoss) else None


def signature_of(seed: str, folder: Path = Path()) -> str:
    """The signature of a seed's loss; raises `UserError` where it is none or cannot be read."""
    return graph_of(_text_of_file(folder / seed) if is_file(seed) else seed).signature.name


def label(seed: str) -> str:
    """What a seed is called in tables: a hand-designed loss by name and arguments, a file by its name, or `text`."""
    if is_file(seed) and not is_text_form(seed):
        return Path(seed).name
    return "text" if is_text_form(seed) else seed.strip()


def _text_of_file(path: Path) -> str:
    text = read_text(path, "a file with a loss", "check the path")
    loss = Loss.from_json(text) if path.suffix == ".json" else Loss.from_text(text.strip())
    return format_graph(loss.graph.frozen())
