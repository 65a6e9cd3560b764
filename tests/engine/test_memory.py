"""An island's memory does not grow with the candidates that it has seen, but for eight bytes a digest."""

import gc
from collections import Counter

from engine.fakes import FakeEvaluator

from lossearch.engine.config import validate
from lossearch.engine.digests import DigestSet
from lossearch.engine.loop import IslandLoop
from lossearch.engine.messages import Batch, Claim, GenerationReport, Parcel
from lossearch.engine.parts import build_parts, island_method, island_setting
from lossearch.engine.state import IslandState
from lossearch.evaluate.candidate import CandidateResult
from lossearch.ir.expr import Expr
from lossearch.ir.graph import Graph


class Deaf:
    """A writer that forgets everything."""

    def begin(self, island: int, generation: int) -> frozenset[str]:
        return frozenset()

    def claim(self, island: int, proposal: str) -> Claim:
        return Claim(0, None)

    def starting(self, island: int, proposal: str) -> None: ...

    def submit(self, island: int, batch: Batch) -> None: ...

    def report(self, island: int, report: GenerationReport) -> int:
        return report.candidates

    def exchange(self, island: int, parcel: Parcel) -> Parcel:
        return Parcel()

    def fail(self, island: int, error: Exception) -> None: ...


class Forgetful(FakeEvaluator):
    def evaluate(self, graph: Graph, seed: int) -> CandidateResult:
        result = super().evaluate(graph, seed)
        self.graphs.clear()
        return result


def kept() -> Counter[str]:
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects())


def test_an_island_keeps_nothing_of_the_candidates_that_it_has_left_behind() -> None:
    config = validate({"task": "digits_noise", "islands": 1, "max_candidates": 10**6, "evaluation": {"steps": 5}})
    parts = build_parts(config)
    setting = island_setting(config, parts, 0, 1, lambda training: None)
    method = island_method(config, parts.space, 0, 1)
    loop = IslandLoop(IslandState(0), method, parts.screen, Forgetful(), Deaf(), setting)

    def search(candidates: int) -> Counter[str]:
        while loop.state.candidates < candidates:
            loop.generation()
            loop.save().dumps()
        return kept()

    early, late = search(150), search(300)
    # The population's graphs differ in size; what was kept of each candidate would be dozens of objects.
    assert late["Expr"] - early["Expr"] < 600
    assert late["Tensor"] - early["Tensor"] < 300
    assert late["Graph"] - early["Graph"] < 100
    assert late["Program"] <= 64
    assert len(Expr._interned) < late["Expr"] + 100


def test_digests_take_eight_bytes() -> None:
    digests = DigestSet(f"{number:064x}"[::-1] for number in range(20_000))
    assert len(digests) == 20_000
    assert len(digests._newest) < 4096
    assert digests._sorted.itemsize == 8
    assert all(f"{number:064x}"[::-1] in digests for number in range(0, 20_000, 37))
    assert f"{20_001:064x}"[::-1] not in digests
