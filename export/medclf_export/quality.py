"""The gates of INT8: what quantization changes on held-out rows, and what it gains.

INT8 is exported only where it agrees with fp32, keeps macro-F1, and is faster on the CPU at hand. Every limit is an
option; every measurement goes into the manifest and is INT8's certificate.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medclf.errors import GateError, OptionError
from medclf.evaluate.calibration import calibration_error
from medclf.evaluate.compare import Comparison, compare, flips
from medclf.labels import Floats, Labels
from medclf.runtime.cores import cpu_features, cpu_name
from medclf_export.held_out import HeldOut

log = logging.getLogger(__name__)

SPEED_TOKENS = 4096  # real tokens of one timing: a second or two for MiniLM, ten for BERT-base
SPEED_ROUNDS = 5

Predict = Callable[[HeldOut], Floats]


@dataclass(frozen=True)
class Budget:
    """What INT8 may cost and must gain.

    Attributes:
        min_agreement: Least share of labels in common with fp32 (`medclf.evaluate.metrics.agreement`), in percent.
        max_f1_drop: Most macro-F1 that may be lost against fp32, in points; a larger drop whose 95 % interval (paired
            bootstrap) still holds 0 passes, and is recorded.
        min_speedup: Least throughput over fp32's on this CPU, as a ratio.
        min_rows: Least number of held-out rows that the above are measured on.
    """

    min_agreement: float = 99.0
    max_f1_drop: float = 0.5
    min_speedup: float = 1.0
    min_rows: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.min_agreement <= 100:
            raise OptionError(f"min_agreement is {self.min_agreement}, expected 0 to 100 percent.")
        if self.max_f1_drop < 0 or self.min_speedup < 0 or self.min_rows < 1:
            raise OptionError("max_f1_drop and min_speedup must not be negative, min_rows must be at least 1.")


def check_rows(held_out: HeldOut | None, budget: Budget) -> HeldOut:
    """Make sure that there is something to measure INT8 on, before minutes are spent.

    Args:
        held_out: The rows, if any.
        budget: The limits.

    Returns:
        The rows.

    Raises:
        GateError: There are none, or too few.
    """
    if held_out is None:
        raise GateError(
            "INT8 must be proved on held-out rows, and this checkpoint names none that are still there. "
            "Pass --eval-data FILE with labelled rows that training never saw, or export without --quantize."
        )
    if len(held_out) < budget.min_rows:
        raise GateError(
            f"INT8 must be proved on at least {budget.min_rows} held-out rows, {held_out.source} has {len(held_out)}. "
            "Pass --eval-data FILE with more rows, or export without --quantize."
        )
    return held_out


def outside(held_out: HeldOut, fp32: Floats, int8: Floats, labels: Labels, budget: Budget) -> list[str]:
    """Say what of the budget INT8 does not keep.

    Args:
        held_out: The rows.
        fp32: Logits of fp32, [rows, labels].
        int8: Logits of INT8, [rows, labels].
        labels: The label contract.
        budget: The limits.

    Returns:
        One phrase a fault; none where it keeps the budget.
    """
    return _faults(_compare(held_out, fp32, int8, labels), budget)


def certify(held_out: HeldOut, fp32: Floats, int8: Floats, labels: Labels, budget: Budget) -> dict[str, Any]:
    """Compare INT8 with fp32 on held-out rows.

    Args:
        held_out: The rows.
        fp32: Logits of fp32, [rows, labels].
        int8: Logits of INT8, [rows, labels].
        labels: The label contract.
        budget: The limits.

    Returns:
        The comparison and the limits, for the manifest.

    Raises:
        GateError: Agreement or macro-F1 is outside the budget.
    """
    result = _compare(held_out, fp32, int8, labels)
    log.info(
        "INT8 has %.2f %% of its labels in common with fp32 on %d held-out rows; macro-F1 %.4f -> %.4f",
        100 * result.agreement, result.n, result.reference_f1, result.candidate_f1,
    )  # fmt: skip
    faults = _faults(result, budget)
    if faults:
        raise GateError(
            f"INT8 did not pass on {result.n} held-out rows: {'; '.join(faults)}. "
            "Export without --quantize, or widen --min-agreement or --max-f1-drop knowingly."
        )
    before, after = labels.probabilities(fp32), labels.probabilities(int8)
    return {
        **asdict(result),
        "limits": {"min_agreement": budget.min_agreement, "max_f1_drop": budget.max_f1_drop},
        "flips": flips(labels, labels.predicted(before), labels.predicted(after)),
        "calibration_error": {
            name: calibration_error(labels, probabilities, held_out.label_ids)
            for name, probabilities in (("fp32", before), ("int8", after))
        },
        "max_logit_difference": float(np.abs(fp32 - int8).max()),
        "max_probability_difference": float(np.abs(before - after).max()),
        "rows": held_out.source,
    }


def _compare(held_out: HeldOut, fp32: Floats, int8: Floats, labels: Labels) -> Comparison:
    before, after = (labels.predicted(labels.probabilities(logits)) for logits in (fp32, int8))
    return compare(held_out.label_ids, before, after)


def _faults(result: Comparison, budget: Budget) -> list[str]:
    faults = []
    if 100 * result.agreement < budget.min_agreement:
        common, asked = 100 * result.agreement, budget.min_agreement
        faults.append(f"{common:.2f} % of its labels are those of fp32, at least {asked:g} % was asked")
    low, high = result.f1_drop_interval
    # On few rows one changed label moves macro-F1 by more than the budget: a drop counts where it is more than chance.
    if result.f1_drop > budget.max_f1_drop and low > 0:
        faults.append(
            f"macro-F1 drops by {result.f1_drop:.2f} points (95 % interval {low:.2f} to {high:.2f}), "
            f"at most {budget.max_f1_drop:g} was asked"
        )
    return faults


def check_speed(held_out: HeldOut, fp32: Predict, int8: Predict, budget: Budget) -> dict[str, Any]:
    """Time both models in turn on the same rows, on this CPU, with the runtime's own schedule.

    Args:
        held_out: The rows; as many as hold `SPEED_TOKENS` are used.
        fp32: Runs the fp32 model on rows.
        int8: Runs the INT8 model on rows.
        budget: The limits.

    Returns:
        The speed-up, how and where it was measured, and the limit.

    Raises:
        GateError: INT8 is not fast enough to be worth its error.
    """
    rows = held_out.first_tokens(SPEED_TOKENS)
    ratios = []
    for round_ in range(1 + SPEED_ROUNDS):
        seconds = [_seconds(model, rows) for model in (fp32, int8)]
        if round_:  # the first is warm-up
            ratios.append(seconds[0] / seconds[1])
    speedup = float(np.median(ratios))
    log.info("INT8 runs %.2f times as fast as fp32 on this CPU", speedup)
    if speedup < budget.min_speedup:
        raise GateError(
            f"INT8 runs {speedup:.2f} times as fast as fp32 on this CPU, at least {budget.min_speedup:g} was asked. "
            "Export without --quantize, or on the CPU that will serve."
        )
    return {
        "speedup": speedup,
        "min": min(ratios),
        "max": max(ratios),
        "n_rounds": len(ratios),
        "n_texts": len(rows),
        "limit": budget.min_speedup,
        "cpu": {"name": cpu_name(), "features": cpu_features()},
    }


def _seconds(model: Predict, rows: HeldOut) -> float:
    start = time.perf_counter()
    model(rows)
    return time.perf_counter() - start
