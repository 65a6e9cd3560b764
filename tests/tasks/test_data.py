from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits

from lossearch.errors import UserError
from lossearch.tasks.datasets import data, embedded, fetch, readers, registry
from lossearch.tasks.datasets.dataset import LabelledImages

SIZES = {"train": 60, "t10k": 20}


def _idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes() + array.tobytes()


def _contents() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    contents: dict[str, bytes] = {}
    for prefix, size in SIZES.items():
        images = rng.integers(256, size=(size, 28, 28), dtype=np.uint8)
        contents[f"{prefix}-images-idx3-ubyte"] = _idx(images)
        contents[f"{prefix}-labels-idx1-ubyte"] = _idx((np.arange(size) % 10).astype(np.uint8))
    return contents


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder, and Fashion-MNIST shrunk to 60 + 20 made-up images whose checksums are the registry's."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in _contents().items()}
    small = LabelledImages(**{**vars(registry.FASHION_MNIST), "files": hashes, "train_samples": 60, "test_samples": 20})
    monkeypatch.setitem(registry.DATASETS, "fashion_mnist", small)
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def _write(folder: Path, compressed: bool = True) -> None:
    folder.mkdir(parents=True)
    for name, content in _contents().items():
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def test_digits_are_always_there() -> None:
    arrays = data.load("digits")
    assert data.is_available("digits")
    assert arrays.images.shape == (1797, 1, 8, 8)
    assert arrays.images.min() == 0
    assert arrays.images.max() == 1
    assert np.bincount(arrays.labels).min() == 174
    assert not arrays.has_official_test
    assert (data.path("digits") / "digits.csv.gz").is_file()
    assert data.fetch("digits") == data.path("digits")
    with pytest.raises(UserError, match="official test split"):
        data.load("digits", "test")


def test_digits_are_those_of_scikit_learn() -> None:
    arrays = data.load("digits")
    pixels, labels = load_digits(return_X_y=True)
    np.testing.assert_array_equal(arrays.images, pixels.reshape(-1, 1, 8, 8).astype(np.float32) / 16)
    np.testing.assert_array_equal(arrays.labels, labels)
    assert arrays.labels.dtype == np.int64


def test_the_diabetes_table_is_that_of_scikit_learn() -> None:
    features, targets = load_diabetes(return_X_y=True, scaled=False)
    read = embedded.read_diabetes()
    np.testing.assert_array_equal(read[0], features)
    np.testing.assert_array_equal(read[1], targets)


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no gzip", gzip.compress(b"1,2\n3,4\n", mtime=0), gzip.compress(b"1,2\n3\n", mtime=0)],
    ids=["missing", "empty", "not packed", "few columns", "ragged"],  # packed bytes tell the time
)
def test_digits_that_are_missing_or_damaged_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setattr(embedded, "embedded_folder", lambda: tmp_path)
    if content is not None:
        (tmp_path / "digits.csv.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"scikit-learn's digits in .*digits\.csv\.gz"):
        data.load("digits")


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("place", ["fashion_mnist", "FashionMNIST/raw"])
def test_files_are_found_in_either_layout(folder: Path, place: str, compressed: bool) -> None:
    assert not data.is_available("fashion_mnist")
    assert data.path("fashion_mnist") == folder / "fashion_mnist"
    _write(folder / place, compressed)
    assert data.is_available("fashion_mnist")
    assert data.path("fashion_mnist") == folder / place
    train, test = data.load("fashion_mnist"), data.load("fashion_mnist", "test")
    assert train.images.shape == (60, 1, 28, 28)
    assert test.labels.tolist() == [*range(10)] * 2
    chosen = train.images_at(np.array([7, 3]))
    assert chosen.dtype == np.float32
    assert 0 <= chosen.min() < chosen.max() <= 1
    np.testing.assert_array_equal(chosen * 255, train.images[[7, 3]])


def test_missing_data_names_the_command_that_fetches_it(folder: Path) -> None:
    with pytest.raises(UserError, match="lossearch data fetch fashion_mnist"):
        data.load("fashion_mnist")


@pytest.mark.parametrize("damage", ["flipped", "truncated", "not gzip", "empty"])
def test_damaged_data_is_refused(folder: Path, damage: str) -> None:
    _write(folder / "fashion_mnist")
    path = folder / "fashion_mnist" / "train-images-idx3-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[1000] ^= 1
    broken = {
        "flipped": gzip.compress(bytes(content)),
        "truncated": path.read_bytes()[:-50],
        "not gzip": b"hello",
        "empty": b"",
    }
    path.write_bytes(broken[damage])
    with pytest.raises(UserError, match=r"(?s)undamaged.*lossearch data fetch fashion_mnist"):
        data.load("fashion_mnist")


def test_no_more_is_unpacked_than_a_dataset_has(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(folder / "fashion_mnist")
    path = folder / "fashion_mnist" / "train-images-idx3-ubyte.gz"
    size = registry.dataset("fashion_mnist").size_of(path.name)
    assert size == len(gzip.decompress(path.read_bytes()))
    bomb = gzip.compress(bytes(20_000_000))  # 19 kB
    path.write_bytes(bomb)
    read: list[int] = []
    unpack = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: read.append(size) or unpack(self, size))
    with pytest.raises(UserError, match=rf"20000000 bytes are announced, where the dataset has {size}"):
        data.load("fashion_mnist")
    assert read == []
    path.write_bytes(bomb[:-4] + size.to_bytes(4, "little"))  # one that lies
    with pytest.raises(UserError, match="when unpacked"):
        data.load("fashion_mnist")
    assert read == [size + 1]
    path.write_bytes(bytes(size + 10_000))
    with pytest.raises(UserError, match="undamaged file"):
        data.load("fashion_mnist")
    assert len(read) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_a_pipe_in_the_place_of_a_file_is_refused(folder: Path) -> None:
    _write(folder / "fashion_mnist")
    path = folder / "fashion_mnist" / "train-images-idx3-ubyte.gz"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="lossearch data fetch fashion_mnist"):
        data.load("fashion_mnist")


def test_loading_the_train_part_does_not_read_test_files(folder: Path) -> None:
    _write(folder / "fashion_mnist")
    for path in (folder / "fashion_mnist").glob("t10k*"):
        path.write_bytes(b"not even readable")
    assert len(data.load("fashion_mnist").labels) == 60
    with pytest.raises(UserError):
        data.load("fashion_mnist", "test")


def test_unknown_names_are_refused() -> None:
    for call in (data.path, data.is_available, data.load, data.fetch):
        with pytest.raises(UserError, match=r"'imagenet'.*digits.*fashion_mnist"):
            call("imagenet")


def test_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOSSEARCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert data.data_folder() == Path("/somewhere/lossearch")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data.data_folder() == Path.home() / ".cache" / "lossearch"


@pytest.mark.parametrize("content", [b"", b"\0\0\x09\1", b"\0\0\x08\1\0\0\0\5abc", b"\0\0\x08\2\0\0\0\1"])
def test_malformed_idx_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"idx file|announces"):
        readers.parse_idx(content)


def test_fetch_without_its_tool_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="program apt-get"):
        data.fetch("fashion_mnist")
    assert list(folder.iterdir()) == []


def test_fetch_that_fails_quotes_the_tool_and_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "apt-get"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    with pytest.raises(UserError, match=r"exit code 100: E: Unable to locate package"):
        data.fetch("fashion_mnist")
    assert list(folder.iterdir()) == []


def test_an_archive_with_another_checksum_is_never_unpacked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "other.deb"
    archive.write_bytes(b"something else")

    def refuse(*_: object) -> None:
        raise AssertionError("unpacked an archive that was not verified")

    monkeypatch.setattr(fetch, "_run", refuse)
    with pytest.raises(UserError, match="SHA-256 39e172fe"):
        data.fetch("fashion_mnist", archive)
    assert list(folder.iterdir()) == []


def test_fetch_leaves_intact_data_alone_and_replaces_damaged_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(folder / "fashion_mnist")
    calls: list[list[str]] = []

    def fake(command: list[str], work: Path, wanted: str, instead: str) -> None:
        calls.append(command)
        if command[0] == "apt-get":
            (work / "package.deb").write_bytes(b"package")
        else:
            _write(work / "unpacked" / "usr/share/datasets/fashion-mnist")

    monkeypatch.setattr(fetch, "_run", fake)
    monkeypatch.setattr(fetch, "_verify_package", lambda *_: None)
    assert data.fetch("fashion_mnist") == folder / "fashion_mnist"
    assert calls == []
    (folder / "fashion_mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"damaged")
    assert data.fetch("fashion_mnist") == folder / "fashion_mnist"
    assert [command[0] for command in calls] == ["apt-get", "dpkg-deb"]
    assert len(data.load("fashion_mnist").labels) == 60
    assert [path.name for path in folder.iterdir()] == ["fashion_mnist"]


@pytest.mark.network
def test_fashion_mnist_can_be_fetched_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    assert data.fetch("fashion_mnist") == tmp_path / "fashion_mnist"
    assert np.bincount(data.load("fashion_mnist").labels).tolist() == [6000] * 10
    assert np.bincount(data.load("fashion_mnist", "test").labels).tolist() == [1000] * 10
