"""The learning curve: training loss and validation macro-F1 by step, as numbers and as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from medclf.evaluate.metrics import SHOWN


def learning_curve(history: Sequence[Mapping[str, float]]) -> dict[str, list[dict[str, float]]]:
    """Take the curve out of Trainer's log.

    Args:
        history: The log of the whole run.

    Returns:
        `train` with `step` and `loss`, `validation` with `step`, `loss` and the scores of `SHOWN` that the task has.
    """
    return {
        "train": [{"step": entry["step"], "loss": entry["loss"]} for entry in history if "loss" in entry],
        "validation": [
            {
                "step": entry["step"],
                **{name: entry[f"eval_{name}"] for name in ("loss", *SHOWN) if f"eval_{name}" in entry},
            }
            for entry in history
            if "eval_macro_f1" in entry
        ],
    }


def draw_curve(curve: Mapping[str, list[dict[str, float]]], baseline: float, path: Path) -> None:
    """Draw the curve as a PNG picture.

    Args:
        curve: Of `learning_curve`.
        baseline: The baseline's macro-F1 on the validation part.
        path: The file to write.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    left = figure.add_subplot()
    left.plot(*_points(curve["train"], "loss"), color="tab:gray", label="training loss")
    left.plot(*_points(curve["validation"], "loss"), color="tab:orange", marker="o", label="validation loss")
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    right: Any = left.twinx()
    right.plot(*_points(curve["validation"], "macro_f1"), color="tab:blue", marker="o", label="validation macro-F1")
    right.axhline(baseline, color="tab:blue", linestyle=":", label="TF-IDF baseline, macro-F1")
    right.set(ylabel="macro-F1", ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=120, format="png")


def _points(entries: Sequence[Mapping[str, float]], name: str) -> tuple[list[float], list[float]]:
    return [entry["step"] for entry in entries], [entry[name] for entry in entries]
