"""A Ray to search on: one that runs already, or a local one for the length of the search."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray

from lossearch.engine.address import HINT
from lossearch.errors import UserError

_OBJECT_STORE_BYTES = 100 * 2**20  # islands exchange kilobytes; Ray's own default takes a third of the memory
_LONGEST_FOLDER = 20
_LOGGERS = ("ray", "ray.tune", "ray.data", "lossearch")

# Read by Ray and Tune in this process, and by a local Ray that it starts.
_SETTINGS = {
    "RAY_worker_niceness": "0",  # Ray's own 15 stops islands almost entirely wherever something else runs
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output obeys verbose=0
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths of the user stay good
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the archive holds all results; per-trial logs would grow without bound
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Tune's own would wait for every island to finish its generation
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@contextlib.contextmanager
def ray_session(address: str | None, cpus: int, log: Path) -> Iterator[str]:
    """Connect to Ray at `address`, to one that this process uses already, or to a new local one with `cpus` CPUs.

    Only what was started here is ended at the end. A local Ray listens on the loopback device alone and leaves no
    files behind. What Ray logs goes into the file `log`. Gives the namespace for the names of actors.

    Raises:
        UserError: there is no cluster at `address`.
    """
    namespace = f"lossearch-{uuid.uuid4().hex[:12]}"
    with _environment(_SETTINGS), _logging_to(log):
        if ray.is_initialized():
            if address is not None:
                raise UserError(
                    "no address, as this process uses a Ray cluster already", address, "leave it out, or ray.shutdown()"
                )
            yield ray.get_runtime_context().namespace
        elif address is not None:
            _connect(address, namespace)
            try:
                yield namespace
            finally:
                ray.shutdown()
        else:
            with _local_ray(cpus, namespace):
                yield namespace


def _connect(address: str, namespace: str) -> None:
    try:
        ray.init(address=address, **_options(namespace))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError("a Ray cluster at that address", f"{address}: {error}", HINT) from error


@contextlib.contextmanager
def _local_ray(cpus: int, namespace: str) -> Iterator[None]:
    # A short path, as it holds sockets, whose paths are limited to 107 characters.
    usual = tempfile.gettempdir()
    parent = Path(usual if len(usual) <= _LONGEST_FOLDER else "/tmp")
    _remove_leftovers(parent)
    folder = tempfile.mkdtemp(prefix=f"lossearch-{os.getpid()}-", dir=parent)
    try:
        ray.init(
            address="local",  # whatever RAY_ADDRESS says, and whatever another run left behind
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
            **_options(namespace),
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    """Delete the folders of this user's searches that were killed: their process no longer exists."""
    for folder in parent.glob("lossearch-*-*"):
        process = folder.name.split("-")[1]
        if process.isdecimal() and not Path("/proc", process).exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)  # another user's folder stays, as it cannot be deleted


def _options(namespace: str) -> dict[str, Any]:
    variables = {"OMP_NUM_THREADS": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    if "LOSSEARCH_DATA" in os.environ:
        variables["LOSSEARCH_DATA"] = os.path.abspath(os.environ["LOSSEARCH_DATA"])
    return {
        "namespace": namespace,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": variables},
    }


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the length of a block; those that are set already stay as they are."""
    added = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


class _LogFile(logging.FileHandler):
    """A log that a full disk may cut short: what fills the disk is told once, and not by the log."""

    def handleError(self, record: logging.LogRecord) -> None:
        return None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Send what Ray and lossearch log into a file, and nowhere else, for the length of a block."""
    handler = _LogFile(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()
