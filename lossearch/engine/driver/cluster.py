"""A Ray to search on: one that runs already, or a local one for the length of the search."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants

from lossearch.engine.driver.address import HINT
from lossearch.engine.driver.ray_text import logging_to, ray_text_to
from lossearch.engine.driver.session_folder import session_folder
from lossearch.errors import UserError
from lossearch.tasks.seal import sealed_environment
from lossearch.tasks.user.descendants import kill_marked

_OBJECT_STORE_BYTES = 100 * 2**20  # islands exchange kilobytes; Ray's own default takes a third of the memory

# Read by Ray and Tune in this process, and by a local Ray that it starts.
_SETTINGS = {
    "RAY_worker_niceness": "0",  # Ray's own 15 stops islands almost entirely wherever something else runs
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output obeys verbose=0
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths of the user stay good
    # When its head is gone, Ray ends this process after a minute, from C++. The driver notices sooner and says more.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "86400",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the archive holds all results; per-trial logs would grow without bound
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Tune's own would wait for every island to finish its generation
    "TUNE_STATE_REFRESH_PERIOD": "86400",  # asks the head for what is only printed, and waits for good if that is gone
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@contextlib.contextmanager
def ray_session(
    address: str | None, cpus: int, log: Path, last_acts: list[Callable[[], object]] | None = None
) -> Iterator[str]:
    """Connect to Ray at `address`, to one that this process uses already, or to a new local one with `cpus` CPUs.

    Only what was started here is ended at the end. A local Ray listens on the loopback device alone, answers nobody
    without its token, and leaves no files behind. What Ray logs or prints goes into the file `log`. Gives the
    namespace for the names of actors. `last_acts` gets what is to be done where this process ends before that.

    Raises:
        UserError: there is no cluster at `address`.
    """
    namespace = f"lossearch-{uuid.uuid4().hex[:12]}"
    with _environment(_SETTINGS), logging_to(log), ray_text_to(log) as text:
        if ray.is_initialized():
            if address is not None:
                raise UserError(
                    "no address, as this process uses a Ray cluster already", address, "leave it out, or ray.shutdown()"
                )
            yield ray.get_runtime_context().namespace
            return
        with (
            _cluster_at(address, namespace)
            if address is not None
            else _local_ray(cpus, namespace, [] if last_acts is None else last_acts)
        ):
            try:
                yield namespace
            finally:
                with text.of_everybody():
                    ray.shutdown()


@contextlib.contextmanager
def _cluster_at(address: str, namespace: str) -> Iterator[None]:
    try:
        ray.init(address=address, **_options(namespace))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError("a Ray cluster at that address", f"{address}: {error}", HINT) from error
    yield


@contextlib.contextmanager
def _local_ray(cpus: int, namespace: str, last_acts: list[Callable[[], object]]) -> Iterator[None]:
    mark = f"LOSSEARCH_RAY_{secrets.token_hex(8)}"
    last_acts.append(functools.partial(kill_marked, mark))
    with session_folder() as folder, _token(folder / "token"):
        try:
            with _environment({mark: "1"}):
                _start_ray(cpus, folder / "r", namespace)  # Ray opens it to everybody; the folder around it does not
            yield
        finally:
            ray.shutdown()  # again, for a start that was broken off halfway
            kill_marked(mark)  # Ray forgets its agents where its head was killed


def _start_ray(cpus: int, folder: Path, namespace: str) -> None:
    try:
        with _loopback_allowed():
            ray.init(
                address="local",  # whatever RAY_ADDRESS says, and whatever another run left behind
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(folder),
                **_options(namespace),
            )
    except Exception as error:  # of this very class, where a process of Ray's is not there in time
        late = any(word in str(error) for word in ("timed out", "timeout", "Timed out"))
        required = "a local Ray, whose processes start within half a minute" if late else "a local Ray"
        hint = (
            "the machine is too busy or too small: wait, or search with fewer islands (--workers)"
            if late
            else "see the log of the run, and try again when the machine is less busy"
        )
        raise UserError(required, f"none has started ({_first_line(error)})", hint) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]:.200}"


@contextlib.contextmanager
def _loopback_allowed() -> Iterator[None]:
    """Let Ray start on 127.0.0.1.

    A node's address decides where all its processes listen. Where clusters are possible, Ray takes the address of the
    first network card in the place of 127.0.0.1, and listens on every card; where they are not, it does as asked.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def _token(path: Path) -> Iterator[None]:
    """Have Ray ask for a token that only this user can read; other users of the machine reach its loopback device too.

    Ray reads the variables once and remembers them, so it is told when they change.
    """
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))
    try:
        with _environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}):
            _reread_settings()
            yield
    finally:
        _reread_settings()


def _reread_settings() -> None:
    compiled = importlib.import_module("ray._raylet")
    compiled.Config.initialize("")
    compiled.AuthenticationTokenLoader.instance().reset_cache()


def _options(namespace: str) -> dict[str, Any]:
    variables = {"OMP_NUM_THREADS": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    variables |= sealed_environment("a search runs in this process")
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
