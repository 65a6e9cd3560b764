"""Writing a loss to a file, by suffix: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lossearch.compile import torchscript
from lossearch.compile.class_weights import CLASS_WEIGHT
from lossearch.compile.export.forms import Exportable
from lossearch.compile.export.standalone import class_name, standalone
from lossearch.compile.export.traced import traced
from lossearch.compile.module import IGNORE_INDEX, class_weights
from lossearch.compile.targets import CLASS
from lossearch.compile.variant import check_class_weight
from lossearch.errors import UserError
from lossearch.ir.core.signature import PROGRESS
from lossearch.reading import usable_path

Writer = Callable[..., None]


def export(loss: Exportable, path: str | os.PathLike[str], **options: Any) -> Path:
    """Write a loss to a file and return its path.

    The suffix decides: `.py` a module whose only import is torch; `.pt` TorchScript for `torch.jit.load`; `.pt2` for
    `torch.export.load`; `.json` the exchange form; `.tex` the formula. Options: `reduction` and `ignore_index` (.py,
    .pt, .pt2; as defaults of the constructor in .py), `shorter` (.py: the one-line form of a shorter loss that serves
    as well, and how that is known, for the docstring), `weight` (.pt, .pt2: class weights), `buffers` (.pt, .pt2: other
    tensors that the signature takes at construction, by name), `labels`, `rank` and `classes` (.pt2:
    whether the target is integer labels, how many spatial axes there are, and how many classes, where a single one is
    meant; by default labels where the signature has them, and no spatial axes for them, nor for plain numbers; two for
    images, maps and whatever has windows; three for the noise of images). The modules refuse inputs of another kind
    or shape than the others ask for, and images smaller than their windows, with `ValueError` (a failed guard in
    .pt2). The file appears whole or not at all. Raises `UserError` for an unknown suffix or option, or a path that
    cannot be written.
    """
    target = usable_path(path, "a path to write the loss to")
    writer = WRITERS.get(target.suffix)
    if writer is None:
        raise UserError(f"a suffix among {' '.join(WRITERS)}", repr(target.name), "choose the kind of file by suffix")
    allowed = OPTIONS.get(target.suffix, ())
    if unknown := sorted(options.keys() - set(allowed)):
        takes = ", ".join(allowed) or "none"
        raise UserError(f"options of {target.suffix} among {takes}", ", ".join(unknown), "leave them out")
    if target.is_dir() or not target.parent.is_dir():
        found = "a directory" if target.is_dir() else f"no directory {target.parent}"
        raise UserError(f"a file in an existing directory to write {target.name}", found, "correct the path")
    part = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        writer(loss, part, **options)
        part.replace(target)
    except OSError as error:
        raise UserError(f"a path that can be written, for {target}", str(error), "choose another path") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _write_text(path: Path, text: str) -> None:
    path.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")


def _write_python(loss: Exportable, path: Path, **options: Any) -> None:
    _write_text(path, standalone(loss, **options))


def _write_json(loss: Exportable, path: Path) -> None:
    _write_text(path, loss.to_json())


def _write_latex(loss: Exportable, path: Path) -> None:
    _write_text(path, loss.latex())


def _constructor_options(loss: Exportable, options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the standalone module's constructor that are tensors."""
    weight: Tensor | Sequence[float] | None = options.get("weight")
    check_class_weight(loss.graph, weight is not None)
    given: dict[str, Tensor] = dict(options.get("buffers") or {})
    if loss.graph.uses(PROGRESS.name):  # a training begins there, and sets it from then on
        given.setdefault(PROGRESS.name, torch.tensor(0.0))
    needed = [b for b in loss.graph.signature.buffers if b.name != CLASS_WEIGHT and loss.graph.uses(b.name)]
    if {buffer.name for buffer in needed} != given.keys():
        spelled = ", ".join(f"{b.name}[{', '.join(b.axes)}]" for b in needed)
        raise UserError(f"buffers: {spelled or 'none'}", ", ".join(given) or "none", "give `buffers` by name")
    return given if weight is None else {**given, "weight": class_weights(weight)}


def _source(loss: Exportable, options: Mapping[str, Any]) -> str:
    return standalone(
        loss, options.get("reduction", "mean"), options.get("ignore_index", IGNORE_INDEX), options.get("traced", False)
    )


def _write_torchscript(loss: Exportable, path: Path, **options: Any) -> None:
    arguments = _constructor_options(loss, options)
    module = torchscript.script_file(_source(loss, options), class_name(loss.name), **arguments)
    torchscript.save(module, path)


def _write_traced(loss: Exportable, path: Path, **options: Any) -> None:
    arguments = _constructor_options(loss, options)
    module: nn.Module = torchscript.load_class(_source(loss, {**options, "traced": True}), class_name(loss.name))(
        **arguments
    )
    axes = {buffer.name: buffer.axes for buffer in loss.graph.signature.buffers}
    lengths = {
        axis: length
        for name, value in arguments.items()
        for axis, length in zip(axes[CLASS_WEIGHT if name == "weight" else name], value.shape, strict=True)
    }
    if (classes := options.get("classes")) is not None:
        _check_classes(classes, lengths)
        lengths[CLASS] = classes
    program = traced(loss.name, module, loss.graph, options.get("labels"), options.get("rank"), lengths)
    torch.export.save(program, path)


def _check_classes(classes: Any, lengths: Mapping[str, int]) -> None:
    known = lengths.get(CLASS)
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1 or known not in (None, classes):
        required = "classes as an integer ≥ 1" + (f", the {known} of the tensors given" if known else "")
        raise UserError(required, repr(classes)[:80], "correct `classes`")


WRITERS: dict[str, Writer] = {
    ".py": _write_python,
    ".pt": _write_torchscript,
    ".pt2": _write_traced,
    ".json": _write_json,
    ".tex": _write_latex,
}
"""What writes each kind of file."""

OPTIONS: dict[str, tuple[str, ...]] = {
    ".py": ("reduction", "ignore_index", "shorter"),
    ".pt": ("reduction", "ignore_index", "weight", "buffers"),
    ".pt2": ("reduction", "ignore_index", "weight", "buffers", "labels", "rank", "classes"),
}
"""Options that each kind of file takes."""
