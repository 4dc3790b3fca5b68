"""Runs as TensorBoard and MLflow show them: numbers and the names of options and scores, never text.

Trainer's own integrations are not used: they log the whole configuration of the model, which holds label names, and
paths.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainingArguments

from medclf.evaluate.metrics import SHOWN
from medclf.extras import require
from medclf.train.options import TrainOptions

EXPERIMENT = "medclf"
SCALARS = {  # what Trainer calls it -> what a tracker is told
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "grad_norm": "train/grad_norm",
    "eval_loss": "validation/loss",
    **{f"eval_{name}": f"validation/{name}" for name in SHOWN},
}


def trackers(options: TrainOptions, arguments: TrainingArguments) -> list[TrainerCallback]:
    """Make the callbacks that `log_to` names.

    Args:
        options: Of the run.
        arguments: The same in Trainer's words.

    Returns:
        One for each tracker, in the main process alone.

    Raises:
        ExtraError: The package is not installed.
    """
    if arguments.process_index != 0:
        return []
    numbers = {**numbers_of(options), "learning_rate": float(arguments.learning_rate)}
    made = {"tensorboard": TensorBoard, "mlflow": MLflow}
    return [made[name](numbers, options.log_dir / options.output.name) for name in options.log_to]


def numbers_of(options: TrainOptions) -> dict[str, float]:
    """Give the options that are numbers; names of columns and files could tell of people.

    Args:
        options: Of the run.

    Returns:
        Name -> value.
    """
    return {name: float(value) for name, value in options.to_json().items() if isinstance(value, int | float)}


def scalars(logs: Mapping[str, Any]) -> dict[str, float]:
    """Give what a tracker is told of an entry of Trainer's log.

    Args:
        logs: The entry.

    Returns:
        Name -> value; nothing else of the entry.
    """
    return {name: float(logs[key]) for key, name in SCALARS.items() if key in logs}


class TensorBoard(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Writes event files for TensorBoard."""

    def __init__(self, numbers: Mapping[str, float], folder: Path) -> None:
        require("tensorboard", extra="tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(log_dir=str(folder))
        for name, value in numbers.items():
            self._writer.add_scalar(f"options/{name}", value)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        for name, value in scalars(kwargs.get("logs") or {}).items():
            self._writer.add_scalar(name, value, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        self._writer.close()


class MLflow(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Sends a run to the server that MLFLOW_TRACKING_URI names, or to MLflow's own default."""

    def __init__(self, numbers: Mapping[str, float], folder: Path) -> None:
        mlflow = require("mlflow", extra="mlflow")
        self._client = mlflow.MlflowClient()
        known = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known else self._client.create_experiment(EXPERIMENT)
        # a run of the client has no tags for user, machine and source file, which `mlflow.start_run` adds
        self._run = self._client.create_run(experiment).info.run_id
        for name, value in numbers.items():
            self._client.log_param(self._run, name, value)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        for name, value in scalars(kwargs.get("logs") or {}).items():
            self._client.log_metric(self._run, name, value, step=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        self._client.set_terminated(self._run)
