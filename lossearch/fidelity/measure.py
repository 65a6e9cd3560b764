"""Training a sample of losses cheaply and fully, as a search and its final race would."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lossearch.archive.run_directory import RunDirectory
from lossearch.candidates.retraining import FoundCandidate, metric_of, retrain
from lossearch.comparison.workers import default_workers, worker_processes
from lossearch.engine.remote.equipment import Equipment, equip
from lossearch.engine.setup.begun import continued, located
from lossearch.engine.setup.config import SearchConfig, load_config
from lossearch.engine.setup.parts import Parts, build_parts, island_method, make_task
from lossearch.errors import UserError
from lossearch.fidelity.result import Fidelity, rows_of
from lossearch.ir.forms.joint import any_from_json, any_to_json
from lossearch.tasks.outcome import Status
from lossearch.training.seeds import first
from lossearch.training.untrained import AnyTask

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Of the steps of a full training, at which losses are scored."""

MOST_PROPOSALS = 50
"""Proposals for each loss of a sample, after which a space counts as having no more that pass the filters."""


@dataclass(frozen=True)
class FidelityJob:
    """All trainings of one loss.

    Attributes:
        equipment: of the process that trains.
        graph: in JSON.
        steps: at which the loss is scored.
        seeds: of each score.
        full_steps: of a full training.
        full_seeds: fresh ones, with which the loss is trained fully.
    """

    equipment: Equipment
    graph: str
    steps: tuple[int, ...]
    seeds: int
    full_steps: int
    full_seeds: tuple[int, ...]


@dataclass(frozen=True)
class Measured:
    """By steps the metric with each seed, None where a training failed; and the full metric, None where one did."""

    scores: dict[int, tuple[float | None, ...]]
    full: float | None


def measure(
    source: str | Path,
    *,
    sample: int = 24,
    seeds: int = 8,
    full_seeds: int = 16,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fidelity:
    """How well cheap settings rank losses as full trainings do.

    A loss is scored as a search would with each number of steps, its constants tuned with as many, and with 1, 2, 4 …
    of `seeds`. Its full metric is that of the final race: tuned and trained at the full budget, with fresh seeds.

    Args:
        source: a search configuration (.toml), whose space is sampled: as many of its seeds as of random losses that
            pass the filters; or a run directory, of which trained losses are drawn.
        sample: losses, at least five.
        seeds: most trainings of a score.
        full_seeds: trainings of a full metric.
        workers: processes; None takes one per core.
        progress: called with the number of losses that are done, and of all.

    Raises:
        UserError: the configuration or run cannot be read, has too few losses, or a setting is out of range.
    """
    workers = default_workers() if workers is None else workers
    if sample < 5 or seeds < 1 or full_seeds < 2 or workers < 1:
        found = f"sample = {sample}, seeds = {seeds}, full_seeds = {full_seeds}, workers = {workers}"
        raise UserError("at least five losses, one seed, two full seeds and one worker", found, "raise them")
    config, graphs = _losses(Path(source), sample)
    task = make_task(config)
    full = config.race.steps or task.budget or config.evaluation.steps
    assert full is not None  # see make_task
    steps = tuple(dict.fromkeys(max(1, round(share * full)) for share in SHARES))
    equipment, fresh = Equipment.of(config), first("racing", full_seeds)
    jobs = [FidelityJob(equipment, graph, steps, seeds, full, fresh) for graph in graphs]
    measured: list[Measured] = []
    for one in _done(jobs, workers):
        measured.append(one)
        if progress is not None:
            progress(len(measured), len(jobs))
    sound = [one for one in measured if one.full is not None]
    tuning = config.evaluation.variants * len(config.evaluation.learning_rates)
    rows = rows_of(
        {count: [one.scores[count] for one in sound] for count in steps},
        [one.full for one in sound if one.full is not None],
        task.metric.higher_is_better,
        tuning if tuning > 1 else 0,
    )
    return Fidelity(task.name, task.metric.name, len(sound), len(measured) - len(sound), full, full_seeds, rows)


def run_job(job: FidelityJob) -> Measured:
    """Train one loss with every setting."""
    scores: dict[int, tuple[float | None, ...]] = {}
    for steps in job.steps:
        parts, _ = _parts(job.equipment, steps, job.seeds)
        result = parts.evaluator.evaluate(any_from_json(job.graph), 0)
        scores[steps] = result.metrics if result.status is Status.OK else (None,) * job.seeds
    parts, task = _parts(job.equipment, job.full_steps, job.seeds)
    result = parts.evaluator.evaluate(any_from_json(job.graph), 0)
    if result.status is not Status.OK:
        return Measured(scores, None)
    found = FoundCandidate(result.graph, result.step_scale, result.learning_rate)
    limit = equip(job.equipment).evaluation.time_limit_s
    metrics = [metric_of(one) for one in retrain(task, found, job.full_steps, job.full_seeds, limit, result.device)]
    known = [metric for metric in metrics if metric is not None]
    return Measured(scores, sum(known) / len(known) if len(known) == len(metrics) else None)


@lru_cache(maxsize=len(SHARES) + 1)
def _parts(equipment: Equipment, steps: int, seeds: int) -> tuple[Parts, AnyTask]:
    """The parts of a search that trains with so many steps and seeds, and its task."""
    config = equip(equipment)
    evaluation = config.evaluation.model_copy(update={"steps": steps, "seeds": seeds})
    changed = config.model_copy(update={"evaluation": evaluation})
    return build_parts(changed), make_task(changed)


def _losses(source: Path, sample: int) -> tuple[SearchConfig, list[str]]:
    if source.suffix == ".toml":
        config = load_config(source)[0]
        return config, list(_sampled(config, sample))
    run = RunDirectory.open(source)
    with run.open_archive(read_only=True) as archive:
        rows = archive.ranked(1_000_000, raced=False)
    known = [row.candidate.graph for row in rows if row.metric is not None and row.candidate.graph is not None]
    if len(known) < sample:
        raise UserError(f"a run with {sample} trained losses", f"{len(known)} in {source}", "lower --sample")
    return located(continued(run), run), random.Random(0).sample(known, sample)


def _sampled(config: SearchConfig, sample: int) -> Iterator[str]:
    """Seeds of the space, then random losses that pass the filters, about as many of each."""
    parts = build_parts(config)
    method = island_method(config, parts, 0, 1)
    seen: set[str] = set()
    given = 0
    for seed in parts.space.seeds[: (sample + 1) // 2]:
        yield any_to_json(parts.space.seed_graph(seed).frozen())
        given += 1
    for _ in range(MOST_PROPOSALS * sample):
        if given == sample:
            return
        verdict = parts.screen.check(method.random_graph(), seen)
        if verdict.accepted:
            seen |= {verdict.key, *([verdict.fingerprint] if verdict.fingerprint else [])}
            yield any_to_json(verdict.graph)
            given += 1
    raise UserError(
        f"a space with {sample} losses that pass the filters", f"{given} of {parts.space.name}", "lower --sample"
    )


def _done(jobs: Sequence[FidelityJob], workers: int) -> Iterator[Measured]:
    """What came of each job, in order; in processes of their own, as the test split is sealed where one is done."""
    with worker_processes(workers) as executor:
        waiting, results = iter(enumerate(jobs)), dict[int, Measured]()
        under_way: dict[Future[Measured], int] = {}
        given = 0
        try:
            while given < len(jobs):
                while len(under_way) < workers and (job := next(waiting, None)) is not None:
                    under_way[executor.submit(run_job, job[1])] = job[0]
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    results[under_way.pop(future)] = future.result()
                while given in results:
                    yield results[given]
                    given += 1
        except BrokenProcessPool as error:
            hint = "repeat it with fewer --workers"
            raise UserError(
                "worker processes that stay alive", "one was killed, as when memory runs out", hint
            ) from error
