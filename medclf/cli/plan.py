"""`medclf-plan`: how many cores, hours and how much money a table takes, from a short measurement here."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from medclf.cli.app import console, run

WIDTH = 144  # of the table, which is of no use when its columns are cut


def plan(
    rows: Annotated[float, typer.Option(help="Rows to classify, such as 37e6.")],
    tokens: Annotated[
        float | None,
        typer.Option(help="Tokens of a text on average.", show_default="those of the training texts"),
    ] = None,
    bundle: Annotated[Path, typer.Option(help="The bundle's folder.")] = Path("bundle"),
    data: Annotated[
        Path | None, typer.Option(help="Table of texts like those to come. Default: random words of such lengths.")
    ] = None,
    text_column: Annotated[
        list[str] | None, typer.Option(help="Its column of the text; several are joined. Default: as in training.")
    ] = None,
    text_pair_column: Annotated[
        list[str] | None, typer.Option(help="Its column of the second text of a pair. Default: as in training.")
    ] = None,
    compare: Annotated[
        list[Path] | None, typer.Option(help="Another bundle on the same texts, such as a student; may be repeated.")
    ] = None,
    target_hours: Annotated[float, typer.Option(help="In which all should be done.")] = 24.0,
    price_per_core_hour: Annotated[float, typer.Option(help="Of one core, in any currency.")] = 0.04,
    threads: Annotated[int | None, typer.Option(help="Cores to measure with. Default: all that it may use.")] = None,
    seconds: Annotated[float, typer.Option(help="About how long the slowest model is measured.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON document and no table.")] = False,
) -> None:
    """Measure this machine for some seconds, and say what a table of so many rows will take."""
    from medclf.bench.sizing import SizingOptions, plan_run
    from medclf.bench.sizing_text import assumptions, plan_table

    options = SizingOptions(
        rows, tokens, bundle, data, tuple(text_column or ()), tuple(text_pair_column or ()), tuple(compare or ()),
        target_hours, price_per_core_hour, threads, seconds,
    )  # fmt: skip
    with console.status("") as status:  # draws nothing where stderr is no terminal
        report = plan_run(options, progress=lambda what: status.update(f"measuring: {what}"))
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    out = Console(width=max(WIDTH, Console().width))
    out.print(plan_table(report))
    for line in assumptions(report):
        out.print(line, soft_wrap=True, markup=False, highlight=False)


def main() -> None:
    """Run the command."""
    run(plan)
