"""Finished parts of a comparison on disk: one file per loss, so that an interrupted comparison can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lossearch.comparison.jobs import JobResult
from lossearch.comparison.tuning import Trial
from lossearch.errors import UserError
from lossearch.files import storage_errors, write_atomically
from lossearch.joint_loss import AnyLoss, loss_from_json
from lossearch.reading import parse_json, read_text

FORMAT = 1

AGAIN = "run again: finished losses are kept"
"""How a comparison goes on once its disk can be written again."""

_TRIALS = TypeAdapter(tuple[Trial, ...])
_TRAINED = TypeAdapter(JobResult)


@dataclass(frozen=True)
class Finished:
    """What is known of one loss: its trials once it is tuned, and its test values once it is tested."""

    trials: tuple[Trial, ...] = ()
    test: JobResult | None = None


class Checkpoints:
    """The directory `losses` below a comparison's output; without an output nothing is kept.

    Args:
        out: output directory of the comparison, or None.
        settings: everything but the loss that its figures depend on.
    """

    def __init__(self, out: str | Path | None, settings: Mapping[str, Any]) -> None:
        self._folder = None if out is None else Path(out) / "losses"
        self._settings = json.loads(json.dumps(settings))  # tuples become lists, as they will be in the file

    def read(self, name: str, key: str) -> Finished:
        """What an earlier comparison finished of the loss `name` with structural key `key`.

        Raises:
            UserError: it was made with another loss of that name or other settings, or the file is damaged.
        """
        path = self._path(name)
        if path is None or not path.is_file():
            return Finished()
        hint = "delete the file to compute it anew"
        text = read_text(path, "a result of an earlier comparison", hint)
        document = parse_json(text, f"a result in {path}", hint, infinite=True)
        try:
            found = {**document["settings"], "format": document["format"]}
            finished = Finished(
                _TRIALS.validate_python(document["trials"]),
                None if document["test"] is None else _TRAINED.validate_python(document["test"]),
            )
        except (ValueError, ValidationError, KeyError, TypeError) as error:
            raise UserError(
                f"a result of an earlier comparison in {path}",
                f"{type(error).__name__}: {str(error).splitlines()[0]}",
                hint,
            ) from error
        self._verify(path, found, {**self._settings, "loss": key, "format": FORMAT})
        return finished

    def kept(self) -> dict[str, AnyLoss]:
        """Losses that were tested with these settings, by the names that they go by here; others are left out."""
        found: dict[str, AnyLoss] = {}
        for path in sorted(self._folder.glob("*.json")) if self._folder is not None and self._folder.is_dir() else ():
            try:
                document = parse_json(read_text(path, "a result", "delete it"), "a result", "delete it")
                loss = loss_from_json(json.dumps(document["graph"]))
                finished = self.read(path.stem, loss.key)
            except (UserError, KeyError, TypeError):
                continue  # of other settings, or from before losses were kept with their results
            if finished.test is not None:
                found[path.stem] = loss
        return found

    def write(self, name: str, loss: AnyLoss, trials: Sequence[Trial], test: JobResult | None) -> None:
        """Keep what is finished of a loss.

        Raises:
            UserError: the disk is full, or the place cannot be written.
        """
        path = self._path(name)
        if path is None:
            return
        document = {
            "format": FORMAT,
            "settings": {**self._settings, "loss": loss.key},
            "graph": json.loads(loss.to_json()),
            "trials": _TRIALS.dump_python(tuple(trials), mode="json"),
            "test": None if test is None else _TRAINED.dump_python(test, mode="json"),
        }
        with storage_errors(path, AGAIN):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(document, indent=1) + "\n", AGAIN)

    def _path(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{name}.json"

    def _verify(self, path: Path, found: Mapping[str, Any], required: Mapping[str, Any]) -> None:
        different = [field for field in required if found.get(field) != required[field]]
        if different:
            first = different[0]
            raise UserError(
                f"results with the same settings in {path}: {first} {_short(required[first])}",
                f"{first} {_short(found.get(first))}"
                + (f"; also different: {', '.join(different[1:])}" * (len(different) > 1)),
                "name another output directory, or delete this one to compute everything anew",
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
