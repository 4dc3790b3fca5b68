"""`medclf-predict`: a table of texts in, a table of labels out."""

import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from medclf.cli.app import console, run

if TYPE_CHECKING:
    from medclf.runtime import Classifier
    from medclf.runtime.predict_file import Counts, PredictOptions


class OnError(str, Enum):
    """What a row that cannot be classified does."""

    fail = "fail"
    skip = "skip"


def predict(
    source: Annotated[Path, typer.Option("--input", help="Table to classify: CSV, TSV, JSON lines or Parquet.")],
    target: Annotated[Path, typer.Option("--output", help="Table to write: .csv, .tsv or .jsonl.")],
    bundle: Annotated[Path, typer.Option(help="The bundle's folder.")] = Path("bundle"),
    text_column: Annotated[
        list[str] | None, typer.Option(help="Column of the text; several are joined. Default: as in training.")
    ] = None,
    text_pair_column: Annotated[
        list[str] | None, typer.Option(help="Column of the second text of a pair. Default: as in training.")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Column of the input to carry over; may be repeated.")] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Add a column for each label.")] = False,
    on_error: Annotated[
        OnError, typer.Option(help="A row that cannot be classified stops everything, or gets no label and a reason.")
    ] = OnError.fail,
    encoding: Annotated[str, typer.Option(help="Character encoding of the input.")] = "utf-8",
    precision: Annotated[str, typer.Option(help="fp32, int8, or auto: INT8 on a CPU if the bundle has it.")] = "auto",
    provider: Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where it can be had.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Cores to keep busy. Default: all that it may use.")] = None,
    mode: Annotated[str, typer.Option(help="throughput: a batch on each core; latency: one on all.")] = "throughput",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as one JSON document.")] = False,
) -> None:
    """Classify a table, in order; the output is written whole or not at all."""
    from medclf.runtime import Classifier
    from medclf.runtime.predict_file import PredictOptions

    options = PredictOptions(
        source=source,
        target=target,
        text=tuple(text_column or ()),
        pair=tuple(text_pair_column or ()),
        keep=tuple(keep or ()),
        probabilities=probabilities,
        skip_errors=on_error is OnError.skip,
        encoding=encoding,
        overwrite=overwrite,
    )
    with Classifier.load(bundle, provider=provider, precision=precision, mode=mode, threads=threads) as classifier:
        counts = _predict_with_bar(classifier, options)
        taken = {"precision": classifier.precision, "provider": classifier.provider}
    seconds = max(counts.seconds, 1e-9)
    speed = {"documents_per_s": counts.n_rows / seconds, "tokens_per_s": counts.n_tokens / seconds}
    if as_json:
        typer.echo(json.dumps({"input": str(source), "output": str(target), **taken, **asdict(counts), **speed}))
    console.print(
        f"{counts.n_rows:,} rows, {speed['documents_per_s']:,.1f} documents/s, {speed['tokens_per_s']:,.0f} tokens/s "
        f"({taken['precision']}, {taken['provider']}); {counts.n_truncated:,} truncated, {counts.n_skipped:,} skipped.",
        soft_wrap=True,
    )


def _predict_with_bar(classifier: "Classifier", options: "PredictOptions") -> "Counts":
    from medclf.runtime.predict_file import predict_file

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)

        def show(fraction: float, counts: "Counts") -> None:
            rate = counts.n_rows / max(counts.seconds, 1e-9)
            bar.update(task, completed=fraction, description=f"{counts.n_rows:,} rows, {rate:,.0f} a second")

        return predict_file(classifier, options, progress=show)


def main() -> None:
    """Run the command."""
    run(predict)
