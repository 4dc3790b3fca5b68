"""`medclf-predict`: a table of texts in, a table of labels out."""

import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medclf.cli.app import console, run
from medclf.cli.bar import bar_with_notes, not_labelled
from medclf.cli.predict_ray import predict_with_ray

if TYPE_CHECKING:
    from medclf.runtime import Classifier
    from medclf.runtime.counts import Counts
    from medclf.runtime.predict_options import PredictOptions


class Engine(str, Enum):
    """Where rows are classified."""

    local = "local"
    ray = "ray"


class OnError(str, Enum):
    """What a row that cannot be classified does."""

    fail = "fail"
    skip = "skip"
    quarantine = "quarantine"


def predict(
    source: Annotated[
        str,
        typer.Option(
            "--input",
            help="Table to classify: CSV, TSV, JSON lines or Parquet; - for stdin. With Ray also a folder of tables, a "
            "pattern such as 'notes/*.parquet', and the URI of one, such as s3://bucket/notes.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--output",
            help="Table to write: .csv, .tsv, .jsonl or .parquet; - for stdout. With Ray a folder, or the URI of one.",
        ),
    ],
    bundle: Annotated[Path, typer.Option(help="The bundle's folder.")] = Path("bundle"),
    input_format: Annotated[
        str, typer.Option(help="csv, tsv, jsonl or parquet, or such as csv.gz or jsonl.zst. Default: by the suffix.")
    ] = "",
    output_format: Annotated[str, typer.Option(help="The same for the output.")] = "",
    text_column: Annotated[
        list[str] | None, typer.Option(help="Column of the text; several are joined. Default: as in training.")
    ] = None,
    text_pair_column: Annotated[
        list[str] | None, typer.Option(help="Column of the second text of a pair. Default: as in training.")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Column of the input to carry over; may be repeated.")] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Add a column for each label.")] = False,
    on_error: Annotated[
        OnError,
        typer.Option(
            help="A row that cannot be classified stops everything, is written without a label and with a reason, or "
            "is left out and named in a second file."
        ),
    ] = OnError.fail,
    quarantine: Annotated[
        Path | None, typer.Option(help="That second file. Default: such as labels.quarantine.csv.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Character encoding of the input.")] = "utf-8",
    precision: Annotated[str, typer.Option(help="fp32, int8, or auto: INT8 on a CPU if the bundle has it.")] = "auto",
    provider: Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where it can be had.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Cores to keep busy; with Ray, of each worker. Default: all that it may use.")
    ] = None,
    mode: Annotated[
        str, typer.Option(help="throughput: a batch on each core; latency: one on all; auto: what is sooner.")
    ] = "throughput",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output, or the work of a stopped run, if it is there.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the rows that a stopped run committed.")
    ] = False,
    engine: Annotated[
        Engine, typer.Option(help="local: this process; ray: the machines of a Ray cluster, in partitions.")
    ] = Engine.local,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join, such as auto. Default: Ray is started here, for this run.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Workers of Ray. Default: one on each machine.")] = None,
    ship_bundle: Annotated[
        bool, typer.Option("--ship-bundle", help="Send the bundle to Ray's workers, where they do not share a disk.")
    ] = False,
    partition_rows: Annotated[
        int | None,
        typer.Option(help="Rows that a worker of Ray commits at a time. Default: 2048 for each core, up to 16384."),
    ] = None,
    id_column: Annotated[
        str, typer.Option(help="Column, of Ray's input, in which no value may be there twice; it is carried over.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as one JSON document.")] = False,
) -> None:
    """Classify a table, in order; the output is written whole or not at all, and a stopped run can be resumed."""
    from medclf.runtime import Classifier
    from medclf.runtime.predict_options import PredictOptions

    if as_json and target == "-":
        raise typer.BadParameter("--json prints on stdout, which takes the rows here. Name a file with --output.")
    shared: dict[str, Any] = {
        "source_format": input_format,
        "text": tuple(text_column or ()),
        "pair": tuple(text_pair_column or ()),
        "keep": tuple(keep or ()),
        "probabilities": probabilities,
        "on_error": on_error.value,
        "encoding": encoding,
        "overwrite": overwrite,
        "resume": resume,
    }
    model: dict[str, Any] = {"provider": provider, "precision": precision, "mode": mode, "threads": threads}
    of_ray = {
        "address": address,
        "workers": workers,
        "ship_bundle": ship_bundle,
        "partition_rows": partition_rows,
        "id_column": id_column,
    }
    if engine is Engine.ray:
        _refuse("--engine ray writes Parquet and its own _quarantine.csv", output_format, quarantine)
        given = {name: value for name, value in of_ray.items() if value is not None}
        predict_with_ray(source, target, {**shared, **model, **given, "bundle": str(bundle)}, as_json=as_json)
        return
    _refuse("--address, --workers, --ship-bundle, --partition-rows and --id-column need --engine ray", *of_ray.values())
    options = PredictOptions(Path(source), Path(target), target_format=output_format, quarantine=quarantine, **shared)
    with Classifier.load(bundle, **model) as classifier:
        counts = _predict_with_bar(classifier, options)
        taken = {"precision": classifier.precision, "provider": classifier.provider}
    _summarize(options, counts, taken, as_json=as_json)


def _refuse(why: str, *options: object) -> None:
    if any(options):
        raise typer.BadParameter(f"{why}: drop one or the other.")


def _summarize(options: "PredictOptions", counts: "Counts", taken: dict[str, str], *, as_json: bool) -> None:
    seconds = max(counts.seconds, 1e-9)
    speed = {"rows_per_s": counts.n_rows / seconds, "tokens_per_s": counts.n_tokens / seconds}
    if as_json:
        files = {"input": options.source, "output": options.target, "quarantine": options.quarantine_file}
        paths = {name: str(path) for name, path in files.items() if path}
        typer.echo(json.dumps({**paths, **taken, **asdict(counts), **speed}))
    console.print(
        f"{counts.n_rows:,} rows, {speed['rows_per_s']:,.1f} rows/s, {speed['tokens_per_s']:,.0f} tokens/s "
        f"({taken['precision']}, {taken['provider']}); "
        f"{not_labelled(counts, quarantine=bool(options.quarantine_file))}.",
        soft_wrap=True,
    )


def _predict_with_bar(classifier: "Classifier", options: "PredictOptions") -> "Counts":
    from medclf.runtime.predict_file import predict_file

    with bar_with_notes() as bar:
        task = bar.add_task("", total=None)

        def show(fraction: float | None, counts: "Counts") -> None:
            rate = counts.n_rows / max(counts.seconds, 1e-9)
            total = None if fraction is None else 1.0  # a pipe has no end that is known
            bar.update(
                task, total=total, completed=fraction or 0.0, description=f"{counts.n_rows:,} rows, {rate:,.0f} rows/s"
            )

        return predict_file(classifier, options, progress=show)


def main() -> None:
    """Run the command."""
    run(predict)
