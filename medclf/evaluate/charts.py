"""Curves of an evaluation, drawn by matplotlib: calibration, risk against coverage, quality against speed."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

SIZE = (5.2, 4.6)  # inches
MARKS = "os^DvP"
BLUE, GRAY, ORANGE = "#3b78b5", "#8a8f98", "#d65a28"


def reliability_diagram(calibration: Mapping[str, Any]) -> Figure:
    """Draw what is right against what was promised, with and without the temperature, and how many answers there are.

    Args:
        calibration: As `measure` gives it.

    Returns:
        The chart.
    """
    figure = Figure(figsize=SIZE, layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GRAY, linestyle=":", label="as promised")
    if calibration["temperature"] != 1:
        upper.plot(*_points(calibration["reliability_before"]), color=GRAY, marker=".", label="before the temperature")
    bins = calibration["reliability"]
    upper.plot(*_points(bins), color=BLUE, marker="o", label="the model")
    upper.set(ylabel="are right", ylim=(0, 1), xlim=(0, 1))
    upper.legend(loc="upper left", frameon=False)
    lower.bar([one["low"] for one in bins], [one["n"] for one in bins], width=0.1, align="edge", color=BLUE, ec="white")
    lower.set(xlabel="probability that the model gives", ylabel="answers")
    upper.yaxis.set_major_formatter(PercentFormatter(1))
    lower.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


def _points(bins: Sequence[Mapping[str, float]]) -> tuple[list[float], list[float]]:
    return [one["confidence"] for one in bins], [one["accuracy"] for one in bins]


def risk_coverage_curve(selective: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw the share of answers that are wrong against the share of texts that are answered.

    Args:
        selective: Name of a model -> its part of what `measure` gives.

    Returns:
        The chart; a dot marks where a bundle abstains.
    """
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    top = 0.0
    for (name, one), color in zip(selective.items(), (BLUE, ORANGE, GRAY, "#2f8f5b"), strict=False):
        coverage, risk = zip(*one["curve"], strict=True)
        axes.plot(coverage, risk, color=color, label=name)
        top = max(top, *(r for c, r in one["curve"] if c >= 0.1), 0.01)
        if "abstain_below" in one:
            point = one["abstain_below"]
            axes.plot([point["coverage"]], [point["risk"]], color=color, marker="o")
    axes.set(
        xlabel="texts that are answered, surest first", ylabel="of these, wrong", xlim=(0, 1), ylim=(0, 1.15 * top)
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(color=GRAY, alpha=0.25)
    axes.legend(loc="upper left", frameon=False)
    return figure


def ladder_chart(models: Mapping[str, tuple[float, float, Sequence[float]]]) -> Figure:
    """Draw how good models are against how fast they are.

    Args:
        models: Name -> tokens a second, macro-F1, and the interval of it.

    Returns:
        The chart, one mark a model, named below.
    """
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    for number, (name, (speed, quality, (low, high))) in enumerate(models.items()):
        error = [[max(0.0, quality - low)], [max(0.0, high - quality)]]
        axes.errorbar([speed], [quality], yerr=error, marker=MARKS[number % len(MARKS)], capsize=3, label=name)
    axes.set(xlabel="tokens/s", ylabel="macro-F1", xlim=(0, None))
    axes.grid(color=GRAY, alpha=0.25)
    axes.margins(y=0.15)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
