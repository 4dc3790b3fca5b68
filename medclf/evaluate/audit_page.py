"""The page of an audit: what was found, what to do, and two charts a table. No text of the data is here."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from medclf.data.audit.findings import Audit, Finding, Lengths, TableCounts
from medclf.evaluate.page import page, picture, table

MAX_BARS = 40  # labels in a chart; the table below has all
MAX_NAME = 44  # characters of a label in a chart
TITLES = {"error": "Errors", "warning": "Warnings", "note": "Notes"}
COLOURS = ("tab:blue", "tab:orange")


def audit_page(audit: Audit) -> str:
    """Write the page.

    Args:
        audit: The outcome.

    Returns:
        HTML that needs no network.
    """
    return page(
        "medclf audit",
        [
            "<h1>medclf: audit of labelled texts</h1>",
            table(("table", "rows", "usable", "different texts", "labels", "ceiling"), map(_summary, audit.tables)),
            _ceiling_note(audit.tables),
            *(_section(audit.findings, severity) for severity in TITLES),
            f"<h2>Found nothing</h2><p>{escape(', '.join(audit.passed))}</p>" if audit.passed else "",
            "<h2>Labels</h2>",
            picture(_class_chart(audit.tables), "Rows of each label"),
            _class_table(audit.tables),
            "<h2>Lengths</h2>",
            picture(_length_chart(audit.tables), _length_caption(audit.tables[0].lengths)),
            _length_table(audit.tables),
        ],
    )


def _summary(one: TableCounts) -> tuple[object, ...]:
    return one.file, one.n_rows, one.n_usable, one.n_texts, len(one.classes), one.ceiling


def _ceiling_note(tables: Sequence[TableCounts]) -> str:
    several = tables[0].label_ceiling is not None
    score = "exact match of the set of labels" if several else "accuracy"
    return (
        f'<p class="note">Ceiling: the highest {score} of any classifier that sees the text alone. Equal texts get '
        "equal "
        "answers, so of the rows of a text at most those of its most frequent label are right.</p>"
    )


def _section(findings: Sequence[Finding], severity: str) -> str:
    shown = "".join(_finding(one) for one in findings if one.severity == severity)
    return f"<h2>{TITLES[severity]}</h2>{shown}" if shown else ""


def _finding(one: Finding) -> str:
    more = ", \u2026" if one.rows and one.n > len(one.rows) else ""
    rows = f"First rows: {', '.join(map(str, one.rows))}{more}." if one.rows else ""
    note = " ".join(filter(None, (one.do, rows)))
    return (
        f"<p><b>{escape(one.check)}</b> in {escape(one.file)}: {escape(one.what)}"
        + (f'<br><span class="note">{escape(note)}</span>' if note else "")
        + "</p>"
    )


def _class_table(tables: Sequence[TableCounts]) -> str:
    names = list(dict.fromkeys(name for one in tables for name in one.classes))
    rows = [
        (
            name,
            *(value for one in tables for value in (one.classes.get(name, 0), _percent(one.classes.get(name, 0), one))),
        )
        for name in names
    ]
    return table(("label", *(head for one in tables for head in (f"rows of {one.file}", "share"))), rows)


def _percent(n: int, one: TableCounts) -> str:
    return f"{100 * n / one.n_usable:.1f} %"


def _class_chart(tables: Sequence[TableCounts]) -> Figure:
    names = list(dict.fromkeys(name for one in tables for name in one.classes))[:MAX_BARS]
    figure = Figure(figsize=(9, 1.2 + 0.26 * len(names) * (1 + 0.4 * (len(tables) - 1))), layout="constrained")
    axes = figure.add_subplot()
    places, height = np.arange(len(names)), 0.8 / len(tables)
    for i, (one, colour) in enumerate(zip(tables, COLOURS, strict=False)):
        shares = [100 * one.classes.get(name, 0) / one.n_usable for name in names]
        bars = axes.barh(places + (i - (len(tables) - 1) / 2) * height, shares, height, color=colour, label=one.file)
        axes.bar_label(bars, [f"{one.classes.get(name, 0):,}" for name in names], padding=3, fontsize=8)
    axes.set_yticks(places, [_short(name) for name in names])
    axes.set(xlabel="% of the rows (numbers: rows)", ylim=(len(names) - 0.4, -0.6))
    axes.margins(x=0.12)
    _finish(figure, axes, tables)
    return figure


def _length_chart(tables: Sequence[TableCounts]) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.add_subplot()
    first = tables[0].lengths
    bins, width = np.arange(len(first.edges)), 0.8 / len(tables)
    for i, (one, colour) in enumerate(zip(tables, COLOURS, strict=False)):
        shares = [100 * n / one.n_usable for n in one.lengths.counts]
        axes.bar(bins + 0.5 + (i - (len(tables) - 1) / 2) * width, shares, width, color=colour, label=one.file)
    axes.set_xticks(bins, [f"{edge:,}" for edge in first.edges])
    axes.set(xlabel=first.unit, ylabel="% of the texts", xlim=(0, len(bins)))
    cut = float(np.interp(first.max_length, first.edges, bins))
    axes.axvline(cut, color="tab:red", linestyle="--", label=f"max_length {first.max_length}")
    _finish(figure, axes, tables, always=True)
    return figure


def _finish(figure: Figure, axes: Any, tables: Sequence[TableCounts], *, always: bool = False) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    if always or len(tables) > 1:
        figure.legend(loc="outside upper center", ncols=3, fontsize="small")


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}\u2026"


def _length_caption(lengths: Lengths) -> str:
    by = f"by the tokenizer of {lengths.tokenizer}" if lengths.tokenizer else "for want of a tokenizer: tokens are more"
    return f"Texts by length in {lengths.unit}, {by}"


def _length_table(tables: Sequence[TableCounts]) -> str:
    names = list(tables[0].lengths.quantiles)
    rows = [
        (
            one.file,
            *(round(one.lengths.quantiles[name]) for name in names),
            f"{one.lengths.n_cut:,} ({_percent(one.lengths.n_cut, one)})",
            "" if one.lengths.unknown_share is None else f"{100 * one.lengths.unknown_share:.2f} %",
        )
        for one in tables
    ]
    return table(("table", *names, f"over {tables[0].lengths.max_length}", "unknown tokens"), rows)
