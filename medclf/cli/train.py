"""`medclf-train`: a table of labelled texts in, a checkpoint folder out."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from medclf.cli.app import console, run
from medclf.extras import require

LISTS = ("text_column", "text_pair_column", "label_column", "log_to")
MAIN_PROCESS = os.environ.get("RANK", "0") == "0"  # torchrun starts several


def command(
    data: Annotated[Path, typer.Option(help="Table of labelled texts: CSV, TSV, JSON lines or Parquet.")],
    text_column: Annotated[list[str], typer.Option(help="Column of the text; several are joined.")] = ("text",),  # type: ignore[assignment]
    text_pair_column: Annotated[list[str], typer.Option(help="Column of the second text of a pair.")] = (),  # type: ignore[assignment]
    label_column: Annotated[
        list[str], typer.Option(help="Column of the labels; several: columns of 0 and 1, named as their labels.")
    ] = ("label",),  # type: ignore[assignment]
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="Split label strings at ';'. Lists need no such word.")
    ] = False,
    group_column: Annotated[
        str | None, typer.Option(help="Column of what a text belongs to, such as its patient: kept in one part.")
    ] = None,
    allow_leakage: Annotated[
        bool, typer.Option("--allow-leakage", help="Go on where --eval-data or --test-data repeat texts or groups.")
    ] = False,
    eval_data: Annotated[Path | None, typer.Option(help="Validation table; else a tenth of --data.")] = None,
    test_data: Annotated[Path | None, typer.Option(help="Test table; else --test-size of --data.")] = None,
    test_size: Annotated[float, typer.Option(help="Share of --data that is kept for the test.")] = 0.2,
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Leave --data on disk: Parquet, a file or a folder of them.")
    ] = False,
    shuffle_buffer: Annotated[int, typer.Option(help="Rows of a stream that are in memory, shuffled.")] = 20_000,
    model: Annotated[
        str, typer.Option(help="Hub id or folder of a BERT, or 'scratch' for a small one without pretrained weights.")
    ] = "bert-base-uncased",
    teacher: Annotated[
        Path | None, typer.Option(help="Checkpoint of a larger model, whose answers are learned beside the labels.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Of a model that is cut out of the teacher.")] = None,
    hidden_size: Annotated[int | None, typer.Option(help="Width of such a model.")] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Weight of the labels beside the teacher, 0 to 1.", show_default="0.5")
    ] = None,
    teacher_temperature: Annotated[
        float | None, typer.Option(help="At which answers are compared with the teacher's.", show_default="2")
    ] = None,
    unlabelled: Annotated[Path | None, typer.Option(help="Table of texts for the teacher alone to answer.")] = None,
    output: Annotated[Path, typer.Option(help="Checkpoint folder to write.")] = Path("checkpoint"),
    epochs: Annotated[int, typer.Option(help="Most passes over the training data.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Texts in a step, on each device.")] = 16,
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest learning rate.", show_default="by the width of the model")
    ] = None,
    head_learning_rate: Annotated[
        float | None, typer.Option(help="That of the new head.", show_default="--learning-rate")
    ] = None,
    layer_decay: Annotated[
        float, typer.Option(help="Learning rate of each layer over that of the layer above it, such as 0.9.")
    ] = 1.0,
    loss: Annotated[
        str, typer.Option(help="cross-entropy; of uneven classes also weighted, focal or logit-adjusted.")
    ] = "cross-entropy",
    focal_gamma: Annotated[float | None, typer.Option(help="Of --loss focal.", show_default="2")] = None,
    tau: Annotated[float | None, typer.Option(help="Of --loss logit-adjusted.", show_default="1")] = None,
    max_length: Annotated[int, typer.Option(help="Most tokens of a row of the model.")] = 256,
    long_text: Annotated[
        str, typer.Option(help="Of a text with more tokens: truncate, head_tail or windows.")
    ] = "truncate",
    stride: Annotated[
        int | None, typer.Option(help="Tokens from window to window.", show_default="3/4 of a window")
    ] = None,
    pooling: Annotated[str | None, typer.Option(help="Of windows: mean, max or noisy-or.", show_default="mean")] = None,
    max_windows: Annotated[int | None, typer.Option(help="Most windows of a text.", show_default="16")] = None,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW; none on biases and LayerNorm.")] = 0.01,
    warmup_ratio: Annotated[float, typer.Option(help="Share of the steps in which the learning rate rises.")] = 0.1,
    patience: Annotated[int, typer.Option(help="Epochs without a gain in macro-F1 before the stop; 0: never.")] = 2,
    max_grad_norm: Annotated[float, typer.Option(help="Gradients are clipped to this norm.")] = 1.0,
    gradient_accumulation: Annotated[int, typer.Option(help="Batches that make one step.")] = 1,
    lora: Annotated[
        int | None, typer.Option(help="Train adapters of this rank, merged into the weights in the end.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs with one seed after the other; the best on validation is kept.")] = 1,
    search: Annotated[
        int | None, typer.Option(help="Trials of a search for learning rate, epochs, batch size, layer decay and loss.")
    ] = None,
    log_to: Annotated[list[str], typer.Option(help="tensorboard or mlflow: numbers alone.")] = (),  # type: ignore[assignment]
    log_dir: Annotated[Path, typer.Option(help="Folder of TensorBoard's files.")] = Path("runs"),
    seed: Annotated[int, typer.Option(help="Of the split, the new weights, the order and dropout.")] = 42,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16: what is multiplied.")] = "auto",
    encoding: Annotated[str, typer.Option(help="Character encoding of the tables.")] = "utf-8",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    stop_after: Annotated[int | None, typer.Option(help="Save and stop after this step of the whole run.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print metrics.json to stdout.")] = False,
) -> None:
    """Fine-tune a BERT on labelled texts, beside a TF-IDF baseline on the same split.

    Ctrl-C saves and stops; the same command with --resume goes on.
    """
    given: dict[str, Any] = {name: value for name, value in locals().items() if name != "json_"}
    for module in ("torch", "accelerate", "sklearn", "matplotlib"):
        require(module, extra="train")
    transformers = require("transformers", extra="train")
    transformers.logging.set_verbosity_error()  # what it says is about its own ways, and could hold text
    transformers.logging.disable_progress_bar()
    if not MAIN_PROCESS:
        logging.disable(logging.INFO)
    from medclf.train.options import TrainOptions
    from medclf.train.run import Stopped, train

    columns = {name: tuple(given[name]) for name in LISTS}
    try:
        folder = train(TrainOptions(**{**given, **columns}), console=console if MAIN_PROCESS else None)
    except Stopped as stopped:
        if MAIN_PROCESS:
            console.print(str(stopped), soft_wrap=True, markup=False)
        if stopped.by_signal:
            raise
        return
    if not MAIN_PROCESS:
        return  # the main process writes and tells
    document = (folder / "metrics.json").read_text(encoding="utf-8")
    metrics = json.loads(document)
    console.print(_table(metrics))
    console.print(_calibration(metrics))
    if "search" in metrics:
        console.print(trials_table(metrics["search"]))
    if "seeds" in metrics:
        console.print(_seeds(metrics["seeds"]), soft_wrap=True)
    console.print(f"wrote {folder}", soft_wrap=True, markup=False)
    if json_:
        typer.echo(document, nl=False)


MODELS = {
    "baseline": "TF-IDF + LR",
    "baseline_balanced": "TF-IDF + LR, balanced classes",
    "teacher": "teacher",
    "model": "BERT",
}


def _table(metrics: dict[str, Any]) -> Table:
    from medclf.evaluate.metrics import SHOWN

    names = [name for name in SHOWN if name in metrics["test"]["model"]]
    table = Table("part", "rows", "model", *(SHOWN[name] for name in names))
    for part in ("validation", "test"):
        for name, shown in MODELS.items():
            if (scored := metrics[part].get(name)) is None:
                continue
            table.add_row(part, f"{scored['n']:,}", shown, *(f"{scored[one]:.3f}" for one in names))
        table.add_section()
    return table


def _calibration(metrics: dict[str, Any]) -> str:
    found = metrics["calibration"]
    before, after = (100 * found["test"][name] for name in ("ece_before", "ece_after"))
    return f"temperature {found['temperature']:.2f}: calibration error on the test part {before:.1f} -> {after:.1f} %"


def trials_table(found: dict[str, Any]) -> Table:
    """Lay the trials of a search out, the best first.

    Args:
        found: `search` of `metrics.json`.

    Returns:
        A table of rich, one row a trial.
    """
    names = ("learning_rate", "epochs", "batch_size", "layer_decay", "loss")
    table = Table("trial", "validation macro-F1", *names, title="search", title_justify="left")
    for one in sorted(found["trials"], key=lambda one: -1.0 if one["macro_f1"] is None else one["macro_f1"])[::-1]:
        score = one["state"] if one["macro_f1"] is None else f"{one['macro_f1']:.3f}"
        shown = [f"{one[name]:.3g}" if isinstance(one[name], float) else str(one[name]) for name in names]
        table.add_row(str(one["number"]), score, *shown)
    return table


def _seeds(found: dict[str, Any]) -> str:
    parts = [
        f"{part} {found[part]['macro_f1']['mean']:.3f} \u00b1 {found[part]['macro_f1']['sd']:.3f}"
        for part in ("validation", "test")
    ]
    return (
        f"macro-F1 over {len(found['seeds'])} seeds: {', '.join(parts)}; the checkpoint is that of seed {found['best']}"
    )


def main() -> None:
    """Run the command, as the only process or as one of torchrun's.

    Raises:
        SystemExit: At its end; not in a process of torchrun, which ends at once: gloo's threads abort it at times
            when Python tears them down.
    """
    try:
        run(command)
    except SystemExit as ended:
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


if __name__ == "__main__":  # torchrun --nproc-per-node N -m medclf.cli.train
    main()
