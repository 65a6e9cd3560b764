"""Exported files give the module's numbers in a process that cannot import lossearch."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from compile.examples import DENSE, TRUE_P, P, buffers_of, prediction_and_targets
from representative import each_loss, first_of, representatives, thorough_unless
from torch import Tensor

from lossearch import zoo
from lossearch.compile import build
from lossearch.compile.export import export, files, standalone
from lossearch.compile.input_checker import least_extent
from lossearch.errors import UserError
from lossearch.ir import Graph, Parameter, get_signature
from lossearch.ir.forms.latex import format_graph as latex
from lossearch.ir.forms.text import format_graph
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting.lowering import label_input
from lossearch.loss import Loss

ROOT = Path(__file__).resolve().parents[2]
WEIGHT = torch.tensor([0.5, 2.0, 1.0, 0.1, 1.5])
GAMMA = Parameter("gamma", 2.0, 0.5, 5.0, learnable=True)
WINDOWED = Loss("windowed", Graph(DENSE, fn.gaussian_window(fn.difference(P, "width"), 3) ** 2 * TRUE_P), "a test")
LEARNABLE = Loss("learnable_focal", Graph(DENSE, (1.0 - TRUE_P) ** GAMMA.node, (GAMMA,)))
LOSSES = {**{name: zoo.get(name) for name in zoo.names()}, "windowed": WINDOWED, "learnable_focal": LEARNABLE}

QUICK = {*representatives(), "windowed", "learnable_focal"}

# Reads cases written by the test, runs the exported file on them, writes what came out. lossearch cannot be imported.
RUNNER = """
import importlib.util, sys, warnings

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "lossearch":
            raise ModuleNotFoundError("lossearch is blocked")

sys.meta_path.insert(0, Blocked())
try:
    import lossearch
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("lossearch could be imported")

import torch

results = {}
for path, class_name, options, state, cases in torch.load(sys.argv[1], weights_only=False):
    if path.endswith(".py"):
        spec = importlib.util.spec_from_file_location("exported", path)
        namespace = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(namespace)
        module = getattr(namespace, class_name)(**options)
        module.load_state_dict(state)
    elif path.endswith(".pt"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(path)
    else:
        module = torch.export.load(path).module()
    found = []
    for inputs in cases:
        leaf = inputs[0].clone().requires_grad_()
        value = module(leaf, *inputs[1:])
        gradient = torch.autograd.grad(value.sum(), leaf, allow_unused=True)[0]
        found.append((value.detach(), gradient))
    results[path] = found
torch.save(results, sys.argv[2])
"""


@dataclass
class Case:
    """A file, how it was made, and inputs for it."""

    path: Path
    loss: Loss
    options: dict[str, object]
    inputs: list[list[Tensor]]


def run_elsewhere(cases: list[Case], folder: Path) -> dict[str, list[tuple[Tensor, Tensor | None]]]:
    """What the files compute in a process of their own."""
    described = []
    for case in cases:
        constructor = {k: v for k, v in case.options.items() if k in ("reduction", "weight", "ignore_index")}
        constructor.update(case.options.get("buffers", {}))  # type: ignore[call-overload]
        state = build(case.loss.graph, **case.options).state_dict()  # type: ignore[arg-type]
        name = next(n.name for n in ast.parse(standalone(case.loss)).body if isinstance(n, ast.ClassDef))
        described.append((str(case.path), name, constructor, state, case.inputs))
    torch.save(described, folder / "cases.pt")
    (folder / "runner.py").write_text(RUNNER)
    command = [sys.executable, "-W", "error", "-I", "runner.py", "cases.pt", "results.pt"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(folder / "results.pt", weights_only=False)


def assert_same(cases: list[Case], folder: Path) -> None:
    results = run_elsewhere(cases, folder)
    for case in cases:
        module = build(case.loss.graph, **case.options)  # type: ignore[arg-type]
        for inputs, (value, gradient) in zip(case.inputs, results[str(case.path)], strict=True):
            leaf = inputs[0].clone().requires_grad_()
            expected = module(leaf, *inputs[1:])
            wanted = torch.autograd.grad(expected.sum(), leaf, allow_unused=True)[0]
            torch.testing.assert_close(
                value, expected.detach(), rtol=1e-9, atol=1e-9, msg=lambda m, c=case: f"{c.path.name}: {m}"
            )
            torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-9)


def inputs_for(loss: Loss, *shapes: tuple[int, ...]) -> list[list[Tensor]]:
    """Inputs of several ranks, with labels and probabilities, some labels ignored."""
    found = []
    for shape in shapes:
        for given in prediction_and_targets(loss.signature, shape):
            found.append(given)
            if label_input(loss.graph) is not None and not given[1].is_floating_point():
                ignored = given[1].clone()
                ignored.view(-1)[:1] = -100
                found.append([given[0], ignored, *given[2:]])
    return found


def construction(loss: Loss) -> dict[str, object]:
    """What a module of the loss takes at construction."""
    options: dict[str, object] = {"weight": WEIGHT} if loss.graph.uses("class_weight") else {}
    buffers = buffers_of(loss.graph)
    return {**options, "buffers": buffers} if buffers else options


def shapes_of(loss: Loss) -> tuple[tuple[int, ...], ...]:
    """Spatial shapes of several ranks, or one of two axes where windows must fit inside."""
    least = least_extent(loss.graph)
    if least > 1:
        return ((least, least + 1),)
    return ((), (3,), (2, 3), (2, 2, 2)) if spatial(loss) else ((),)


def spatial(loss: Loss) -> bool:
    return any("space" in declared.axes for declared in loss.signature.inputs)


@pytest.mark.parametrize("suffix", [".py", ".pt"])
@pytest.mark.parametrize("quick", [pytest.param(quick, marks=thorough_unless(quick)) for quick in (True, False)])
def test_every_loss_exports_and_gives_the_same_numbers_elsewhere(quick: bool, suffix: str, tmp_path: Path) -> None:
    cases = []
    for name, loss in LOSSES.items():
        if (name in QUICK) != quick:
            continue
        options = construction(loss)
        path = export(loss, tmp_path / f"{name}{suffix}", **(options if suffix == ".pt" else {}))
        cases.append(Case(path, loss, options, inputs_for(loss, *shapes_of(loss))))
    assert_same(cases, tmp_path)


@pytest.mark.parametrize("suffix", [".py", ".pt"])
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("dice", "weighted_cross_entropy"), id="quick"),
        pytest.param(("focal", "binary_cross_entropy", "windowed"), id="others", marks=pytest.mark.thorough),
    ],
)
def test_options_of_the_module(names: tuple[str, ...], suffix: str, tmp_path: Path) -> None:
    cases = []
    for name in names:
        for reduction in ("none", "sum", "mean"):
            loss = LOSSES[name]
            options: dict[str, object] = {"reduction": reduction, "weight": WEIGHT, "ignore_index": 3}
            given = options if suffix == ".pt" else {"reduction": reduction}
            path = export(loss, tmp_path / f"{name}_{reduction}{suffix}", **given)
            labelled = [i for i in inputs_for(loss, (2, 3)) if not i[1].is_floating_point()][:1]
            cases.append(Case(path, loss, options, labelled))
    assert_same(cases, tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("focal", "giou"), id="quick"),
        pytest.param(
            ("dice", "weighted_cross_entropy", "style", "windowed", "learnable_focal"),
            id="others",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_traced_programs_take_other_lengths(names: tuple[str, ...], tmp_path: Path) -> None:
    cases = []
    for name in names:
        loss = LOSSES[name]
        options: dict[str, object] = {"weight": WEIGHT} if loss.graph.uses("class_weight") else {}
        ranks = (0, 2) if name in ("focal", "dice") else (2,) if name in ("windowed", "style") else (0,)
        for rank in ranks:
            path = tmp_path / f"{name}_{rank}.pt2"
            export(loss, path, rank=rank, **options)
            given = [
                i
                for i in inputs_for(loss, (2, 3)[:rank], (4, 1)[:rank])
                if loss.signature.name != "dense" or not i[1].is_floating_point()
            ]
            cases.append(
                Case(path, loss, options, [[x.float() if x.is_floating_point() else x for x in i] for i in given])
            )
    soft = export(LOSSES["focal"], tmp_path / "soft.pt2", labels=False)
    cases.append(Case(soft, LOSSES["focal"], {}, [[x.float() for x in inputs_for(LOSSES["focal"], ())[0]]]))
    assert_same_float32(cases, tmp_path)


def assert_same_float32(cases: list[Case], folder: Path) -> None:
    results = run_elsewhere(cases, folder)
    for case in cases:
        module = build(case.loss.graph, **case.options)  # type: ignore[arg-type]
        for inputs, (value, gradient) in zip(case.inputs, results[str(case.path)], strict=True):
            leaf = inputs[0].clone().requires_grad_()
            expected = module(leaf, *inputs[1:])
            torch.testing.assert_close(value, expected.detach())
            torch.testing.assert_close(gradient, torch.autograd.grad(expected, leaf)[0])


@pytest.fixture(scope="module")
def formatted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source of every loss as ruff formats it: all at once, since to start it takes longest."""
    folder = tmp_path_factory.mktemp("formatted")
    for name, loss in LOSSES.items():
        (folder / f"{name}.py").write_text(standalone(loss), encoding="utf-8")
    settings = ["--config", str(ROOT / "pyproject.toml"), "--line-length", "116", "--no-cache"]
    subprocess.run([sys.executable, "-m", "ruff", "format", *settings, folder], capture_output=True, check=True)
    return folder


@pytest.mark.parametrize("name", each_loss(LOSSES, QUICK))
def test_the_python_file_reads_as_written_by_hand(name: str, formatted: Path) -> None:
    loss = LOSSES[name]
    text = standalone(loss)
    tree = ast.parse(text)
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imported <= {"torch", "torch.nn.functional", "math"}
    assert max(map(len, text.splitlines())) <= 116
    (module,) = (n for n in tree.body if isinstance(n, ast.ClassDef))
    said = " ".join((ast.get_docstring(module, clean=True) or "").split())
    for part in (loss.to_text(), latex(loss.graph), loss.source):
        assert " ".join(part.replace('"', "'").split()) in said
    for parameter in loss.parameters:
        assert f"{parameter.name} = {parameter.default:g}" in said
    assert (formatted / f"{name}.py").read_text(encoding="utf-8") == text


def test_json_and_latex_files(tmp_path: Path) -> None:
    loss = zoo.get("focal", gamma=1.5)
    written = export(loss, tmp_path / "focal.json").read_text()
    assert json.loads(written)["name"] == "focal"
    assert Loss.from_json(written) == loss
    assert export(loss, str(tmp_path / "focal.tex")).read_text() == latex(loss.graph) + "\n"


def test_text_from_elsewhere_stays_inside_the_docstring() -> None:
    marker = "raise SystemExit('ran')"
    hostile = Loss("hostile", WINDOWED.graph, f'x"""\n{marker}\nr"""\\')
    tree = ast.parse(standalone(hostile))
    assert not any(isinstance(node, ast.Raise) and "SystemExit" in ast.dump(node) for node in ast.walk(tree))
    assert format_graph(WINDOWED.graph) == hostile.to_text()


def test_the_exported_module_refuses_an_unknown_reduction(tmp_path: Path) -> None:
    namespace: dict[str, type[torch.nn.Module]] = {}
    exec(standalone(zoo.get("focal")), namespace)
    with pytest.raises(ValueError, match="reduction must be none, mean, sum or batchmean, not 'avg'"):
        namespace["FocalLoss"]("avg")


def test_autocast_and_half_precision_in_the_exported_module() -> None:
    namespace: dict[str, type[torch.nn.Module]] = {}
    exec(standalone(zoo.get("style")), namespace)
    module, given = namespace["StyleLoss"](), [x.float() for x in prediction_and_targets(zoo.get("style").signature)[0]]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = module(*given)
    torch.testing.assert_close(found, module(*given))
    assert module(*(x.bfloat16() for x in given)).dtype == torch.float32


def test_empty_batches_in_the_exported_module() -> None:
    namespace: dict[str, type[torch.nn.Module]] = {}
    exec(standalone(zoo.get("focal")), namespace)
    for reduction in ("mean", "sum"):
        value = namespace["FocalLoss"](reduction)(torch.empty(0, 5), torch.empty(0, dtype=torch.int64))
        assert value.item() == 0.0


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    loss = zoo.get("focal")
    with pytest.raises(UserError, match=r"a suffix among \.py \.pt \.pt2 \.json \.tex; found: 'focal.onnx'"):
        export(loss, tmp_path / "focal.onnx")
    with pytest.raises(UserError, match=r"options of \.tex among none; found: reduction"):
        export(loss, tmp_path / "focal.tex", reduction="sum")
    with pytest.raises(UserError, match="no directory"):
        export(loss, tmp_path / "missing" / "focal.py")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(UserError, match="a directory"):
        export(loss, tmp_path / "folder.py")
    with pytest.raises(UserError, match=r"rank in \[0, 3\]; found: 4"):
        export(loss, tmp_path / "focal.pt2", rank=4)
    with pytest.raises(UserError, match="labels=False; found: labels=True"):
        export(zoo.get("giou"), tmp_path / "giou.pt2", labels=True)
    with pytest.raises(UserError, match="class weights `weight`"):
        export(zoo.get("weighted_cross_entropy"), tmp_path / "weighted.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"folder.py"}


BOX = get_signature("box")
BOXES, TRUE_BOXES = BOX["boxes"].node, BOX["target"].node
ALONG_BATCH = {
    "cumsum": fn.cumsum(BOXES, "batch"),
    "sort": fn.sort(BOXES, "batch"),
    "sort_by": fn.sort_by(BOXES, TRUE_BOXES, "batch"),
    "sort_by one order": fn.sort_by(BOXES, fn.sum(TRUE_BOXES, "coord"), "batch"),
    "sort_by one value": fn.sort_by(fn.sum(BOXES, "coord"), TRUE_BOXES, "batch"),
    "softmax": fn.softmax(BOXES, "batch"),
    "pairwise": fn.contract(BOXES, fn.rename(BOXES, "batch", "batch'"), "coord"),
}


@pytest.mark.parametrize("name", list(ALONG_BATCH))
def test_work_along_the_batch_is_traced_for_any_batch(name: str, tmp_path: Path) -> None:
    loss = Loss("along_batch", Graph(BOX, fn.sin(ALONG_BATCH[name]) * fn.cumsum(fn.sum(TRUE_BOXES, "coord"), "batch")))
    program = torch.export.load(export(loss, tmp_path / "along.pt2")).module()
    for batch in (1, 2, 3, 9):
        given = (
            torch.linspace(1.0, 2.0, 4 * batch).reshape(batch, 4).cos(),
            torch.arange(4.0 * batch).view(batch, 4).sin(),
        )
        torch.testing.assert_close(program(*given), build(loss.graph)(*given))


UNTRACEABLE = """
from torch import nn

class HostileLoss(nn.Module):
    def forward(self, boxes, target):
        return {body}
"""


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("boxes.mean() * len(boxes.tolist())", "Constraints violated"),
        ("boxes.mean() if boxes.sum() > 0.0 else 0.0", ""),
    ],
)
def test_what_torch_export_cannot_trace_is_refused_by_name(
    body: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_source", lambda loss, options: UNTRACEABLE.format(body=body))
    loss = Loss("hostile", zoo.get("giou").graph)
    with pytest.raises(UserError, match=rf"loss hostile .*; found: {found}.+; export it to \.pt .* or \.py") as caught:
        export(loss, tmp_path / "hostile.pt2")
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = export(zoo.get("focal"), tmp_path / "loss.py")
    before = path.read_text()

    def full(self: Path, *args: object, **kwargs: object) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="No space left on device"):
        export(zoo.get("dice"), path)
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["loss.py"]


@pytest.mark.parametrize("name", first_of(["total_variation", "focal_frequency"]))
def test_traced_differences_and_frequencies_take_images_of_any_side(name: str, tmp_path: Path) -> None:
    loss = zoo.get(name)
    traced, module = torch.export.load(export(loss, tmp_path / "loss.pt2")).module(), loss.to_module()
    for batch, *sides in ((2, 1, 1), (2, 2, 2), (2, 1, 3), (2, 7, 2), (0, 4, 4)):
        images = [torch.rand(batch, 3, *sides) for _ in loss.signature.forward_inputs]
        torch.testing.assert_close(traced(*images), module(*images))


def test_scripted_files_name_what_does_not_fit(tmp_path: Path) -> None:
    scripted = torch.jit.load(export(zoo.get("ssim"), tmp_path / "ssim.pt"))
    image = torch.rand(1, 1, 12, 12)
    with pytest.raises(torch.jit.Error, match=r"target must have shape \[1, 1, 12, 12\], not \[1, 1, 12, 11\]"):
        scripted(image, image[..., 1:])
    with pytest.raises(torch.jit.Error, match=r"image must be 11 or longer .* not \[12, 9\]"):
        scripted(image[..., 3:], image[..., 3:])


NEEDLESS = (
    re.compile(r'check_shape\("(\w+)", \w+, \1\.shape\)'),  # a shape compared with itself
    re.compile(r"def (check_\w+)\((?![\s\S]*\n\s+\1\()"),  # a check that nothing calls
    re.compile(
        r"loss = (\w+)\(.*\n\s+class_weight = self.weight\n.*\n\s+loss = weighted_\1"
    ),  # computed and thrown away
)


@pytest.mark.parametrize(
    "name", ["cross_entropy", "focal", "dice", "triplet_batch_hard", "ciou", "ssim", "center", "mse"]
)
def test_an_exported_file_has_nothing_needless(name: str) -> None:
    text = standalone(zoo.get(name))
    assert [found.group() for pattern in NEEDLESS if (found := pattern.search(text))] == []


def test_a_weight_that_always_comes_is_not_optional() -> None:
    assert "def reduce(self, loss: Tensor, weight: Tensor) -> Tensor:" in standalone(zoo.get("triplet_batch_hard"))
    assert "weight: Tensor | None" in standalone(zoo.get("dice"))


def test_values_are_called_after_what_they_are() -> None:
    boxes = standalone(zoo.get("ciou"))
    assert "boxes_x1, boxes_y1, boxes_x2, boxes_y2 = boxes.unbind(1)" in boxes
    for name in ("box_intersection", "boxes_width", "target_height", "box_centre_penalty", "box_aspect_penalty"):
        assert f"    {name} = " in boxes
    margin = Loss.from_text("dense: cross_entropy(logits, target) + exp(probability_margin(logits, target))")
    assert "probability = torch.exp(log_probability)" in standalone(margin)
