import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import lossearch
from lossearch import api
from lossearch.archive.run_directory import RunDirectory
from lossearch.errors import UserError
from lossearch.loss import Loss

from .cli.runs import LOSSES, make_run


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "3 digits, noisy")


@pytest.mark.parametrize(
    ("text", "loss"),
    [
        ("focal", lossearch.zoo.get("focal")),
        ("focal()", lossearch.zoo.get("focal")),
        (" focal ( gamma = 2.5 ) ", lossearch.zoo.get("focal", gamma=2.5)),
        (
            "symmetric_cross_entropy(alpha=1e-1, log_zero=-6)",
            lossearch.zoo.get("symmetric_cross_entropy", alpha=0.1, log_zero=-6.0),
        ),
        ("dice(squared=False, per=image)", lossearch.zoo.get("dice", squared=False, per="image")),
    ],
)
def test_load_takes_a_zoo_name_with_arguments(text: str, loss: Loss) -> None:
    assert lossearch.load(text) == loss


@pytest.mark.parametrize("name", lossearch.zoo.names())
def test_load_reads_the_text_form_of_every_hand_designed_loss(name: str) -> None:
    loss = lossearch.zoo.get(name)
    assert lossearch.load(loss.to_text()).graph == loss.graph


def test_load_returns_a_loss_as_it_is() -> None:
    loss = lossearch.zoo.get("focal")
    assert lossearch.load(loss) is loss


def test_load_reads_files(tmp_path: Path) -> None:
    loss = lossearch.zoo.get("focal", gamma=2.5)
    (tmp_path / "2nd best.txt").write_text(f"{loss.to_text()}\n", encoding="utf-8")
    (tmp_path / "best.json").write_text(loss.to_json(), encoding="utf-8")
    assert lossearch.load(tmp_path / "best.json") == loss
    assert lossearch.load(str(tmp_path / "best.json")) == loss
    read = lossearch.load(tmp_path / "2nd best.txt")
    assert read.graph == loss.graph
    assert read.name == "loss_2nd_best"


def test_load_reads_a_rank_of_a_run(run: RunDirectory) -> None:
    for rank, loss in enumerate(LOSSES, start=1):
        found = lossearch.load(f"{run.path}@{rank}")
        assert found.graph == loss.graph
        assert found.name == f"loss_3_digits__noisy_{rank}"
        assert found.source == f"discovered by lossearch in 3 digits, noisy, rank {rank}"


def test_load_of_a_moved_run_names_its_new_place(run: RunDirectory, tmp_path: Path) -> None:
    moved = run.path.rename(tmp_path / "moved")
    assert lossearch.load(f"{moved}@1").name == "moved_1"


def test_load_refuses_a_file_that_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match=r"at most 16000000 bytes.*1099511627776"):
        lossearch.load(tmp_path / "large.json")


def test_load_refuses_a_path_without_a_suffix_it_knows(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.json or \.txt file"):
        lossearch.load(tmp_path / "best.pt")


def test_the_public_names_are_there_and_no_others() -> None:
    source = ast.parse(Path(lossearch.__file__).read_text(encoding="utf-8"))
    (typed,) = (node for node in source.body if isinstance(node, ast.If))  # what type checkers see
    seen = {alias.name for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    there: dict[str, object] = {}
    exec("from lossearch import *", there)  # raises for a name that is not there
    assert there.keys() - {"__builtins__"} == seen | {"__version__"}
    listed = {name for name in dir(lossearch) if not name.startswith("_")}
    assert {name for name in listed - seen if not isinstance(getattr(lossearch, name), ModuleType)} == {
        "Any",
        "TYPE_CHECKING",
    }
    hidden = {name for name in vars(api) if not name.startswith("_")} - listed
    assert "find" in hidden
    assert not [name for name in hidden if hasattr(lossearch, name)]


def test_help_and_loading_import_neither_torch_nor_ray() -> None:
    code = (
        "import sys, lossearch, lossearch.cli.main\n"
        "lossearch.load('focal(gamma=2)').to_text()\n"
        "print([name for name in ('torch', 'ray', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
