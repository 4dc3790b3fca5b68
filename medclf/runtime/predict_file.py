"""Classifies a table, row by row in order, in memory that does not grow with the file."""

import hashlib
import time
from collections.abc import Callable, Iterator
from itertools import islice

import medclf
from medclf.bundle import TextColumns
from medclf.data.tables import Fault, Row, Table
from medclf.errors import DataError, OutputError
from medclf.runtime.classifier import Classifier
from medclf.runtime.counts import Counts
from medclf.runtime.layouts import layout_of
from medclf.runtime.lines import Line, answer_lines
from medclf.runtime.output import FileOutput, StreamOutput, open_output
from medclf.runtime.predict_options import PredictOptions as PredictOptions
from medclf.runtime.predictions import Predictions
from medclf.runtime.rows import Quarantined, answer_row, column_types, fault_text, kept_columns, output_columns
from medclf.runtime.work import Commit

Progress = Callable[[float | None, Counts], None]


class _Job:
    """One table and one model: which columns are read, and which are written."""

    def __init__(self, classifier: Classifier, options: PredictOptions, table: Table) -> None:
        trained = classifier.manifest.columns
        self.classifier = classifier
        self.options = options
        self.table = table
        self.texts = TextColumns(options.text or trained.text, options.pair or trained.pair)
        own = output_columns(classifier.labels, probabilities=options.probabilities, errors=options.on_error == "skip")
        self.kept = kept_columns(options.keep, own)
        self.columns = [own[0], *self.kept.values(), *own[1:]]
        self.read = (*self.texts.text, *self.texts.pair, *self.kept)
        table.check_columns(self.read)
        types = {new: table.types[old] for old, new in self.kept.items() if old in table.types}
        self.layout = layout_of(options.form, self.columns, column_types(options.form, classifier.labels, types))

    def describe(self) -> dict[str, object]:
        """Say what decides the bytes of the output, so that a resume can be held against it."""
        options, source = self.options, self.options.source
        manifest = self.classifier.manifest.to_json()
        at = source.stat() if source.is_file() else None
        return {
            "input size": at and at.st_size,
            "input time": at and at.st_mtime_ns,
            "input format": options.source_format,
            "encoding": options.encoding,
            "text columns": [self.texts.text, self.texts.pair],
            "kept columns": list(self.kept),
            "output columns": self.columns,
            "output format": options.form.name,
            "bundle": hashlib.sha256(manifest.encode()).hexdigest(),
            "precision": self.classifier.precision,
            "provider": self.classifier.provider,
            "medclf": medclf.__version__,
        }

    def lines(self, start: int) -> Iterator[Line]:
        times = "int64" if self.options.form.name == "parquet" else "string"
        for row in islice(self.table.rows(self.read, dict.fromkeys(self.kept, times)), start, None):
            line = Line.of(row, self.texts)
            if line.fault and self.options.on_error == "fail":
                raise self.refused(row, line.fault)
            yield line

    def refused(self, row: Row, fault: Fault) -> DataError:
        """Say which row stops everything."""
        column = f", column {fault.column!r}:" if fault.column else ""
        return DataError(
            f"{self.table.path}, row {row.number}{column} {fault.reason}. "
            "Correct the row, or pass --on-error skip or quarantine to classify the others."
        )

    def answer(self, window: list[Line], predictions: Predictions) -> tuple[list[dict[str, object]], list[Quarantined]]:
        """Give the rows that are written, and those that are left out."""
        rows: list[dict[str, object]] = []
        left_out: list[Quarantined] = []
        for index, line in enumerate(window):
            fault = line.fault or (Fault("", predictions.errors[index]) if index in predictions.errors else None)
            if fault and self.options.on_error == "fail":
                raise self.refused(line.row, fault)
            if fault and self.options.on_error == "quarantine":
                left_out.append((line.row.number, fault.column, fault.reason, fault.length))
                continue
            carried = {new: line.row.values.get(old) for old, new in self.kept.items()}
            row = {"row": line.row.number, **carried, **answer_row(self.classifier.labels, predictions, index)}
            rows.append(row | {"error": fault_text(fault)} if fault else row)
        return rows, left_out


def predict_file(classifier: Classifier, options: PredictOptions, *, progress: Progress | None = None) -> Counts:
    """Classify a table.

    Args:
        classifier: The model.
        options: The tables.
        progress: Called after each window with the fraction of the input that was read, None
            where its length is not known, and the counts so far.

    Returns:
        The counts, those of a run that was resumed included.

    Raises:
        DataError: The input cannot be read, or a row cannot be classified and is not to be skipped.
        OptionError: A column is asked for twice.
        OutputError: The output cannot be written, or the run to resume was another. Where rows are committed, this and
            every other error has a note that says so.
    """
    with Table(options.source, encoding=options.encoding, named=options.source_format) as table:
        job = _Job(classifier, options, table)
        with open_output(options, job.layout, job.describe()) as output:
            if output.counts.n_quarantined and options.on_error != "quarantine":
                raise OutputError(f"the run that was stopped had --on-error quarantine, this one {options.on_error}.")
            if not output.complete:
                _classify(job, output, progress)
            output.finish()
            return output.counts


def _classify(job: _Job, output: FileOutput | StreamOutput, progress: Progress | None) -> None:
    lines = job.lines(output.counts.n_rows)
    begun = time.perf_counter()
    for window, predictions in answer_lines(job.classifier, lines, paired=bool(job.texts.pair)):
        rows, left_out = job.answer(window, predictions)
        now = time.perf_counter()
        counts = Counts.of(predictions, n_quarantined=len(left_out), seconds=now - begun)
        output.commit(rows, Commit(counts, tuple(left_out)))
        begun = now
        if progress:
            progress(job.table.fraction_read, output.counts)
