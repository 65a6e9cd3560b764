"""Ray's own callbacks for TensorBoard, MLflow and W&B, fed with what islands report after each generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.logger import LoggerCallback
from ray.tune.result import TIMESTEPS_TOTAL

FOLDER = "tensorboard"
"""Of a run directory: the event files of each island."""


def loggers(names: Sequence[str], run: Path) -> list[Callback]:
    """The callbacks of these names.

    Args:
        names: see `LoggingConfig`.
        run: the run directory, after which experiments and projects are called.
    """
    return [_MAKERS[name](run) for name in names]


class _Place:
    """An island's trial for a logger that writes files: they lie in the run directory and outlive the session."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        self._trial = trial
        self.local_path = str(folder / str(trial))

    def init_local_path(self) -> None:
        """Make the folder."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)


class _Generations(LoggerCallback):
    """Hands a logger each generation as a step, which goes on where a search is resumed.

    Args:
        logger: of Ray.
        folder: for its files; None for one that writes none.
    """

    def __init__(self, logger: LoggerCallback, folder: Path | None = None) -> None:
        self._logger, self._folder = logger, folder
        self._places: dict[str, Any] = {}

    def setup(self, *arguments: Any, **named: Any) -> None:
        self._logger.setup(*arguments, **named)

    def log_trial_start(self, trial: Trial) -> None:
        self._logger.log_trial_start(self._place(trial))

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        step = int(result["generation"]) + 1
        self._logger.log_trial_result(step, self._place(trial), {**result, TIMESTEPS_TOTAL: step})

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        self._logger.log_trial_end(self._place(trial), failed)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        self._logger.on_experiment_end(trials, **info)

    def _place(self, trial: Trial) -> Any:
        made = trial if self._folder is None else _Place(trial, self._folder)
        return self._places.setdefault(trial.trial_id, made)

    def __getstate__(self) -> dict[str, Any]:
        # Tune keeps callbacks in its own record of an experiment, which lossearch never restores from.
        return {}


def _tensorboard(run: Path) -> Callback:
    from ray.tune.logger import TBXLoggerCallback

    return _Generations(TBXLoggerCallback(), run / FOLDER)


def _mlflow(run: Path) -> Callback:
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    return _Generations(MLflowLoggerCallback(experiment_name=run.resolve().name))


def _wandb(run: Path) -> Callback:
    from ray.air.integrations.wandb import WandbLoggerCallback

    return _Generations(WandbLoggerCallback(project="lossearch", group=run.resolve().name))


_MAKERS: dict[str, Callable[[Path], Callback]] = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
