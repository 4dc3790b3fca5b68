"""Scores of parts of the rows: by length, and by the values of a column such as the site or the sex.

A part of fewer than MIN_ROWS rows is counted and not scored: so few say nothing, and could point at a person.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from medclf.errors import OptionError
from medclf.evaluate.calibration import calibration_error
from medclf.evaluate.metrics import SHOWN, same, scores
from medclf.evaluate.resampling import Groups, interval, resampled_sums
from medclf.labels import Floats, Labels, Targets

MIN_ROWS = 10
MAX_VALUES = 50  # of a column; more is an id
MAX_CHARACTERS = 60  # of a value; more is a text
LENGTHS = (64, 128, 256, 512, 1024)  # tokens, the ends of parts

Ints = npt.NDArray[np.int64]


def check_values(column: str, values: Sequence[str]) -> None:
    """Refuse a column that is no set of parts, before its values are shown to anyone.

    Args:
        column: Its name.
        values: One a row.

    Raises:
        OptionError: It has too many values, or texts.
    """
    if any(len(value) > MAX_CHARACTERS for value in values):
        raise OptionError(
            f"slice column {column!r} has values of over {MAX_CHARACTERS} characters. Is it a text? Name a column of a "
            "few short values, such as a site."
        )
    n_values = len(set(values))
    if n_values > MAX_VALUES:
        raise OptionError(
            f"slice column {column!r} has {n_values:,} values, at most {MAX_VALUES} are shown. Is it an id? Name a "
            "column of a few values, or put them into bins."
        )


def by_length(n_tokens: Ints) -> list[str]:
    """Name the part of each row by the length of its text.

    Args:
        n_tokens: int64 [rows], before truncation.

    Returns:
        Such as `65 to 128 tokens`.
    """
    names: list[str] = [f"up to {LENGTHS[0]} tokens"]
    names += [f"{low + 1} to {high} tokens" for low, high in pairwise(LENGTHS)]
    names.append(f"over {LENGTHS[-1]} tokens")
    return [names[i] for i in np.searchsorted(LENGTHS, n_tokens).tolist()]


def order_of_lengths(names: Sequence[str]) -> list[str]:
    """Sort parts by length, shortest first.

    Args:
        names: Names that `by_length` gave.

    Returns:
        Each once.
    """
    every = by_length(np.array([1, *(end + 1 for end in LENGTHS)]))
    return [name for name in every if name in set(names)]


def slices(
    labels: Labels,
    targets: Targets,
    probabilities: Floats,
    parts: Mapping[str, Sequence[str]],
    *,
    groups: Groups = None,
) -> dict[str, list[dict[str, Any]]]:
    """Score the parts.

    Args:
        labels: The label contract.
        targets: int64 [rows] or bool [rows, labels]; what is right.
        probabilities: float32 [rows, labels].
        parts: Name of a column -> the part of each row; `length` is sorted by length, others by name.
        groups: Which rows belong together, for the intervals; None for none.

    Returns:
        Column -> of each part its `value`, `n`, and for MIN_ROWS rows or more the scores over all, `right` (the share
        that is right, as a whole where it is a set) with its 95 % `interval`, and `ece`.
    """
    return {column: _parts(labels, targets, probabilities, column, values, groups) for column, values in parts.items()}


def _parts(
    labels: Labels, targets: Targets, probabilities: Floats, column: str, values: Sequence[str], groups: Groups
) -> list[dict[str, Any]]:
    every = np.asarray(values, dtype=np.str_)
    ordered = order_of_lengths(values) if column == "length" else sorted(set(values))
    found = []
    for value in ordered:
        rows = np.flatnonzero(every == value)
        part: dict[str, Any] = {"value": value, "n": len(rows)}
        if len(rows) >= MIN_ROWS:
            own = None if groups is None else [groups[i] for i in rows.tolist()]
            part |= _measure(labels, targets[rows], probabilities[rows], own)
        found.append(part)
    return found


def _measure(labels: Labels, targets: Targets, probabilities: Floats, groups: Groups) -> dict[str, Any]:
    predicted = labels.predicted(probabilities)
    measured = scores(targets, predicted, labels.names)
    right = same(targets, predicted)
    sums = resampled_sums(np.stack([right, np.ones(len(right))], axis=1), groups)
    return {
        **{name: measured[name] for name in SHOWN if name in measured},
        "right": float(right.mean()),
        "interval": interval(sums[:, 0] / sums[:, 1]),
        "ece": calibration_error(labels, probabilities, targets),
    }
