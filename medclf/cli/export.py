"""`medclf-export`: a checkpoint to a bundle, proved on the way."""

import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from medclf.cli.app import console, run


class Quantize(str, Enum):
    """Whether an INT8 model is made."""

    off = "off"
    on = "on"
    auto = "auto"


class Extra(str, Enum):
    """Precisions beside fp32."""

    int8 = "int8"
    fp16 = "fp16"


class Backend(str, Enum):
    """Who makes the graphs."""

    medclf = "medclf"
    traced = "traced"
    optimum = "optimum"


def export(
    checkpoint: Annotated[Path, typer.Option(help="Folder of medclf-train, or of a Hugging Face classifier.")] = Path(
        "checkpoint"
    ),
    output: Annotated[Path, typer.Option(help="Bundle to write.")] = Path("bundle"),
    quantize: Annotated[
        Quantize,
        typer.Option(metavar="[auto]", help="Add an INT8 model if it passes its gates, else fail; 'auto': else go on."),
    ] = Quantize.off,
    precision: Annotated[
        list[Extra] | None, typer.Option(help="Add a model: int8 as --quantize does, fp16 for CUDA. Repeat for both.")
    ] = None,
    eval_data: Annotated[
        Path | None, typer.Option(help="Labelled held-out rows; default: those that training set aside.")
    ] = None,
    text_column: Annotated[list[str] | None, typer.Option(help="Text column of --eval-data; repeat to join.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Label column of --eval-data.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Most tokens of a model's row; default: as trained.")] = None,
    long_text: Annotated[
        str | None, typer.Option(help="truncate, head_tail or windows, for a checkpoint that medclf did not train.")
    ] = None,
    min_agreement: Annotated[float, typer.Option(help="Least share of labels in common with fp32, percent.")] = 99.0,
    max_f1_drop: Annotated[float, typer.Option(help="Most macro-F1 that INT8 may lose, points.")] = 0.5,
    min_speedup: Annotated[float, typer.Option(help="Least speed of INT8 over fp32 on this CPU.")] = 1.0,
    abstain_below: Annotated[
        float | None,
        typer.Option(help="Least confidence, 0 to 1: below it the bundle gives no label. medclf-evaluate shows which."),
    ] = None,
    backend: Annotated[
        Backend,
        typer.Option(
            help="Who makes the graph. 'traced': PyTorch, with padding computed, for CUDA graphs; 'optimum' (extra "
            "medclf[optimum]): fp32, padding is computed."
        ),
    ] = Backend.medclf,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest to stdout.")] = False,
) -> None:
    """Export a checkpoint to a bundle: ONNX that was proved to match PyTorch, and the runtime's files."""
    from medclf.extras import require

    for module in ("torch", "transformers", "onnx"):
        require(module, extra="export")
    from medclf.bench.worker import peak_memory
    from medclf_export.pipeline import ExportOptions, export_bundle
    from medclf_export.quality import Budget

    extra = precision or []
    options = ExportOptions(
        checkpoint=checkpoint,
        output=output,
        quantize="on" if Extra.int8 in extra and quantize is Quantize.off else quantize.value,
        fp16=Extra.fp16 in extra,
        eval_data=eval_data,
        text_column=tuple(text_column or ()),
        label_column=label_column,
        max_length=max_length,
        long_text=long_text,
        budget=Budget(min_agreement, max_f1_drop, min_speedup),
        abstain_below=abstain_below,
        overwrite=overwrite,
        backend=backend.value,
    )
    manifest = export_bundle(options)
    peak = peak_memory()
    memory = "" if peak is None else f" Peak memory: {peak / 1e6:,.0f} MB."
    console.print(f"Wrote {output}: {', '.join(manifest.models)}. The report is {output / 'report.html'}.{memory}")
    if as_json:
        print(json.dumps(json.loads(manifest.to_json()), indent=2))  # noqa: T201


def main() -> None:
    """Run the command."""
    sys.argv[1:] = with_value(sys.argv[1:])
    run(export)


def with_value(arguments: list[str]) -> list[str]:
    """Let `--quantize` stand without a value, which typer does not know.

    Args:
        arguments: The command line.

    Returns:
        The same with `--quantize=on` where it stood alone.
    """
    values = [one.value for one in Quantize]
    following = [*arguments[1:], ""]
    return [
        "--quantize=on" if one == "--quantize" and after not in values else one
        for one, after in zip(arguments, following, strict=False)
    ]
