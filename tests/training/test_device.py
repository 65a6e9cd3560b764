"""Where trainings run: what a configuration asks for, decided in the process that trains."""

from pathlib import Path

import pytest
import torch

from lossearch import api, zoo
from lossearch.candidates.function_scoring import FunctionEvaluator
from lossearch.candidates.scoring import CandidateEvaluator, EvaluationConfig
from lossearch.engine.setup.config import load_config, validate
from lossearch.engine.setup.parts import build_parts
from lossearch.errors import UserError
from lossearch.tasks import UserTask
from lossearch.training.device import DeviceName, usable_device

pytestmark = pytest.mark.usefixtures("one_server")

CONFIG = {
    "task": "digits_noise",
    "generations": 1,
    "evaluation": {"steps": 3, "seeds": 1, "variants": 1, "learning_rates": [1.0]},
}
TRAIN = """
import torch
def train(loss, budget, seed, *, device="unset", learning_rate=1.0):
    loss(torch.rand(4, 3, requires_grad=True), torch.arange(4) % 3)
    yield {"accuracy": {"unset": 0.1, "cpu": 0.2, "cuda": 0.3}[device]}
"""
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def with_device(device: str | None) -> CandidateEvaluator:
    evaluation = {**CONFIG["evaluation"], **({} if device is None else {"device": device})}  # type: ignore[dict-item]
    evaluator = build_parts(validate({**CONFIG, "evaluation": evaluation})).evaluator
    assert isinstance(evaluator, CandidateEvaluator)
    return evaluator


def test_a_device_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="a device"):
        usable_device("gpu")
    with pytest.raises(UserError, match=r"evaluation\.device"):
        validate({**CONFIG, "evaluation": {"device": "gpu"}})


@without_gpu
def test_without_a_gpu_auto_is_the_cpu_and_cuda_fails_where_the_training_begins() -> None:
    graph = zoo.get("focal").graph
    assert with_device("auto").evaluate(graph, 0).metrics == with_device(None).evaluate(graph, 0).metrics
    evaluator = with_device("cuda")  # a driver may plan what only its workers can do
    with pytest.raises(UserError, match=r'a GPU for device = "cuda".*resources = \{ gpu = 1 \}'):
        evaluator.evaluate(graph, 0)


def test_losses_with_class_weights_train_on_the_device_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossearch.candidates.scoring.usable_device", lambda name: "meta")
    with pytest.raises(
        (NotImplementedError, RuntimeError), match="meta"
    ):  # which holds no values, and reached training
        with_device("cuda").evaluate(zoo.get("weighted_cross_entropy").graph, 0)


@pytest.mark.parametrize(("device", "score"), [(None, 0.1), ("auto", 0.2), ("cpu", 0.2)])
@without_gpu
def test_a_function_is_told_its_device_where_one_is_asked_for(tmp_path: Path, device: str | None, score: float) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    told = "" if device is None else f'device = "{device}"'
    table = '[task]\nfunction = "train.py:train"\nmetric = "accuracy"\n[evaluation]\nsteps = 1\nseeds = 1\n'
    (tmp_path / "search.toml").write_text(f"generations = 1\n{table}{told}")
    config, _ = load_config(tmp_path / "search.toml")
    assert build_parts(config).evaluator.evaluate(zoo.get("cross_entropy").graph, 0).score == score


def test_a_function_that_takes_no_device_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN.replace('device="unset", ', "").replace("[device]", '["unset"]'))
    table = '[task]\nfunction = "train.py:train"\nmetric = "accuracy"\n[evaluation]\nsteps = 1\ndevice = "auto"\n'
    (tmp_path / "search.toml").write_text("generations = 1\n" + table)
    with pytest.raises(UserError, match=r'training function with device="cpu".*device = "auto"'):
        build_parts(load_config(tmp_path / "search.toml")[0])


@without_gpu
def test_tuning_takes_a_device_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='a GPU for device = "cuda"'):
        api.tune("focal", "digits_noise", device="cuda")
    (tmp_path / "search.toml").write_text('task = "digits_noise"\ngenerations = 1\n[evaluation]\ndevice = "cuda"\n')
    with pytest.raises(UserError, match='a GPU for device = "cuda"'):
        api.tune("focal", tmp_path / "search.toml")


@pytest.mark.parametrize("asked", [None, "auto", "cuda"])
def test_a_driver_without_a_gpu_calls_a_function_for_gpus_on_its_cpu(
    asked: DeviceName | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "gpu.py").write_text(
        "import torch\n"
        'def train(loss, budget, seed, *, device="cuda"):\n'
        "    logits = torch.zeros(4, 3, device=device, requires_grad=True)\n"
        "    loss(logits, (torch.arange(4) % 3).to(device))\n    yield 0.5\n"
    )
    with UserTask(f"{tmp_path / 'gpu.py'}:train", time_limit=60) as task:
        settings = EvaluationConfig(steps=1, device=asked)
        evaluator = FunctionEvaluator(task, zoo.get("cross_entropy").graph, settings)
    assert evaluator.first_call.describe() == "[4, 3] and [4]"
