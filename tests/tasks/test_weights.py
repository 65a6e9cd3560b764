"""Weights of networks that were trained elsewhere: read without running anything."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tasks import networks

from lossearch.errors import UserError
from lossearch.tasks.datasets import data


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    return tmp_path


def test_weights_are_read_by_their_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = networks.alexnet()
    networks.register(monkeypatch, folder, "alexnet_lpips", tree)
    found = data.load_weights("alexnet_lpips")
    assert len(found) == 15
    np.testing.assert_array_equal(found["AlexNet_0/Conv_1/bias"], tree["AlexNet_0"]["Conv_1"]["bias"])


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("run",)


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"a": _Runs()}, "it asks for posix.mkdir, which no array needs"),
        ({"a": "text"}, "a is neither a dictionary nor an array of numbers"),
        ([1.0], "the file is neither a dictionary nor an array"),
        ({"a": np.arange(3)}, "a is neither a dictionary nor an array of numbers"),
    ],
)
def test_other_pickles_are_refused(tree: object, told: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    networks.register(monkeypatch, folder, "alexnet_lpips", tree)
    with pytest.raises(UserError, match=told):
        data.load_weights("alexnet_lpips")
    assert not (folder / "run").exists()


def test_what_is_no_network_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="the weights of a network"):
        data.load_weights("digits")
    with pytest.raises(UserError, match="lossearch data fetch alexnet_lpips"):
        data.load_weights("alexnet_lpips")


@pytest.mark.network
def test_the_trained_network_can_be_fetched_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    data.fetch("alexnet_lpips")
    found = data.load_weights("alexnet_lpips")
    assert found["AlexNet_0/Conv_0/kernel"].shape == (11, 11, 3, 64)
    assert all((found[f"NetLinLayer_{layer}/Conv_0/kernel"] >= 0).all() for layer in range(5))
