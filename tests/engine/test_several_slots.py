"""Searches over several slots together, from the configuration to exported files: a bundled task, and a function."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine.fakes import finish
from typer.testing import CliRunner, Result

import lossearch
from lossearch.archive.run_directory import RunDirectory
from lossearch.cli.main import app
from lossearch.engine.driver.race import hold_race, race_run
from lossearch.engine.driver.search import plan_search
from lossearch.engine.island.loop import IslandLoop
from lossearch.engine.setup.begun import write_beginning
from lossearch.engine.setup.config import load_config
from lossearch.engine.setup.first_call_file import keep_first_call
from lossearch.engine.setup.parts import build_parts, island_method, island_setting
from lossearch.engine.setup.state import IslandState
from lossearch.engine.writer.writer import ArchiveWriter
from lossearch.errors import UserError
from lossearch.ir.forms.joint import any_from_json, parse_any
from lossearch.joint_loss import JointLoss
from lossearch.reading import parse_toml
from lossearch.report import write_report
from lossearch.tasks import UserTask, build_task
from lossearch.testing import Nonconforming, check_task

pytestmark = [pytest.mark.xdist_group("several_slots"), pytest.mark.usefixtures("one_server")]

SCENES = """
islands = 1
generations = 2
generation_size = 4

[task]
base = "digit_scenes"
train_size = 40
val_size = 20
test_size = 20
channels = [4, 4, 4]
batch_size = 20
steps = 4
metric = "cell_accuracy"

[evaluation]
seeds = 1
variants = 2
learning_rates = [1.0]

[race]
candidates = 2
seeds = 3
simplify = "exact"
"""

TRAIN = """
import torch

def train(losses, budget, seed, *, learning_rate=1.0, split="validation"):
    torch.manual_seed(seed)
    inputs = torch.randn(48, 5)
    labels, numbers = inputs[:, :3].argmax(1), inputs[:, 3:4] * 2.0
    body, head, line = torch.nn.Linear(5, 8), torch.nn.Linear(8, 3), torch.nn.Linear(8, 1)
    parameters = [*body.parameters(), *head.parameters(), *line.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1 * learning_rate)
    for step in range(budget):
        hidden = torch.tanh(body(inputs))
        value = losses["kind"](head(hidden), labels) + losses["size"](line(hidden), numbers)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        yield {"accuracy": (head(hidden).argmax(1) == labels).float().mean(), "mae": 1.0}
"""
FUNCTION = """
islands = 1
generations = 1
generation_size = 4

[task]
function = "train.py:train"
metric = "accuracy"

[space]
kind = "dense"
size = "regression"

[evaluation]
steps = 3
seeds = 1
"""


def searched(folder: Path, config_text: str) -> RunDirectory:
    (folder / "search.toml").write_text(config_text)
    config, text = load_config(folder / "search.toml")
    run = RunDirectory.create(folder / "run", text)
    parts = build_parts(config)
    run.create_archive(parts.facts.metric, parts.facts.higher_is_better).close()
    writer = ArchiveWriter(str(run.path), 1, parts.facts.name)
    setting = island_setting(config, parts, 0, 1, lambda _: None)
    method = island_method(config, parts, 0, 1)
    finish(IslandLoop(IslandState(0), method, parts.screen, parts.evaluator, writer, setting))
    writer.close()
    return run


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("scenes")
    run, config = searched(folder, SCENES), load_config(folder / "search.toml")[0]
    write_beginning(run, run.path, config, folder, {})
    hold_race(run, config, build_parts(config).facts, 1, lambda _: None)
    return run


@pytest.fixture(scope="module")
def function(one_server: None, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("function")
    (folder / "train.py").write_text(TRAIN)
    return searched(folder, FUNCTION)


def test_candidates_have_a_loss_in_every_slot_at_the_step_size_of_its_default(scenes: RunDirectory) -> None:
    with scenes.open_archive(read_only=True) as archive:
        rows = archive.ranked(20)
        evaluations = list(archive.evaluations())
    assert len(rows) >= 8
    graphs = [any_from_json(row.candidate.graph or "") for row in rows]
    assert {getattr(graph, "slots", None) for graph in graphs} == {("box", "classification")}
    # The factors are part of the losses, whose sum is trained, so that exported files are weighed as in the search.
    assert {one.step_scale for one in evaluations} == {1.0}
    assert len({graph.key for graph in graphs}) == len(graphs)


def test_a_race_trains_what_the_search_found_and_can_be_extended(scenes: RunDirectory) -> None:
    with scenes.open_archive(read_only=True) as archive:
        before = archive.standings()
    assert len(before) >= 2
    assert all(standing.metric is not None for standing in before)
    result = race_run(scenes.path, seeds=4, workers=1, progress=False)
    assert max(standing.seeds for standing in result.archive.standings()) == 4
    assert result.best_slots_.keys() == {"box", "classification"}
    with pytest.raises(UserError, match="take best_slots_"):
        _ = result.best_
    assert result.front_[0].loss.to_text().startswith("box = box: ")
    result.close()


def test_a_loss_of_a_run_over_several_slots_is_shown_and_exported_slot_by_slot(
    scenes: RunDirectory, tmp_path: Path
) -> None:
    best = f"{scenes.path}@1"
    shown = invoke("show", best).stdout
    assert "slot:          box" in shown
    assert "slot:          classification" in shown
    assert "slot" not in invoke("show", f"{best}.box").stdout
    written = invoke("export", best, "-o", str(tmp_path / "best.py")).stdout.split()
    assert [Path(path).name for path in written] == ["best_box.py", "best_classification.py"]
    program = "import sys; sys.modules['lossearch'] = None\nimport torch, best_box, best_classification\n"
    program += "from inspect import getmembers, isclass\n"
    program += "for file in (best_box, best_classification):\n"
    program += "    (made,) = [c for n, c in getmembers(file, isclass) if n.endswith('Loss')]\n"
    program += "    given = (torch.rand(4, 4), torch.rand(4, 4)) if file is best_box else "
    program += "(torch.randn(4, 11), torch.randint(11, (4,)))\n"
    program += "    print(bool(torch.isfinite(made()(*given))))\n"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"], done.stderr
    (together,) = invoke("export", best, "-o", str(tmp_path / "best.json")).stdout.split()
    assert lossearch.load_slots(together)["box"].graph == lossearch.load(f"{best}.box").graph
    with pytest.raises(UserError, match="those of the slots box, classification"):
        lossearch.load(best)
    exported = lossearch.export_slots(best, tmp_path / "again.pt")
    assert exported == {slot: tmp_path / f"again_{slot}.pt" for slot in ("box", "classification")}
    torch.jit.load(exported["box"])(torch.rand(3, 4), torch.rand(3, 4))
    refused = invoke("show", best, "--plot", str(tmp_path / "best.png"))
    assert f"name a slot: {best}.box" in refused.stderr
    assert refused.stdout == ""
    assert not (tmp_path / "best.png").exists()
    assert invoke("show", f"{best}.box", "--plot", str(tmp_path / "box.png")).exit_code == 0


def test_a_slot_of_a_run_over_one_alone_is_refused(scenes: RunDirectory) -> None:
    with pytest.raises(UserError, match="a slot of run_1: box, classification"):
        lossearch.load(f"{scenes.path}@1.boxes")
    with pytest.raises(UserError, match="DIR@RANK with a rank from 1"):
        lossearch.load(f"{scenes.path}@1.")


def test_a_report_tells_each_slot(scenes: RunDirectory, tmp_path: Path) -> None:
    page = write_report(scenes.path, tmp_path / "report.html").read_text()
    for name in ("<h3>box</h3>", "<h3>classification</h3>", 'id="figure-values-box"', '"values-classification"'):
        assert name in page
    assert "has no curve" not in page


def test_losses_of_several_slots_are_compared_with_hand_designed_ones_in_each(scenes: RunDirectory) -> None:
    comparison = lossearch.compare(
        scenes.path / "config.toml", [f"{scenes.path}@1", "ciou"], seeds=2, trials=2, baselines=["focal"], workers=1
    )
    kinds = {row.loss: row.source for row in comparison.rows}
    assert kinds == {"run_1": "discovered", "box_ciou": "hand-designed", "classification_focal": "hand-designed"}
    assert all(row.interval is not None for row in comparison.rows)
    (focal,) = [row for row in comparison.rows if row.loss == "classification_focal"]
    assert focal.parameters.keys() == {"classification_gamma"}
    again = lossearch.compare(scenes.path / "config.toml", ["ciou"], 2, trials=2, baselines=False, workers=1)
    assert again.rows[0].values == next(row.values for row in comparison.rows if row.loss == "box_ciou")


def test_a_loss_of_one_slot_is_tuned_beside_the_defaults_of_the_others(scenes: RunDirectory) -> None:
    tuned = lossearch.tune("focal", scenes.path / "config.toml", trials=2, workers=1)
    assert tuned.loss.name == "classification_focal"
    assert tuned.setting.parameters.keys() == {"classification_gamma"}
    with pytest.raises(UserError, match="or of one of these slots alone; found: mse, which is of regression"):
        lossearch.tune("mse", scenes.path / "config.toml", trials=2, workers=1)


def test_all_hand_designed_losses_stand_beside_the_defaults_of_the_other_slots(scenes: RunDirectory) -> None:
    from lossearch.comparison.entries import DEFAULTS, entries_for, hand_designed_in

    task = build_task(parse_toml(SCENES, "TOML", "")["task"])
    entries = entries_for([], True, task.searched_signature, task)
    names = [entry.name for entry in entries]
    assert names[0] == DEFAULTS
    assert {"box_ciou", "classification_focal"} <= set(names)
    assert "box_giou" not in names  # that are the defaults
    assert {entry.source for entry in entries} == {"hand-designed"}
    ciou = next(entry.loss for entry in entries if entry.name == "box_ciou")
    assert isinstance(ciou, JointLoss)
    found = [
        hand_designed_in(one, slot)
        for one in (ciou, replace(ciou, source="a search"))
        for slot in ("box", "classification")
    ]
    assert found == ["ciou", None, None, None]
    with pytest.raises(UserError, match="mse, which is of regression"):
        entries_for(["mse"], False, task.searched_signature, task)


def test_a_function_may_take_the_losses_of_several_slots(function: RunDirectory) -> None:
    with function.open_archive(read_only=True) as archive:
        rows = archive.ranked(20)
        other = archive.other_metrics(rows[0])
    assert other == {"mae": 1.0}
    assert len(rows) == 4
    graphs = [any_from_json(row.candidate.graph or "") for row in rows]
    assert {getattr(graph, "slots", None) for graph in graphs} == {("kind", "size")}


@pytest.mark.thorough
def test_losses_of_a_function_s_slots_are_tuned_and_compared(function: RunDirectory) -> None:
    tuned = lossearch.tune(f"{function.path}@1", function.path.parent / "search.toml", trials=2, workers=1)
    assert tuned.validation is not None
    comparison = lossearch.compare(
        function.path.parent / "search.toml", [f"{function.path}@1"], 2, trials=2, baselines=["huber"], workers=1
    )
    assert {row.loss for row in comparison.rows} == {"run_1", "size_huber"}
    same = lossearch.compare(
        function.path.parent / "search.toml", ["huber", f"{function.path}@1"], 2, trials=2, baselines=False, workers=1
    )
    assert {row.loss: row.values for row in same.rows} == {row.loss: row.values for row in comparison.rows}


def test_one_slot_of_a_function_is_drawn_and_simplified(function: RunDirectory, tmp_path: Path) -> None:
    keep_first_call(function, build_parts(load_config(function.path.parent / "search.toml")[0]).first_call)
    short = lossearch.simplify(f"{function.path}@1", evidence=False)
    assert short.loss.to_text().startswith("kind = ")
    assert invoke("show", f"{function.path}@1.kind", "--plot", str(tmp_path / "kind.png")).exit_code == 0
    lossearch.simplify(f"{function.path}@1.kind", evidence=False)
    with pytest.raises(UserError, match="the losses of all slots that its run trained together"):
        lossearch.simplify(f"{function.path}@1.kind")


def test_a_mapping_of_one_loss_is_known_by_its_slot_everywhere(tmp_path: Path) -> None:
    train = TRAIN.replace(' + losses["size"](line(hidden), numbers)', "")
    (tmp_path / "train.py").write_text(train)
    (tmp_path / "search.toml").write_text(FUNCTION.replace('size = "regression"', ""))
    config = load_config(tmp_path / "search.toml")[0]
    parts = build_parts(config)
    assert parts.first_call is not None
    again = build_parts(config, type(parts.first_call).loads(parts.first_call.dumps()))
    seed = again.space.seed_graph(again.space.seeds[0])
    assert getattr(seed, "slots", None) == ("kind",)
    assert again.evaluator.evaluate(seed, 0).score is not None


@pytest.mark.thorough
def test_the_conformance_kit_holds_for_functions_of_several_losses(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    with (
        UserTask(
            str(tmp_path / "train.py") + ":train", "accuracy", signature={"kind": "margin", "size": "box"}
        ) as task,
        pytest.raises(Nonconforming, match="of the slot size trains; giou"),
    ):
        check_task(task, budget=2)
    with pytest.raises(UserError, match="slots with identifiers"):
        UserTask("train.py:train", signature={"my kind": "dense"})


@pytest.mark.parametrize(
    ("config", "old", "new", "match"),
    [
        (SCENES, "islands = 1", 'islands = 1\nspace = "dense"', "a table of spaces by slot"),
        (SCENES, "islands = 1", 'islands = 1\nspace = { pixel = "dense" }', "spaces for the slots that are searched"),
        (SCENES, "islands = 1", 'islands = 1\nspace = { box = "dense" }', "a space of signature box"),
        (SCENES, "islands = 1", 'islands = 1\nreference = "giou"', "a table of references by slot"),
        (SCENES, "islands = 1", 'islands = 1\nreference = { pixel = "mse" }', "slots that are searched: class"),
        (SCENES, "islands = 1", 'islands = 1\nseeds = ["mse"]', "seeds of signature dense, box"),
        (SCENES, 'base = "digit_scenes"', 'base = "digit_scenes"\nslot = ["box", "box"]', "one or several of the loss"),
        (SCENES, 'base = "digit_scenes"', 'base = "digit_scenes"\nlosses = { box = "ciou" }', "other slots than class"),
        (FUNCTION, 'size = "regression"', 'size = "regression"\nmore = "box"', "without a call of the loss of more"),
        (FUNCTION, 'size = "regression"', '"my size" = "regression"', "whose names are identifiers"),
        (FUNCTION, 'kind = "dense"\nsize = "regression"\n', "", "1 to 32 slots"),
        (FUNCTION, 'size = "regression"', "size = 3", "a table by slot holds text"),
        (FUNCTION, '[space]\nkind = "dense"\nsize = "regression"', "", "given one loss, and a mapping where `space ="),
        (
            SCENES,
            "islands = 1",
            'islands = 1\nseeds = ["box = box: 1.0 - box_iou(boxes, target)"]',
            "seeds with losses for",
        ),
    ],
    ids=[
        "space",
        "unknown",
        "signature",
        "reference",
        "no slot",
        "seed",
        "twice",
        "kept",
        "never called",
        "name",
        "empty",
        "number",
        "no table",
        "joint",
    ],
)
def test_what_does_not_fit_the_slots_is_named(tmp_path: Path, config: str, old: str, new: str, match: str) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "search.toml").write_text(config.replace(old, new))
    with pytest.raises(UserError, match=match):
        plan_search(tmp_path / "search.toml")


def test_seeds_and_references_go_to_the_slots_of_their_signature(tmp_path: Path) -> None:
    given = 'islands = 1\nseeds = ["focal(gamma=3)"]\nreference = { box = "diou" }'
    (tmp_path / "search.toml").write_text(SCENES.replace("islands = 1", given))
    parts = build_parts(load_config(tmp_path / "search.toml")[0])
    assert parts.references == {"classification": "cross_entropy", "box": "diou"}
    assert parts.space.label(parts.space.seeds[1]) == "classification = focal(gamma=3)"
    both = "box = box: 1.0 - box_iou(boxes, target) | classification = dense: cross_entropy(logits, target)"
    (tmp_path / "search.toml").write_text(SCENES.replace("islands = 1", f'islands = 1\nseeds = ["{both}"]'))
    parts = build_parts(load_config(tmp_path / "search.toml")[0])
    assert parts.space.seed_graph(parts.space.seeds[0]) == parse_any(both)


def test_a_class_describes_the_inputs_of_each_loss(tmp_path: Path) -> None:
    described = TRAIN.replace("def train(losses", "def run(losses") + (
        "\nclass Training:\n"
        "    def describe(self):\n"
        "        labels, numbers = torch.zeros(6, dtype=torch.int64), torch.zeros(6, 1)\n"
        "        return {'kind': {'logits': (6, 3), 'target': labels},\n"
        "                'size': {'prediction': (6, 1), 'target': numbers}}\n"
        "    def train(self, losses, budget, seed):\n"
        "        return run(losses, budget, seed)\n"
    )
    (tmp_path / "train.py").write_text(described)
    (tmp_path / "search.toml").write_text(FUNCTION.replace("train.py:train", "train.py:Training"))
    parts = build_parts(load_config(tmp_path / "search.toml")[0])
    assert parts.first_call is not None
    assert parts.first_call.described
    assert parts.first_call.describe() == "kind: [6, 3] and [6]; size: [6, 1] and [6, 1]"
    back = type(parts.first_call).loads(parts.first_call.dumps())
    assert torch.equal(back["size"].named["prediction"], parts.first_call["size"].named["prediction"])
    with pytest.raises(UserError, match="first call"):
        type(parts.first_call).loads(parts.first_call.dumps()[:-4])
