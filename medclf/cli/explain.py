"""`medclf-explain`: which words an answer rests on."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from medclf.cli.app import console, run

if TYPE_CHECKING:
    from medclf.assess.explain import ExplainedText
    from medclf.runtime import Classifier

STANDARD = "-"  # stdin, or stdout
SUFFIXES = (".html", ".jsonl")


def explain(
    source: Annotated[str, typer.Option("--input", help="Table of texts, or - for one text from stdin.")],
    output: Annotated[str, typer.Option(help="Page (.html) or JSON lines (.jsonl) to write, or - for JSON on stdout.")],
    bundle: Annotated[Path, typer.Option(help="The bundle's folder.")] = Path("bundle"),
    row: Annotated[list[int] | None, typer.Option(help="Row to explain, the first being 1; may be repeated.")] = None,
    n_rows: Annotated[int, typer.Option(help="How many of the first rows, where no --row is given.")] = 10,
    label: Annotated[
        list[str] | None,
        typer.Option(help="Label to explain; repeat for several. Default: those that a text is given."),
    ] = None,
    max_pieces: Annotated[
        int, typer.Option(help="Most pieces of a text; longer ones are cut into runs of words.")
    ] = 200,
    text_column: Annotated[
        list[str] | None, typer.Option(help="Text column; repeat to join. Default: as trained.")
    ] = None,
    text_pair_column: Annotated[list[str] | None, typer.Option(help="Column of the second text of a pair.")] = None,
    encoding: Annotated[str, typer.Option(help="Character encoding of the table.")] = "utf-8",
    precision: Annotated[str, typer.Option(help="fp32, int8, or auto: the one that is served.")] = "auto",
    provider: Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where it can be had.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Cores to keep busy. Default: all that it may use.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Leave each word of a text out and ask the model again; the output holds the texts."""
    from medclf.assess.explain import ExplainOptions, explain_rows, explain_text
    from medclf.runtime import Classifier

    _check_output(output, overwrite=overwrite)
    labels = tuple(label or ())
    with Classifier.load(bundle, provider=provider, precision=precision, threads=threads) as classifier:
        if source == STANDARD:
            found = iter([explain_text(classifier, sys.stdin.read(), labels=labels, max_pieces=max_pieces)])
            _write(found, classifier, output, overwrite=overwrite)
            return
        options = ExplainOptions(
            source=Path(source),
            rows=tuple(row or ()),
            n_rows=n_rows,
            text=tuple(text_column or ()),
            pair=tuple(text_pair_column or ()),
            labels=labels,
            max_pieces=max_pieces,
            encoding=encoding,
        )
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("explaining", total=len(options.rows) or n_rows)
            rows = explain_rows(classifier, options, progress=lambda done: bar.update(task, completed=done))
            _write(rows, classifier, output, overwrite=overwrite)


def _check_output(output: str, *, overwrite: bool) -> None:
    from medclf.atomic import check_output
    from medclf.errors import OptionError
    from medclf.extras import require

    if output == STANDARD:
        return
    suffix = Path(output).suffix.lower()
    if suffix not in SUFFIXES:
        raise OptionError(f"{output}: the suffix must be one of {', '.join(SUFFIXES)}; it is the format. - is stdout.")
    if suffix == ".html":
        require("matplotlib", extra="evaluate")
    check_output(Path(output), overwrite=overwrite)


def _write(found: Iterator["ExplainedText"], classifier: "Classifier", output: str, *, overwrite: bool) -> None:
    from medclf.atomic import atomic_file

    names = classifier.classes_
    if output == STANDARD:
        for one in found:
            typer.echo(json.dumps(one.to_json(names), ensure_ascii=False))
        return
    target = Path(output)
    with atomic_file(target, overwrite=overwrite) as partial, partial.open("w", encoding="utf-8") as file:
        if target.suffix.lower() == ".html":
            from medclf.assess.explanation_page import explanation_page

            file.write(explanation_page(found, names))
        else:
            file.writelines(json.dumps(one.to_json(names), ensure_ascii=False) + "\n" for one in found)
    console.print(f"Wrote {target}. It holds the texts.", soft_wrap=True)


def main() -> None:
    """Run the command."""
    run(explain)
