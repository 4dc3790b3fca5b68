"""Scores of predicted labels: one label a text (int64 [n]), or any number of them (bool [n, labels]).

Macro-F1 is over the labels that occur in the truth.
"""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from medclf.labels import Targets

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

# score over all -> how it is shown, in the order of tables; the first two exclude each other
SHOWN = {
    "accuracy": "accuracy",
    "exact_match": "exact match",
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "samples_f1": "samples F1",
}


def macro_f1(targets: Targets, predicted: Targets) -> float:
    """Give the mean F1 of the labels present in `targets`, each counting the same.

    Args:
        targets: int64 [n] or bool [n, labels], n at least 1.
        predicted: The same shape.

    Returns:
        0 to 1; 0 where no label is present.
    """
    n_labels = targets.shape[1] if targets.ndim == 2 else int(max(targets.max(), predicted.max())) + 1
    hits, support, given = _counts(targets, predicted, n_labels)
    return _macro(_f1(hits, support, given), support)


def same(first: Targets, second: Targets) -> Bools:
    """Say which texts have the same label, or the same whole set of labels.

    Args:
        first: int64 [n] or bool [n, labels].
        second: The same shape.

    Returns:
        bool [n].
    """
    equal: Bools = np.equal(first, second)
    return equal if equal.ndim == 1 else cast(Bools, equal.all(axis=1))


def agreement(first: Targets, second: Targets) -> float:
    """Give how many labels two models have in common (Dice 1945): twice those that both give, over those of each.

    With one label a text it is the share of texts with the same one. With several it is the micro-F1 of one model with
    the other as the truth: a label that neither gives, as most are, does not count.

    Args:
        first: int64 [n] or bool [n, labels].
        second: The same shape.

    Returns:
        0 to 1; 1 where neither gives any label.
    """
    if first.ndim == 1:
        return float(same(first, second).mean())
    hits, support, given = (counts.sum() for counts in _counts(first, second, first.shape[1]))
    return float(_f1(hits, support, given)) if support + given else 1.0


def scores(targets: Targets, predicted: Targets, names: Sequence[str]) -> dict[str, Any]:
    """Score predictions, over all and label by label.

    Args:
        targets: int64 [n], positions in `names`, or bool [n, labels]; n at least 1.
        predicted: The same shape.
        names: Label names in logit order.

    Returns:
        `accuracy` (which is micro-F1 too), `macro_f1`, and `weighted_f1` (each label counts as often as it occurs);
        with several labels a text instead of accuracy `exact_match` (the whole set is right), `micro_f1`, and
        `samples_f1` (the example-based F1: mean over the texts; 1 for no label where there is none). Always `n`, and
        `per_class`: name -> `precision`, `recall`, `f1`, `support`.
    """
    hits, support, given = _counts(targets, predicted, len(names))
    # 0 where a label never occurs or is never predicted, as scikit-learn's zero_division=0
    precision, recall = hits / np.maximum(given, 1), hits / np.maximum(support, 1)
    f1 = _f1(hits, support, given)
    right = float(same(targets, predicted).mean())
    several = targets.ndim == 2
    return {
        **({"exact_match": right} if several else {"accuracy": right}),
        **({"micro_f1": float(_f1(hits.sum(), support.sum(), given.sum()))} if several else {}),
        "macro_f1": _macro(f1, support),
        "weighted_f1": float((f1 * support).sum() / max(support.sum(), 1)),
        **({"samples_f1": float(samples_f1(targets, predicted).mean())} if several else {}),
        "n": len(targets),
        "per_class": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(names)
        },
    }


def samples_f1(targets: Targets, predicted: Targets) -> Floats:
    """Give the F1 of each text by itself.

    Args:
        targets: bool [n, labels].
        predicted: The same shape.

    Returns:
        float64 [n]; 1 for no label where there is none.
    """
    hits, support, given = (targets & predicted).sum(axis=1), targets.sum(axis=1), predicted.sum(axis=1)
    return np.where(support + given == 0, 1.0, _f1(hits, support, given))


def _counts(targets: Targets, predicted: Targets, n: int) -> tuple[Ints, Ints, Ints]:
    """Right answers, texts and answers of each label."""
    if targets.ndim == 2:
        return (targets & predicted).sum(axis=0), targets.sum(axis=0), predicted.sum(axis=0)
    hits = np.bincount(targets[targets == predicted], minlength=n)
    return hits, np.bincount(targets, minlength=n), np.bincount(predicted, minlength=n)


def _f1(hits: Ints, support: Ints, given: Ints) -> Floats:
    f1: Floats = 2 * hits / np.maximum(support + given, 1)
    return f1


def _macro(f1: Floats, support: Ints) -> float:
    return float(f1[support > 0].mean()) if support.any() else 0.0


def summary(scored: Sequence[Mapping[str, Any]], *, each: str = "folds") -> dict[str, Any]:
    """Sum the scores of several models up.

    Args:
        scored: Of each, as `scores`; at least two.
        each: What the list of all values is called.

    Returns:
        Score -> `mean`, `sd` (of a sample) and all values, for each of `SHOWN` that the task has.
    """
    values = {name: [float(one[name]) for one in scored] for name in SHOWN if name in scored[0]}
    return {name: {"mean": mean(found), "sd": stdev(found), each: found} for name, found in values.items()}
