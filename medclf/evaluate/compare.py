"""Two models on the same rows: agreement, flips, and whether the difference is more than chance."""

from collections import Counter
from dataclasses import dataclass
from math import comb
from typing import Any

from medclf.evaluate.intervals import resampled_macro_f1
from medclf.evaluate.metrics import agreement, macro_f1, same
from medclf.evaluate.resampling import N_RESAMPLES, Groups, interval
from medclf.labels import Labels, Targets


@dataclass(frozen=True)
class Comparison:
    """How a candidate differs from a reference.

    Attributes:
        n: Number of rows.
        agreement: Share of labels in common, 0 to 1; see `metrics.agreement`.
        identical: Share of rows with the same label, or the same whole set of labels.
        reference_f1: Macro-F1 of the reference, 0 to 1.
        candidate_f1: Macro-F1 of the candidate.
        f1_drop: Reference minus candidate, in points (hundredths).
        f1_drop_interval: 95 % interval of `f1_drop` by paired bootstrap, in points.
        worse: Rows that the reference gets right and the candidate wrong; a set of labels is right as a whole.
        better: Rows that the candidate gets right and the reference wrong.
        mcnemar_p: Exact two-sided McNemar test of `worse` against `better`.
    """

    n: int
    agreement: float
    identical: float
    reference_f1: float
    candidate_f1: float
    f1_drop: float
    f1_drop_interval: tuple[float, float]
    worse: int
    better: int
    mcnemar_p: float


def compare(
    labels: Targets, reference: Targets, candidate: Targets, *, groups: Groups = None, n_resamples: int = N_RESAMPLES
) -> Comparison:
    """Compare two models' labels on rows whose labels are known.

    Args:
        labels: int64 [rows] or bool [rows, labels]; what is right.
        reference: The same shape; what the reference says.
        candidate: The same shape; what the candidate says.
        groups: Which rows belong together and are drawn together, such as those of a patient; None for none.
        n_resamples: Of the bootstrap.

    Returns:
        The comparison.
    """
    before, after = macro_f1(labels, reference), macro_f1(labels, candidate)
    reference_right, candidate_right = same(reference, labels), same(candidate, labels)
    worse = int((reference_right & ~candidate_right).sum())
    better = int((~reference_right & candidate_right).sum())
    return Comparison(
        n=len(labels),
        agreement=agreement(reference, candidate),
        identical=float(same(reference, candidate).mean()),
        reference_f1=before,
        candidate_f1=after,
        f1_drop=100 * (before - after),
        f1_drop_interval=paired_bootstrap(labels, reference, candidate, groups=groups, n_resamples=n_resamples),
        worse=worse,
        better=better,
        mcnemar_p=mcnemar(worse, better),
    )


def flips(labels: Labels, reference: Targets, candidate: Targets) -> list[dict[str, Any]]:
    """Count what changed, by label.

    Args:
        labels: The label contract.
        reference: int64 [rows] or bool [rows, labels]; what the reference says.
        candidate: The same shape; what the candidate says.

    Returns:
        `from`, `to` and `n` of each change that occurs; with several labels a text, `label` and how many rows have
        `lost` and `gained` it.
    """
    if labels.multi_label:
        lost, gained = (reference & ~candidate).sum(0).tolist(), (~reference & candidate).sum(0).tolist()
        rows = zip(labels.names, lost, gained, strict=True)
        return [{"label": name, "lost": out, "gained": in_} for name, out, in_ in rows if out or in_]
    changed = reference != candidate
    pairs = Counter(zip(reference[changed].tolist(), candidate[changed].tolist(), strict=True))
    return [{"from": labels.names[a], "to": labels.names[b], "n": n} for (a, b), n in sorted(pairs.items())]


def paired_bootstrap(
    labels: Targets, reference: Targets, candidate: Targets, *, groups: Groups = None, n_resamples: int = N_RESAMPLES
) -> tuple[float, float]:
    """Give the 95 % interval of the drop in macro-F1: rows are drawn with replacement, the same for both models.

    Args:
        labels: int64 [rows] or bool [rows, labels].
        reference: The same shape.
        candidate: The same shape.
        groups: Which rows are drawn together; None for none.
        n_resamples: How often.

    Returns:
        The 2.5 % and 97.5 % quantiles of reference minus candidate, in points.
    """
    before, after = resampled_macro_f1(labels, [reference, candidate], groups=groups, n_resamples=n_resamples)
    return interval(100 * (before - after)) or (0.0, 0.0)


def mcnemar(worse: int, better: int) -> float:
    """Give the exact two-sided p-value of the discordant pairs (McNemar 1947, binomial form).

    Args:
        worse: Pairs that went one way.
        better: Pairs that went the other way.

    Returns:
        The p-value, 1 where there are no discordant pairs.
    """
    n, fewer = worse + better, min(worse, better)
    tail: Any = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    return min(1.0, 2 * float(tail))
