"""Run directories with rows as a search writes them, and scores that follow a simple law instead of training."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Archive, Candidate, Evaluation, FilterCount, Origin
from lossearch.comparison.compare import assemble
from lossearch.comparison.result import Compared
from lossearch.comparison.tuning import Tuned
from lossearch.comparison.tuning_space import Edge, Hyperparameters
from lossearch.evolve.grammar import Grammar
from lossearch.ir.core.graph import Graph
from lossearch.ir.forms.json import dumps, graph_to_dict
from lossearch.ir.forms.text import format_graph
from lossearch.loss import Loss
from lossearch.search_spaces import load_space
from lossearch.tasks import metric

CONFIG = """# <b>40 % of the labels are wrong</b>
task = "digits_noise"
reference = "cross_entropy"
islands = 2
max_candidates = 4000
"""
TASK, BUDGET, SEEDS = "digits_noise", 300, 10
DISCOVERED = (
    "dense: t1 := true_class_probability(logits, target); "
    "cross_entropy(0.6 * logits, target) * (1.0 - t1) ** 0.5 + 0.1 * sqrt(1.0 - t1)"
)
FILTERS = ("type", "range", "duplicate_key", "probe", "known", "duplicate_fingerprint", "rejection")


def candidate(graph: Graph, origin: Origin, operator: str = "random") -> Candidate:
    """An accepted candidate, as an island archives it."""
    described = {"text": format_graph(graph), "graph": dumps(graph_to_dict(graph)), "complexity": graph.complexity}
    return Candidate(origin=origin, key=graph.key, fingerprint=graph.key[:32], operator=operator, **described)


def evaluation(row: Candidate, metric: float | None, status: str = "ok", budget: int = BUDGET) -> Evaluation:
    """One training of a candidate."""
    curve = () if metric is None else ((budget // 2, metric - 0.02), (budget, metric))
    return Evaluation(
        key=row.key,
        task=TASK,
        seed=0,
        budget=budget,
        metric=metric,
        status=status,
        curve=curve,
        seconds=0.6,
        step_scale=1.5,
        learning_rate=0.0125,
        island=row.origin.island,
        timestamp=1.7e9,
    )


def empty_run(path: Path, config: str = CONFIG, metric: str = "accuracy", higher_is_better: bool = True) -> Archive:
    """A run directory whose search has not archived anything yet; returns its open archive."""
    run = RunDirectory.create(path, config)
    return run.create_archive(metric, higher_is_better)


def searched_run(path: Path, candidates: int = 120, seed: int = 0) -> Path:
    """A finished search over the dense space: the zoo, random losses, failures, rungs, rejections."""
    rng, space = random.Random(seed), load_space("dense")
    grammar = Grammar(space)
    with empty_run(path) as archive:
        losses = [zoo.get(name) for name in space.seeds]
        graphs = [(loss.graph.frozen(), f"seed:{loss.name}") for loss in losses]
        while len(graphs) < candidates:
            expression = grammar.expression("E", rng.choice((2, 4, 8, 16)), rng)
            graphs.append((Graph(grammar.signature, expression), rng.choice(("random", "mutation:swap", "crossover"))))
        rows, trainings, seen = [], [], set[str]()
        for index, (graph, operator) in enumerate(graphs):
            row = candidate(graph, Origin(index % 2, index // 32, index // 2 % 16), operator)
            if row.key in seen:
                continue
            seen.add(row.key)
            rows.append(row)
            trainings.append(_training(row, rng))
        archive.add_candidates(rows)
        archive.add_evaluations(trainings)
        _reject(archive, rng, 3 * len(rows))
    return path


def _training(row: Candidate, rng: random.Random) -> Evaluation:
    """Larger formulas can reach more and usually do not."""
    if row.operator.startswith("seed:"):
        return evaluation(row, round(0.78 + 0.08 * rng.random(), 4))
    if rng.random() < 0.04:
        return evaluation(row, None, rng.choice(("diverged", "timeout", "error")))
    if rng.random() < 0.3:
        return evaluation(row, round(0.1 + 0.5 * rng.random(), 4), budget=BUDGET // 3)
    best = 0.9 - 0.3 / (1 + (row.complexity or 0))
    return evaluation(row, round(max(0.1, best - rng.expovariate(8.0)), 4))


def _reject(archive: Archive, rng: random.Random, count: int) -> None:
    weights = (8, 4, 20, 12, 6, 10, 40)
    verdicts = rng.choices(FILTERS, weights, k=count)
    origins = [Origin(2, index // 100, index % 100) for index in range(count)]
    keys = [f"{rng.getrandbits(256):064x}" for _ in range(count)]
    rejected = [Candidate(origin=o, key=k, verdict=v) for o, k, v in zip(origins, keys, verdicts, strict=True)]
    archive.add_candidates(rejected)
    left = count + archive.counts().accepted
    counts = []
    for position, name in enumerate(FILTERS):
        stopped = verdicts.count(name)
        counts.append(FilterCount(name, left, stopped, 1e-5 * 8**position * left / 50))
        left -= stopped
    archive.add_filter_counts(0, 0, counts)


def compared(run: Path, gain: float = 0.02, name: str = "discovered_1") -> Path:
    """Add a comparison as `lossearch compare` writes it, of a focal-like loss, with one that failed."""
    rng = random.Random(1)
    discovered = Loss(name, Loss.from_text(DISCOVERED).graph, "discovered by lossearch in run, rank 1")
    rows = [_measured(discovered, "discovered", 0.9 + gain, rng)]
    # Of ten paired seeds no p-value is below 2 / 1024, before it is corrected for the number of losses.
    for number, loss in enumerate(zoo.get(name) for name in zoo.names(signature="dense")[:24]):
        rows.append(_measured(loss, "hand-designed", 0.9 - 0.01 * number, rng))
    failed = rows[-1]
    rows[-1] = replace(failed, values=(None,) * SEEDS, message="diverged <after> 10 steps\nat line 3")
    settings = {"steps": 300, "note": "</script><script>alert(1)</script>"}
    comparison = assemble("digits_noise", metric("accuracy"), rows, tuple(range(SEEDS)), settings, 0.95)
    comparison.to_json(run / "comparison" / "comparison.json")
    return run / "comparison" / "comparison.json"


def _measured(loss: Loss, source: Literal["hand-designed", "discovered"], mean: float, rng: random.Random) -> Compared:
    parameters = {parameter.name: parameter.default for parameter in loss.parameters if parameter.tunable}
    edge: dict[str, Edge] = {"learning_rate": "low"} if loss.name == "hinge" else {}
    tuned = Tuned(loss, 0.05, Hyperparameters(parameters, 4.0), mean, (), edge, "digits_noise", metric("accuracy"))
    values = tuple(round(rng.gauss(mean, 0.01), 4) for _ in range(SEEDS))
    all_metrics = tuple({"accuracy": value, "nll": 1.0 - value} for value in values)
    return Compared(loss.name, source, tuned, values, "", all_metrics)
