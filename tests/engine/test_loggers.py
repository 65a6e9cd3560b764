"""What other programs are told of a search, by Ray's own callbacks."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto import event_pb2

from lossearch.engine.driver import plan
from lossearch.engine.driver.search import plan_search, resume, search
from lossearch.errors import UserError

SMALL: dict[str, Any] = {
    "task": {"base": "digits", "train_size": 200, "steps": 10},
    "islands": 1,
    "generations": 2,
    "generation_size": 2,
    "evaluation": {"seeds": 1, "variants": 1, "learning_rates": [1.0]},
    "race": {"candidates": 0},
    "logging": {"callbacks": ["tensorboard"]},
}


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """All scalars of the event files in a folder: by name and step."""
    found: dict[str, dict[int, float]] = {}
    for path in folder.rglob("events.out.tfevents.*"):
        data, place = path.read_bytes(), 0
        while place < len(data):  # length, its checksum, the event, its checksum
            length = int.from_bytes(data[place : place + 8], "little")
            event: Any = event_pb2.Event.FromString(data[place + 12 : place + 12 + length])  # pyright: ignore[reportAttributeAccessIssue]
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
            place += 16 + length
    return found


@pytest.mark.thorough
def test_generations_are_logged_for_tensorboard_and_go_on_when_a_search_does(tmp_path: Path) -> None:
    with search(SMALL, tmp_path / "run", progress=False).archive as archive:
        score = archive.ranked(1)[0].metric
    logged = scalars(tmp_path / "run" / "tensorboard")
    assert sorted(logged["ray/tune/candidates"]) == [1, 2]
    assert logged["ray/tune/best"][2] == pytest.approx(score)
    resume(tmp_path / "run", generations=3, progress=False)
    assert sorted(scalars(tmp_path / "run" / "tensorboard")["ray/tune/candidates"]) == [1, 2, 3]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_extra_is_told_before_anything_starts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = "tensorboardX" if name == "tensorboard" else name
    found = importlib.util.find_spec
    monkeypatch.setattr(plan, "find_spec", lambda module: None if module == package else found(module))
    with pytest.raises(UserError, match=rf'pip install "lossearch\[{name}\]"'):
        plan_search({**SMALL, "logging": {"callbacks": [name]}})


def test_an_unknown_callback_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="tensorboard"):
        plan_search({**SMALL, "logging": {"callbacks": ["csv"]}})
