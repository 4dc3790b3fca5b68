"""`medclf-export`: a checkpoint to a bundle, proved on the way."""

import json
from pathlib import Path
from typing import Annotated

import typer

from medclf.cli.app import console, run


def export(
    checkpoint: Annotated[Path, typer.Option(help="Folder of medclf-train, or of any BERT classifier.")] = Path(
        "checkpoint"
    ),
    output: Annotated[Path, typer.Option(help="Bundle to write.")] = Path("bundle"),
    quantize: Annotated[bool, typer.Option("--quantize", help="Add an INT8 model, if it passes its gate.")] = False,
    eval_data: Annotated[
        Path | None, typer.Option(help="Labelled held-out rows; default: those that training set aside.")
    ] = None,
    text_column: Annotated[list[str] | None, typer.Option(help="Text column of --eval-data; repeat to join.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Label column of --eval-data.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Most tokens of a text; default: as trained.")] = None,
    min_agreement: Annotated[float, typer.Option(help="Least share of INT8 labels equal to fp32's, percent.")] = 99.0,
    max_f1_drop: Annotated[float, typer.Option(help="Most macro-F1 that INT8 may lose, points.")] = 0.5,
    min_speedup: Annotated[float, typer.Option(help="Least speed of INT8 over fp32 on this CPU.")] = 1.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest to stdout.")] = False,
) -> None:
    """Export a checkpoint to a bundle: ONNX that was proved to match PyTorch, and the runtime's files."""
    from medclf.extras import require

    for module in ("torch", "transformers", "onnx"):
        require(module, extra="export")
    from medclf_export.pipeline import ExportOptions, export_bundle
    from medclf_export.quality import Budget

    options = ExportOptions(
        checkpoint=checkpoint,
        output=output,
        quantize=quantize,
        eval_data=eval_data,
        text_column=tuple(text_column or ()),
        label_column=label_column,
        max_length=max_length,
        budget=Budget(min_agreement, max_f1_drop, min_speedup),
        overwrite=overwrite,
    )
    manifest = export_bundle(options)
    console.print(f"Wrote {output}: {', '.join(manifest.models)}. The report is {output / 'report.html'}")
    if as_json:
        print(json.dumps(json.loads(manifest.to_json()), indent=2))  # noqa: T201


def main() -> None:
    """Run the command."""
    run(export)
