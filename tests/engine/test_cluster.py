"""Trainings on the nodes of a Ray cluster: where they run, and what happens when a node is lost.

All nodes are processes of this machine; their GPUs exist in Ray's books only.
"""

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.fakes import contents, finish
from ray import cloudpickle

from lossearch.archive.run_directory import RunDirectory
from lossearch.candidates.scoring import CandidateResult
from lossearch.candidates.stopping import Stops
from lossearch.engine.driver import driver
from lossearch.engine.driver.cluster import ray_session
from lossearch.engine.driver.race import race_run
from lossearch.engine.driver.search import search
from lossearch.engine.island.loop import IslandLoop
from lossearch.engine.island.watchdog import Watchdog
from lossearch.engine.remote.equipment import Equipment
from lossearch.engine.remote.repeating import Ended, RepeatedTasks
from lossearch.engine.setup.config import ResourcesConfig, SearchConfig, load_config
from lossearch.engine.setup.parts import build_parts, island_method, island_setting
from lossearch.engine.setup.state import IslandState
from lossearch.engine.writer.writer import ArchiveWriter
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph

pytestmark = pytest.mark.xdist_group("cluster")

CONFIG = """
islands = 1
generations = 2
generation_size = 4
seed = 3
resources = { cpu = 1, gpu = 0.5 }

[task]
function = "train.py:train"
metric = "accuracy"

[evaluation]
steps = 3
seeds = 1

[race]
candidates = 0
"""
# The first call on a node hangs until that node is gone; each call notes the node that it ran on.
TRAIN = """
import os, time, uuid
from pathlib import Path
import torch
from beside import LABELS

NOTES = Path({notes!r})

def train(loss, budget, seed):
    node = os.environ.get("NODE", "head")
    (NOTES / f"call-{{node}}-{{os.environ.get('CUDA_VISIBLE_DEVICES')}}-{{uuid.uuid4()}}").touch()
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(30, 5, generator=generator)
    weights = torch.zeros(5, 3, requires_grad=True)
    for _ in range(budget):
        (gradient,) = torch.autograd.grad(loss(images @ weights, torch.tensor(LABELS * 10)), weights)
        if node == "first" and not (NOTES / "hangs").exists():
            (NOTES / "hangs").touch()
            time.sleep(600)
        weights = (weights - gradient).detach().requires_grad_()
    yield float(((images @ weights).argmax(1) == torch.tensor(LABELS * 10)).float().mean())
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with room for an island, and no GPU."""
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Otherwise 127.0.0.1 becomes another address, in this process and in those that it starts.
        patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Nobody waits long for a node that is gone; one that answers late, for as long as ever.
        asked = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000}
        made = Cluster(initialize_head=True, head_node_args=node(1, _system_config=asked))
        yield made
        made.shutdown()


def node(cpus: int, **more: Any) -> dict[str, Any]:
    common = {"include_dashboard": False, "node_ip_address": "127.0.0.1", "object_store_memory": 100 * 2**20}
    return {"num_cpus": cpus, "num_gpus": 0, **common, **more}


def project(folder: Path) -> tuple[Path, Path]:
    """A training function in two files with its configuration, and the folder in which it notes its calls."""
    notes, code = folder / "notes", folder / "code"
    notes.mkdir()
    code.mkdir()
    (code / "train.py").write_text(TRAIN.format(notes=str(notes)))
    (code / "beside.py").write_text("LABELS = [0, 1, 2]")
    (code / "search.toml").write_text(CONFIG)
    return code / "search.toml", notes


class InTurn:
    """Trainings in this process, one after the other."""

    def __init__(self, evaluator: Any) -> None:
        self._evaluator, self._begun = evaluator, dict[int, tuple[Graph, int]]()

    def begin(self, number: int, graph: Graph, seed: int, stops: Stops) -> None:
        self._begun[number] = graph, seed

    def result(self, number: int) -> CandidateResult:
        return self._evaluator.evaluate(*self._begun.pop(number))


def here(config: SearchConfig, folder: Path) -> tuple[list[object], list[object]]:
    """What the archive holds when all is trained in this process."""
    parts = build_parts(config)
    run = RunDirectory.create(folder, "")
    run.create_archive(parts.facts.metric, parts.facts.higher_is_better).close()
    writer = ArchiveWriter(str(run.path), 1, parts.facts.name)
    setting = island_setting(config, parts, 0, 1, lambda _: None)
    method = island_method(config, parts, 0, 1)
    elsewhere = InTurn(parts.evaluator)
    finish(IslandLoop(IslandState(0), method, parts.screen, parts.evaluator, writer, setting, elsewhere))
    writer.close()
    with run.open_archive() as archive:
        return contents(archive)


def calls(notes: Path, node: str) -> list[str]:
    return [path.name for path in notes.glob(f"call-{node}-*")]


def test_a_cluster_without_what_a_training_asks_for_is_told(cluster: Any, tmp_path: Path) -> None:
    config, _ = project(tmp_path)
    with pytest.raises(UserError, match=r"asks for: cpu = 1, gpu = 0\.5; found: nodes with cpu = 1, gpu = 0"):
        search(config, tmp_path / "run", address=cluster.address, progress=False)


@pytest.mark.thorough
def test_trainings_run_where_the_gpus_are_and_one_on_a_lost_node_is_repeated_elsewhere(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, notes = project(tmp_path)
    first = cluster.add_node(**node(1, num_gpus=1, env_vars={"NODE": "first"}))
    cluster.add_node(**node(2, num_gpus=1, env_vars={"NODE": "second"}))

    def lose_it() -> None:
        while not (notes / "hangs").exists():
            time.sleep(0.1)
        cluster.remove_node(first, allow_graceful=False)

    def packed(config: SearchConfig, call: bytes | None = None) -> Equipment:
        equipment = Equipment.of(config, call)
        shutil.move(tmp_path / "code", tmp_path / "away")  # as on nodes that do not share a file system
        return equipment

    monkeypatch.setattr(driver, "Equipment", type("Packing", (), {"of": staticmethod(packed)}))
    loser = threading.Thread(target=lose_it, daemon=True)
    loser.start()
    search(config, tmp_path / "run", address=cluster.address, progress=False).close()
    loser.join()
    shutil.move(tmp_path / "away", tmp_path / "code")

    with RunDirectory.open(tmp_path / "run").open_archive(read_only=True) as archive:
        assert archive.counts().statuses == {"ok": 8}
        found = contents(archive)
    assert calls(notes, "first")
    assert len(calls(notes, "second")) >= 7
    assert all("-0-" in call for call in calls(notes, "second"))  # the GPU that Ray gave each
    assert len(calls(notes, "head")) == 1  # of the driver, which looks at the first call
    (notes / "hangs").touch()
    assert found == here(load_config(config)[0], tmp_path / "whole")

    before = len(calls(notes, "second"))
    raced = race_run(tmp_path / "run", candidates=2, seeds=2, address=cluster.address, progress=False)
    with raced.archive as archive:
        trained = list(archive.race_trainings())
        assert len({(one.key, one.seed) for one in trained}) == len(trained) >= 4
        assert {one.status for one in trained} == {"ok"}
        assert archive.ranked(1)[0].standing is not None
    assert len(calls(notes, "second")) == before + len(trained)


def dying(how: str, notes: str) -> str:
    """What a call does to its process, once for each note of it that is missing."""
    import os

    made = len(list(Path(notes).glob(f"{how}-*")))
    Path(notes, f"{how}-{made}").touch()
    if how == "mistaken":
        raise UserError("a dataset on this node", "none", "fetch it there")
    if how == "always" or (how == "once" and made == 0):
        os._exit(1)
    if how == "hangs":
        guard = Watchdog(1.0)
        guard(True)
        time.sleep(600)
    return how


@pytest.mark.thorough
def test_a_call_whose_process_dies_is_repeated_once_and_then_given_up(cluster: Any, tmp_path: Path) -> None:
    import ray

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not have the tests on their path
    with ray_session(cluster.address, 0, tmp_path / "log.txt"):
        tasks: RepeatedTasks[str] = RepeatedTasks(dying, ResourcesConfig(), at_once=2)
        for how in ("always", "once", "well", "hangs"):
            tasks.submit(how, how, str(tmp_path))
        ended: dict[str, Ended[str]] = {}
        while len(tasks):
            ended |= {one.key: one for one in tasks.wait()}
        assert {key: one.result for key, one in ended.items() if not one.given_up} == {"once": "once", "well": "well"}
        assert {ended[key].given_up for key in ("always", "hangs")} == {"the process that trained it died 2 times"}
        assert sorted(path.name for path in tmp_path.glob("*-*")) == [
            "always-0", "always-1", "hangs-0", "hangs-1", "once-0", "once-1", "well-0"
        ]  # fmt: skip
        tasks.submit("mistaken", "mistaken", str(tmp_path))
        with pytest.raises(UserError, match="a dataset on this node"):
            tasks.wait()
        assert ray.is_initialized()
