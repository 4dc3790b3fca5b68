"""Operating points: the threshold that reaches a recall, a precision, an accuracy or a coverage, and what it costs.

For screening, where a person reads what the model passes on: a recall that must be reached, and the work that is saved.
The threshold is chosen on the rows at hand. Choose it on one set of rows and measure it on another before you rely on
it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medclf.errors import DataError, OptionError
from medclf.evaluate.resampling import Doubles, Groups, interval, ratio, resampled_sums
from medclf.evaluate.selective import RiskCoverage
from medclf.labels import Floats, Labels

OF_A_LABEL = ("recall", "precision")
OF_THE_MODEL = ("accuracy", "coverage")
FORM = re.compile(
    r"\s*(?:(?P<label>.*\S)\s*:)?\s*(?P<metric>[a-z]+)\s*(?:>=|≥)\s*(?P<value>[0-9.]+)\s*(?P<percent>%?)\s*"
)
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Goal:
    """What an operating point must reach.

    Attributes:
        metric: `recall` or `precision` of a label, `accuracy` of the texts that are answered, or their share,
            `coverage`.
        value: The least value, over 0 and at most 1.
        label: Whose recall or precision; None for each label in turn.
    """

    metric: str
    value: float
    label: str | None = None

    @classmethod
    def parse(cls, text: str, labels: Labels) -> "Goal":
        """Read a goal as a user writes it.

        Args:
            text: Such as `recall>=0.99`, `oncology: precision >= 90%` or `accuracy>=0.95`.
            labels: The label contract.

        Returns:
            The goal.

        Raises:
            OptionError: It cannot be read, the value is no share, or there is no such label.
        """
        found = FORM.fullmatch(text)
        metrics = ", ".join((*OF_A_LABEL, *OF_THE_MODEL))
        if found is None or found["metric"] not in (*OF_A_LABEL, *OF_THE_MODEL):
            raise OptionError(
                f"operating point {text!r} is not understood. Write METRIC>=VALUE or 'LABEL: METRIC>=VALUE', such as "
                f"recall>=0.99; METRIC is one of {metrics}."
            )
        label, metric, value = found["label"], found["metric"], _share(found["value"], found["percent"], text)
        if label is not None and metric in OF_THE_MODEL:
            raise OptionError(
                f"operating point {text!r}: {metric} is of all texts, not of a label. Leave {label!r} out."
            )
        if label is not None and label not in labels.names:
            raise OptionError(f"operating point {text!r}: there is no label {label!r}, only {', '.join(labels.names)}.")
        return cls(metric, value, label)

    def __str__(self) -> str:
        return f"{'' if self.label is None else f'{self.label}: '}{self.metric} >= {self.value:g}"


def _share(digits: str, percent: str, text: str) -> float:
    try:
        value = float(digits) / (100 if percent else 1)
    except ValueError:
        value = np.nan
    if not 0 < value <= 1:
        raise OptionError(f"operating point {text!r}: the value must be over 0 and at most 1, or 100 %.")
    return value


def operating_points(
    goal: Goal, labels: Labels, probabilities: Floats, given: Bools, *, groups: Groups = None
) -> list[dict[str, Any]]:
    """Find the threshold of each label that the goal is about.

    Args:
        goal: Of recall or precision.
        labels: The label contract.
        probabilities: float32 [texts, labels].
        given: bool [texts, labels]; which labels each text has.
        groups: Which texts belong together, for the intervals; None for none.

    Returns:
        One entry a label, as `label_threshold`, with its `label`; where the goal is reached `recall`, `precision`,
        `n_given`, `n_missed` and `work_saved`, and `intervals`, name -> 95 % interval with the threshold as it is.
        Where all labels are asked for, those that no text has are left out.

    Raises:
        DataError: No text has the label that is asked for, or any.
    """
    if goal.label is not None:
        wanted = [goal.label]
        if not given[:, labels.names.index(goal.label)].any():
            raise DataError(
                f"operating point {goal}: no text of the data has the label {goal.label!r}, so {goal.metric} is not "
                "known. Use data with such texts."
            )
    else:
        wanted = [name for name, column in zip(labels.names, given.T, strict=True) if column.any()]
        if not wanted:
            raise DataError(f"operating point {goal}: no text of the data has any label. Use data with labels.")
    columns = [labels.names.index(name) for name in wanted]
    found = [label_threshold(goal, probabilities[:, i], given[:, i]) for i in columns]
    rows = [_rows(probabilities[:, i] >= np.float32(one.get("threshold", 2)), given[:, i])
            for i, one in zip(columns, found, strict=True)]  # fmt: skip
    drawn = np.split(resampled_sums(np.hstack(rows), groups), len(rows), axis=1)
    return [
        {"label": name, **one, **(_measured(own, sums) if one["reached"] else {})}
        for name, one, own, sums in zip(wanted, found, rows, drawn, strict=True)
    ]


def label_threshold(goal: Goal, scores: Floats, given: Bools) -> dict[str, Any]:
    """Find the threshold of one label: the highest that reaches a recall, the lowest that reaches a precision.

    Args:
        goal: Of recall or precision.
        scores: float32 [texts]; the label's probability.
        given: bool [texts]; which texts have the label, at least one.

    Returns:
        `goal`, `reached`, and `threshold`, the probability from which the label is given, or, where none reaches the
        goal, `best`.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # a threshold cannot part equals
    hits = np.cumsum(given[order])[ends]
    reached = hits / given.sum() if goal.metric == "recall" else hits / (ends + 1)
    enough = np.flatnonzero(reached >= goal.value - 1e-12)
    if not len(enough):
        return {"goal": str(goal), "reached": False, "best": float(reached.max())}
    threshold = float(ranked[ends[enough[0] if goal.metric == "recall" else enough[-1]]])
    return {"goal": str(goal), "reached": True, "threshold": threshold}


def _measured(rows: Bools, drawn: Doubles) -> dict[str, Any]:
    sums = rows.sum(axis=0, dtype=np.float64)[None]
    return {
        **{name: float(value[0]) for name, value in _costs(sums).items()},
        "n_given": int(sums[0, 1]),
        "n_missed": int(sums[0, 2] - sums[0, 0]),
        "intervals": {name: interval(values) for name, values in _costs(drawn).items()},
    }


def _rows(passed: Bools, given: Bools) -> npt.NDArray[np.bool_]:
    """What is summed: passed on and right, passed on, right, and every text."""
    return np.stack([passed & given, passed, given, np.ones_like(given)], axis=1)


def _costs(sums: Doubles) -> dict[str, Doubles]:
    """Recall, precision, and work saved over sampling, WSS: the share that need not be read, less what reading as much
    at random would miss (Cohen et al. 2006, Reducing workload in systematic review preparation).
    """
    hits, passed, given, n = sums.T
    recall = ratio(hits, given)
    return {"recall": recall, "precision": ratio(hits, passed), "work_saved": 1 - passed / n - (1 - recall)}


def abstention_point(goal: Goal, confidence: Floats, correct: Bools, *, groups: Groups = None) -> dict[str, Any]:
    """Find the `abstain_below` that reaches an accuracy of what is answered, or a coverage.

    Args:
        goal: Of accuracy or coverage.
        confidence: float32 [texts].
        correct: bool [texts].
        groups: Which texts belong together; None for none.

    Returns:
        `goal`, `reached`, `threshold`, `coverage` and `accuracy`; `intervals`, name -> 95 % interval with the threshold
        as it is. Where no threshold reaches the goal, only `goal`, `reached` and `best`.
    """
    trade = RiskCoverage(confidence, correct)
    point = trade.at_coverage(goal.value) if goal.metric == "coverage" else trade.at_accuracy(goal.value)
    if point is None:
        return {"goal": str(goal), "reached": False, "best": float(1 - trade.risk.min())}
    answered = confidence >= np.float32(point["threshold"])
    rows = np.stack([answered & correct, answered, np.ones_like(answered)], axis=1)
    right, kept, n = resampled_sums(rows, groups).T
    return {
        "goal": str(goal),
        "reached": True,
        "threshold": point["threshold"],
        "coverage": point["coverage"],
        "accuracy": 1 - point["risk"],
        "intervals": {"coverage": interval(kept / n), "accuracy": interval(ratio(right, kept))},
    }


def find(
    goals: Sequence[Goal], labels: Labels, rows: Mapping[str, Any], *, groups: Groups = None
) -> list[dict[str, Any]]:
    """Find the points of several goals.

    Args:
        goals: At least none.
        labels: The label contract.
        rows: `probabilities`, `given`, `confidence` and `correct`, as the functions above take them.
        groups: Which texts belong together; None for none.

    Returns:
        Every point, goal by goal.
    """
    found: list[dict[str, Any]] = []
    for goal in goals:
        if goal.metric in OF_THE_MODEL:
            found.append(abstention_point(goal, rows["confidence"], rows["correct"], groups=groups))
        else:
            found += operating_points(goal, labels, rows["probabilities"], rows["given"], groups=groups)
    return found
