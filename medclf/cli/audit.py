"""`medclf-audit`: what is wrong with a table of labelled texts, before anything is trained on it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from medclf.cli.app import console, run
from medclf.extras import require

if TYPE_CHECKING:
    from medclf.data.audit.audit import AuditOptions
    from medclf.data.audit.findings import Audit
    from medclf.data.audit.lengths import Ruler

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
DEFAULT_MODEL = "bert-base-uncased"  # of medclf-train; its tokenizer is taken from the local cache alone


def audit(
    file: Annotated[Path, typer.Argument(help="Table of labelled texts: CSV, TSV, JSON lines or Parquet.")],
    test: Annotated[Path | None, typer.Option(help="Table that is to test what is trained on FILE.")] = None,
    text_column: Annotated[list[str], typer.Option(help="Column of the text; several are joined.")] = ("text",),  # type: ignore[assignment]
    text_pair_column: Annotated[list[str], typer.Option(help="Column of the second text of a pair.")] = (),  # type: ignore[assignment]
    label_column: Annotated[
        list[str], typer.Option(help="Column of the labels; several: columns of 0 and 1, named as their labels.")
    ] = ("label",),  # type: ignore[assignment]
    multi_label: Annotated[bool, typer.Option("--multi-label", help="Split label strings at ';'.")] = False,
    group_column: Annotated[
        str | None, typer.Option(help="Column of what a text belongs to, such as its patient.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model whose tokens are counted: a folder, a tokenizer.json or a hub id.",
            show_default=f"{DEFAULT_MODEL} where it is cached, else words",
        ),
    ] = None,
    max_length: Annotated[int, typer.Option(help="Most tokens of a text, as in training.")] = 256,
    near: Annotated[
        float, typer.Option(help="Similarity from which a text nearly repeats another; 0 does not look.")
    ] = 0.8,
    html: Annotated[Path | None, typer.Option(help="Page with charts to write.")] = None,
    encoding: Annotated[str, typer.Option(help="Character encoding of the tables.")] = "utf-8",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where there are errors.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Look for contradicting labels, leaks, repeats, damaged text, cut text and odd labels; no text is ever shown."""
    from medclf.atomic import atomic_file, check_output
    from medclf.bundle import TextColumns
    from medclf.data.audit.audit import AuditOptions

    if html is not None:
        check_output(html, overwrite=overwrite)
        require("matplotlib", extra="audit")
    options = AuditOptions(
        file=file,
        test=test,
        columns=TextColumns(tuple(text_column), tuple(text_pair_column)),
        label_column=tuple(label_column),
        multi_label=multi_label,
        group_column=group_column,
        encoding=encoding,
        max_length=max_length,
        near=near,
    )
    outcome = _audit_with_bar(options, _ruler(model))
    if html is not None:
        from medclf.evaluate.audit_page import audit_page

        with atomic_file(html, overwrite=overwrite) as partial:
            partial.write_text(audit_page(outcome), encoding="utf-8")
        console.print(f"wrote {html}", soft_wrap=True, markup=False)
    if as_json:
        typer.echo(json.dumps(outcome.to_json(), indent=2, ensure_ascii=False))
    else:
        _print(outcome)
    if strict and outcome.n("error"):
        raise typer.Exit(1)


def _ruler(model: str | None) -> "Ruler":
    """Find the tokenizer that was named; without a name, one that lies here, and never over the network."""
    from medclf.data.audit.lengths import Ruler, read_ruler

    if model is not None and (Path(model).exists() or model.startswith((".", "/", "~"))):
        return read_ruler(Path(model).expanduser())
    hub = require("huggingface_hub", extra="audit")
    if model is None:
        cached = hub.try_to_load_from_cache(DEFAULT_MODEL, "tokenizer.json")
        return read_ruler(Path(cached), name=DEFAULT_MODEL) if isinstance(cached, str) else Ruler()
    from medclf.errors import OptionError

    try:
        return read_ruler(Path(hub.hf_hub_download(model, "tokenizer.json")), name=model)
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise OptionError(
            f"model {model}: it is no folder here, and its tokenizer.json cannot be had from the Hugging Face hub "
            f"({type(error).__name__}). Name a folder or a tokenizer.json."
        ) from error


def _audit_with_bar(options: "AuditOptions", ruler: "Ruler") -> "Audit":
    from medclf.data.audit.audit import audit as audit_of

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        return audit_of(
            options, ruler, progress=lambda what, share: bar.update(task, description=what, completed=share)
        )


def _print(outcome: "Audit") -> None:
    out = Console(highlight=False)
    for one in outcome.tables:
        lengths = one.lengths
        out.print(
            f"[bold]{escape(one.file)}[/]: {one.n_rows:,} rows, {one.n_texts:,} different texts, {len(one.classes)} "
            f"labels; {lengths.quantiles['p50']:,.0f} {lengths.unit} in the median, {lengths.quantiles['p95']:,.0f} at "
            f"95 %; ceiling {one.ceiling:.3f}",
            soft_wrap=True,
        )
    for found in outcome.findings:
        rows = ", ".join(map(str, found.rows[:5])) + (", \u2026" if found.n > len(found.rows[:5]) else "")
        where = f"{Path(found.file).name}{f', rows {rows}' if found.rows else ''}"
        out.print(f"\n[{STYLES[found.severity]}]{found.severity}[/] [bold]{found.check}[/] in {escape(where)}")
        out.print(Padding(escape(found.what) + (f"\n[dim]{escape(found.do)}[/]" if found.do else ""), (0, 0, 0, 2)))
    counts = ", ".join(f"{outcome.n(severity)} {severity}s" for severity in ("error", "warning", "note"))
    out.print(f"\n{counts}; {len(outcome.passed)} checks found nothing.")


def main() -> None:
    """Run the command."""
    run(audit)
