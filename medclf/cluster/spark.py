"""A bundle on a Spark cluster: a function for `DataFrame.mapInArrow`, and the schema of what it gives.

    options = SparkOptions(keep=("id",))
    labelled = notes.mapInArrow(predict_udf("bundle", options), output_schema("bundle", notes.schema, options))

Each Python worker of Spark opens the bundle once, when its first rows come, and keeps the classifier for all of its
later tasks. Rows of small Arrow batches are gathered, and those of large ones divided, into the windows that the
length schedule needs. What is sent to the workers is the path of the bundle and its hash, never a model.
"""

import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, count
from pathlib import Path
from typing import Any

import medclf
from medclf.bundle import MANIFEST, Manifest, TextColumns, read_manifest
from medclf.data.formats import TableFormat
from medclf.data.readers import Fault, Row, names_text
from medclf.errors import BundleError, DataError, InputError, MedclfError, OptionError
from medclf.extras import require
from medclf.runtime import Classifier
from medclf.runtime.lines import Line, answer_lines
from medclf.runtime.predictions import Predictions
from medclf.runtime.rows import answer_row, column_types, fault_text, kept_columns, output_columns
from medclf.runtime.texts import raises

Udf = Callable[[Iterator[Any]], Iterator[Any]]
TYPED = TableFormat("parquet")  # the format whose columns have types: those of Arrow
_opened: dict[tuple[object, ...], Classifier] = {}  # of this process: one entry at most


@dataclass(frozen=True)
class SparkOptions:
    """How a DataFrame is classified.

    Attributes:
        text: Columns that make the text; empty for those that the model was trained on.
        pair: Columns that make the second text; empty for those that the model was trained on.
        keep: Columns to carry over, with their types; None for all but those of the texts.
        probabilities: Whether each label gets a column.
        on_error: A row that cannot be classified: `raise` fails the job, `skip` gives the row without a label and the
            reason in the column `error`.
        precision: `fp32`, `int8` or `auto`.
    """

    text: tuple[str, ...] = ()
    pair: tuple[str, ...] = ()
    keep: tuple[str, ...] | None = None
    probabilities: bool = False
    on_error: str = "raise"
    precision: str = "auto"

    def __post_init__(self) -> None:
        raises(self.on_error)
        for name in ("text", "pair", "keep"):
            if isinstance(getattr(self, name), str):
                raise OptionError(f"{name} is one string, expected a tuple of columns: ({getattr(self, name)!r},).")

    def columns(self, manifest: Manifest) -> TextColumns:
        """Name the columns of the texts.

        Args:
            manifest: Of the bundle.

        Returns:
            Those that were named, else those of training.
        """
        return TextColumns(self.text or manifest.columns.text, self.pair or manifest.columns.pair)

    def own(self, manifest: Manifest) -> list[str]:
        """Name the columns that the answers have.

        Args:
            manifest: Of the bundle.

        Returns:
            The names, in order; Spark has no row numbers.
        """
        skips = self.on_error == "skip"
        return output_columns(manifest.labels, probabilities=self.probabilities, errors=skips)[1:]

    def kept(self, manifest: Manifest, given: tuple[str, ...]) -> dict[str, str]:
        """Name the columns that are carried over.

        Args:
            manifest: Of the bundle.
            given: Columns of the DataFrame.

        Returns:
            Column of the DataFrame -> column of the result.

        Raises:
            DataError: The DataFrame lacks a column that is needed.
            OptionError: Two columns of the result would have one name.
        """
        texts = self.columns(manifest)
        needed = (*texts.text, *texts.pair)
        keep = tuple(name for name in given if name not in needed) if self.keep is None else self.keep
        missing = [name for name in (*needed, *keep) if name not in given]
        if missing:
            raise DataError(
                f"the DataFrame has no column {names_text(missing)}; it has {names_text(given)}. Name the columns of "
                "the texts with SparkOptions(text=(...,))."
            )
        return kept_columns(keep, self.own(manifest))


def predict_udf(bundle: str | Path, options: SparkOptions | None = None) -> Udf:
    """Make the function that labels rows, for `DataFrame.mapInArrow`.

    Args:
        bundle: The bundle's folder, at the same path on the driver and on every worker.
        options: How rows are classified; None for the defaults.

    Returns:
        A function of an iterator of Arrow record batches; it gives every row once, in order, with the columns of
        `output_schema`. On a worker it raises InputError for a row that cannot be classified, and BundleError where
        the bundle is missing or another than the driver's.

    Raises:
        BundleError: The bundle cannot be read on the driver.
    """
    job = _Job(str(bundle), _fingerprint(bundle), options or SparkOptions())

    def label(batches: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from job.run(batches)
        except MedclfError:
            raise
        except Exception as error:  # a bug: its message could hold a text, and Spark logs it
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            raise MedclfError(f"internal error: {type(error).__name__} at {where}. Please report it.") from None

    return label


def output_schema(bundle: str | Path, schema: Any, options: SparkOptions | None = None) -> Any:
    """Give the schema of what `predict_udf` makes of a DataFrame.

    Args:
        bundle: The bundle's folder.
        schema: The DataFrame's schema, a `StructType`.
        options: The same as for `predict_udf`.

    Returns:
        A `StructType`: the kept columns with their types, then those of the answers.

    Raises:
        BundleError: The bundle cannot be read.
        DataError: The DataFrame lacks a column that is needed.
        OptionError: Two columns of the result would have one name.
        ExtraError: pyspark or pyarrow is not installed.
    """
    options = options or SparkOptions()
    types, manifest = require("pyspark.sql.types", extra="spark"), read_manifest(Path(bundle))
    fields = [
        types.StructField(new, schema[old].dataType, schema[old].nullable)
        for old, new in options.kept(manifest, tuple(schema.names)).items()
    ]
    arrow = column_types(TYPED, manifest.labels, {})
    own = [types.StructField(name, _spark_type(types, arrow[name])) for name in options.own(manifest)]
    return types.StructType([*fields, *own])


def _spark_type(types: Any, arrow: Any) -> Any:
    if hasattr(arrow, "value_type"):
        return types.ArrayType(_spark_type(types, arrow.value_type))
    return {"string": types.StringType, "double": types.DoubleType, "bool": types.BooleanType}[str(arrow)]()


def _fingerprint(bundle: str | Path) -> str:
    """Hash what decides the answers: the manifest, which has the hash of every file, and the version of medclf."""
    read_manifest(Path(bundle))  # a clear error, where there is none
    return sha256((Path(bundle) / MANIFEST).read_bytes() + medclf.__version__.encode()).hexdigest()


@dataclass(frozen=True)
class _Job:
    """What is sent to the workers."""

    bundle: str
    fingerprint: str
    options: SparkOptions

    def run(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Label the rows of one partition."""
        first = next(batches, None)
        if first is None:  # an empty partition opens no model
            return
        classifier = self._classifier()
        columns = self.options.columns(classifier.manifest)
        kept = self.options.kept(classifier.manifest, tuple(first.schema.names))
        waiting: deque[Any] = deque()  # batches of which rows are not answered yet
        lines = self._lines(chain([first], batches), columns, waiting)
        for window, predictions in answer_lines(classifier, lines, paired=bool(columns.pair)):
            answers = self._answers(classifier, window, predictions)
            yield self._labelled(classifier, kept, _take(waiting, len(window)), answers)

    def _lines(self, batches: Iterable[Any], columns: TextColumns, waiting: deque[Any]) -> Iterator[Line]:
        needed = (*columns.text, *columns.pair)
        number = count(1)
        for batch in batches:
            waiting.append(batch)
            for values in zip(*(_cells(batch.column(name)) for name in needed), strict=True):
                line = Line.of(Row(next(number), dict(zip(needed, values, strict=True))), columns)
                if line.fault:
                    self._refuse(line, line.fault)
                yield line

    def _answers(self, classifier: Classifier, window: list[Line], predictions: Predictions) -> list[dict[str, object]]:
        rows = []
        for index, line in enumerate(window):
            row = answer_row(classifier.labels, predictions, index)
            fault = line.fault or (Fault("", predictions.errors[index]) if index in predictions.errors else None)
            if fault:
                self._refuse(line, fault)
                row["error"] = fault_text(fault)
            rows.append(row)
        return rows

    def _refuse(self, line: Line, fault: Fault) -> None:
        if raises(self.options.on_error):
            context = _task()
            partition = context.partitionId() if context else 0
            where = f"row {line.row.number} of partition {partition}"
            length = "" if fault.length is None else f" (length {fault.length:,})"
            raise InputError(
                f"{where}: {fault_text(fault)}{length}. Correct the row, or pass SparkOptions(on_error='skip') to "
                "label the others."
            )

    def _labelled(
        self, classifier: Classifier, kept: Mapping[str, str], parts: list[Any], rows: list[dict[str, object]]
    ) -> Any:
        """Make one record batch of the rows of a window."""
        arrow = require("pyarrow", extra="spark")
        types = column_types(TYPED, classifier.labels, {})
        own = self.options.own(classifier.manifest)
        carried = [arrow.concat_arrays([part.column(old) for part in parts]) for old in kept]
        answers = [arrow.array([row[name] for row in rows], types[name]) for name in own]
        return arrow.RecordBatch.from_arrays([*carried, *answers], names=[*kept.values(), *own])

    def _classifier(self) -> Classifier:
        context = _task()
        threads = context.cpus() if context else None  # spark.task.cpus: other workers have the other cores
        key = (self.bundle, self.fingerprint, self.options.precision, threads)
        if key not in _opened:
            if not Path(self.bundle).is_dir():
                raise BundleError(f"{self.bundle} is not on this worker. Put the bundle at that path on every worker.")
            if _fingerprint(self.bundle) != self.fingerprint:
                raise BundleError(
                    f"{self.bundle} on this worker is another bundle than the driver's, or medclf {medclf.__version__} "
                    "is another version. Install the same on every worker."
                )
            for other in _opened.values():
                other.close()
            _opened.clear()
            _opened[key] = Classifier.load(self.bundle, precision=self.options.precision, threads=threads)
        return _opened[key]


def _task() -> Any:
    """The context of Spark's task; None where this process is no worker of Spark."""
    pyspark = sys.modules.get("pyspark")
    return pyspark.TaskContext.get() if pyspark else None


def _take(waiting: deque[Any], n_rows: int) -> list[Any]:
    """Take the first rows off the batches that wait."""
    parts = []
    while n_rows:
        batch = waiting.popleft()
        if batch.num_rows > n_rows:
            waiting.appendleft(batch.slice(n_rows))
            batch = batch.slice(0, n_rows)
        if batch.num_rows:
            parts.append(batch)
        n_rows -= batch.num_rows
    return parts


def _cells(column: Any) -> list[object]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:  # Spark does not check; such a row has a fault of its own then
        return [bytes(cell.as_buffer()).decode(errors="surrogateescape") if cell.is_valid else None for cell in column]
