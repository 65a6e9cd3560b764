"""The list of packages, the links, and what a built wheel does in an environment without the checkout."""

import json
import os
import shutil
import site
import subprocess
import sys
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lossearch

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = ("primitives", "search_spaces", "experiments")
NOT_SOURCES = (
    ".git",
    ".venv",
    "runs",
    "build",
    "dist",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# One worker builds the wheel once, and the other tests of this file share it.
pytestmark = pytest.mark.xdist_group("package")


def source_files() -> dict[Path, str]:
    """Every source file of the package at its real place, with its place in the installed package."""
    found: dict[Path, str] = {}
    for top in ("lossearch", *OUTSIDE):
        for path in (ROOT / top).rglob("*"):
            inside = path.relative_to(ROOT)
            if inside.parts[0] == "lossearch" and inside.parts[1] in OUTSIDE:
                continue
            if path.is_file() and "__pycache__" not in inside.parts:
                found[path] = (inside if top == "lossearch" else "lossearch" / inside).as_posix()
    return found


def test_the_listed_packages_are_the_tree() -> None:
    tree = {
        place.rpartition("/")[0].replace("/", ".") for path, place in source_files().items() if path.suffix == ".py"
    }
    assert sorted(tree) == PROJECT["tool"]["setuptools"]["packages"]


def test_every_package_has_an_init() -> None:
    directories = {path.parent for path in source_files() if path.suffix == ".py"}
    assert [str(d) for d in directories if not (d / "__init__.py").is_file()] == []


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_link_leads_to_the_directory_at_the_top(name: str) -> None:
    link = ROOT / "lossearch" / name
    assert os.readlink(link) == f"../{name}"
    assert (link / "__init__.py").samefile(ROOT / name / "__init__.py")


@pytest.mark.parametrize("name", OUTSIDE)
def test_the_bare_name_is_refused(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"import it as 'lossearch.{name}'" in done.stderr


def test_constraints_pin_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(pin.name): pin for pin in map(Requirement, (x for x in lines if x[:1] not in "#"))}
    project = PROJECT["project"]
    wanted = map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]])
    for requirement in wanted:
        (pin,) = pins[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), f"{requirement} excludes its own pin {pin}"
        assert "+" not in pin.version


@dataclass(frozen=True)
class Installed:
    """A clean environment that holds the wheel, and an empty directory to work in."""

    wheel: Path
    prefix: Path
    work: Path

    def run(self, *command: str) -> str:
        """Standard output of a command of the environment; a failure shows what it said."""
        unset = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
        done = subprocess.run(
            [self.prefix / "bin" / command[0], *command[1:]],
            cwd=self.work,
            env={name: value for name, value in os.environ.items() if name not in unset},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """sdist from a copy of the tree, wheel from the sdist, wheel into a clean environment.

    The dependencies are those of the running environment: its site-packages are appended to the path, where
    .pth files are not read, so that the editable lossearch stays out.
    """
    base = tmp_path_factory.mktemp("package")
    copy, built, prefix, work = (base / name for name in ("copy", "dist", "env", "work"))
    work.mkdir()
    for name in ("lossearch", *OUTSIDE):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    _check(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(built), str(copy))
    (wheel,) = built.glob("*.whl")
    venv.create(prefix, symlinks=True, with_pip=False)
    python = prefix / "bin" / "python"
    _check(
        *(sys.executable, "-m", "pip", "--python", str(python)),
        *("install", "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)),
    )
    (packages,) = (prefix / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    return Installed(wheel, prefix, work)


def _check(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_wheel_holds_lossearch_only_and_all_of_it(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
    info = f"lossearch-{lossearch.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"lossearch", info}
    assert f"{info}/licenses/LICENSE" in names
    wanted = {
        place
        for path, place in source_files().items()
        if not path.is_relative_to(ROOT / "experiments") or path.suffix in {".py", ".toml"}
    }
    assert sorted(wanted - names) == []


@pytest.mark.thorough
def test_the_installed_package_is_imported_from_the_clean_environment(installed: Installed) -> None:
    packages = PROJECT["tool"]["setuptools"]["packages"]
    code = (
        "import importlib, json, sys\n"
        f"files = [importlib.import_module(name).__file__ for name in {packages!r}]\n"
        "print(json.dumps({'files': files, 'path': sys.path}))"
    )
    found = json.loads(installed.run("python", "-c", code))
    assert len(found["files"]) == len(packages)
    for file in found["files"]:
        assert Path(file).is_relative_to(installed.prefix)
    assert str(ROOT) not in found["path"]


@pytest.mark.thorough
def test_the_installed_metadata_are_those_of_the_wheel(installed: Installed) -> None:
    code = "import importlib.metadata as m; d = m.distribution('lossearch'); print(d.version, d.locate_file(''))"
    version, place = installed.run("python", "-c", code).split(maxsplit=1)
    assert version == lossearch.__version__
    assert Path(place.strip()).is_relative_to(installed.prefix)


USE_EXPORT = """
import sys

sys.modules["lossearch"] = None  # whoever imports it now gets an ImportError
import torch
import best

(kind,) = [x for x in vars(best).values() if isinstance(x, type) and issubclass(x, torch.nn.Module)]
logits = torch.linspace(-1, 1, 40).reshape(4, 10).requires_grad_()
loss = kind()(logits, torch.tensor([0, 3, 5, 9]))
loss.backward()
assert loss.isfinite(), loss
assert logits.grad.isfinite().all(), logits.grad
assert logits.grad.any(), logits.grad
"""


@pytest.mark.thorough
def test_a_search_and_an_export_run_from_the_wheel(installed: Installed) -> None:
    shutil.copy(ROOT / "experiments" / "smoke.toml", installed.work)
    installed.run("lossearch", "search", "smoke.toml", "--out", "run", "--workers", "1", "--seed", "0")
    installed.run("lossearch", "export", "run@1", "-o", "best.py")
    (installed.work / "use_export.py").write_text(USE_EXPORT, encoding="utf-8")
    installed.run("python", "use_export.py")
