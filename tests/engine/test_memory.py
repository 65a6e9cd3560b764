"""An island's memory does not grow with the candidates that it has seen, but for eight bytes a digest."""

import gc
from collections import Counter
from pathlib import Path

from engine.fakes import TASK, FakeEvaluator, make_loop, new_run

from lossearch.candidates.scoring import CandidateResult
from lossearch.candidates.stopping import NEVER, Stops
from lossearch.compile.interpret import program
from lossearch.engine.setup.digests import DigestSet
from lossearch.engine.setup.setting import Limits
from lossearch.engine.writer.writer import ArchiveWriter
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.forms.text import parse_graph
from lossearch.ir.rewriting.lowering import lower


class Forgetful(FakeEvaluator):
    def evaluate(self, graph: Graph, seed: int, stops: Stops = NEVER) -> CandidateResult:
        result = super().evaluate(graph, seed, stops)
        self.graphs.clear()
        return result


def kept() -> Counter[str]:
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects())


def test_an_island_and_its_writer_keep_nothing_of_the_candidates_that_they_have_left_behind(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    writer = ArchiveWriter(str(run.path), 1, TASK)
    limits = Limits(generations=None, candidates=400, seconds=None, generation_size=20)
    before = kept()
    loop = make_loop(run, writer=writer, evaluator=Forgetful(), limits=limits)
    while not loop.done:
        loop.generation()
        loop.save().dumps()
    after = kept()
    # What lives on is the population and the best, 72 graphs of some dozen nodes; 400 would be many times as much.
    assert after["Graph"] - before["Graph"] < 200
    assert after["Expr"] - before["Expr"] < 4000
    assert after["Individual"] - before["Individual"] <= 72
    assert len(loop._fingerprints) == 0
    assert len(writer._trained) == len(writer._attempts) == 0
    writer.close()


def test_lowering_and_interpreting_keep_few_graphs_alive() -> None:
    gc.collect()
    before = len(Expr._interned)

    def interpret(factor: float) -> None:
        text = f"dense: tanh(cross_entropy(logits, target) * {factor}) + sqrt(square(logits))"
        program(lower(parse_graph(text)).roots)

    for number in range(150):
        interpret(1 + number / 1000)
    gc.collect()
    assert len(Expr._interned) - before < 16 * 30


def test_digests_take_eight_bytes() -> None:
    digests = DigestSet(f"{number:064x}"[::-1] for number in range(20_000))
    assert len(digests) == 20_000
    assert len(digests._newest) < 4096
    assert digests._sorted.itemsize == 8
    assert all(f"{number:064x}"[::-1] in digests for number in range(0, 20_000, 37))
    assert f"{20_001:064x}"[::-1] not in digests
