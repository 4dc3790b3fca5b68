"""Classifies a table, row by row in order, in memory that does not grow with the file."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medclf.atomic import atomic_file, check_output
from medclf.bundle import TextColumns
from medclf.data.tables import Row, Table, join_text
from medclf.errors import DataError, OptionError
from medclf.labels import Labels
from medclf.runtime.classifier import Classifier
from medclf.runtime.predictions import Predictions
from medclf.runtime.rows import OUTPUT_SUFFIXES, kept_columns, output_columns, probability_column, row_writer
from medclf.runtime.texts import Texts
from medclf.runtime.windows import windows

DECIMALS = 6  # of a probability

Progress = Callable[[float, "Counts"], None]


@dataclass(frozen=True)
class PredictOptions:
    """What to classify, and what to write.

    Attributes:
        source: The table to read.
        target: The table to write: CSV, TSV or JSON lines by its suffix.
        text: Columns that make the text; empty for those that the model was trained on.
        pair: Columns that make the second text; empty for those that the model was trained on.
        keep: Columns of the input to carry over.
        probabilities: Whether each label gets a column.
        skip_errors: Whether a row that cannot be classified is left without an answer, or stops everything.
        encoding: Character encoding of the input.
        overwrite: Whether an existing output is replaced.
    """

    source: Path
    target: Path
    text: tuple[str, ...] = ()
    pair: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    probabilities: bool = False
    skip_errors: bool = False
    encoding: str = "utf-8"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.target.suffix.lower() not in OUTPUT_SUFFIXES:
            raise OptionError(
                f"{self.target}: the suffix must be one of {', '.join(OUTPUT_SUFFIXES)}; it is the format."
            )
        if self.target.exists() and self.source.exists() and self.target.samefile(self.source):
            raise OptionError(f"{self.target} is the input. Name another output.")
        check_output(self.target, overwrite=self.overwrite)


@dataclass(frozen=True)
class Counts:
    """What was done so far.

    Attributes:
        n_rows: Rows read.
        n_tokens: Tokens that the model saw.
        n_truncated: Rows whose text was longer than the model takes.
        n_skipped: Rows without an answer.
        seconds: Time that it took.
    """

    n_rows: int = 0
    n_tokens: int = 0
    n_truncated: int = 0
    n_skipped: int = 0
    seconds: float = 0.0

    def plus(self, predictions: Predictions, *, seconds: float) -> "Counts":
        """Count a window in.

        Args:
            predictions: Its answers.
            seconds: Time since the beginning.

        Returns:
            The new counts.
        """
        cut = predictions.truncation
        return Counts(
            self.n_rows + len(predictions),
            self.n_tokens + cut.n_tokens - cut.n_tokens_cut,
            self.n_truncated + cut.n_truncated,
            self.n_skipped + len(predictions.errors),
            seconds,
        )


@dataclass(frozen=True)
class _Line:
    """A row of the input with its text, or with what is wrong with it."""

    row: Row
    text: str
    pair: str
    fault: str | None


def predict_file(classifier: Classifier, options: PredictOptions, *, progress: Progress | None = None) -> Counts:
    """Classify a table.

    Args:
        classifier: The model.
        options: The tables.
        progress: Called after each window with the fraction of the input that was read and the counts so far.

    Returns:
        The counts.

    Raises:
        DataError: The input cannot be read, or a row cannot be classified and is not to be skipped.
        OptionError: A column is asked for twice.
        OutputError: The output cannot be written.
    """
    trained = classifier.manifest.columns
    columns = TextColumns(options.text or trained.text, options.pair or trained.pair)
    own = output_columns(classifier.labels, probabilities=options.probabilities, errors=options.skip_errors)
    kept = kept_columns(options.keep, own)
    counts, start = Counts(), time.perf_counter()
    with Table(options.source, encoding=options.encoding) as table:
        table.check_columns((*columns.text, *columns.pair, *kept))
        with (
            atomic_file(options.target, overwrite=options.overwrite) as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            lines = _lines(table, columns, options)
            write = row_writer(file, options.target.suffix.lower(), [own[0], *kept.values(), *own[1:]])
            for window, predictions in _answers(classifier, lines, paired=bool(columns.pair)):
                for index, line in enumerate(window):
                    carried = {new: line.row.values.get(old) for old, new in kept.items()}
                    write(carried | _row(classifier.labels, line, predictions, index))
                seconds = time.perf_counter() - start
                counts = counts.plus(predictions, seconds=seconds)
                if progress:
                    progress(table.fraction_read, counts)
    return counts


def _lines(table: Table, columns: TextColumns, options: PredictOptions) -> Iterator[_Line]:
    for row in table:
        text, fault = join_text(row, columns.text)
        where = "+".join(columns.text)
        pair: str | None = ""
        if columns.pair and not fault:
            pair, fault = join_text(row, columns.pair)
            where = "+".join(columns.pair)
        if fault and not options.skip_errors:
            raise DataError(
                f"{table.path}, row {row.number}, column {where!r}: {fault}. "
                "Correct the row, or pass --on-error skip to classify the others."
            )
        yield _Line(row, text or "", pair or "", f"column {where!r} {fault}" if fault else None)


def _answers(
    classifier: Classifier, lines: Iterator[_Line], *, paired: bool
) -> Iterator[tuple[list[_Line], Predictions]]:
    waiting: deque[list[_Line]] = deque()  # windows that were read and are not answered yet: two at most

    def texts() -> Iterator[Texts]:
        for window in windows(lines, lambda line: len(line.text) + len(line.pair)):
            waiting.append(window)
            yield [line.text for line in window], [line.pair for line in window] if paired else None

    for predictions in classifier.classify_windows(texts()):
        yield waiting.popleft(), predictions


def _row(labels: Labels, line: _Line, predictions: Predictions, index: int) -> dict[str, object]:
    label = predictions.labels[index]
    every = dict(
        zip(labels.names, np.round(predictions.probabilities[index].astype(float), DECIMALS).tolist(), strict=True)
    )
    answered = label is not None
    given = [every[name] for name in label] if isinstance(label, tuple) else every.get(label or "")
    return {
        "row": line.row.number,
        "label": label,
        "probability": given if answered else None,
        "truncated": bool(predictions.truncated[index]) if answered else None,
        **{probability_column(name): value if answered else None for name, value in every.items()},
        "error": line.fault,
    }
