"""Answers that are given only where the model is sure: what share is answered, and how often those are wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medclf.labels import Floats, Targets

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
CURVE_POINTS = 100  # of a picture
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]


class RiskCoverage:
    """The risk of answering only what is at least as sure as some threshold, for every threshold that matters.

    El-Yaniv and Wiener (2010), On the foundations of noise-free selective classification. Texts of equal confidence are
    answered together, as a threshold cannot part them.

    Attributes:
        thresholds: float32 [points], falling; texts of this confidence and more are answered.
        coverage: float64 [points], 0 to 1; the share that is answered.
        risk: float64 [points], 0 to 1; the share of the answers that is wrong.
    """

    thresholds: Floats
    coverage: Doubles
    risk: Doubles

    def __init__(self, confidence: Floats, correct: Bools) -> None:
        """Sort the texts.

        Args:
            confidence: float32 [n], n at least 1; as `Labels.confidence`.
            correct: bool [n]; whether the answer is right, as a whole where it is a set of labels.
        """
        order = np.argsort(-confidence, kind="stable")
        ranked = confidence[order]
        ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        n_wrong = np.cumsum(~correct[order])[ends]
        self.thresholds = ranked[ends]
        self.coverage = (ends + 1) / len(ranked)
        self.risk = n_wrong / (ends + 1)
        self._sizes = np.diff(ends, prepend=-1)

    @property
    def area(self) -> float:
        """The mean risk over all coverages, AURC (Geifman, Uziel and El-Yaniv 2019); 0 is best."""
        return float((self.risk * self._sizes).sum() / self._sizes.sum())

    def at_coverage(self, coverage: float) -> dict[str, float]:
        """Find the highest threshold that answers this share.

        Args:
            coverage: 0 to 1.

        Returns:
            `threshold`, and the `coverage` and `risk` that it has.
        """
        return self._point(int(np.searchsorted(self.coverage, coverage - 1e-9)))

    def at_accuracy(self, accuracy: float) -> dict[str, float] | None:
        """Find the lowest threshold whose answers are right this often.

        Args:
            accuracy: 0 to 1; of the texts that are answered.

        Returns:
            As `at_coverage`; None where no threshold reaches it.
        """
        enough = np.flatnonzero(1 - self.risk >= accuracy - 1e-12)
        return self._point(int(enough[-1])) if len(enough) else None

    def at_threshold(self, threshold: float) -> dict[str, float]:
        """Say what a threshold gives.

        Args:
            threshold: The confidence from which a text is answered.

        Returns:
            As `at_coverage`; coverage and risk 0 where nothing is answered.
        """
        position = int((self.thresholds >= np.float32(threshold)).sum()) - 1
        if position < 0:
            return {"threshold": threshold, "coverage": 0.0, "risk": 0.0}
        return {**self._point(position), "threshold": threshold}

    def points(self, coverages: Sequence[float] = COVERAGES) -> list[dict[str, float]]:
        """Give the points of a table.

        Args:
            coverages: The shares to answer.

        Returns:
            As `at_coverage`, one each.
        """
        return [self.at_coverage(coverage) for coverage in coverages]

    def curve(self) -> list[tuple[float, float]]:
        """Give coverage and risk for a picture, at most CURVE_POINTS points."""
        chosen = np.unique(np.linspace(0, len(self.coverage) - 1, CURVE_POINTS).astype(int))
        return list(zip(self.coverage[chosen].tolist(), self.risk[chosen].tolist(), strict=True))

    def _point(self, position: int) -> dict[str, float]:
        return {
            "threshold": float(self.thresholds[position]),
            "coverage": float(self.coverage[position]),
            "risk": float(self.risk[position]),
        }


def per_label(answered: Bools, correct: Bools, predicted: Targets, names: Sequence[str]) -> dict[str, Any]:
    """Say for each label how many of its answers are left to a person, as a low risk overall can hide one label.

    Args:
        answered: bool [n]; whether the text is answered.
        correct: bool [n]; whether the answer is right.
        predicted: int64 [n]; the label that is, or would be, given.
        names: Label names.

    Returns:
        Name -> `n`, how often it would be given; `coverage`, the share that is; `risk`, the share of those that is
        wrong; None where there is none.
    """
    found = {}
    for i, name in enumerate(names):
        own = predicted == i
        kept = own & answered
        found[name] = {
            "n": int(own.sum()),
            "coverage": float(answered[own].mean()) if own.any() else None,
            "risk": float((~correct[kept]).mean()) if kept.any() else None,
        }
    return found
