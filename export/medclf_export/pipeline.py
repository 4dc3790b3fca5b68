"""From a checkpoint to a bundle: build each graph, prove it, and write the folder whole, or fail and write nothing."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from medclf.atomic import atomic_folder, check_output
from medclf.bundle import Manifest, TextColumns
from medclf.errors import CheckpointError, ExportError, GateError, InputError, OptionError
from medclf.evaluate.card import model_card
from medclf.evaluate.report import Evaluation, report
from medclf.golden import TEXTS
from medclf.labels import Floats
from medclf.long_text import LongText
from medclf.tokenizer import TextEncoder
from medclf.train.checkpoint import Checkpoint, TrainingRecord, read_checkpoint
from medclf_export import gates, held_out, quality
from medclf_export.checkpoint_model import CheckpointModel
from medclf_export.drafts import Draft, Drafts
from medclf_export.files import describe, tokenizer_files, write_bundle
from medclf_export.held_out import HeldOut
from medclf_export.metadata import metadata
from medclf_export.quality import Budget
from medclf_export.quantize import Quantizer
from medclf_export.route import Backend, Route, find_route

log = logging.getLogger(__name__)

Quantize = Literal["off", "on", "auto"]


@dataclass(frozen=True)
class ExportOptions:
    """What to export and what it must prove.

    Attributes:
        checkpoint: A folder of `medclf-train`, or a Hugging Face folder of a classifier with label names.
        output: The bundle to write.
        quantize: `on` adds an INT8 model, and nothing is written if it does not pass its gates; `auto` goes on without
            it then, and the manifest says why; `off`.
        fp16: Whether to add an fp16 model, for CUDA.
        eval_data: Labelled rows that training never saw; None for those that training set aside.
        text_column: Text columns of `eval_data`; empty for those of the training table.
        label_column: Label column of `eval_data`; None for that of the training table.
        max_length: Most tokens of one row of the model; None for that of training, or the most that the model takes.
        long_text: What becomes of a text with more, for a checkpoint that medclf did not train: `truncate`,
            `head_tail`, `windows`, or such as `windows:stride=128,pooling=max,max_windows=8`; None for `truncate`.
        budget: Limits of INT8.
        abstain_below: The confidence below which the bundle gives no label; None: it always gives one.
        overwrite: Whether an existing bundle is replaced.
        backend: Who makes the graphs: `medclf`; `traced`, PyTorch, which keeps padding in them, as CUDA graphs need; or
            `optimum`, which makes fp32 alone and keeps padding too.
    """

    checkpoint: Path = Path("checkpoint")
    output: Path = Path("bundle")
    quantize: Quantize = "off"
    fp16: bool = False
    eval_data: Path | None = None
    text_column: tuple[str, ...] = ()
    label_column: str | None = None
    max_length: int | None = None
    long_text: str | None = None
    budget: Budget = field(default_factory=Budget)
    abstain_below: float | None = None
    overwrite: bool = False
    backend: Backend = "medclf"


@dataclass(frozen=True)
class Source:
    """Everything an export reads.

    Attributes:
        checkpoint: The folder with its labels.
        record: How it was trained; defaults for a checkpoint that medclf did not train.
        model: The PyTorch model.
        route: How its graphs are made.
        encoder: The tokenizer.
        tokenizer_json: Contents of `tokenizer.json`.
        tokenizer_files: Name -> contents of the tokenizer's files in the bundle.
    """

    checkpoint: Checkpoint
    record: TrainingRecord
    model: CheckpointModel
    route: Route
    encoder: TextEncoder
    tokenizer_json: str
    tokenizer_files: Mapping[str, bytes]


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
    if options.quantize == "on" and source.route.linears:  # without, it is refused for that reason
        rows = quality.check_rows(rows, options.budget)
    try:
        with atomic_folder(options.output, overwrite=options.overwrite) as folder:
            return Export(options, source, rows, folder).run()
    except GateError as error:
        raise GateError(f"{error} No bundle was written.") from error


class Export:
    """One export: the graphs are written first, so that PyTorch's weights are gone when sessions open."""

    def __init__(self, options: ExportOptions, source: Source, rows: HeldOut | None, folder: Path) -> None:
        """Prepare it.

        Args:
            options: What to export and what it must prove.
            source: What was read.
            rows: Held-out rows, if any.
            folder: The folder that becomes the bundle.
        """
        labels, max_length = source.checkpoint.labels, source.record.max_length
        props = metadata(
            labels, max_length=max_length, long_text=source.record.long_text, tokenizer_json=source.tokenizer_json
        )
        self._options, self._source, self._rows, self._folder = options, source, rows, folder
        self._labels = labels
        self._drafts = Drafts(source.route, props, source.encoder, folder, labels.multi_label)
        # ModernBERT takes 8,192 tokens: beyond the usual 512, what the bundle never runs is not proved.
        longest = min(source.route.signature.n_positions, max(max_length, gates.MANY_TOKENS))
        self._inputs = list(gates.batches(replace(source.route.signature, n_positions=longest)))
        self._logits: dict[str, Floats] = {}
        self._refused: dict[str, str] = {}

    def run(self) -> Manifest:
        """Build, prove and write everything.

        Returns:
            The manifest.

        Raises:
            ExportError: A gate did not pass.
        """
        temperature = self._source.record.temperature
        references = [self._source.model.forward(batch) / temperature for _, batch in self._inputs]
        drafts = self._build()
        self._source.model.release()
        for draft in drafts.values():
            self._check(draft, references)
        if self._rows is not None:
            self._logits["fp32"] = drafts["fp32"].logits(self._rows.encoded)
        if "int8" in drafts:
            self._quantize(drafts)
        return self._write(drafts)

    def _build(self) -> dict[str, Draft]:
        route = self._source.route
        drafts = {"fp32": self._drafts.make("fp32")}
        if self._options.quantize != "off":
            if route.linears:
                drafts["int8"] = self._drafts.make("int8", int8=frozenset(route.linears))
            else:
                self._refuse_int8(_no_linears(self._options.backend))
        if self._options.fp16:
            drafts["fp16"] = self._drafts.make("fp16")
        return drafts

    def _check(self, draft: Draft, references: Sequence[Floats] = ()) -> None:
        """The gates that need no data; INT8 has no reference in PyTorch."""
        precision = draft.precision
        draft.gates["signature"] = gates.check_signature(draft.paths[0], self._source.route.signature)
        if precision in gates.PARITY_LIMIT:
            parity = draft.gates["parity"] = gates.check_parity(draft.session, precision, self._inputs, references)
            log.info("%s differs from PyTorch by at most %.1e of logits", precision, parity["max_difference"])
        draft.gates["batch_invariance"] = gates.check_invariance(draft.session, precision, self._inputs)

    def _quantize(self, drafts: dict[str, Draft]) -> None:
        """Certify INT8; where it was left open and does not pass, go on without it."""
        try:
            rows = quality.check_rows(self._rows, self._options.budget)
            quantizer = Quantizer(
                self._drafts, drafts["fp32"], rows, self._logits["fp32"], self._labels, self._options.budget
            )
            drafts["int8"], self._logits["int8"] = quantizer.make(drafts["int8"])
            self._check(drafts["int8"])
        except GateError as error:
            self._refuse_int8(error)
            drafts.pop("int8").discard()

    def _refuse_int8(self, error: GateError) -> None:
        if self._options.quantize != "auto":
            raise error
        log.warning("No INT8 model: %s", error)
        self._refused["int8"] = str(error)

    def _write(self, drafts: Mapping[str, Draft]) -> Manifest:
        source, golden = self._source, self._source.encoder.encode(TEXTS)
        models = {precision: draft.record(self._folder) for precision, draft in drafts.items()}
        logits = {precision: draft.logits(golden).tolist() for precision, draft in drafts.items()}
        manifest = describe(source.checkpoint, source.record, models, logits, self._refused)
        rows = self._rows
        evaluation = None if rows is None else Evaluation.of(manifest, rows.source, rows.label_ids, self._logits)
        measured, where = (None, "") if evaluation is None else (evaluation.measured, evaluation.source)
        contents = {
            **source.tokenizer_files,
            "config.json": (source.checkpoint.folder / "config.json").read_bytes(),
            "README.md": model_card(manifest, measured, source=where).encode(),
            "report.html": report(manifest, evaluation).encode(),
        }
        return write_bundle(self._folder, manifest, contents)


def _no_linears(backend: Backend) -> GateError:
    instead = "" if backend == "medclf" else ", or use --backend medclf, which makes a graph that has"
    return GateError(
        f"INT8: the graph of backend {backend} has no linear layer that can be quantized for each token by itself. "
        f"Export without --quantize{instead}."
    )


def _read(options: ExportOptions) -> Source:
    checkpoint = read_checkpoint(options.checkpoint)
    checkpoint = replace(checkpoint, labels=replace(checkpoint.labels, abstain_below=options.abstain_below))
    model = CheckpointModel(checkpoint)
    temperature = 1.0 if checkpoint.record is None else checkpoint.record.temperature
    route = find_route(checkpoint, model, temperature=temperature, backend=options.backend)
    record = _record(options, checkpoint, route.signature.n_positions)
    tokenizer_json, encoder = _tokenizer(checkpoint.folder / "tokenizer.json", record)
    if encoder.vocabulary_size > route.signature.vocabulary_size:
        raise ExportError(
            f"{checkpoint.folder}: the tokenizer gives ids up to {encoder.vocabulary_size - 1} and the model has only "
            f"{route.signature.vocabulary_size} embeddings. They do not belong together."
        )
    files = tokenizer_files(checkpoint.folder, tokenizer_json, record.max_length)
    return Source(checkpoint, record, model, route, encoder, tokenizer_json, files)


def _tokenizer(path: Path, record: TrainingRecord) -> tuple[str, TextEncoder]:
    try:
        tokenizer_json = path.read_text(encoding="utf-8")
        return tokenizer_json, TextEncoder(tokenizer_json, max_length=record.max_length, long_text=record.long_text)
    except (InputError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: {error} Take the file of the model that the training began from.") from error


def _record(options: ExportOptions, checkpoint: Checkpoint, n_positions: int) -> TrainingRecord:
    """The checkpoint's record, or defaults, changed by what the options say."""
    record = checkpoint.record or TrainingRecord(TextColumns(), ("label",), max_length=n_positions)
    max_length = options.max_length or record.max_length
    if not 3 <= max_length <= n_positions:
        raise OptionError(f"max_length is {max_length}, expected 3 to {n_positions}, the model's positions.")
    columns = TextColumns(options.text_column, record.columns.pair) if options.text_column else record.columns
    label_column = (options.label_column,) if options.label_column else record.label_column
    long_text = _long_text(options.long_text, checkpoint, max_length)
    long_text.check(max_length, multi_label=checkpoint.labels.multi_label, pairs=bool(columns.pair))
    return replace(record, columns=columns, label_column=label_column, max_length=max_length, long_text=long_text)


def _long_text(asked: str | None, checkpoint: Checkpoint, max_length: int) -> LongText:
    """What training fixed, in proportion to another length; else what was asked for."""
    record = checkpoint.record
    if record is None:
        asked = asked or "truncate"
        return LongText.parse(asked) if ":" in asked else LongText.of(asked, max_length=max_length)
    if asked not in (None, record.long_text.policy, str(record.long_text)):
        raise OptionError(
            f"long_text is {asked!r}, but {checkpoint.folder} was trained with {str(record.long_text)!r} and is served "
            "as it was trained. Train it again with medclf-train --long-text."
        )
    head_tail = record.long_text.policy == "head_tail"
    return LongText.of("head_tail", max_length=max_length) if head_tail else record.long_text


def _held_out(options: ExportOptions, source: Source) -> HeldOut | None:
    labels, encoder = source.checkpoint.labels, source.encoder
    if options.eval_data is not None:
        return held_out.from_file(options.eval_data, source.record, labels, encoder)
    return held_out.from_record(source.record, labels, encoder)
