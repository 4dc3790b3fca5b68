"""The report as one page with plots that needs no network."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from matplotlib.figure import Figure

from medclf.bench.table import COLUMNS, LADDER, SHARE, ladder, roofline_line, title_of
from medclf.evaluate.page import page, picture, table

AXES = {  # field of a workload -> what its axis says
    "length": "tokens of every text",
    "batch": "texts of a call",
    "concurrency": "callers at a time",
}
N_BINS = 30
SIZE = (8.0, 4.2)

Report = Mapping[str, Any]


def html(report: Report) -> str:
    """Write the page.

    Args:
        report: Of `medclf.bench.bench.bench`.

    Returns:
        HTML.
    """
    parts = ["<h1>medclf-bench</h1>", _machine(report)]
    parts += [_curve(report, field) for field in AXES if _varies(report, field)]
    parts.append(_quality(report) if report["quality"] else "")
    for workload in report["workloads"]:
        parts += [f"<h2>{escape(title_of(report, workload))}</h2>", _table(workload), _latencies(workload)]
    parts += [f'<p class="note">{escape(line)}</p>' for line in report["left_out"]]
    return page("medclf-bench", parts)


def _machine(report: Report) -> str:
    machine = report["environment"]
    load = ", ".join(f"{one:.2f}" for one in machine["load_average"] or ()) or "unknown"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    lines = [
        f"{machine['cpu']} ({', '.join(machine['cpu_features']) or 'features unknown'}), {report['threads']} of "
        f"{machine['cores_host']} cores, load average before the run {load}. {versions}.",
        "Median of the rounds; whiskers reach from the slowest to the fastest. Paths took turns on the same texts.",
    ]
    if report["roofline"]:
        lines.append(roofline_line(report))
    return "".join(f'<p class="note">{escape(line)}</p>' for line in lines)


def _table(workload: Report) -> str:
    columns = COLUMNS | (SHARE if "share_of_peak" in workload["paths"][0] else {})
    rows = [
        (path["path"], *("-" if path[name] is None else form.format(path[name]) for name, (_, form) in columns.items()))
        for path in workload["paths"]
    ]
    return table(("path", *(heading for heading, _ in columns.values())), rows)


def _curve(report: Report, field: str) -> str:
    """Throughput against one field of the workloads, one line a path and setting of the other fields."""
    lines: dict[str, list[tuple[float, Report]]] = {}
    for workload in report["workloads"]:
        others = [f"{name} {workload[name]}" for name in AXES if name != field and _varies(report, name)]
        for path in workload["paths"]:
            lines.setdefault(", ".join([path["path"], *others]), []).append((workload[field], path))

    def draw(axes: Any) -> None:
        for name, points in lines.items():
            at, paths = zip(*points, strict=True)
            rates = [path["documents_per_s"] for path in paths]
            low = [path["documents_per_s"] - path["documents_per_s_min"] for path in paths]
            high = [path["documents_per_s_max"] - path["documents_per_s"] for path in paths]
            axes.errorbar(at, rates, yerr=(low, high), marker="o", capsize=3, label=name)
        values = sorted({workload[field] for workload in report["workloads"]})
        axes.set(xlabel=AXES[field], ylabel="documents/s", xscale="log", yscale="log", xticks=values)
        axes.set_xticklabels([str(value) for value in values])
        axes.minorticks_off()

    return _figure(f"Throughput by {AXES[field]}", draw)


def _varies(report: Report, field: str) -> bool:
    return len({workload[field] for workload in report["workloads"]}) > 1


def _latencies(workload: Report) -> str:
    def draw(axes: Any) -> None:
        for path in workload["paths"]:
            axes.hist(path["latencies_ms"], bins=N_BINS, histtype="step", linewidth=1.6, label=path["path"])
        axes.set(xlabel="ms from the strings of a batch to its labels", ylabel="batches", xlim=(0, None))

    return _figure("Latency", draw)


def _quality(report: Report) -> str:
    """Speed against quality, of the first workload."""
    rows = [
        (name, f"{quality:.3f}", f"{speed:,.0f}", f"{ratio:.2f}x") for name, quality, speed, ratio in ladder(report)
    ]

    def draw(axes: Any) -> None:
        for path in report["workloads"][0]["paths"]:
            if path["path"] in report["quality"]:
                axes.plot(path["tokens_per_s"], report["quality"][path["path"]], "o", markersize=9, label=path["path"])
        axes.set(xlabel="tokens/s, first workload", ylabel="macro-F1 on the held-out rows", xlim=(0, None))
        axes.margins(y=0.4)

    return "<h2>Speed and quality</h2>" + table(("path", *LADDER), rows) + _figure("Speed and quality", draw)


def _figure(title: str, draw: Callable[[Any], None]) -> str:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return picture(figure, title)
