"""`medclf-evaluate`: what a bundle is worth on labelled rows."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from medclf.cli.app import console, run

if TYPE_CHECKING:
    from medclf.assess.evaluate import EvaluateOptions

WIDEST = Console(width=1_000)  # to measure tables on


def evaluate(
    data: Annotated[Path, typer.Option(help="Labelled rows that the model was not trained on.")],
    bundle: Annotated[Path, typer.Option(help="The bundle's folder.")] = Path("bundle"),
    report: Annotated[Path | None, typer.Option(help="HTML page to write, with pictures; needs no network.")] = None,
    card: Annotated[Path | None, typer.Option(help="Model card (Markdown) to write, with what was measured.")] = None,
    output: Annotated[Path | None, typer.Option(help="File for the JSON document.")] = None,
    train_data: Annotated[Path | None, typer.Option(help="Training rows: TF-IDF is fitted on them, beside it.")] = None,
    compare: Annotated[
        list[Path] | None, typer.Option(help="Another bundle of the same labels, on the same rows; repeat for several.")
    ] = None,
    operating_point: Annotated[
        list[str] | None,
        typer.Option(
            help="Such as 'recall>=0.99', 'LABEL: precision>=0.9', 'accuracy>=0.95', 'coverage>=0.8'; repeat."
        ),
    ] = None,
    group_column: Annotated[
        str | None, typer.Option(help="Rows of one value are drawn together, as a patient's.")
    ] = None,
    slice_column: Annotated[list[str] | None, typer.Option(help="Score each value by itself; may be repeated.")] = None,
    hierarchy: Annotated[str | None, typer.Option(help="Labels are paths with this between their parts, as /.")] = None,
    text_column: Annotated[
        list[str] | None, typer.Option(help="Text column; repeat to join. Default: as trained.")
    ] = None,
    text_pair_column: Annotated[list[str] | None, typer.Option(help="Column of the second text of a pair.")] = None,
    label_column: Annotated[
        list[str] | None, typer.Option(help="Label column, or a 0/1 column for each label. Default: label or labels.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Character encoding of the tables.")] = "utf-8",
    precision: Annotated[
        list[str] | None, typer.Option(help="Model of the bundle; repeat to compare. Default: the one that is served.")
    ] = None,
    provider: Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where it can be had.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Cores to keep busy. Default: all that it may use.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON document and no table.")] = False,
) -> None:
    """Score a bundle on labelled rows: with intervals, by label, length and column; calibration; beside others."""
    from medclf.extras import require

    for module in ("sklearn", "scipy", "matplotlib"):
        require(module, extra="evaluate")
    from medclf.assess.evaluate import EvaluateOptions
    from medclf.assess.labelled_rows import TableOptions
    from medclf.atomic import check_output

    for path in (report, card, output):
        if path is not None:
            check_output(path, overwrite=overwrite)
    table = TableOptions(
        text=tuple(text_column or ()),
        pair=tuple(text_pair_column or ()),
        label=tuple(label_column or ()),
        group=group_column,
        slices=tuple(slice_column or ()),
        encoding=encoding,
    )
    options = EvaluateOptions(
        bundle=bundle,
        data=data,
        table=table,
        precisions=tuple(precision or ()),
        compare=tuple(compare or ()),
        train_data=train_data,
        goals=tuple(operating_point or ()),
        hierarchy=hierarchy,
        provider=provider,
        threads=threads,
    )
    document = _evaluate_with_bar(options)
    _write(document, options, {"report": report, "card": card, "output": output}, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print(document)


def _evaluate_with_bar(options: "EvaluateOptions") -> dict[str, Any]:
    from medclf.assess.evaluate import evaluate as measure

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        return measure(options, progress=lambda what, share: bar.update(task, completed=share, description=what))


def _write(
    document: dict[str, Any], options: "EvaluateOptions", targets: dict[str, Path | None], *, overwrite: bool
) -> None:
    from medclf.atomic import atomic_file
    from medclf.bundle import read_manifest
    from medclf.evaluate.card import model_card
    from medclf.evaluate.evaluation_page import evaluation_page

    writers = {
        "report": lambda: evaluation_page(document),
        "card": lambda: model_card(read_manifest(options.bundle), document["models"], source=_source(document)),
        "output": lambda: json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }
    for name, target in targets.items():
        if target is not None:
            with atomic_file(target, overwrite=overwrite) as partial:
                partial.write_text(writers[name](), encoding="utf-8")
            console.print(f"Wrote {target}.", soft_wrap=True)


def _source(document: dict[str, Any]) -> str:
    data = document["data"]
    return f"{data['n_rows']:,} rows of {data['file']} (SHA-256 {data['sha256'][:12]})"


def _print(document: dict[str, Any]) -> None:
    from medclf.evaluate import summary

    for title, header, rows in summary.tables(document):
        table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim")
        for i, name in enumerate(header):
            table.add_column(name, justify="left" if i == 0 else "right", no_wrap=i > 0)
        for row in rows:
            table.add_row(*row)
        width = Measurement.get(WIDEST, WIDEST.options, table).maximum
        wide = Console(width=max(width, Console().width), highlight=False)  # a column that is cut is of no use
        wide.print(table)
        wide.print()


def main() -> None:
    """Run the command."""
    run(evaluate)
