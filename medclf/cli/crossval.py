"""`medclf-crossval`: a table in; scores with their spread, out-of-fold probabilities and likely label errors out."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from medclf.cli.app import console, run
from medclf.extras import require


def crossval(
    data: Annotated[Path, typer.Option(help="Table of labelled texts: CSV, TSV, JSON lines or Parquet.")],
    model: Annotated[
        str | None,
        typer.Option(help="Hub id or folder of a BERT to fine-tune in each fold.", show_default="TF-IDF alone"),
    ] = None,
    folds: Annotated[int, typer.Option(help="Parts, each of which is held out once.")] = 5,
    text_column: Annotated[list[str], typer.Option(help="Column of the text; several are joined.")] = ("text",),  # type: ignore[assignment]
    text_pair_column: Annotated[list[str], typer.Option(help="Column of the second text of a pair.")] = (),  # type: ignore[assignment]
    label_column: Annotated[
        list[str], typer.Option(help="Column of the labels; several: columns of 0 and 1, named as their labels.")
    ] = ("label",),  # type: ignore[assignment]
    multi_label: Annotated[bool, typer.Option("--multi-label", help="Split label strings at ';'.")] = False,
    group_column: Annotated[
        str | None, typer.Option(help="Column of what a text belongs to, such as its patient: kept in one fold.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder to write.")] = Path("crossval"),
    epochs: Annotated[int, typer.Option(help="Most passes over the training data.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Texts in a step.")] = 16,
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest learning rate.", show_default="by the width of the model")
    ] = None,
    max_length: Annotated[int, typer.Option(help="Most tokens of a text.")] = 256,
    seed: Annotated[int, typer.Option(help="Of the folds and of all that is random.")] = 42,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16: what is multiplied.")] = "auto",
    encoding: Annotated[str, typer.Option(help="Character encoding of the table.")] = "utf-8",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print metrics.json to stdout.")] = False,
) -> None:
    """Ask about every row a model that has not seen it, and rank the labels that it doubts.

    TF-IDF alone needs no torch. With --model, Ctrl-C saves and stops; the same command with --resume goes on.
    """
    given: dict[str, Any] = dict(locals())
    require("sklearn", extra="train")
    if model is not None:
        for module in ("torch", "accelerate", "matplotlib"):
            require(module, extra="train")
        transformers = require("transformers", extra="train")
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
    from medclf.train.crossval import CrossvalOptions, cross_validate
    from medclf.train.options import TrainOptions

    columns: dict[str, Any] = {
        name: tuple(given.pop(name)) for name in ("text_column", "text_pair_column", "label_column")
    }
    for name in ("model", "folds", "json_"):
        given.pop(name)
    options = TrainOptions(**{**given, **columns, **({} if model is None else {"model": model})})
    folder = cross_validate(CrossvalOptions(options, folds, baseline_only=model is None), console=console)
    document = (folder / "metrics.json").read_text(encoding="utf-8")
    metrics = json.loads(document)
    console.print(_table(metrics))
    console.print(
        f"{metrics['likely_label_errors']:,} of {metrics['rows']:,} labels are likely wrong: "
        f"see {folder / 'label_errors.csv'}",
        soft_wrap=True,
        markup=False,
    )
    if json_:
        typer.echo(document, nl=False)


def _table(metrics: dict[str, Any]) -> Table:
    from medclf.evaluate.metrics import SHOWN

    shown = {"baseline": "TF-IDF + LR", "model": "BERT"}
    names = list(metrics["scores"]["baseline"])
    table = Table(f"{metrics['folds']} folds", *(f"{SHOWN[name]}, mean \u00b1 sd" for name in names))
    for model, scored in metrics["scores"].items():
        table.add_row(shown[model], *(f"{scored[name]['mean']:.3f} \u00b1 {scored[name]['sd']:.3f}" for name in names))
    return table


def main() -> None:
    """Run the command."""
    run(crossval)
