"""The detector of digits: scenes, its two slots, metrics, and a search over one of its losses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import lossearch
from lossearch import zoo
from lossearch.comparison.tuning import Budget
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.report import write_report
from lossearch.tasks import build_task
from lossearch.tasks.detection.metrics import intersection_over_union, measured
from lossearch.tasks.detection.scenes import BACKGROUND, CELL, GRID, composed, digits_of_part
from lossearch.tasks.detection.task import DetectionTask
from lossearch.tasks.streams import Stream
from lossearch.testing import check_task
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.plan import Run
from lossearch.training.slot_losses import SlotLosses
from lossearch.training.train import train

SMALL = {"base": "digit_scenes_box", "train_size": 200, "val_size": 60, "test_size": 60}


@pytest.mark.thorough
def test_the_detector_conforms() -> None:
    check_task(build_task({**SMALL, "batch_size": 25}), 150)


def test_each_digit_lies_in_its_cell_and_box() -> None:
    scenes = composed(digits_of_part("train", 0), 50, 3, Stream.TRAIN_SUBSET)
    present = scenes.cells >= 0
    assert 0.6 < present.mean() < 0.9
    for scene, quarter in zip(*present.nonzero(), strict=True):
        x1, y1, x2, y2 = scenes.boxes[scene, quarter]
        row, column = divmod(int(scenes.cells[scene, quarter]), GRID)
        assert (row, column) == (int((y1 + y2) / 2) // CELL, int((x1 + x2) / 2) // CELL)
        assert scenes.classes[scene, row, column] != BACKGROUND
        inside = scenes.images[scene, 0, int(y1) : int(y2), int(x1) : int(x2)]
        assert inside.mean() > 0.1
    assert (scenes.classes != BACKGROUND).sum() == present.sum()


def test_parts_share_no_digit() -> None:
    parts = {
        name: {image.tobytes() for image in digits_of_part(name, 0)[0]} for name in ("train", "validation", "test")
    }
    assert not parts["train"] & parts["test"]
    assert not parts["validation"] & (parts["train"] | parts["test"])


def test_overlaps_are_those_of_areas() -> None:
    first = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    second = torch.tensor([[1.0, 1.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0], [0.0, 0.0, 0.0, 0.0]])
    assert intersection_over_union(first, second).tolist() == pytest.approx([1.0 / 7.0, 0.0, 0.0])


def test_metrics_count_class_and_box() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 2.0, 2.0]] * 4])
    wrong = boxes.clone()
    wrong[0, 1] += 10.0
    classes = torch.tensor([[3, 3, 2, BACKGROUND]])
    said = torch.tensor([[3, 3, 1, 5]])  # right; right class, wrong box; wrong class; a digit where there is none
    logits = F.one_hot(said, 11).float().transpose(1, 2)
    found = measured(logits, wrong, classes, boxes, BACKGROUND)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {"detection_f1": 2 * 1 / (4 + 3), "mean_iou_of_boxes": 2 / 3, "cell_accuracy": 2 / 4}
    )


def test_nothing_found_where_nothing_is_has_defined_metrics() -> None:
    empty = torch.full((1, 4), BACKGROUND)
    logits = F.one_hot(empty, 11).float().transpose(1, 2)
    found = measured(logits, torch.zeros(1, 4, 4), empty, torch.zeros(1, 4, 4), BACKGROUND)
    assert {name: float(value) for name, value in found.items()} == {
        "detection_f1": 0.0,
        "mean_iou_of_boxes": 0.0,
        "cell_accuracy": 1.0,
    }


def test_other_slots_keep_the_losses_of_the_configuration() -> None:
    task = DetectionTask({**SMALL, "losses": {"classification": "focal(gamma=3.0)"}})
    assert {name: graph.key for name, graph in task.other_losses.items()} == {
        "classification": zoo.get("focal", gamma=3.0).graph.frozen().key
    }
    losses = SlotLosses(task)
    giou = GraphLoss(zoo.get("giou").graph)
    default = SlotLosses(DetectionTask(SMALL))
    focal, plain = (train(task, [Run(chosen.with_({"box": giou}), 0.01, 0)], 40)[0] for chosen in (losses, default))
    assert focal.metrics != plain.metrics


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"slot": None}, "one or several of the loss slots of .*: classification, box"),
        ({"slot": "boxes"}, "slot = 'boxes'"),
        ({"losses": {"box": "giou"}}, "losses of other slots than box: classification"),
        ({"losses": {"classification": "giou"}}, "a loss of signature dense for the slot classification"),
    ],
)
def test_slots_that_do_not_fit_are_told(values: dict[str, object], told: str) -> None:
    def losses(task: DetectionTask) -> dict[str, Graph]:
        return dict(task.other_losses)

    with pytest.raises(UserError, match=told):
        losses(DetectionTask({**SMALL, **values}))


@pytest.mark.thorough
def test_a_loss_of_one_slot_is_tuned_and_compared() -> None:
    task = build_task(SMALL)
    tuned = lossearch.tune("giou", task, budget=Budget(2, 1, 0), steps=30, workers=1)
    assert len(tuned.trials) == 2
    assert tuned.validation is not None
    comparison = lossearch.compare(
        task, ["box_l1"], baselines=["giou"], seeds=2, budget=Budget(2, 1, 0), steps=30, workers=1
    )
    assert {row.loss for row in comparison.rows} == {"box_l1", "giou"}


@pytest.mark.thorough
def test_a_search_over_one_slot_ends_in_a_loss_of_its_signature(tmp_path: Path) -> None:
    result = lossearch.search(
        {
            "task": SMALL,
            "space": "box",
            "max_candidates": 4,
            "generation_size": 2,
            "evaluation": {"steps": 20, "seeds": 1, "variants": 1, "learning_rates": [1.0]},
            "race": {"candidates": 0},
        },
        out=tmp_path / "run",
    )
    assert result.best_.signature.name == "box"
    funnel = {count.filter: count.considered for count in result.archive.funnel()}
    assert funnel["probe"] > 0
    assert funnel["rejection"] == 0
    report = write_report(tmp_path / "run").read_text()
    assert "rejection (not applied: the metric does not follow from what the loss is given, or" in report
    assert "confident (not applied: the configuration leaves it out)" in report
