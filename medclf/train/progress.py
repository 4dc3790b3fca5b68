"""The progress bar of training; draws nothing where the console is not a terminal."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback


class ProgressBar(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Shows steps, the last loss and the last validation macro-F1."""

    def __init__(self, console: Console | None) -> None:
        """Prepare a bar; it appears when training begins.

        Args:
            console: Where it is drawn; None, or one that is no terminal, draws none.
        """
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[scores]}"),
            console=console,
            disable=console is None or not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("training", total=None, scores="")
        self._scores: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        if state.is_world_process_zero:
            self._progress.start()
        self._progress.update(self._task, total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        self._progress.update(self._task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        shown = {"loss": "loss", "eval_macro_f1": "validation macro-F1"}
        logs = kwargs.get("logs") or {}
        self._scores |= {shown[name]: value for name, value in logs.items() if name in shown}
        text = "  ".join(f"{name} {value:.3f}" for name, value in self._scores.items())
        self._progress.update(self._task, scores=text)

    def close(self) -> None:
        """Remove the bar, also after an error."""
        self._progress.stop()
