"""Running a search, and resuming one."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lossearch.engine.address import check_address
from lossearch.engine.config import FunctionConfig, SearchConfig, load_config, parse_config, validate
from lossearch.engine.display import CallbackDisplay, Display, make_display
from lossearch.engine.ending import Ending, SearchInterrupted, SearchLost, how_to_go_on
from lossearch.engine.parts import island_limits
from lossearch.engine.plan import Plan, make_plan
from lossearch.engine.progress import Progress
from lossearch.engine.result import SearchResult
from lossearch.engine.state import IslandState, SavedState, newest_states
from lossearch.engine.toml_form import to_toml
from lossearch.errors import UserError
from lossearch.evaluate.run_directory import RunDirectory, storage_errors, write_atomically
from lossearch.tasks.pickled_function import SUFFIX, is_pickled, name_of, pickled
from lossearch.tasks.user_function import check_not_importing, reference_to

RESOLVED = "resolved.json"
"""The file of a run directory that holds the configuration with everything written out."""

PICKLED = f"function{SUFFIX}"
"""The file of a run directory that holds a training function which is in no file of the user's."""

ConfigSource = str | Path | Mapping[str, Any] | SearchConfig
ProgressOption = bool | Callable[[Progress], None]


def search(
    config: ConfigSource,
    out: str | Path | None = None,
    *,
    address: str | None = None,
    workers: int | None = None,
    seed: int | None = None,
    progress: ProgressOption = True,
) -> SearchResult:
    """Search for losses, and keep everything in a new run directory.

    With one island and the same seed the result is the same, whether the search was interrupted or not, unless a
    time limit ended it.

    Args:
        config: a TOML file, its content as a mapping, or a configuration. In a mapping, the function of a task may be
            the function itself; one of a notebook cell, a closure, a partial or a bound method is pickled into the run.
        out: the run directory; None takes the next free `runs/NAME`.
        address: of a Ray cluster; None uses the one this process is connected to, or starts a local one.
        workers: islands, in place of the configuration's; None takes those, or else one per CPU.
        seed: in place of the configuration's.
        progress: whether to show progress on standard error, or a function to call about once a second.

    Returns:
        What was found, as queries on the archive.

    Raises:
        UserError: a mistake in the configuration, a missing dataset, a full disk …
        SearchInterrupted: Ctrl-C, SIGTERM or SIGHUP.
        SearchLost: the Ray cluster is gone, or islands broke too often.
    """
    check_not_importing()
    check_address(address)
    with _read(config) as (given, text, name):
        resolved = resolve(given, workers, seed, address)
        plan = make_plan(resolved, _islands(resolved))
        path = Path(out) if out is not None else _free_path(Path("runs"), name)
        run = RunDirectory.create(path, text)
        resolved = _with_function_of(run, resolved)
    with run.lock():
        run.create_archive(plan.facts.metric, plan.facts.higher_is_better, resolved.keep_rejected).close()
        write_atomically(run.path / RESOLVED, resolved.to_json())
        return _run(run, resolved, plan, address, progress)


def resume(
    path: str | Path,
    *,
    address: str | None = None,
    generations: int | None = None,
    max_candidates: int | None = None,
    time_limit_s: float | None = None,
    progress: ProgressOption = True,
) -> SearchResult:
    """Continue a search that was interrupted, killed, or has ended, wherever its directory is now.

    Each island goes on from its last saved state and takes from the archive what it had trained since.

    Args:
        path: the run directory.
        address: as in `search`.
        generations, max_candidates, time_limit_s: new limits in place of the configuration's, to search longer.
        progress: as in `search`.

    Raises:
        UserError: no run directory, a damaged archive, or a search that runs in it now.
        SearchInterrupted: Ctrl-C, SIGTERM or SIGHUP.
        SearchLost: the Ray cluster is gone, or islands broke too often.
    """
    check_not_importing()
    check_address(address)
    run = RunDirectory.open(path)
    resolved = _with_limits(
        _resolved(run), generations=generations, max_candidates=max_candidates, time_limit_s=time_limit_s
    )
    with run.lock():
        with run.open_archive(read_only=True) as archive:
            archive.check()
        plan = make_plan(resolved, _islands(resolved))
        write_atomically(run.path / RESOLVED, resolved.to_json())
        return _run(run, resolved, plan, address, progress)


def plan_search(
    config: ConfigSource, *, address: str | None = None, workers: int | None = None, seed: int | None = None
) -> Plan:
    """What `search` would do with these arguments; trains nothing and writes nothing.

    Raises:
        UserError: as `search` would, before it starts.
    """
    check_not_importing()
    with _read(config) as (given, _, _):
        resolved = resolve(given, workers, seed, address)
        return make_plan(resolved, _islands(resolved))


def resolve(config: SearchConfig, workers: int | None, seed: int | None, address: str | None) -> SearchConfig:
    """The configuration with the number of islands and the seed decided."""
    changes: dict[str, Any] = {}
    if seed is not None:
        changes["seed"] = seed
    islands = workers if workers is not None else config.islands
    if islands is None:
        islands = _available_cpus(address)
    return validate({**config.model_dump(mode="json"), **changes, "islands": islands}, "the arguments of search")


def _available_cpus(address: str | None) -> int:
    if address is not None:
        raise UserError(
            "the number of islands, for a search on a cluster",
            "neither islands in the configuration nor workers",
            "give --workers N, at most the cluster's CPUs",
        )
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _islands(config: SearchConfig) -> int:
    assert config.islands is not None
    return config.islands


@contextlib.contextmanager
def _read(config: ConfigSource) -> Iterator[tuple[SearchConfig, str, str]]:
    """The configuration, its text, and a name for its run.

    A function that has to be pickled lies in a temporary folder until the run has a directory; in the text its file is
    beside the configuration, as it will be then.
    """
    if isinstance(config, (str, Path)):
        loaded, text = load_config(config)
        yield loaded, text, Path(config).stem
    elif isinstance(config, SearchConfig):
        yield config, to_toml(config.model_dump(mode="json", exclude_unset=True)), "search"
    elif not isinstance(config, Mapping):
        raise _no_configuration(config)
    else:
        values, function = _with_names(config)
        text = to_toml(values)
        parsed = parse_config(text, "the configuration", Path.cwd())
        with tempfile.TemporaryDirectory(prefix="lossearch-") as folder:
            if function is not None:
                (Path(folder) / PICKLED).write_bytes(function)
                parsed = _with_folder(parsed, Path(folder))
            yield parsed, text, "search"


def _with_folder(config: SearchConfig, folder: Path) -> SearchConfig:
    """The configuration with its pickled function, if it has one, in this folder."""
    if not isinstance(config.task, FunctionConfig):
        return config
    if not is_pickled(config.task.function):
        return config
    place, _, name = config.task.function.rpartition(":")
    function = f"{folder.resolve() / Path(place).name}:{name}"
    return config.model_copy(update={"task": config.task.model_copy(update={"function": function})})


def _with_function_of(run: RunDirectory, config: SearchConfig) -> SearchConfig:
    """The configuration of a new run, into which its pickled function, if it has one, is copied."""
    changed = _with_folder(config, run.path)
    if changed is not config:
        assert isinstance(config.task, FunctionConfig)
        assert isinstance(changed.task, FunctionConfig)
        source, target = (Path(task.function.rpartition(":")[0]) for task in (config.task, changed.task))
        if source != target:
            with storage_errors(target):
                shutil.copyfile(source, target)
    return changed


_EXAMPLE = '{"task": {"function": train, "metric": "accuracy"}, "generations": 10, "evaluation": {"steps": 20}}'


def _no_configuration(found: object) -> UserError:
    what = "the training function alone" if callable(found) else f"{found!r:.80}"
    hint = (
        f"to search over a function of yours: lossearch.search({_EXAMPLE})" if callable(found) else "give one of these"
    )
    return UserError("a TOML file, a mapping or a SearchConfig", what, hint)


def _with_names(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes | None]:
    """The configuration with the name of a training function in its place, under which other processes find it.

    The function itself comes pickled where it has no such name.
    """
    task = config.get("task")
    if callable(task):
        raise UserError("a table as task", "the training function alone", f"write, for example, {_EXAMPLE}")
    if isinstance(task, Mapping) and callable(task.get("function")):
        function = task["function"]
        reference = reference_to(function)
        content = pickled(function) if reference is None else None
        return {**config, "task": {**task, "function": reference or f"{PICKLED}:{name_of(function)}"}}, content
    return config, None


def _free_path(folder: Path, name: str) -> Path:
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(path for path in map(folder.joinpath, names) if not path.exists())


def _resolved(run: RunDirectory) -> SearchConfig:
    path = run.path / RESOLVED
    if not path.is_file():
        # Killed between the first files of the run: nothing was searched, and the seed is the configuration's.
        raise UserError(f"the file {path}", "none", "the run was never begun: delete its directory and search anew")
    config = SearchConfig.parse_json(path.read_text(encoding="utf-8", errors="replace"), str(path))
    return _with_folder(config, run.path)  # where the run is now


def _with_limits(config: SearchConfig, **given: float | None) -> SearchConfig:
    changes = {name: value for name, value in given.items() if value is not None}
    return validate({**config.model_dump(mode="json"), **changes}, "the arguments of resume") if changes else config


def _run(
    run: RunDirectory, config: SearchConfig, plan: Plan, address: str | None, progress: ProgressOption
) -> SearchResult:
    """One session: from the islands' last states until each has reached a limit. The run is locked."""
    # Ray takes a second to import, which only those who search should wait for.
    from lossearch.engine.cluster import ray_session
    from lossearch.engine.driver import Job, drive

    saved = newest_states(run.checkpoints)
    if len(saved) < plan.islands or not all(_has_ended(config, plan, one) for one in saved.values()):
        name = _next_session(run.checkpoints, saved)
        states = {island: one.text for island, one in saved.items()}
        job = Job(run, config, plan.facts, plan.islands, states, name)
        with _early_ends_told(run.path) as ending, ray_session(address, plan.islands, run.log) as namespace:
            ending.take_signals()
            drive(job, namespace, _display(progress, config, plan), ending)
    with run.open_archive(read_only=True) as archive:
        run.write_hall_of_fame(archive.hall_of_fame())
    return SearchResult(run.path)


@contextlib.contextmanager
def _early_ends_told(path: Path) -> Iterator[Ending]:
    """Let every end of a search that comes too early say that nothing is lost, and how to go on."""
    with Ending(path) as ending:
        try:
            yield ending
        except KeyboardInterrupt:
            if ending.lost is not None and ending.received is None:
                raise SearchLost(path, ending.lost) from None
            raise SearchInterrupted(path, ending.received or signal.SIGINT) from None
        except SystemExit:  # Ray's own answer to SIGTERM, while it starts
            raise SearchInterrupted(path, signal.SIGTERM) from None
        except SearchLost:
            raise
        except Exception as error:
            error.add_note(how_to_go_on(path))
            raise


def _has_ended(config: SearchConfig, plan: Plan, saved: SavedState) -> bool:
    state = IslandState.loads(saved.text)
    return island_limits(config, state.island, plan.islands).reached(state)


def _next_session(checkpoints: Path, saved: Mapping[int, SavedState]) -> str:
    """The name of a new session's folder; older ones that hold no island's newest state are deleted."""
    needed = {one.path.relative_to(checkpoints).parts[0] for one in saved.values()}
    folders = sorted(path for path in checkpoints.glob("session-*") if path.is_dir())
    for folder in folders:
        if folder.name not in needed:
            shutil.rmtree(folder)
    last = folders[-1].name.rpartition("-")[2] if folders else "-1"
    return f"session-{int(last) + 1:04}"


def _display(progress: ProgressOption, config: SearchConfig, plan: Plan) -> Display:
    if callable(progress):
        return CallbackDisplay(progress)
    return make_display(config, plan.facts.metric) if progress else CallbackDisplay(lambda _: None)
