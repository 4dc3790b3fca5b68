"""`medclf-bench`: how fast each way to run the model is, here, on the same texts."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from medclf.cli.app import console, run

WIDTH = 130  # of the table, which is of no use when its columns are cut

if TYPE_CHECKING:
    from medclf.bench.bench import BenchOptions, Plan


def bench(
    bundle: Annotated[Path, typer.Option(help="The bundle's folder.")] = Path("bundle"),
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint for the paths of PyTorch. Default: checkpoint, if it is there.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Texts of one call.")] = 64,
    n_batches: Annotated[int, typer.Option(help="How many different batches.")] = 2,
    repeats: Annotated[int, typer.Option(help="Rounds that are timed, after one of warm-up.")] = 3,
    data: Annotated[
        Path | None, typer.Option(help="Table of texts, of which the first are taken. Default: random words.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Cores of each path. Default: all that it may use.")] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="Model of the bundle; repeat for several. Default: all but fp16.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File for the JSON document.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON document and no table.")] = False,
) -> None:
    """Time every model of the bundle, and PyTorch where it is installed, from strings to labels."""
    from medclf.atomic import atomic_file, check_output
    from medclf.bench.bench import BenchOptions, plan_of

    if output:
        check_output(output, overwrite=overwrite)
    options = BenchOptions(bundle, checkpoint, batch, n_batches, repeats, data, threads, tuple(precision or ()))
    plan = plan_of(options)
    for line in plan.left_out:
        console.print(line, soft_wrap=True)
    report = _bench_with_bar(options, plan)
    document = json.dumps(report, indent=2)
    if output:
        with atomic_file(output, overwrite=overwrite) as partial:
            partial.write_text(document + "\n", encoding="utf-8")
    if as_json:
        typer.echo(document)
    else:
        _print_table(report)


def _bench_with_bar(options: "BenchOptions", plan: "Plan") -> dict[str, Any]:
    from medclf.bench.bench import bench as measure

    n_steps = len(plan.specs) * options.n_batches * (options.repeats + 1)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("measuring", total=n_steps)
        return measure(options, plan, progress=lambda: bar.advance(task))


def _print_table(report: dict[str, Any]) -> None:
    from medclf.bench.table import table

    texts, machine = report["texts"], report["environment"]
    title = (
        f"{texts['n_texts']:,} texts in batches of {report['batch']}, {report['repeats']} rounds, {report['threads']} "
        f"core(s) of {machine['cpu']}; {texts['source']}, {texts['tokens_mean']:.0f} tokens on average"
    )
    wide = Console(width=max(WIDTH, Console().width))
    wide.print(table(report["paths"], title=title))


def main() -> None:
    """Run the command."""
    run(bench)
