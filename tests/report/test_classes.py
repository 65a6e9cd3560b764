"""The curves of a run are drawn over as many classes as its task has."""

from pathlib import Path

import torch

from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.setup.first_call_file import keep_first_call
from lossearch.ir import get_signature
from lossearch.report import write_report
from lossearch.report.classes import classes_of
from lossearch.tasks.user.first_call import FirstCall
from lossearch.tasks.user.first_calls import FirstCalls

from .runs import searched_run

FUNCTION = """
generations = 1

[task]
function = "train.py:train"
metric = "accuracy"

[evaluation]
steps = 1
"""
DENSE, REGRESSION = get_signature("dense"), get_signature("regression")


def run_of(path: Path, config: str) -> RunDirectory:
    return RunDirectory.create(path, config)


def called(*inputs: torch.Tensor) -> FirstCalls:
    return FirstCalls({"loss": FirstCall(inputs)})


def test_a_bundled_task_has_the_classes_of_its_data_set(tmp_path: Path) -> None:
    assert classes_of(run_of(tmp_path / "run", 'task = "digits"\ngenerations = 1\n'), DENSE) == 10
    assert classes_of(run_of(tmp_path / "other", 'task = "bacteria"\ngenerations = 1\n'), DENSE) == 2


def test_a_function_has_the_classes_of_the_predictions_that_its_loss_met_first(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", FUNCTION)
    keep_first_call(run, called(torch.randn(4, 3, 5, 5), torch.zeros(4, 5, 5, dtype=torch.int64)))
    assert classes_of(run, DENSE) == 3
    assert classes_of(run, REGRESSION) == 10


def test_a_damaged_run_is_drawn_over_ten(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", FUNCTION)
    (run.path / "first_call.bin").write_bytes(b"damaged")
    assert classes_of(run, DENSE) == 10


def test_the_report_draws_the_classes_of_its_run(tmp_path: Path) -> None:
    run = RunDirectory(searched_run(tmp_path / "run", candidates=14))
    run.config.write_text(FUNCTION, encoding="utf-8")
    keep_first_call(run, called(torch.randn(4, 3), torch.zeros(4, dtype=torch.int64)))
    assert "probability of the true class, of 3" in write_report(run.path).read_text(encoding="utf-8")
