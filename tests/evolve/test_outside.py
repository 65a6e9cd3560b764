"""Proposals from outside: the protocol by process, files and function; what cannot be read; resume; failures."""

from __future__ import annotations

import dataclasses
import gc
import json
import random
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lossearch.errors import UserError
from lossearch.evolve import make_method
from lossearch.evolve.methods.outside import Outside
from lossearch.evolve.proposers import FileProposer, FunctionProposer, ProcessProposer
from lossearch.ir.core.joint import JointGraph
from lossearch.search_spaces import load_space
from lossearch.search_spaces.joint import JointSpace
from lossearch.testing import check_method
from lossearch.zoo.named import graph_of

DENSE = load_space("dense")
SPACE = DENSE.model_copy(update={"seeds": ()})
GOOD = "cross_entropy(logits, target) + 0.1 * entropy(logits)"

DRAWING = """
import json, random, sys
for line in sys.stdin:
    message = json.loads(line)
    if "propose" in message:
        draw = random.Random(message["seed"])
        losses = [f"{draw.uniform(0.1, 9):.3f} * cross_entropy(logits, target)" for _ in range(message["propose"])]
        print(json.dumps({"formulas": losses}), flush=True)
"""
DYING = """
import sys
for line in sys.stdin:
    if "propose" in line:
        sys.exit("no credit left")
"""
TALKATIVE = """
import sys
for line in sys.stdin:
    if "propose" in line:
        print("Certainly! Here is a loss:", flush=True)
        print('{"formulas": ["brier_score(logits, target)", "GOOD"]}', flush=True)
""".replace("GOOD", GOOD)
DEAF = """
import time
time.sleep(100)
"""


def command(folder: Path, script: str) -> list[str]:
    path = folder / "propose.py"
    path.write_text(script)
    return [sys.executable, "-I", "-S", str(path)]


def outside(**settings: Any) -> Outside:
    method = make_method("outside", SPACE, 0, **settings)
    assert isinstance(method, Outside)
    return method


class Answering:
    """A function that answers with what was prepared, and keeps what it was sent."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[Mapping[str, Any]] = []

    def __call__(self, message: Mapping[str, Any]) -> Any:
        self.sent.append(message)
        return self.answers.pop(0) if "propose" in message else None

    @property
    def told(self) -> list[Any]:
        return [row for message in self.sent for row in message.get("told", [])]


def drawing(message: Mapping[str, Any]) -> list[str] | None:
    if "propose" not in message:
        return None
    draw = random.Random(message["seed"])
    return [f"{draw.uniform(0.1, 9):.3f} * cross_entropy(logits, target)" for _ in range(message["propose"])]


def test_a_process_and_a_function_hold_what_every_method_holds(tmp_path: Path) -> None:
    check_method("outside", command=command(tmp_path, DRAWING), batch=5)
    check_method("outside", function=drawing)


def test_requests_and_scores_are_lines_of_the_protocol() -> None:
    function = Answering([GOOD, "focal_term(logits"], [GOOD])
    one = outside(function=function, batch=2)
    candidate = one.ask()
    assert candidate.graph == graph_of(f"dense: {GOOD}")
    assert candidate.operator == "outside"
    (request,) = function.sent
    assert {key: request[key] for key in ("propose", "number", "signature")} == {
        "propose": 2,
        "number": 1,
        "signature": "dense",
    }
    one.tell(dataclasses.replace(candidate, graph=graph_of("dense: cross_entropy(logits, target)")), 0.75, 3)
    one.ask()
    malformed, scored = function.told
    assert malformed["formula"] == "focal_term(logits"
    assert malformed["score"] is None
    assert malformed["reason"].startswith("required: ")
    assert scored == {
        "formula": GOOD,
        "score": 0.75,
        "reason": "",
        "scored": "dense: cross_entropy(logits, target)",
    }
    assert one.malformed == 1
    json.dumps(function.sent)


def test_seeds_rejections_and_migrants_are_told_too() -> None:
    function = Answering([GOOD], [GOOD])
    one = make_method("outside", DENSE.model_copy(update={"seeds": ("brier",)}), 0, function=function)
    one.tell(one.ask(), 0.5, 4)
    candidate = one.ask()
    one.tell(dataclasses.replace(candidate, reason="range: may overflow"), None, 4)
    one.inject(graph_of("poly1"), 0.9)
    one.ask()
    assert [(row["score"], row["reason"]) for row in function.told] == [
        (0.5, ""),
        (None, "range: may overflow"),
        (0.9, "found by another island"),
    ]
    assert "squared_probability_error" in function.told[0]["formula"]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("__import__('os').system('touch made')", r"required: .*found: "),
        ("brier_score(logits, target)", "brier_score"),
        ("entropy(logits)", "formulas of logits, target; found: one without target"),
        ("box: 1.0 - box_giou(boxes, target)", "formulas of signature dense; found: box"),
        ("softmax(logits, over=class) + logits", "required: "),
        ("", "required: "),
        (3, "a formula as text; found: 3"),
        (["cross_entropy(logits, target)"], "a formula as text"),
        ("a = dense: brier(logits, target) | b = dense: x", "required: "),
    ],
)
def test_what_is_no_formula_is_answered_with_what_was_required(
    formula: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    function = Answering([formula], [GOOD])
    one = outside(function=function)
    assert one.ask().graph == graph_of(f"dense: {GOOD}")
    (row,) = function.told
    assert row["formula"] == formula
    assert re.search(message, row["reason"])
    assert one.malformed == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "formula",
    [
        f"dense: {GOOD}",
        "t1 := softmax(logits, over=class); contract(t1, target, over=class)",
        "dense: t1 := softmax(logits, over=class); contract(t1, target, over=class)",
        "dense(a=2.0 in [0.0, 4.0] tunable): a * cross_entropy(logits, target)",
    ],
)
def test_a_formula_may_have_its_signature_or_not(formula: str) -> None:
    one = outside(function=Answering([formula]))
    assert one.ask().graph.key
    assert one.malformed == 0


def test_a_line_that_is_no_answer_counts_and_is_asked_for_again(tmp_path: Path) -> None:
    one = outside(command=command(tmp_path, TALKATIVE))
    assert one.ask().graph == graph_of(f"dense: {GOOD}")
    assert one.malformed == 2  # the greeting, and a primitive that there is not
    assert one.requests == 2


def test_when_nothing_can_be_read_the_search_ends_and_says_why() -> None:
    with pytest.raises(UserError, match=r"none in 2 answers; the last: .*'brier_scor'"):
        outside(function=Answering(["brier_scor(logits)"], ["brier_scor(logits)"]), tries=2).ask()
    with pytest.raises(UserError, match="no formulas"):
        outside(function=Answering([]), tries=1).ask()


def test_a_process_that_died_is_told_with_its_last_words(tmp_path: Path) -> None:
    one = outside(command=command(tmp_path, DYING))
    with pytest.raises(UserError, match=r"goes on answering.*exit code 1; no credit left.*resume"):
        one.ask()


def test_a_command_that_cannot_be_run_and_an_answer_that_does_not_come(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a command that can be run.*no_such_program"):
        outside(command=["no_such_program"]).ask()
    with pytest.raises(UserError, match=r"an answer within 0\.2 s"):
        outside(command=command(tmp_path, DEAF), limit_s=0.2).ask()


def test_a_process_ends_with_its_method(tmp_path: Path) -> None:
    for script in (DRAWING, DRAWING + DEAF):
        one = outside(command=command(tmp_path, script))
        one.ask()
        assert isinstance(one.proposer, ProcessProposer)
        process = one.proposer._process
        assert process is not None
        assert process.poll() is None
        del one
        gc.collect()
        assert process.returncode is not None


def test_a_function_that_raises_or_answers_otherwise(tmp_path: Path) -> None:
    def broken(message: Mapping[str, Any]) -> Any:
        raise RuntimeError("no network")

    with pytest.raises(UserError, match="RuntimeError: no network"):
        outside(function=broken).ask()
    with pytest.raises(UserError, match="a list of formulas as text"):
        outside(function=Answering(object())).ask()
    (tmp_path / "mine.py").write_text(f"def propose(message):\n    return [{GOOD!r}]\n")
    assert outside(function="mine.py:propose", folder=str(tmp_path)).ask().graph == graph_of(f"dense: {GOOD}")
    with pytest.raises(UserError, match="a function 'other'"):
        outside(function="mine.py:other", folder=str(tmp_path)).ask()


def formulas(count: int, start: int = 2) -> list[str]:
    return [f"{number}.0 * cross_entropy(logits, target)" for number in range(start, start + count)]


def test_it_resumes_with_what_was_proposed_and_not_told() -> None:
    one = outside(function=Answering(formulas(4)), batch=4)
    asked = [one.ask() for _ in range(2)]
    one.tell(asked[0], 0.5, 1)
    state = json.loads(json.dumps(one.state()))
    assert state["proposed"] == formulas(4)[2:]
    assert [row[1] for row in state["waiting"]] == [formulas(4)[1]]
    function = Answering(formulas(1, start=20))
    other = outside(function=function, batch=4)
    other.load_state(state)
    assert other.state()["rng"] == one.state()["rng"]
    assert [other.ask().graph for _ in range(2)] == [one.ask().graph for _ in range(2)]
    other.tell(asked[1], 0.25, 1)
    other.ask()
    assert function.sent[1]["number"] == 2
    assert [(row["formula"], row["score"]) for row in function.told] == [(formulas(4)[0], 0.5), (formulas(4)[1], 0.25)]


def test_who_knows_nothing_is_told_the_last_rows_again() -> None:
    one = outside(function=Answering(*(formulas(1, start=k) for k in range(2, 12))), history=3)
    for _ in range(10):
        one.tell(one.ask(), 0.5, 1)
    assert len(one.state()["rows"]) == 3
    function = Answering(formulas(1))
    other = outside(function=function, history=3)
    other.load_state(one.state())
    other.ask()
    assert [row["formula"][:4] for row in function.told] == ["9.0 ", "10.0", "11.0"]


def test_files_are_read_as_they_grow_and_from_where_they_were_read(tmp_path: Path) -> None:
    settings = {"requests": "requests.jsonl", "answers": "answers.jsonl", "folder": str(tmp_path), "batch": 2}
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"formulas": formulas(2), "number": 1}) + "\n")
    one = outside(**settings)
    one.tell(one.ask(), 0.5, 1)
    state = one.state()
    with pytest.raises(UserError, match="one search that asks in"):
        outside(**settings).ask()
    one.ask()
    with answers.open("a") as file:  # an answer to an earlier request, as after a kill, and half of a line
        file.write(json.dumps({"formulas": formulas(2, start=50), "number": 1}) + "\n")
        file.write(json.dumps({"formulas": formulas(2, start=4), "number": 2})[:20])
    del one
    gc.collect()
    other = outside(**settings, limit_s=0.3)
    other.load_state(state)
    assert other.ask().graph == graph_of(f"dense: {formulas(2)[1]}")
    with pytest.raises(UserError, match=r"an answer within 0\.3 s.*answers.jsonl after byte"):
        other.ask()
    with answers.open("a") as file:
        file.write(json.dumps({"formulas": formulas(2, start=4), "number": 2})[20:] + "\n")
    resumed = outside(**settings)
    resumed.load_state(state)
    del other
    gc.collect()
    resumed.ask()
    assert resumed.ask().graph == graph_of(f"dense: {formulas(1, start=4)[0]}")
    sent = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert [message.get("number") for message in sent] == [1, None, 2, None, 2]
    assert sent[1]["told"][0]["score"] == 0.5
    assert len({message["seed"] for message in sent if message.get("number") == 2}) == 1


def test_each_slot_has_its_loss() -> None:
    spaces = {"classification": SPACE, "box": load_space("box")}
    space = JointSpace.of(spaces, {"classification": "cross_entropy", "box": "giou"})
    pair = "box = box: 1.0 - box_giou(boxes, target) | classification = dense: cross_entropy(logits, target)"
    function = Answering([GOOD, pair.replace("box = ", "boxes = "), pair])
    one = make_method("outside", space, 0, function=function)
    assert isinstance(one, Outside)
    for _ in space.seeds:
        one.ask()
    graph = one.ask().graph
    assert isinstance(graph, JointGraph)
    assert graph["classification"] == graph_of("dense: cross_entropy(logits, target)")
    assert one.malformed == 2


def test_one_way_to_the_outside_is_required() -> None:
    for settings in (
        {},
        {"requests": "a"},
        {"command": ["a"], "function": "a:b"},
        {"requests": "a", "function": "b:c"},
    ):
        with pytest.raises(UserError, match="required: method: one of: command; requests and answers; function"):
            make_method("outside", SPACE, 0, **settings)
    assert isinstance(outside(requests="a", answers="b").proposer, FileProposer)
    assert isinstance(outside(function="a:b").proposer, FunctionProposer)
