"""What every search method has to hold: one seed gives one sequence, a state resumes exactly, ask and tell fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lossearch.archive.seeds import seed_of
from lossearch.evolve.method import Method, Proposal
from lossearch.ir.core.joint import AnyGraph, JointGraph, by_slot
from lossearch.meta.methods import make_method
from lossearch.search_spaces import load_space
from lossearch.search_spaces.joint import AnySpace, JointSpace
from lossearch.tasks import DescribedTask, build_task
from lossearch.testing.findings import Findings
from lossearch.zoo.named import graph_of

_STEPS = 60  # proposals in each sequence that is looked at


def check_method(
    name: str, space: str | AnySpace = "dense", *, task: DescribedTask | str | None = None, **settings: Any
) -> None:
    """Hold a search method against what searches rely on.

    Candidates are scored by a toy objective, every third of them is told as rejected, and migrants come in.

    Args:
        name: of the method, registered with `METHODS.add`.
        space: in which it searches, a name, a space, or those of several slots; its seeds are proposed first.
        task: what the method is given before it proposes anything, itself or its name, with the default losses of its
            slots as reference; methods that have no use for a task need none.
        settings: of the method.

    Raises:
        Nonconforming: with everything that does not hold.
        UserError: there is no such method, space or task, or a setting does not fit.
    """
    searched = load_space(space) if isinstance(space, str) else space
    used = build_task(task) if isinstance(task, str) else task
    findings = Findings(f"the search method {name}")

    def new(seed: int) -> Method:
        method = make_method(name, searched, seed, **settings)
        if used is not None:
            method.use(used, _reference(used), "cpu")
        return method

    _check_seeds(new(0), searched, findings)
    _check_sequences(new, len(searched.seeds) + _STEPS, findings)
    _check_candidates(new(1), searched, findings)
    findings.report()


def _reference(task: DescribedTask) -> AnyGraph:
    graphs = {slot: graph_of(task.slots[slot].default) for slot in task.searched}
    return JointGraph.of(graphs) if len(graphs) > 1 else next(iter(graphs.values()))


def _check_seeds(method: Method, space: AnySpace, findings: Findings) -> None:
    operators = [method.ask().operator for _ in space.seeds]
    findings.require(
        len(operators) == len(space.seeds) and all(seed_of(operator) is not None for operator in operators),
        f"the space's {len(space.seeds)} seeds come first; it proposed {operators[:3]} …",
    )


def _check_sequences(new: Callable[[int], Method], length: int, findings: Findings) -> None:
    first, second, other = (_keys(new(seed), length) for seed in (7, 7, 8))
    findings.require(first == second, "equal seeds give equal proposals; two runs with seed 7 differ")
    findings.require(first != other, "other seeds give other proposals; seeds 7 and 8 gave the same")
    method, resumed = new(7), new(99)
    _keys(method, length)
    try:
        state = json.loads(json.dumps(method.state(), allow_nan=False))
    except (TypeError, ValueError) as error:
        findings.require(False, f"state() is plain data that JSON keeps; {error}")
        return
    resumed.load_state(state)
    findings.require(
        _keys(method, _STEPS) == _keys(resumed, _STEPS),
        "load_state(state()) goes on exactly; the proposals after it differ",
    )


def _check_candidates(method: Method, space: AnySpace, findings: Findings) -> None:
    best: dict[str, float] = {}
    for number in range(len(space.seeds) + _STEPS):
        candidate = method.ask()
        graph = candidate.graph
        wanted, found = _signatures_of(space), {slot: one.signature.name for slot, one in by_slot(graph, "").items()}
        findings.require(wanted == found, f"candidates have the space's signatures {wanted}; it proposed {found}")
        score = _score(number, graph)
        method.tell(candidate, score, graph.complexity)
        if score is not None:
            best[graph.key] = max(score, best.get(graph.key, score))
    elites = method.elites(3)
    told = sorted(best.values(), reverse=True)[: len(elites)]
    findings.require(bool(elites), "elites() gives the best of what was told; it gave none")
    findings.require(
        [score for _, score in elites] == told, f"elites() gives the best first; it gave {[s for _, s in elites]}"
    )
    method.inject(elites[0][0], elites[0][1] + 1.0)
    findings.require(
        method.elites(1)[0][1] == elites[0][1] + 1.0, "inject() takes in a migrant that is better than all"
    )


def _keys(method: Method, length: int) -> list[str]:
    """Keys of proposals, each told its score, or that it was rejected."""
    keys: list[str] = []
    for number in range(length):
        candidate: Proposal = method.ask()
        keys.append(candidate.graph.key)
        method.tell(candidate, _score(number, candidate.graph), candidate.graph.complexity)
    return keys


def _signatures_of(space: AnySpace) -> dict[str, str]:
    """By slot; that of a space for one slot under an empty name."""
    spaces = space.spaces if isinstance(space, JointSpace) else {"": space}
    return {slot: one.signature for slot, one in spaces.items()}


def _score(number: int, graph: AnyGraph) -> float | None:
    """A toy objective: many different operators in short expressions; every third candidate is rejected."""
    operators = {node.op for one in by_slot(graph, "").values() for node in one.nodes}
    return None if number % 3 == 2 else float(len(operators)) - 0.01 * graph.complexity
