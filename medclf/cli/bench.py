"""`medclf-bench`: how fast each way to run the model is, here, on the same texts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from medclf.cli.app import console, run
from medclf.extras import require

WIDTH = 144  # of the table, which is of no use when its columns are cut

if TYPE_CHECKING:
    from medclf.bench.bench import BenchOptions, Plan


def bench(
    bundle: Annotated[Path, typer.Option(help="The bundle's folder.")] = Path("bundle"),
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint for the paths of PyTorch. Default: checkpoint, if it is there.")
    ] = None,
    batch: Annotated[str, typer.Option(help="Texts of one call; several sizes: 1,16,64.")] = "64",
    n_batches: Annotated[int, typer.Option(help="How many different batches.")] = 2,
    repeats: Annotated[int, typer.Option(help="Rounds that are timed, after one of warm-up.")] = 3,
    data: Annotated[
        Path | None, typer.Option(help="Table of texts, of which the first are taken. Default: random words.")
    ] = None,
    lengths: Annotated[str, typer.Option(help="Tokens of random texts, such as 15,64,256.")] = "",
    concurrency: Annotated[str, typer.Option(help="Callers at a time, such as 1,4,16.")] = "1",
    threads: Annotated[int | None, typer.Option(help="Cores of each path. Default: all that it may use.")] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="Model of the bundle; repeat for several. Default: all but fp16.")
    ] = None,
    providers: Annotated[str, typer.Option(help="Where the bundle's models run: cpu, cuda, or cpu,cuda.")] = "cpu",
    compare: Annotated[
        list[Path] | None, typer.Option(help="Another bundle, timed on the same texts; repeat for several.")
    ] = None,
    roofline: Annotated[bool, typer.Option("--roofline", help="Measure the CPU's peak too, and the share.")] = False,
    html: Annotated[Path | None, typer.Option(help="File for a page with plots.")] = None,
    output: Annotated[Path | None, typer.Option(help="File for the JSON document.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the outputs if they exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON document and no table.")] = False,
) -> None:
    """Time every model of the bundle, and PyTorch where it is installed, from strings to labels."""
    from medclf.atomic import atomic_file, check_output
    from medclf.bench.bench import BenchOptions, plan_of

    options = BenchOptions(
        bundle, checkpoint, numbers(batch, "--batch"), n_batches, repeats, data, threads, tuple(precision or ()),
        numbers(lengths, "--lengths"), numbers(concurrency, "--concurrency"), words(providers), tuple(compare or ()),
        roofline,
    )  # fmt: skip
    if html is not None and html == output:
        raise typer.BadParameter("the page and the document need files of their own", param_hint="--html")
    outputs = [path for path in (html, output) if path]
    for path in outputs:
        check_output(path, overwrite=overwrite)
    page_of = _page_writer() if html else str
    plan = plan_of(options)
    for line in plan.left_out:
        console.print(line, soft_wrap=True, markup=False)
    report = _bench_with_bar(options, plan)
    document = json.dumps(report, indent=2)
    for path in outputs:
        with atomic_file(path, overwrite=overwrite) as partial:
            partial.write_text(page_of(report) if path == html else document + "\n", encoding="utf-8")
    if as_json:
        typer.echo(document)
    else:
        _print_tables(report)


def words(given: str) -> tuple[str, ...]:
    """Split `cpu,cuda`."""
    return tuple(part.strip() for part in given.split(",") if part.strip())


def numbers(given: str, option: str) -> tuple[int, ...]:
    """Split `1,16,64`.

    Args:
        given: What the command line has.
        option: Its option, for the message.

    Returns:
        The numbers.

    Raises:
        BadParameter: One of them is not a number.
    """
    try:
        return tuple(int(part) for part in words(given))
    except ValueError:
        raise typer.BadParameter(
            "expected whole numbers with commas between, such as 1,16,64", param_hint=option
        ) from None


def _page_writer() -> Callable[[dict[str, Any]], str]:
    require("matplotlib", extra="train")  # before anything is measured
    from medclf.bench.html import html

    return html


def _bench_with_bar(options: "BenchOptions", plan: "Plan") -> dict[str, Any]:
    from medclf.bench.bench import bench as measure

    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("measuring", total=plan.n_turns(options.repeats))
        return measure(options, plan, progress=lambda: bar.advance(task))


def _print_tables(report: dict[str, Any]) -> None:
    from medclf.bench.table import ladder_table, roofline_line, table, title_of

    wide = Console(width=max(WIDTH, Console().width))
    for workload in report["workloads"]:
        wide.print(table(workload["paths"], title=title_of(report, workload)))
    if report["quality"]:
        wide.print(ladder_table(report))
    if report["roofline"]:
        wide.print(roofline_line(report), highlight=False)


def main() -> None:
    """Run the command."""
    run(bench)
