"""The report as a table for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

COLUMNS = {  # field of the report -> heading and form
    "documents_per_s": ("documents/s", "{:,.1f}"),
    "tokens_per_s": ("tokens/s", "{:,.0f}"),
    "padded_per_real_token": ("padded/real", "{:.2f}"),
    "p50_ms": ("p50 ms", "{:,.1f}"),
    "p95_ms": ("p95 ms", "{:,.1f}"),
    "p99_ms": ("p99 ms", "{:,.1f}"),
    "memory_peak_mb": ("peak MB", "{:,.0f}"),
    "speedup": ("speed-up", "{:.2f}x"),
}


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
    for heading, _ in COLUMNS.values():
        made.add_column(heading, justify="right", no_wrap=True)
    for entry in paths:
        made.add_row(entry["path"], *(_cell(entry[name], form) for name, (_, form) in COLUMNS.items()))
    return made


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
