"""Running a search, and resuming one."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.driver.address import check_address
from lossearch.engine.driver.display import CallbackDisplay, Display, make_display
from lossearch.engine.driver.ending import Ending, ends_told, exits_of_ray, notes_added
from lossearch.engine.driver.plan import SearchPlan, make_plan
from lossearch.engine.driver.race import hold_race
from lossearch.engine.driver.result import SearchResult
from lossearch.engine.driver.winner import shorten_winner
from lossearch.engine.setup.begun import (
    ScriptChange,
    continued,
    files_now,
    located,
    write_beginning,
    write_continuation,
)
from lossearch.engine.setup.begun_files import digests_of
from lossearch.engine.setup.config import SearchConfig, validate
from lossearch.engine.setup.cpus import own_cpus
from lossearch.engine.setup.first_call_file import forget_first_call, keep_first_call, read_first_call
from lossearch.engine.setup.given import ConfigSource, read_given
from lossearch.engine.setup.meta_config import learning
from lossearch.engine.setup.parts import island_limits
from lossearch.engine.setup.state import Continuation, IslandState, SavedState, newest_states
from lossearch.engine.writer.progress import Progress
from lossearch.engine.writer.writer import WRITER_PATIENCE, hold_writer_lock
from lossearch.errors import UserError
from lossearch.reading import usable_path
from lossearch.tasks.user.function import check_not_importing

_LOG = logging.getLogger(__name__)

ProgressOption = bool | Callable[[Progress], None]


def search(
    config: ConfigSource,
    out: str | Path | None = None,
    *,
    address: str | None = None,
    workers: int | None = None,
    seed: int | None = None,
    seeds: Sequence[str] = (),
    progress: ProgressOption = True,
    meta: bool = False,
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
        seeds: losses to begin with before those of the configuration, by the zoo's names or in text form.
        progress: whether to show progress on standard error, or a function to call about once a second.
        meta: whether this is meta-learning, whose method need not be named; see `learning`.

    Returns:
        What was found, as queries on the archive.

    Raises:
        UserError: a mistake in the configuration, a missing dataset, a full disk …
        SearchInterrupted: Ctrl-C, SIGTERM or SIGHUP.
        SearchLost: the Ray cluster is gone, or islands broke too often.
    """
    check_not_importing()
    with ends_told(None) as ending:
        check_address(address)
        given = read_given(config)
        path = _free_path(Path("runs"), given.name) if out is None else usable_path(out, "a path for the run directory")
        written = resolve(learning(given.config) if meta else given.config, workers, seed, address, seeds)
        with given.usable(written) as usable:
            plan, files = make_plan(usable, _islands(written)), digests_of(usable)

        def begin(draft: RunDirectory) -> None:
            facts = plan.facts
            metric = (facts.metric, facts.higher_is_better)
            draft.create_archive(
                *metric, written.keep_rejected, facts.directions, written.evaluation.robustness
            ).close()
            given.write_function(draft.path)
            write_beginning(draft, path, written, given.folder, files)

        with ending.deferred():
            run = RunDirectory.create(path, given.text, begin)
            ending.path = run.path
        with run.lock():
            return _run(run, located(written, run), plan, address, progress, ending)


def resume(
    path: str | Path,
    *,
    address: str | None = None,
    generations: int | None = None,
    max_candidates: int | None = None,
    max_budget: int | None = None,
    time_limit_s: float | None = None,
    workers: int | None = None,
    changed_script: bool = False,
    progress: ProgressOption = True,
) -> SearchResult:
    """Continue a search that was interrupted, killed, or has ended, wherever its directory is now.

    Each island goes on from its last saved state and takes from the archive what it had trained since. Limits and the
    number of islands may have been edited in the directory's `config.toml`.

    Args:
        path: the run directory.
        address: as in `search`.
        generations, max_candidates, max_budget, time_limit_s: new limits in place of the configuration's, to search
            longer.
        workers: another number of islands; new ones begin anew, and those beyond it rest.
        changed_script: whether the training script, or a module beside it that it imports, may have been changed since
            the search began. That is recorded in the run; scores before and after need not compare.
        progress: as in `search`.

    Raises:
        UserError: no run directory, a damaged archive, a search that runs in it now, a file that is not found, or a
            field of `config.toml`, the search space, a seed or the training script was edited, which decide the
            results.
        SearchInterrupted: Ctrl-C, SIGTERM or SIGHUP.
        SearchLost: the Ray cluster is gone, or islands broke too often.
    """
    check_not_importing()
    run = RunDirectory.open(path)
    with ends_told(run.path) as ending, run.lock():
        check_address(address)
        written = _with_limits(
            continued(run),
            generations=generations,
            max_candidates=max_candidates,
            max_budget=max_budget,
            time_limit_s=time_limit_s,
            islands=workers,
        )
        resolved = located(written, run)
        files, changed = files_now(run, resolved, changed_script)
        with run.open_archive(read_only=True) as archive:
            archive.check()
            candidates = archive.counts().candidates
        # A changed script may give its loss other predictions: step sizes are measured there from now on.
        plan = make_plan(resolved, _islands(resolved), None if changed else read_first_call(run))
        if changed:
            with run.open_archive() as archive:
                archive.forget_race()  # it pairs trainings over seeds, old ones with new ones
            _LOG.warning("%s: scores before and after need not compare", "; ".join(changed))
            forget_first_call(run)
        change = ScriptChange(tuple(changed), candidates) if changed else None
        write_continuation(run, written, files, change)
        return _run(run, resolved, plan, address, progress, ending)


def plan_search(
    config: ConfigSource,
    *,
    address: str | None = None,
    workers: int | None = None,
    seed: int | None = None,
    seeds: Sequence[str] = (),
    meta: bool = False,
) -> SearchPlan:
    """What `search` would do with these arguments; trains nothing and writes nothing.

    Raises:
        UserError: as `search` would, before it starts.
    """
    check_not_importing()
    with ends_told(None):
        given = read_given(config)
        written = resolve(learning(given.config) if meta else given.config, workers, seed, address, seeds)
        with given.usable(written) as usable:
            return make_plan(usable, _islands(written))


def resolve(
    config: SearchConfig, workers: int | None, seed: int | None, address: str | None, seeds: Sequence[str] = ()
) -> SearchConfig:
    """The configuration with the number of islands, the seed, and what to begin with decided."""
    changes: dict[str, Any] = {"seeds": [*seeds, *config.seeds]}
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
    return own_cpus()


def _islands(config: SearchConfig) -> int:
    assert config.islands is not None
    return config.islands


def _free_path(folder: Path, name: str) -> Path:
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(path for path in map(folder.joinpath, names) if not path.exists())


def _with_limits(config: SearchConfig, **given: float | None) -> SearchConfig:
    changes = {name: value for name, value in given.items() if value is not None}
    return validate({**config.model_dump(mode="json"), **changes}, "the arguments of resume") if changes else config


def _run(
    run: RunDirectory,
    config: SearchConfig,
    plan: SearchPlan,
    address: str | None,
    progress: ProgressOption,
    ending: Ending,
) -> SearchResult:
    """One session: from the islands' last states until each has reached a limit. The run is locked."""
    with ending.deferred():
        # Ray takes a second to import, which only those who search should wait for.
        from lossearch.engine.driver.cluster import ray_session
        from lossearch.engine.driver.driver import SearchSession, drive
        from lossearch.engine.remote.placement import cpus_needed

    with run.open_archive(read_only=True) as archive:
        found = newest_states(run.checkpoints, archive.mark())
    if found.gone_back:
        _LOG.warning("%s", _went_back(found))
    for path in found.ahead:
        path.unlink()  # the islands' way from here on is another one
    saved = {island: one for island, one in found.states.items() if island < plan.islands}
    display = _display(progress, config, plan)
    if len(saved) < plan.islands or not all(_has_ended(config, plan, one) for one in saved.values()):
        if plan.islands == 1 and len(found.states) > 1:
            _leave_alone(run, saved)
        name = _next_session(run.checkpoints, found.states)
        states = {island: one.text for island, one in saved.items()}
        call = keep_first_call(run, plan.first_call)
        job = SearchSession(run, config, plan.facts, plan.islands, states, name, first_call=call)
        with (
            notes_added(run.path),
            exits_of_ray(ending),
            ray_session(address, cpus_needed(plan.islands, config.elsewhere), run.log, ending.last_acts) as namespace,
        ):
            ending.take_signals()
            drive(job, namespace, display, ending)
    if config.race.candidates:
        with notes_added(run.path):
            ending.take_signals()
            note = display.note if progress is True else lambda _: None
            hold_race(run, config, plan.facts, None, note, address, ending)
            shorten_winner(run, config, plan.facts, None, note)
    with run.open_archive(read_only=True) as archive:
        run.write_hall_of_fame(archive.hall_of_fame())
    return SearchResult(run.path)


def _leave_alone(run: RunDirectory, saved: Mapping[int, SavedState]) -> None:
    """Prepare for an island that goes on without the others, of which it had migrants: it will not repeat itself."""
    os.close(hold_writer_lock(run.path, WRITER_PATIENCE))
    generation = IslandState.loads(saved[0].text).generation if 0 in saved else 0
    with run.open_archive() as archive:
        archive.supersede(0, generation)


def _went_back(found: Continuation) -> str:
    places = [
        f"island {island} goes back to generation {IslandState.loads(found.states[island].text).generation}"
        if island in found.states
        else f"island {island} begins anew"
        for island in found.gone_back
    ]
    return (
        "the archive lacks results that it once held, as after a power cut or where archive.sqlite was copied"
        f" without archive.sqlite-wal. They are searched again: {', '.join(places)}"
    )


def _has_ended(config: SearchConfig, plan: SearchPlan, saved: SavedState) -> bool:
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


def _display(progress: ProgressOption, config: SearchConfig, plan: SearchPlan) -> Display:
    if callable(progress):
        return CallbackDisplay(progress)
    return make_display(config, plan.facts.metric_with_direction) if progress else CallbackDisplay(lambda _: None)
