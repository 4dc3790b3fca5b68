"""`medclf-predict --engine ray`: its progress bar and its summary."""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from medclf.cli.app import console
from medclf.cli.bar import bar_with_notes, not_labelled

if TYPE_CHECKING:
    from medclf.cluster.ray.options import RayOptions
    from medclf.cluster.ray.progress import Result, State


def predict_with_ray(source: str, target: str, options: Mapping[str, Any], *, as_json: bool) -> None:
    """Classify tables with Ray, and print what came of it.

    Args:
        source: A table, a folder, a pattern or a URI.
        target: The folder to write, or its URI.
        options: Other fields of `RayOptions`.
        as_json: Whether the summary is one JSON document on stdout.
    """
    from medclf.cluster.ray.options import RayOptions

    asked = RayOptions(source, target, **options)
    _summarize(asked, _predict_with_bar(asked), as_json=as_json)


def _summarize(options: "RayOptions", result: "Result", *, as_json: bool) -> None:
    from medclf.cluster.ray.storage import shown

    counts, seconds = result.counts, max(result.seconds, 1e-9)
    rate = (counts.n_rows - result.n_rows_before) / seconds
    if as_json:
        document = {"input": shown(options.source), "output": shown(options.target), **asdict(counts), **asdict(result)}
        del document["counts"]
        typer.echo(json.dumps({**document, "rows_per_s": rate}))
    deaths = f"; {result.n_deaths:,} workers died and were replaced" if result.n_deaths else ""
    console.print(
        f"{counts.n_rows:,} rows in {result.n_parts:,} parts, {rate:,.1f} rows/s by {result.n_workers:,} workers "
        f"({result.precision}, {result.provider}), after {result.start_s:,.0f} s to start; "
        f"{not_labelled(counts, quarantine=bool(counts.n_quarantined))}{deaths}.",
        soft_wrap=True,
    )


def _predict_with_bar(options: "RayOptions") -> "Result":
    from medclf.cluster.ray.engine import predict_ray

    with bar_with_notes() as bar:
        task = bar.add_task("", total=1.0)

        def show(state: "State") -> None:
            deaths = f", {state.n_deaths} died" if state.n_deaths else ""
            rows = f"{state.n_rows:,} rows, {state.rows_per_s:,.0f} rows/s, " if state.doing == "classifying" else ""
            text = f"{rows or f'{state.doing}, '}{state.n_workers} workers{deaths}"
            bar.update(task, completed=state.fraction, description=text)

        # Ray prints on stdout, which is for data, when a worker dies
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            return predict_ray(options, progress=show)
