"""What `bench_losses` compares is the same loss: all forms of a row agree, at a size that takes no time."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
import torch

from lossearch.errors import UserError
from lossearch.experiments import benchmarks
from lossearch.experiments.benchmarks import bench_gpu
from lossearch.experiments.benchmarks.rows import ROWS
from lossearch.experiments.benchmarks.rows.row import Row
from lossearch.experiments.benchmarks.search_quality import merged, variant
from lossearch.experiments.benchmarks.timing import check_agreement, interleaved, peak_bytes, ratio


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_all_forms_of_a_row_agree(row: Row) -> None:
    groups = row.calls("tiny", ("eager",))
    check_agreement({f"{group} {name}": call for group, calls in groups.items() for name, call in calls.items()})


def test_forms_that_differ_are_refused() -> None:
    mse, mae = (next(row for row in ROWS if row.loss_name == name) for name in ("mse", "mae"))
    calls = {row.name: row.calls("tiny", ("eager",))["ours"]["eager"] for row in (mse, mae)}
    with pytest.raises(RuntimeError, match="disagree"):
        check_agreement(calls)


def test_a_measurement_has_times_of_every_round_and_the_memory_of_a_gradient() -> None:
    call = next(row for row in ROWS if row.loss_name == "mse").calls("tiny", ("eager",))["ours"]["eager"]
    taken = interleaved({"one": call, "other": call}, rounds=3)
    assert [len(times) for times in taken.values()] == [3, 3]
    assert ratio(taken["one"], taken["other"]) > 0
    assert peak_bytes(call) >= call.leaves[0].nbytes


def test_bench_gpu_measures_a_loss_and_a_population_or_says_that_there_is_no_gpu(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(row for row in ROWS if row.loss_name == "focal")
    call = row.calls("tiny", ("eager",))["ours"]["eager"]
    logits, labels = call.arguments
    assert bench_gpu.least_bytes(call) == 2 * logits.nbytes + labels.nbytes
    assert bench_gpu.loss_line(row, "tiny", "cpu", ("eager",), 1e9, rounds=2).split()[:2] == ["focal", "3x4x5"]
    assert min(bench_gpu.population_seconds(2, 2, "cpu")) > 0.0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["bench_gpu"])
    bench_gpu.main()
    assert capsys.readouterr().out.startswith("no GPU that PyTorch")


def test_variants_of_a_search_change_its_configuration() -> None:
    name, changes = variant('plain=method = { name = "random" }\nscreening = { rejection_steps = 5 }')
    values = {"method": {"name": "nsga2", "population": 8}, "screening": {"rejection_gain": 0.5}, "islands": 2}
    assert name == "plain"
    assert merged(values, changes) == {
        "method": {"name": "random"},
        "screening": {"rejection_gain": 0.5, "rejection_steps": 5},
        "islands": 2,
    }
    assert merged(values, variant("as_is=")[1]) == values
    for wrong in ("random", "=method = 1", "random=method = {"):
        with pytest.raises(UserError):
            variant(wrong)


def test_every_benchmark_can_be_imported() -> None:
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__"]
    assert {"bench_engine", "constants", "search_quality"} <= set(names)
    for name in names:
        importlib.import_module(f"{benchmarks.__name__}.{name}")
