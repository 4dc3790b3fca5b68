"""The rows of a table, or of a part of it: read, answered, and shaped as they are written.

`predict_file.py` writes them to a file here, `medclf.cluster.ray` to the parts of a folder.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import medclf
from medclf.bundle import Manifest, TextColumns
from medclf.data.formats import TableFormat
from medclf.data.tables import Fault, Row, Table
from medclf.errors import DataError
from medclf.runtime.classifier import Classifier
from medclf.runtime.layouts import layout_of
from medclf.runtime.lines import Line, answer_lines
from medclf.runtime.predict_options import RowOptions
from medclf.runtime.predictions import Predictions
from medclf.runtime.rows import Quarantined, answer_row, column_types, fault_text, kept_columns, output_columns


@dataclass(frozen=True)
class Columns:
    """Which columns are read, and which are written.

    Attributes:
        texts: Those that make the text.
        kept: Column of the input -> what it is called in the output.
        written: Those of the output, in order.
    """

    texts: TextColumns
    kept: dict[str, str]
    written: list[str]

    @classmethod
    def of(cls, manifest: Manifest, options: RowOptions, *, first: Sequence[str] = ()) -> "Columns":
        """Choose them.

        Args:
            manifest: Of the bundle.
            options: What the user asked for.
            first: Columns that stand before those of the predictions.

        Returns:
            The columns.

        Raises:
            OptionError: Two columns of the output would have one name.
        """
        trained = manifest.columns
        texts = TextColumns(options.text or trained.text, options.pair or trained.pair)
        own = output_columns(manifest.labels, probabilities=options.probabilities, errors=options.on_error == "skip")
        kept = kept_columns(options.keep, [*first, *own])
        return cls(texts, kept, [*first, own[0], *kept.values(), *own[1:]])

    @property
    def read(self) -> tuple[str, ...]:
        """Those of the input that are needed."""
        return (*self.texts.text, *self.texts.pair, *self.kept)


def manifest_sha256(manifest: Manifest) -> str:
    """Give the hash of a bundle: its manifest has those of its files."""
    return hashlib.sha256(manifest.to_json().encode()).hexdigest()


def describe(manifest: Manifest, options: RowOptions, columns: Columns) -> dict[str, object]:
    """Say what decides what is written of a row, so that a resume can be held against it.

    Args:
        manifest: Of the bundle.
        options: What the user asked for.
        columns: What follows from both.

    Returns:
        Words -> values of JSON.
    """
    return {
        "encoding": options.encoding,
        "text columns": [columns.texts.text, columns.texts.pair],
        "kept columns": list(columns.kept),
        "output columns": columns.written,
        "bundle": manifest_sha256(manifest),
        "medclf": medclf.__version__,
    }


@dataclass(frozen=True)
class Answered:
    """A window of rows.

    Attributes:
        lines: As they were read.
        predictions: The answers.
        rows: What is written.
        left_out: What is not.
    """

    lines: list[Line]
    predictions: Predictions
    rows: list[dict[str, object]]
    left_out: list[Quarantined]


class Job:
    """One table and one model."""

    def __init__(
        self, classifier: Classifier, options: RowOptions, table: Table, form: TableFormat, *, first: Sequence[str] = ()
    ) -> None:
        """Choose the columns.

        Args:
            classifier: The model.
            options: What is read and written of a row.
            table: The rows.
            form: The format of the output.
            first: Columns of text before those of the predictions; their values are the caller's to add.

        Raises:
            DataError: The table has not the columns.
            OptionError: Two columns of the output would have one name.
        """
        self.columns = Columns.of(classifier.manifest, options, first=first)
        self._classifier = classifier
        self._options = options
        self._table = table
        self._times = "int64" if form.name == "parquet" else "string"
        table.check_columns(self.columns.read)
        types = {new: table.types[old] for old, new in self.columns.kept.items() if old in table.types}
        types = column_types(form, classifier.labels, types, texts=first)
        self.layout = layout_of(form, self.columns.written, types)

    def answers(self, start: int = 0) -> Iterator[Answered]:
        """Read and classify.

        Args:
            start: Rows to pass over.

        Yields:
            The windows, in order.

        Raises:
            DataError: The table is damaged, or a row cannot be classified and is to stop everything.
        """
        paired = bool(self.columns.texts.pair)
        for window, predictions in answer_lines(self._classifier, self._lines(start), paired=paired):
            yield Answered(window, predictions, *self._answer(window, predictions))

    def _lines(self, start: int) -> Iterator[Line]:
        rows = self._table.rows(self.columns.read, dict.fromkeys(self.columns.kept, self._times))
        for row in islice(rows, start, None):
            line = Line.of(row, self.columns.texts)
            if line.fault and self._options.on_error == "fail":
                raise self._refused(row, line.fault)
            yield line

    def _refused(self, row: Row, fault: Fault) -> DataError:
        """Say which row stops everything."""
        column = f", column {fault.column!r}:" if fault.column else ""
        return DataError(
            f"{self._table.path}, row {row.number}{column} {fault.reason}. "
            "Correct the row, or pass --on-error skip or quarantine to classify the others."
        )

    def _answer(
        self, window: list[Line], predictions: Predictions
    ) -> tuple[list[dict[str, object]], list[Quarantined]]:
        """Give the rows that are written, and those that are left out."""
        rows: list[dict[str, object]] = []
        left_out: list[Quarantined] = []
        for index, line in enumerate(window):
            fault = line.fault or (Fault("", predictions.errors[index]) if index in predictions.errors else None)
            if fault and self._options.on_error == "fail":
                raise self._refused(line.row, fault)
            if fault and self._options.on_error == "quarantine":
                left_out.append((line.row.number, fault.column, fault.reason, fault.length))
                continue
            carried = {new: line.row.values.get(old) for old, new in self.columns.kept.items()}
            row = {"row": line.row.number, **carried, **answer_row(self._classifier.labels, predictions, index)}
            rows.append(row | {"error": fault_text(fault)} if fault else row)
        return rows, left_out
