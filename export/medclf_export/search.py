"""Which linear layers stay fp32 so that INT8 keeps its budget: the fewest, found by measurement.

Every layer is measured by what it alone takes away from INT8's error when it goes back to fp32. The fewest of the worst
ones are taken that bring the labels inside the budget; of these, each is dropped that the others do without. The rows
that choose should not be those that certify.
"""

import logging
import sys
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from rich.console import Console
from rich.progress import track

from medclf.labels import Floats, Labels
from medclf_export.held_out import HeldOut

log = logging.getLogger(__name__)

RANK_TOKENS = 4096  # real tokens on which each layer is measured
MOST_FP32 = 0.5  # of the layers: with more of them in fp32, little speed is left

Run = Callable[[Set[str], HeldOut], Floats]


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        fp32: The layers that stay fp32, the most harmful first.
        gains: Layer -> share of INT8's squared error of logits that is gone with this layer alone in fp32.
    """

    fp32: tuple[str, ...]
    gains: dict[str, float]


@dataclass(frozen=True)
class Problem:
    """What a search works on.

    Attributes:
        linears: Names of the layers that can be INT8.
        run: Which layers are INT8, and rows -> logits, float32 [rows, labels].
        rows: The rows that choose.
        fp32: Their logits in fp32.
        passes: Logits of all rows -> whether they are inside the budget.
        labels: The label contract.
    """

    linears: Sequence[str]
    run: Run
    rows: HeldOut
    fp32: Floats
    passes: Callable[[Floats], bool]
    labels: Labels


def search(problem: Problem) -> Found | None:
    """Find the fewest layers that must stay fp32.

    Args:
        problem: What to search.

    Returns:
        The layers, none where INT8 passes as it is; None where half of the layers are not enough.
    """
    everything = frozenset(problem.linears)
    int8 = problem.run(everything, problem.rows)
    if problem.passes(int8):
        return Found((), {})
    at_risk = _at_risk(problem, int8)
    gains = _gains(problem, at_risk)
    ranked = sorted(gains, key=gains.__getitem__, reverse=True)

    def passes_without(fp32: Sequence[str]) -> bool:
        logits = problem.fp32.copy()  # a label that no measured change of logits can reach is fp32's
        logits[at_risk] = problem.run(everything - set(fp32), problem.rows.select(at_risk))
        return problem.passes(logits)

    n = fewest(lambda n: passes_without(ranked[:n]), int(len(ranked) * MOST_FP32))
    return None if n is None else Found(_needed(ranked[:n], passes_without), gains)


def _needed(layers: Sequence[str], passes_without: Callable[[Sequence[str]], bool]) -> tuple[str, ...]:
    """Drop each layer that the others make superfluous; the last one was found to be needed."""
    kept = list(layers)
    for layer in reversed(layers[:-1]):
        others = [one for one in kept if one != layer]
        if passes_without(others):
            kept = others
    return tuple(kept)


def fewest(holds: Callable[[int], bool], most: int) -> int | None:
    """Find the least n from 1 to `most` that holds, by doubling and bisection: what holds for n holds for more.

    Args:
        holds: Whether n is enough.
        most: The largest n that is tried.

    Returns:
        The least n, or None where `most` is not enough.
    """
    enough = 1
    while not holds(enough):
        if enough >= most:
            return None
        enough = min(2 * enough, most)
    too_few = enough // 2  # tried before, or 0
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if holds(middle):
            enough = middle
        else:
            too_few = middle
    return enough


def margins(labels: Labels, logits: Floats) -> Floats:
    """Give how far a text's logits are from another answer.

    Args:
        labels: The label contract.
        logits: float32 [texts, labels].

    Returns:
        float32 [texts]: the best logit minus the second best; with several labels a text, the least distance of a
        logit from that of its threshold.
    """
    if labels.multi_label:
        return np.asarray(_distances(labels, logits).min(axis=1), np.float32)
    ordered = np.sort(logits, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2], np.float32)


def _distances(labels: Labels, logits: Floats) -> Floats:
    """How far each logit is from that of its threshold, float32 [texts, labels]."""
    thresholds = np.clip(labels.thresholds or (0.5,), 1e-6, 1 - 1e-6)
    return np.asarray(np.abs(logits - np.log(thresholds / (1 - thresholds))), np.float32)


def expected_agreement(labels: Labels, logits: Floats, error: float) -> float:
    """Estimate the labels in common with a model whose logits differ by normal errors: what few rows cannot count.

    Args:
        labels: The label contract.
        logits: float32 [texts, labels].
        error: The root of the mean square of the errors, over 0.

    Returns:
        As `medclf.evaluate.metrics.agreement`, 0 to 1; below 0 where more labels change than are given.
    """
    if not labels.multi_label:
        changes = _below(-margins(labels, logits) / (error * np.sqrt(2)))  # the error of a difference of two logits
        return 1 - float(changes.mean())
    given = int(labels.decisions(labels.probabilities(logits)).sum())
    return 1 - float(_below(-_distances(labels, logits) / error).sum()) / (2 * max(1, given))


_below = np.vectorize(NormalDist().cdf, otypes=[np.float64])


def _at_risk(problem: Problem, int8: Floats) -> list[int]:
    """Rows whose label can change, the nearest to it first: two logits move by at most twice the largest change."""
    largest, margin = np.abs(int8 - problem.fp32).max(), margins(problem.labels, problem.fp32)
    order = np.argsort(margin, kind="stable")
    return [int(row) for row in order if margin[row] <= 2 * largest]


def _gains(problem: Problem, at_risk: Sequence[int]) -> dict[str, float]:
    """Measure each layer, everything else being INT8."""
    n = len(problem.rows.select(at_risk).first_tokens(RANK_TOKENS))
    rows, exact = problem.rows.select(at_risk[:n]), problem.fp32[list(at_risk[:n])]
    everything = frozenset(problem.linears)

    def error(int8: Set[str]) -> float:
        return float(np.square(problem.run(int8, rows) - exact).mean())

    whole = error(everything)
    log.info("INT8 is outside its budget: measuring %d linear layers on %d rows", len(everything), n)
    console = Console(stderr=True)
    layers = track(problem.linears, "sensitivity", console=console, transient=True, disable=not sys.stderr.isatty())
    return {layer: 1 - error(everything - {layer}) / whole for layer in layers}
