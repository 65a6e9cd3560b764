import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from engine.projects import CONFIG, SPACE, TRAIN, Begun

from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.driver import search as engine
from lossearch.engine.driver.plan import SearchPlan, make_plan
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.first_call_file import keep_first_call
from lossearch.tasks.user import task
from lossearch.tasks.user.first_calls import FirstCalls
from lossearch.tasks.user.server import Server


@pytest.fixture(scope="session")
def begun(kept_servers: Callable[[], Server], tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """A project with a run that was begun: its islands have not done anything, but know the function's first call."""
    folder = tmp_path_factory.mktemp("begun") / "project"
    folder.mkdir()
    for name, text in {"search.toml": CONFIG, "narrow.toml": SPACE, "train.py": TRAIN}.items():
        (folder / name).write_text(text)
    found: list[FirstCalls] = []

    def keep(run: RunDirectory, config: SearchConfig, plan: SearchPlan, *rest: object) -> None:
        keep_first_call(run, plan.first_call)
        assert plan.first_call is not None
        found.append(plan.first_call)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_run", keep)
        patch.setattr(task, "Server", kept_servers)
        engine.search(folder / "search.toml", folder / "runs" / "first")
    return Begun(folder, found[0])


@pytest.fixture
def project(begun: Begun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that project, which names no folder.

    Its function is called once for all tests: where a search of theirs would call it, it is given that first call.
    """

    def plan(config: SearchConfig, islands: int, first_call: FirstCalls | None = None) -> SearchPlan:
        return make_plan(config, islands, first_call or begun.first_call)

    monkeypatch.setattr(engine, "_run", lambda *arguments: None)
    monkeypatch.setattr(engine, "make_plan", plan)
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(begun.folder, tmp_path / "project"))
