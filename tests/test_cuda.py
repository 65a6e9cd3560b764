"""On a GPU: losses on every backend, stacked training, exports, comparing, and a search. Skipped where there is none.

`LOSSEARCH_TEST_DEVICE=cpu pytest tests/test_cuda.py` runs all but the search on the CPU, which tests the tests.
"""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from compile.examples import calls_of, module_of
from representative import each_loss
from torch import Tensor, nn

import lossearch
from lossearch import zoo
from lossearch.engine.driver.search import search
from lossearch.experiments.benchmarks.rows import ROWS
from lossearch.tasks import Status, Task
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.plan import Run
from lossearch.training.train import train

DEVICE = os.environ.get("LOSSEARCH_TEST_DEVICE", "cuda")
STEPS = 60
CLOSE = 0.06
"""Of accuracies on 500 images after so few steps: rounding differs between devices, and what follows from it grows."""

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no GPU that PyTorch can use"),
    pytest.mark.filterwarnings("ignore:.torch.jit.*. is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.torch._prims_common.check. is deprecated:FutureWarning"),
]


def check_loss(name: str, backend: str) -> None:
    """Value and gradients of a loss on the GPU are those on the CPU, for every kind of target."""
    loss = zoo.get(name)
    here, there = module_of(loss), module_of(loss, backend).to(DEVICE)
    for given in calls_of(loss):
        for turn in range(3 if backend == "torchscript" else 1):  # TorchScript runs other code once it has profiled
            expected, found = derivatives(here, given, "cpu"), derivatives(there, given, DEVICE)
            for one, other in zip(found, expected, strict=True):
                assert one.device.type == torch.device(DEVICE).type
                torch.testing.assert_close(one.cpu(), other, rtol=1e-3, atol=1e-5, msg=lambda m, n=turn: f"{n}: {m}")


def derivatives(module: nn.Module, given: list[Tensor], device: str) -> list[Tensor]:
    """The value, and its gradients by floating inputs and by the module's own parameters, zero where there is none."""
    leaves = [x.to(device).requires_grad_() if x.is_floating_point() else x.to(device) for x in given]
    value = module(*leaves)
    sources = [*(x for x in leaves if x.requires_grad), *module.parameters()]
    gradients = torch.autograd.grad(value.sum(), sources, allow_unused=True)
    return [value.detach(), *(torch.zeros_like(x) if g is None else g for x, g in zip(sources, gradients, strict=True))]


@pytest.mark.parametrize("backend", ["eager", "torchscript"])
@pytest.mark.parametrize("name", each_loss())
def test_every_loss_is_what_it_is_on_the_cpu(name: str, backend: str) -> None:
    check_loss(name, backend)


@pytest.mark.thorough
@pytest.mark.parametrize("name", each_loss())
def test_every_compiled_loss_is_what_it_is_on_the_cpu(name: str) -> None:
    torch.compiler.reset()
    check_loss(name, "compile")


def accuracies(runs: list[Run], device: str) -> list[float]:
    outcomes = train(Task("digits_noise"), runs, STEPS, device=device)
    assert [outcome.status for outcome in outcomes] == [Status.OK] * len(runs)
    return [outcome.metric or 0.0 for outcome in outcomes]


def test_stacked_trainings_end_as_those_alone_and_as_on_the_cpu() -> None:
    graphs = [zoo.get(name).graph for name in ("cross_entropy", "focal", "generalized_cross_entropy")]
    runs = [Run(GraphLoss(graph), 0.05, seed) for graph in graphs for seed in (0, 1)]
    stacked = accuracies(runs, DEVICE)
    alone = [accuracies([run], DEVICE)[0] for run in runs]
    assert stacked == pytest.approx(alone, abs=CLOSE)
    assert stacked == pytest.approx(accuracies(runs, "cpu"), abs=CLOSE)
    assert min(stacked) > 0.2  # of ten classes


@pytest.mark.parametrize("model", [{"name": "cnn"}, {"name": "vit"}])
def test_every_model_trains(model: dict[str, str]) -> None:
    task = Task({"base": "digits_noise", "model": model})
    runs = [Run(GraphLoss(zoo.get("cross_entropy").graph), 0.05, seed) for seed in range(3)]
    outcomes = train(task, runs, 5, device=DEVICE)
    assert [outcome.status for outcome in outcomes] == [Status.OK] * 3


Load = Callable[[Path, dict[str, Tensor]], Callable[..., Tensor]]


def of_python(path: Path, buffers: dict[str, Tensor]) -> Callable[..., Tensor]:
    spec = importlib.util.spec_from_file_location("exported", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (made,) = (value for name, value in vars(module).items() if name.endswith("Loss"))
    return made(**buffers).to(DEVICE)


def of_torchscript(path: Path, buffers: dict[str, Tensor]) -> Callable[..., Tensor]:
    return torch.jit.load(path, map_location=DEVICE)


@pytest.mark.parametrize(("suffix", "load"), [(".py", of_python), (".pt", of_torchscript)])
@pytest.mark.parametrize("name", ["focal", "dice", "weighted_cross_entropy", "lovasz_softmax"])
def test_an_exported_file_runs_where_its_inputs_are(tmp_path: Path, name: str, suffix: str, load: Load) -> None:
    row = next(row for row in ROWS if row.loss_name == name)
    call = row.calls("tiny", ("eager",))["ours"]["eager"]
    expected = call()
    assert isinstance(call.function, torch.nn.Module)
    buffers = dict(call.function.named_buffers())
    options = {key: value.tolist() for key, value in buffers.items()} if suffix == ".pt" else {}
    path = lossearch.export(row.loss, tmp_path / f"exported{suffix}", **options)
    leaf = call.arguments[0].detach().to(DEVICE).requires_grad_()
    value = load(path, buffers)(leaf, call.arguments[1].to(DEVICE))
    (gradient,) = torch.autograd.grad(value, leaf)
    assert value.device.type == DEVICE
    torch.testing.assert_close(value.cpu(), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradient.cpu(), call.arguments[0].grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["weighted_cross_entropy", "focal"])
@pytest.mark.parametrize("backend", ["stacked", "torchscript"])
def test_tuning_trains_on_the_gpu(name: str, backend: str) -> None:
    tuned = lossearch.tune(name, "digits_noise", steps=20, trials=3, workers=1, device=DEVICE, backend=backend)
    assert tuned.validation is not None, tuned.message


@pytest.mark.skipif(DEVICE != "cuda", reason="asks Ray for GPUs")
@pytest.mark.xdist_group("ray")
def test_a_search_trains_on_the_gpu_and_says_so(tmp_path: Path) -> None:
    evaluation = {"steps": 20, "seeds": 1, "variants": 2, "learning_rates": [1.0]}
    config = {
        "task": "digits_noise",
        "islands": 1,
        "generations": 2,
        "generation_size": 3,
        "race": {"candidates": 2, "seeds": 2, "steps": 20},
    }
    inside = {**config, "evaluation": {**evaluation, "device": "auto"}}
    elsewhere = {**config, "evaluation": evaluation, "resources": {"cpu": 1, "gpu": 0.5}}
    for name, given in (("inside", inside), ("elsewhere", elsewhere)):
        with search(given, tmp_path / name, progress=False).archive as archive:
            assert {one.device for one in archive.evaluations()} == {"cuda"}
            assert {one.device for one in archive.race_trainings()} == {"cuda"}
            assert archive.counts().statuses == {"ok": 6}
