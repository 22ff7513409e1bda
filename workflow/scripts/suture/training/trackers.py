"""Curves for those who watch them in TensorBoard, W&B or MLflow: files of numbers, written offline.

They are beside the run, never part of it: no rule reads them, and they hold
neither media nor text of the data.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from suture.errors import ConfigError

_PACKAGE = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}


def tracker(name: str, folder: Path, *, run: str, first_step: int) -> list[TrainerCallback]:
    """Returns the callbacks of a tracker, none for ``none``.

    TensorBoard and W&B go on writing to one run over all its jobs; MLflow has
    a run for each, of one name. W&B stays offline unless the environment says otherwise (``WANDB_MODE``), and
    ``wandb sync`` sends the folder; MLflow writes a database there unless
    ``MLFLOW_TRACKING_URI`` names a server.

    Args:
        name: ``report_to`` of the options.
        folder: where its files go.
        run: name of the experiment.
        first_step: curves that an interrupted job left beyond this step are hidden.

    Raises:
        ConfigError: its package is not installed.
    """
    if name == "none":
        return []
    package = _PACKAGE[name]
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"report_to: {name}, but the package {package} is not installed",
            fix=f"add {package} to the environment of train_segment, or use report_to: none",
        )
    folder.mkdir(parents=True, exist_ok=True)
    start: Any = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}[name]
    return [start(folder, run, first_step)]


def _tensorboard(folder: Path, run: str, first_step: int) -> TrainerCallback:
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    callback: TrainerCallback = TensorBoardCallback(SummaryWriter(str(folder), purge_step=first_step + 1))
    return callback


def _wandb(folder: Path, run: str, first_step: int) -> TrainerCallback:
    from transformers.integrations.integration_utils import WandbCallback

    os.environ.setdefault("WANDB_MODE", "offline")
    os.environ.setdefault("WANDB_DIR", str(folder))
    os.environ.setdefault("WANDB_PROJECT", "suture")
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_RUN_ID", run)
    os.environ.setdefault("WANDB_RESUME", "allow")
    # Nothing but numbers: no code, no console, no weights.
    os.environ.update(WANDB_DISABLE_CODE="true", WANDB_CONSOLE="off", WANDB_LOG_MODEL="false", WANDB_WATCH="false")
    callback: TrainerCallback = WandbCallback()
    return callback


def _mlflow(folder: Path, run: str, first_step: int) -> TrainerCallback:
    from transformers.integrations.integration_utils import MLflowCallback

    # A database: MLflow no longer writes plain folders unless it is told to.
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{folder.resolve()}/mlflow.db")
    os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", "suture")
    os.environ.setdefault("MLFLOW_RUN_NAME", run)
    os.environ["HF_MLFLOW_LOG_ARTIFACTS"] = "false"
    callback: TrainerCallback = MLflowCallback()
    return callback
