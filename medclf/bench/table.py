"""The report as a table for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

COLUMNS = {  # field of the report -> heading and form
    "documents_per_s": ("documents/s", "{:,.1f}"),
    "tokens_per_s": ("tokens/s", "{:,.0f}"),
    "padded_per_real_token": ("padded/real", "{:.2f}"),
    "outside_model": ("outside", "{:.1%}"),
    "p50_ms": ("p50 ms", "{:,.1f}"),
    "p95_ms": ("p95 ms", "{:,.1f}"),
    "p99_ms": ("p99 ms", "{:,.1f}"),
    "memory_peak_mb": ("peak MB", "{:,.0f}"),
    "speedup": ("speed-up", "{:.2f}x"),
}
LADDER = ("macro-F1", "tokens/s", "over the first")
SHARE = {"share_of_peak": ("of peak", "{:.0%}")}  # only where the peak was measured


def table(paths: Sequence[Mapping[str, Any]], *, title: str) -> Table:
    """Lay out the report.

    Args:
        paths: The entries of `measure.summaries`.
        title: What was measured.

    Returns:
        A table of rich, one row a path.
    """
    made = Table(title=title, title_justify="left")
    made.add_column("path", no_wrap=True)
    columns = COLUMNS | (SHARE if "share_of_peak" in paths[0] else {})
    for heading, _ in columns.values():
        made.add_column(heading, justify="right", no_wrap=True)
    for entry in paths:
        made.add_row(entry["path"], *(_cell(entry[name], form) for name, (_, form) in columns.items()))
    return made


def ladder(report: Mapping[str, Any]) -> list[tuple[str, float, float, float]]:
    """Set speed against quality: the models whose quality their bundles record, the slowest first.

    Args:
        report: Of `medclf.bench.bench.bench`.

    Returns:
        Path, macro-F1, tokens/s in the first workload, and how many times those of the first path.
    """
    paths = report["workloads"][0]["paths"]
    speeds = {path["path"]: float(path["tokens_per_s"]) for path in paths if path["path"] in report["quality"]}
    first = next(iter(speeds.values()))
    rungs = [(name, float(report["quality"][name]), speed, speed / first) for name, speed in speeds.items()]
    return sorted(rungs, key=lambda rung: rung[2])


def ladder_table(report: Mapping[str, Any]) -> Table:
    """Lay the ladder out.

    Args:
        report: Of `medclf.bench.bench.bench`, with quality.

    Returns:
        A table of rich, one row a model.
    """
    made = Table(title="Quality against speed; macro-F1 on the rows that each export held out", title_justify="left")
    made.add_column("path", no_wrap=True)
    for heading in LADDER:
        made.add_column(heading, justify="right", no_wrap=True)
    for name, quality, speed, ratio in ladder(report):
        made.add_row(name, f"{quality:.3f}", f"{speed:,.0f}", f"{ratio:.2f}x")
    return made


def title_of(report: Mapping[str, Any], workload: Mapping[str, Any]) -> str:
    """Say what a workload was and where it was measured.

    Args:
        report: Of `medclf.bench.bench.bench`.
        workload: One of its workloads.

    Returns:
        One line.
    """
    texts, callers = workload["texts"], workload["concurrency"]
    return (
        f"{texts['n_texts']:,} texts in batches of {workload['batch']}"
        + (f" from {callers} callers" if callers > 1 else "")
        + f", {report['repeats']} rounds, {report['threads']} core(s) of {report['environment']['cpu']}; "
        f"{texts['source']}, {texts['tokens_mean']:.0f} tokens on average, {texts['n_truncated']:,} cut"
    )


def roofline_line(report: Mapping[str, Any]) -> str:
    """Say what the peak of this CPU is.

    Args:
        report: Of a run with `roofline`.

    Returns:
        One line.
    """
    peaks = report["roofline"]
    return (
        f"Peak of ONNX Runtime's products here, {report['threads']} core(s): fp32 {peaks['fp32_gmac_per_s']:,.0f}, "
        f"INT8 {peaks['int8_gmac_per_s']:,.0f} GMAC/s. 'of peak' is the time that the needed products take at that "
        "rate, over the time measured."
    )


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
