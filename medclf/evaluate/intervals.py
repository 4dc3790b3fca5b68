"""95 % intervals of the scores of `medclf.evaluate.metrics`, by the bootstrap."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medclf.evaluate.metrics import same, samples_f1
from medclf.evaluate.resampling import N_RESAMPLES, Doubles, Groups, interval, ratio, resampled_sums
from medclf.labels import Targets

Bools = npt.NDArray[np.bool_]


def score_intervals(
    targets: Targets, predicted: Targets, names: Sequence[str], groups: Groups = None
) -> dict[str, Any]:
    """Give the intervals of all scores.

    Args:
        targets: int64 [rows], positions in `names`, or bool [rows, labels]; what is right.
        predicted: The same shape; what was said.
        names: Label names in logit order.
        groups: Which rows belong together; None for none.

    Returns:
        Name of a score over all -> its interval; `per_class`: label -> that of its F1, None where no row has it.
    """
    several = targets.ndim == 2
    rows: list[npt.NDArray[Any]] = [same(targets, predicted)[:, None]]
    rows += _rows_of_labels(targets, predicted, len(names))
    if several:
        rows.append(samples_f1(targets, predicted)[:, None])
    sums = resampled_sums(np.hstack([*rows, np.ones((len(targets), 1))]), groups)
    n, right, (hits, support, given) = sums[:, -1], sums[:, 0], np.split(sums[:, 1 : 3 * len(names) + 1], 3, axis=1)
    f1 = ratio(2 * hits, support + given)
    found = {
        "exact_match" if several else "accuracy": right / n,
        "macro_f1": _macro(f1, support),
        "weighted_f1": ratio((np.nan_to_num(f1) * support).sum(axis=1), support.sum(axis=1)),
    }
    if several:
        found["micro_f1"] = ratio(2 * hits.sum(axis=1), (support + given).sum(axis=1))
        found["samples_f1"] = sums[:, -2] / n
    each = np.where(support > 0, f1, np.nan)  # a label that a draw does not hold has no F1 there
    return {
        **{name: interval(values) for name, values in found.items()},
        "per_class": {name: interval(column) for name, column in zip(names, each.T, strict=True)},
    }


def resampled_macro_f1(
    targets: Targets, answers: Sequence[Targets], *, groups: Groups = None, n_resamples: int = N_RESAMPLES
) -> list[Doubles]:
    """Give macro-F1 of several models on the same draws.

    Args:
        targets: int64 [rows] or bool [rows, labels]; what is right.
        answers: What each model says, in the same shape.
        groups: Which rows belong together; None for none.
        n_resamples: How many draws.

    Returns:
        Of each model float64 [n_resamples].
    """
    n = targets.shape[1] if targets.ndim == 2 else int(max(targets.max(), *(one.max() for one in answers))) + 1
    found = []
    for predicted in answers:
        rows = np.hstack(_rows_of_labels(targets, predicted, n))
        hits, support, given = np.split(resampled_sums(rows, groups, n_resamples=n_resamples), 3, axis=1)
        found.append(_macro(ratio(2 * hits, support + given), support))
    return found


def _macro(f1: Doubles, support: Doubles) -> Doubles:
    """The mean F1 of the labels that are there; 0 where none is."""
    there = support > 0
    mean: Doubles = np.where(there, np.nan_to_num(f1), 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return mean


def _rows_of_labels(targets: Targets, predicted: Targets, n_labels: int) -> list[Bools]:
    """Of each row and label, bool [rows, labels]: given and right; right; given."""
    columns = np.arange(n_labels)
    truth = targets.astype(bool) if targets.ndim == 2 else targets[:, None] == columns
    given = predicted.astype(bool) if predicted.ndim == 2 else predicted[:, None] == columns
    return [truth & given, truth, given]
