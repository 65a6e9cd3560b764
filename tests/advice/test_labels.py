"""Advice on a user's own labels and masks, and what it refuses to know."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lossearch
from lossearch import zoo
from lossearch.advice import Situation, rules
from lossearch.advice.rules import facts_asked_for
from lossearch.advice.words import ARCHITECTURES, METRICS, architecture_named, metric_named
from lossearch.errors import UserError
from lossearch.situations import situation
from lossearch.zoo.families import COMMON_NAMES, family_names

LABELS = np.repeat([0, 1, 2], [90, 8, 2])
MASKS = np.zeros((4, 10, 10), np.uint8)
MASKS[:, 0, :2] = 1
MASKS[0, 9, :] = 255


def told(labels: Any, **facts: Any) -> Situation:
    return situation(None, labels, facts.pop("ignore_index", None), facts)


@pytest.mark.parametrize("kind", ["array", "tensor", "npy", "npz", "npz of several"])
def test_labels_are_measured_in_every_form(kind: str, tmp_path: Path) -> None:
    path: Any = tmp_path / f"labels.{kind[:3]}"
    if kind == "npy":
        np.save(path, LABELS.astype(np.int16))
    elif kind.startswith("npz"):
        if "several" in kind:
            np.savez_compressed(path, y=LABELS, images=np.zeros(3))
        else:
            np.savez_compressed(path, y=LABELS)
    else:
        path = LABELS if kind == "array" else torch.from_numpy(LABELS)
    found = told(path)
    assert found.class_frequencies == pytest.approx((0.9, 0.08, 0.02))
    assert (found.classes, found.spatial, found.foreground_share) == (3, False, None)
    assert found.imbalance == pytest.approx(45.0)
    assert "focal" in {advice.loss for advice in lossearch.advise(labels=path)}


@pytest.mark.parametrize("kind", ["array", "folder", "black and white"])
def test_masks_are_measured_without_what_is_ignored(kind: str, tmp_path: Path) -> None:
    labels: Any = MASKS
    ignored: int | None = 255
    if kind != "array":
        labels = tmp_path / "masks"
        labels.mkdir()
        masks = np.where(MASKS == 1, 255, 0).astype(np.uint8) if kind == "black and white" else MASKS
        ignored = None if kind == "black and white" else 255
        for rank, mask in enumerate(masks):
            Image.fromarray(mask).save(labels / f"{rank}.png")
        (labels / "notes.txt").write_text("of another kind")
    found = told(labels, ignore_index=ignored, family="segmentation", metric="dice")
    assert found.foreground_share == pytest.approx(8 / (400 if ignored is None else 390), abs=1e-4)
    assert (found.classes, found.spatial) == (2, True)
    advised = [
        advice.loss
        for advice in lossearch.advise(labels=labels, ignore_index=ignored, metric="DSC", family="segmentation")
    ]
    assert advised[0] == "dice"


def test_targets_of_a_regression_are_measured_by_their_outliers() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=900), np.full(100, 40.0)])
    found = told(values, family="regression")
    assert found.outlier_share == pytest.approx(0.1, abs=0.01)
    assert found.classes is None
    assert "huber" in {advice.loss for advice in lossearch.advise(labels=values, family="forecasting")}


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", pickle.dumps(Bomb()), "a file of labels"),
        ("a.npy", b"", "a file of labels"),
        ("a.npz", b"PK", "a file of labels"),
        ("a.csv", b"1,2", r"labels as \.npy, \.npz, or a folder of masks"),
        ("missing.npy", None, "No such file"),
    ],
)
def test_a_file_of_something_else_is_refused(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        told(tmp_path / name)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", y=np.array([Bomb()], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(UserError, match=r"a file of labels.*(allow_pickle|Python objects)"):
            told(tmp_path / name)


@pytest.mark.parametrize(
    ("labels", "facts", "message"),
    [
        ([0.5, 1.0], {}, "whole numbers.*family regression"),
        ([0, -1], {}, r"labels from -1 to 0; name what stands for no label: --ignore-index"),
        ([0, 255, 10**6], {}, "classes from 0 to 99999"),
        ([0.0, float("nan")], {"family": "regression"}, "without nan"),
        (np.zeros(0, int), {}, "whole numbers; found: others, or none"),
        ([0, 1], {"classes": 3}, "one frequency for each of 3 classes; found: 2"),
    ],
)
def test_labels_that_are_none_are_refused(labels: Any, facts: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        told(labels, **facts)


def test_colour_masks_and_empty_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"a folder of masks.*files of type \.jpg.*JPEG"):
        told(tmp_path)
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"one number a pixel; found: an image of mode RGB"):
        told(tmp_path)
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match="a mask that can be read"):
        told(tmp_path)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"metric": "jaccrd"}, r"a metric that the advice knows, or none; found: 'jaccrd'; did you mean jaccard"),
        ({"metric": "beauty"}, "found: 'beauty'; known: accuracy"),
        ({"architecture": "perceptrn"}, "an architecture"),
        ({"family": "segmentaton"}, r"a task family; found: 'segmentaton'; did you mean segmentation"),
        ({"class_frequencies": (0.9, 0.3)}, r"sum to 1; found: 0\.9, 0\.3: 1\.2"),
        ({"class_frequencies": (0.5, 0.2)}, r"sum to 1; found: 0\.5, 0\.2: 0\.7"),
        ({"class_frequencies": (90, 10)}, "class_frequencies.0"),
        ({"classes": 3, "class_frequencies": (0.5, 0.5)}, "one frequency for each of 3 classes"),
    ],
)
def test_what_is_not_known_is_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        lossearch.advise(**facts)


def test_rounded_frequencies_are_taken() -> None:
    assert lossearch.advise(class_frequencies=(0.33, 0.33, 0.33))
    assert lossearch.advise(class_frequencies=(0.985, 0.01, 0.005))


def test_names_that_people_use() -> None:
    words = {word for rule in rules() for name in ("metric",) for word in rule.among.get(name, ())}
    assert {metric_named(word) for word in words} == words
    built = {word for rule in rules() for word in rule.among.get("architecture", ())}
    assert {architecture_named(word) for word in built} == built
    assert metric_named("mIoU") == "mean_iou"
    assert metric_named("Dice-Score") == "dice"
    assert architecture_named("ResNet-50") == "cnn"
    assert set(METRICS.values()) <= METRICS.keys()
    assert set(ARCHITECTURES.values()) <= ARCHITECTURES.keys()
    assert set(COMMON_NAMES.values()) <= set(family_names())
    for name, family in COMMON_NAMES.items():
        assert zoo.names(name) == zoo.names(family)
    assert Situation.of({"family": "segmentation"}).spatial is True
    assert Situation.of({"family": "classification"}).spatial is False


def test_a_task_is_measured_and_facts_replace_what_is_measured() -> None:
    known = situation("digits_noise", None, None, {"metric": "balanced accuracy", "label_noise": 0.0})
    assert (known.metric, known.label_noise, known.architecture) == ("balanced_accuracy", 0.0, "mlp")
    assert len(lossearch.advise("digits_noise", most=2)) == 2


SCRIPT = """
import torch

def several(losses, budget, seed):
    scores = torch.zeros(20, 2, requires_grad=True)
    amounts = torch.arange(20.0)
    amounts[-2:] = 1000.0
    losses["kind"](scores, torch.arange(20) % 2)
    losses["size"](scores[:, 0], target=amounts)

def one(loss, budget, seed):
    loss(torch.zeros(20, requires_grad=True), torch.arange(20.0))
"""


@pytest.mark.usefixtures("one_server")
@pytest.mark.thorough
def test_a_function_is_measured_by_what_it_gives_each_of_its_losses(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SCRIPT, encoding="utf-8")
    text = '{space}\ngenerations = 1\n[task]\nfunction = "mine.py:{name}"\nmetric = "mae"\n[evaluation]\nsteps = 1\n'
    for name, space in (("one", 'space = "regression"'), ("several", 'space = {kind = "dense", size = "regression"}')):
        (tmp_path / f"{name}.toml").write_text(text.format(name=name, space=space), encoding="utf-8")
    known = situation(str(tmp_path / "one.toml"), None, None, {})
    assert (known.signature, known.outlier_share) == ("regression", 0.0)
    several = str(tmp_path / "several.toml")
    assert situation(several, None, None, {"family": "regression"}).outlier_share == pytest.approx(0.1)
    assert situation(several, None, None, {"family": "dense"}).class_frequencies == (0.5, 0.5)
    with pytest.raises(UserError, match=r"(?s)kind of dense, size of regression.*--family"):
        situation(several, None, None, {})


@pytest.mark.parametrize(
    ("facts", "fragments"),
    [
        (
            {"family": "regression", "class_frequencies": (0.9, 0.1)},
            ("found: class_frequencies", "regression ask for: metric, outlier_share", "counts in dense"),
        ),
        ({"family": "margin", "metric": "recall_at_1"}, ("metric", "margin ask for: none", "box")),
        (
            {"family": "box", "label_noise": 0.1, "outlier_share": 0.1},
            ("found: label_noise, outlier_share", "outlier_share counts in regression"),
        ),
        ({"family": "segmentation", "outlier_share": 0.1}, ("found: outlier_share", "foreground_share")),
        ({"classes": 3}, ("found: classes", "class_frequencies")),
        ({"family": "image", "foreground_share": 0.1}, ("found: foreground_share",)),
    ],
)
def test_facts_that_change_nothing_are_refused(facts: dict[str, Any], fragments: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        lossearch.advise(**facts)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_what_is_measured_or_follows_from_another_fact_is_not_refused(caplog: pytest.LogCaptureFixture) -> None:
    assert lossearch.advise("digits_noise", label_noise=0.3)
    assert lossearch.advise(labels=LABELS, classes=None)
    assert lossearch.advise(classes=2, class_frequencies=(0.9, 0.1))
    assert lossearch.advise(family="segmentation", foreground_share=0.1, spatial=True, metric="dice")
    assert not caplog.records


def test_a_metric_that_no_rule_of_the_family_knows_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert lossearch.advise(family="segmentation", metric="psnr")
    assert "no rule of the family dense asks for the metric psnr, which changes nothing" in caplog.text


def test_every_fact_that_rules_ask_for_can_be_given() -> None:
    for family in {rule.family for rule in rules()}:
        assert set(facts_asked_for(family)) <= set(Situation.model_fields)
