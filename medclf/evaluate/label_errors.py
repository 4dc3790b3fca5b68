"""Which labels are likely wrong: those that a model doubts that was not trained on them.

Confident learning (Northcutt, Jiang and Chuang 2021, Confident learning: estimating uncertainty in dataset labels,
JAIR 70), with its self-confidence and margin; for several labels a text, label by label as in Thyagarajan et al.
(2023), Identifying incorrect annotations in multi-label classification data. Ours, as cleanlab is under the AGPL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from medclf.labels import Floats, Labels, Targets

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Doubts:
    """How far a model doubts the label of each text; every array has one entry a text, in the order of the table.

    Attributes:
        self_confidence: Probability of the label that the text has, out of fold, 0 to 1; with several labels a text, of
            the least probable of its yes and no.
        margin: That probability minus the highest of the others, -1 to 1; with several labels a text, minus that of its
            contrary.
        doubted: Position of the label that the model would have rather; with several labels a text, of the label whose
            yes or no it doubts most.
        likely: Whether confident learning takes the label for wrong: the model gives another one at least the
            probability that it gives it, in the mean, to the texts that have it.
    """

    self_confidence: Floats
    margin: Floats
    doubted: Ints
    likely: Bools

    def ranked(self) -> Ints:
        """Give the positions of the texts, the most doubtful first: likely errors, then the others, by margin."""
        return np.lexsort((self.margin, ~self.likely)).astype(np.int64)


def doubts(labels: Labels, probabilities: Floats, targets: Targets) -> Doubts:
    """Hold labels against what a model says that has not seen them.

    Args:
        labels: The label contract.
        probabilities: float32 [texts, labels], out of fold.
        targets: int64 [texts] or bool [texts, labels]; the labels of the table.

    Returns:
        The doubts.
    """
    return _of_sets(probabilities, targets) if labels.multi_label else _of_classes(probabilities, targets)


def _of_classes(probabilities: Floats, targets: Targets) -> Doubts:
    rows = np.arange(len(targets))
    given = probabilities[rows, targets]
    others = probabilities.copy()
    others[rows, targets] = -1
    doubted = others.argmax(axis=1)
    mean = np.array([_mean(given[targets == label]) for label in range(probabilities.shape[1])], dtype=np.float32)
    confident = np.where(probabilities >= mean, probabilities, -1)
    best = confident.argmax(axis=1)
    likely = (best != targets) & (confident.max(axis=1) >= 0)
    return Doubts(given, given - others[rows, doubted], np.where(likely, best, doubted), likely)


def _of_sets(probabilities: Floats, targets: Targets) -> Doubts:
    """Each label of each text is a choice of its own between yes and no."""
    given = np.where(targets, probabilities, 1 - probabilities)
    likely = np.zeros(targets.shape, dtype=np.bool_)
    for label in range(targets.shape[1]):
        has, p = targets[:, label], probabilities[:, label]
        yes, no = p >= _mean(p[has]), 1 - p >= _mean(1 - p[~has])
        likely[:, label] = np.where(has, no & ~(yes & (p >= 0.5)), yes & ~(no & (p < 0.5)))
    doubted = np.where(likely, given, given + 2).argmin(axis=1)  # of several, one that is likely wrong
    worst = given[np.arange(len(given)), doubted]
    return Doubts(worst, 2 * worst - 1, doubted, cast(Bools, likely.any(axis=1)))


def _mean(values: Floats) -> float:
    """Above 1 where a label has no text, so that none is confident of it."""
    return float(values.mean()) if len(values) else 2.0


def suggestion(labels: Labels, label: Sequence[str], doubted: int) -> tuple[str, ...]:
    """Say what the labels of a text would be without its most doubtful one.

    Args:
        labels: The label contract.
        label: The names that the text has.
        doubted: Of `Doubts`.

    Returns:
        The other class; with several labels a text, its labels with the doubtful one added or left out.
    """
    name = labels.names[doubted]
    if not labels.multi_label:
        return (name,)
    return tuple(one for one in label if one != name) if name in label else (*label, name)
