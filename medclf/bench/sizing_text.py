"""A plan for people: the table, and what it rests on."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def plan_table(report: Mapping[str, Any]) -> Table:
    """Lay out a plan.

    Args:
        report: Of `medclf.bench.sizing.plan_run`.

    Returns:
        A table of rich, one row a way to classify.
    """
    made = Table(title=f"{report['rows']:,} rows in {report['target_hours']:g} h", title_justify="left")
    made.add_column("", no_wrap=True)
    for heading in (f"rows/s, {report['threads']} cores", "hours, these cores", "cores", "hours", "core-hours", "cost"):
        made.add_column(heading, justify="right", no_wrap=True)
    for path in report["paths"]:
        made.add_row(
            path["path"],
            _ranged(path["rows_per_s"], path["rows_per_s_range"], ",.1f"),
            _ranged(path["hours_here"], path["hours_here_range"], ",.2f"),
            f"{path['cores']:,}",
            _ranged(path["hours"], path["hours_range"], ",.2f"),
            f"{path['core_hours']:,.2f}",
            _ranged(path["cost"], path["cost_range"], ",.2f"),
        )
    return made


def assumptions(report: Mapping[str, Any]) -> list[str]:
    """Say what a plan rests on.

    Args:
        report: Of `medclf.bench.sizing.plan_run`.

    Returns:
        A sentence or two each.
    """
    texts, first = report["texts"], report["paths"][0]
    cut = f"{texts['n_truncated']:,} of them are longer than the model sees ({texts['limits']})"
    return [
        f"Texts: {texts['source']}; {texts['tokens_mean']:.0f} tokens (p5 {texts['tokens_p5']:.0f}, p95 "
        f"{texts['tokens_p95']:.0f}), of which the model is given {texts['model_tokens_mean']:.0f}; {cut}.",
        _cores(report),
        f"Inside: tokenizing; reading, {1e6 * first['read_row_s']:.0f} us a row from a local file; writing, "
        f"{1e6 * first['write_row_s']:.0f} us a row; the start of each process, {first['start_s']:.1f} s.",
        f"In brackets: the slowest and the quickest of {report['rounds']} rounds. Nothing else is known of the spread.",
        "Not inside: machines that are slower, idle or taken away; a source that gives less than "
        f"{texts['bytes_mean']:.0f} bytes a row.",
        f"Price: {report['price_per_core_hour']:g} for an hour of a core (--price-per-core-hour).",
    ]


def _cores(report: Mapping[str, Any]) -> str:
    threads = {True: "hyper-threads", False: "no hyper-threads"}.get(report["hyper_threads"], "hyper-threads or not")
    return (
        f"Cores: as the {report['threads']} here ({report['environment']['cpu']}; {threads}), all busy, so that what "
        "they cost each other is inside, and wholly yours: what other programs took meanwhile, "
        f"{report['taken_by_others']:.0%}, is not."
    )


def _ranged(value: float, edges: list[float], form: str) -> str:
    low, high = sorted(edges)
    return f"{value:{form}} ({low:{form}}-{high:{form}})"
