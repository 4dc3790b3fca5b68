"""From a checkpoint to a bundle: build each graph, prove it, and write the folder whole, or fail and write nothing."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx

from medclf.atomic import atomic_folder, check_output
from medclf.bundle import Manifest, ModelRecord, TextColumns
from medclf.errors import ExportError, OptionError
from medclf.evaluate.card import model_card
from medclf.evaluate.report import Evaluation, report
from medclf.golden import TEXTS
from medclf.labels import Floats
from medclf.runtime.cores import usable_cores
from medclf.runtime.runner import Runner
from medclf.runtime.session import Session
from medclf.tokenizer import TextEncoder
from medclf.train.checkpoint import Checkpoint, TrainingRecord, read_checkpoint
from medclf_export import gates, held_out, quality
from medclf_export.bert import BertConfig, BertGraph, Weights
from medclf_export.checkpoint_model import CheckpointModel
from medclf_export.files import describe, tokenizer_files, write_bundle
from medclf_export.graph import IR_VERSION, OPSET
from medclf_export.held_out import HeldOut
from medclf_export.metadata import metadata
from medclf_export.quality import Budget

log = logging.getLogger(__name__)

FILES = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}


@dataclass(frozen=True)
class ExportOptions:
    """What to export and what it must prove.

    Attributes:
        checkpoint: A folder of `medclf-train`, or a Hugging Face folder of a BERT classifier with label names.
        output: The bundle to write.
        quantize: Whether to add an INT8 model; if it does not pass its gate, nothing is written.
        eval_data: Labelled rows that training never saw; None for those that training set aside.
        text_column: Text columns of `eval_data`; empty for those of the training table.
        label_column: Label column of `eval_data`; None for that of the training table.
        max_length: Most tokens of a text; None for that of training, or the most that the model takes.
        budget: Limits of INT8.
        overwrite: Whether an existing bundle is replaced.
    """

    checkpoint: Path = Path("checkpoint")
    output: Path = Path("bundle")
    quantize: bool = False
    eval_data: Path | None = None
    text_column: tuple[str, ...] = ()
    label_column: str | None = None
    max_length: int | None = None
    budget: Budget = field(default_factory=Budget)
    overwrite: bool = False


@dataclass(frozen=True)
class Source:
    """Everything an export reads.

    Attributes:
        checkpoint: The folder with its labels.
        record: How it was trained; defaults for a checkpoint that medclf did not train.
        config: The shape of the graph.
        model: The PyTorch model.
        tokenizer_json: Contents of `tokenizer.json`.
        encoder: The tokenizer.
    """

    checkpoint: Checkpoint
    record: TrainingRecord
    config: BertConfig
    model: CheckpointModel
    tokenizer_json: str
    encoder: TextEncoder


@dataclass(frozen=True)
class Exported:
    """A graph on its way through the gates.

    Attributes:
        precision: `fp32` or `int8`.
        model: The graph.
        data: The ONNX file.
        session: The graph, opened.
        gates: What was measured so far.
    """

    precision: str
    model: onnx.ModelProto
    data: bytes
    session: Session
    gates: dict[str, Any] = field(default_factory=dict)


def export_bundle(options: ExportOptions) -> Manifest:
    """Export a checkpoint.

    Args:
        options: What to export and what it must prove.

    Returns:
        The manifest of the bundle that was written.

    Raises:
        CheckpointError: The checkpoint is missing or damaged.
        ExportError: It cannot be exported, or did not pass a gate; nothing is written.
        DataError: The evaluation rows cannot be used.
        OutputError: The output exists or cannot be written.
    """
    check_output(options.output, overwrite=options.overwrite)
    source = _read(options)
    rows = _held_out(options, source)
    if options.quantize:
        rows = quality.check_rows(rows, options.budget)
    exported = [_build(source, precision) for precision in (("fp32", "int8") if options.quantize else ("fp32",))]
    _check_graphs(source, exported)
    logits = {} if rows is None else {one.precision: _logits(source, one, rows) for one in exported}
    if options.quantize and rows is not None:
        _check_int8(source, exported, rows, logits, options.budget)
    evaluation = None if rows is None else Evaluation(rows.source, rows.label_ids, logits)
    return _write(options, source, exported, evaluation)


def _read(options: ExportOptions) -> Source:
    checkpoint = read_checkpoint(options.checkpoint)
    labels, where = checkpoint.labels, str(checkpoint.folder / "config.json")
    if labels.multi_label:
        raise ExportError(f"{where}: problem_type is {labels.task}: multi-label models cannot be exported yet.")
    config = BertConfig.from_config(checkpoint.config, n_labels=len(labels), where=where)
    record = _record(options, checkpoint, config)
    tokenizer_json = (checkpoint.folder / "tokenizer.json").read_text(encoding="utf-8")
    encoder = TextEncoder(tokenizer_json, max_length=record.max_length)
    if encoder.vocabulary_size > config.vocabulary_size:
        raise ExportError(
            f"{checkpoint.folder}: the tokenizer has {encoder.vocabulary_size} tokens and the model only "
            f"{config.vocabulary_size} embeddings. They do not belong together."
        )
    return Source(checkpoint, record, config, CheckpointModel(checkpoint), tokenizer_json, encoder)


def _record(options: ExportOptions, checkpoint: Checkpoint, config: BertConfig) -> TrainingRecord:
    """The checkpoint's record, or defaults, changed by what the options say."""
    record = checkpoint.record or TrainingRecord(TextColumns(), "label", max_length=config.n_positions)
    max_length = options.max_length or record.max_length
    if not 3 <= max_length <= config.n_positions:
        raise OptionError(f"max_length is {max_length}, expected 3 to {config.n_positions}, the model's positions.")
    columns = TextColumns(options.text_column, record.columns.pair) if options.text_column else record.columns
    label_column = options.label_column or record.label_column
    return replace(record, columns=columns, label_column=label_column, max_length=max_length)


def _held_out(options: ExportOptions, source: Source) -> HeldOut | None:
    labels, encoder = source.checkpoint.labels, source.encoder
    if options.eval_data is not None:
        return held_out.from_file(options.eval_data, source.record, labels, encoder)
    return held_out.from_record(source.record, labels, encoder)


def _build(source: Source, precision: str) -> Exported:
    graph = BertGraph(source.config, Weights(source.model.state), int8=precision == "int8")
    labels, max_length = source.checkpoint.labels, source.record.max_length
    model = graph.build(metadata(labels, max_length=max_length, tokenizer_json=source.tokenizer_json))
    data = model.SerializeToString()
    log.info("Built the %s graph: %d nodes, %.1f MB", precision, len(model.graph.node), len(data) / 1e6)
    return Exported(precision, model, data, Session(data, name=FILES[precision]))


def _check_graphs(source: Source, exported: Sequence[Exported]) -> None:
    """The gates that need no data; what they measure goes into each `gates`."""
    inputs = list(gates.batches(source.config))
    for one in exported:
        one.gates["signature"] = gates.check_signature(one.model, source.config.n_labels)
        if one.precision == "fp32":
            parity = one.gates["parity"] = gates.check_parity(one.session, source.model.forward, inputs)
            log.info("fp32 differs from PyTorch by at most %.1e of logits", parity["max_difference"])
        one.gates["batch_invariance"] = gates.check_invariance(one.session, one.precision, inputs)


def _check_int8(
    source: Source, exported: Sequence[Exported], rows: HeldOut, logits: Mapping[str, Floats], budget: Budget
) -> None:
    fp32, int8 = exported
    labels = source.checkpoint.labels
    int8.gates["quality"] = quality.check_quality(rows, logits["fp32"], logits["int8"], labels, budget)
    models = (lambda part: _logits(source, fp32, part)), (lambda part: _logits(source, int8, part))
    int8.gates["speed"] = quality.check_speed(rows, *models, budget)


def _logits(source: Source, exported: Exported, rows: HeldOut) -> Floats:
    runner = Runner(exported.session, source.encoder, n_callers=usable_cores())
    try:
        return runner.logits(rows.encoded)
    finally:
        runner.close()


def _write(
    options: ExportOptions, source: Source, exported: Sequence[Exported], evaluation: Evaluation | None
) -> Manifest:
    golden = source.encoder.encode(TEXTS)
    models = {one.precision: ModelRecord(FILES[one.precision], OPSET, IR_VERSION, one.gates) for one in exported}
    logits = {one.precision: Runner(one.session, source.encoder).logits(golden).tolist() for one in exported}
    manifest = describe(source.checkpoint, source.record, models, logits)
    contents = {FILES[one.precision]: one.data for one in exported} | tokenizer_files(
        source.checkpoint.folder, source.tokenizer_json, source.record.max_length
    )
    contents |= {
        "config.json": (source.checkpoint.folder / "config.json").read_bytes(),
        "README.md": model_card(manifest).encode(),
        "report.html": report(manifest, evaluation).encode(),
    }
    with atomic_folder(options.output, overwrite=options.overwrite) as folder:
        return write_bundle(folder, manifest, contents)
