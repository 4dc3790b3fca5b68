"""Rows in Arrow batches, labelled by a bundle that each worker process opens once: what Spark and Ray Data share.

The classifier stays open for all later calls. Rows of small batches are gathered, and those of large ones divided, into
the windows that the length schedule needs. What is sent to the workers is the path of the bundle and its hash, never a
model.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, count
from pathlib import Path
from typing import Any

import medclf
from medclf.bundle import MANIFEST, Manifest, TextColumns, read_manifest
from medclf.data.formats import TableFormat
from medclf.data.readers import Fault, Row, names_text
from medclf.errors import BundleError, DataError, InputError, MedclfError, OptionError, place_of
from medclf.extras import require
from medclf.runtime import Classifier
from medclf.runtime.lines import Line, answer_lines
from medclf.runtime.predictions import Predictions
from medclf.runtime.rows import answer_row, column_types, fault_text, kept_columns, output_columns
from medclf.runtime.texts import raises

TYPED = TableFormat("parquet")  # the format whose columns have types: those of Arrow
_opened: dict[tuple[object, ...], Classifier] = {}  # of this process: one entry at most


@dataclass(frozen=True)
class ArrowOptions:
    """How rows are classified.

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
            The names, in order; such rows have no numbers.
        """
        skips = self.on_error == "skip"
        return output_columns(manifest.labels, probabilities=self.probabilities, errors=skips)[1:]

    def kept(self, manifest: Manifest, given: tuple[str, ...]) -> dict[str, str]:
        """Name the columns that are carried over.

        Args:
            manifest: Of the bundle.
            given: Columns of the rows.

        Returns:
            Column of the rows -> column of the result.

        Raises:
            DataError: The rows lack a column that is needed.
            OptionError: Two columns of the result would have one name.
        """
        texts = self.columns(manifest)
        needed = (*texts.text, *texts.pair)
        keep = tuple(name for name in given if name not in needed) if self.keep is None else self.keep
        missing = [name for name in (*needed, *keep) if name not in given]
        if missing:
            raise DataError(
                f"the rows have no column {names_text(missing)}; they have {names_text(given)}. Name the columns of "
                "the texts with ArrowOptions(text=(...,))."
            )
        return kept_columns(keep, self.own(manifest))


@dataclass(frozen=True)
class ArrowJob:
    """What is sent to the workers.

    Attributes:
        bundle: The bundle's folder, at the same path on the driver and on every worker.
        fingerprint: Hash of what decides the answers, on the driver.
        options: How rows are classified.
    """

    bundle: str
    fingerprint: str
    options: ArrowOptions

    @classmethod
    def of(cls, bundle: str | Path, options: ArrowOptions | None) -> "ArrowJob":
        """Describe a job, on the driver.

        Args:
            bundle: The bundle's folder.
            options: How rows are classified; None for the defaults.

        Returns:
            The job.

        Raises:
            BundleError: The bundle cannot be read.
        """
        return cls(str(bundle), _fingerprint(bundle), options or ArrowOptions())

    def run(self, batches: Iterator[Any], *, part: str, threads: int | None) -> Iterator[Any]:
        """Label rows, on a worker.

        Args:
            batches: Arrow record batches.
            part: What holds them, for messages: such as `partition 3`.
            threads: Cores to keep busy; None for all.

        Yields:
            Record batches: every row once, in order, with the kept columns and those of the answers.

        Raises:
            InputError: A row cannot be classified.
            BundleError: The bundle is missing on this worker, or another than the driver's.
            MedclfError: A bug, by its place alone: engines log the words of errors, which could hold a text.
        """
        try:
            first = next(batches, None)
            if first is not None:  # an empty partition opens no model
                yield from _Part(part, self.options, self._classifier(threads)).label(chain([first], batches))
        except MedclfError:
            raise
        except Exception as error:
            raise MedclfError(f"internal error: {place_of(error)}. Please report it.") from None

    def _classifier(self, threads: int | None) -> Classifier:
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


@dataclass(frozen=True)
class _Part:
    """Rows that a worker is given together."""

    name: str
    options: ArrowOptions
    classifier: Classifier

    def label(self, batches: Iterator[Any]) -> Iterator[Any]:
        waiting: deque[Any] = deque()  # batches of which rows are not answered yet
        columns = self.options.columns(self.classifier.manifest)
        for window, predictions in answer_lines(
            self.classifier, self._lines(batches, columns, waiting), paired=bool(columns.pair)
        ):
            answers = [self._answer(line, predictions, index) for index, line in enumerate(window)]
            yield self._labelled(_take(waiting, len(window)), answers)

    def _lines(self, batches: Iterator[Any], columns: TextColumns, waiting: deque[Any]) -> Iterator[Line]:
        needed = (*columns.text, *columns.pair)
        number = count(1)
        for batch in batches:
            self._kept(batch)  # names what is missing
            waiting.append(batch)
            for values in zip(*(_cells(batch.column(name)) for name in needed), strict=True):
                line = Line.of(Row(next(number), dict(zip(needed, values, strict=True))), columns)
                if line.fault:
                    self._refuse(line, line.fault)
                yield line

    def _answer(self, line: Line, predictions: Predictions, index: int) -> dict[str, object]:
        row = answer_row(self.classifier.labels, predictions, index)
        fault = line.fault or (Fault("", predictions.errors[index]) if index in predictions.errors else None)
        if fault:
            self._refuse(line, fault)
            row["error"] = fault_text(fault)
        return row

    def _refuse(self, line: Line, fault: Fault) -> None:
        if raises(self.options.on_error):
            length = "" if fault.length is None else f" (length {fault.length:,})"
            raise InputError(
                f"row {line.row.number} of {self.name}: {fault_text(fault)}{length}. Correct the row, or pass "
                "ArrowOptions(on_error='skip') to label the others."
            )

    def _labelled(self, parts: list[Any], rows: list[dict[str, object]]) -> Any:
        """Make one record batch of the rows of a window."""
        arrow = require("pyarrow", extra="files")
        kept, own = self._kept(parts[0]), self.options.own(self.classifier.manifest)
        types = column_types(TYPED, self.classifier.labels, {})
        carried = [arrow.concat_arrays([part.column(old) for part in parts]) for old in kept]
        answers = [arrow.array([row[name] for row in rows], types[name]) for name in own]
        return arrow.RecordBatch.from_arrays([*carried, *answers], names=[*kept.values(), *own])

    def _kept(self, batch: Any) -> dict[str, str]:
        return self.options.kept(self.classifier.manifest, tuple(batch.schema.names))


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


def _fingerprint(bundle: str | Path) -> str:
    """Hash what decides the answers: the manifest, which has the hash of every file, and the version of medclf."""
    read_manifest(Path(bundle))  # a clear error, where there is none
    return sha256((Path(bundle) / MANIFEST).read_bytes() + medclf.__version__.encode()).hexdigest()
