"""What `medclf-explain` does: explains the answers to rows by leaving words out, and gives what a page or file shows.

The texts are in what it gives, as an explanation without them says nothing: it goes where the user sends it and nowhere
else.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from medclf.bundle import TextColumns
from medclf.data.tables import Table, join_text
from medclf.errors import DataError, OptionError
from medclf.labels import Labels, names_of
from medclf.runtime import Classifier
from medclf.runtime.occlusion import MAX_PIECES, Explanation, explain_all
from medclf.text import text_fault

DECIMALS = 6
Progress = Callable[[int], None]  # how many rows are explained


@dataclass(frozen=True)
class ExplainOptions:
    """What to explain.

    Attributes:
        source: The table.
        rows: Numbers of the rows, the first data row being 1; empty for the first ones.
        n_rows: How many of the first rows, where none are named.
        text: Columns that make the text; empty for those that the model was trained on.
        pair: Columns that make the second text; empty for those that the model was trained on.
        labels: Labels to explain; empty for those that a text is given, or the most probable one where it is given
            none.
        max_pieces: Most pieces that a text is cut into.
        encoding: Character encoding of the table.
    """

    source: Path
    rows: tuple[int, ...] = ()
    n_rows: int = 10
    text: tuple[str, ...] = ()
    pair: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    max_pieces: int = MAX_PIECES
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if self.n_rows < 1 or any(row < 1 for row in self.rows):
            raise OptionError("rows are counted from 1: a row and the number of rows must be at least 1.")


@dataclass(frozen=True)
class ExplainedText:
    """A text with its explanation.

    Attributes:
        row: Its number in the table.
        text: The text.
        pair: Its second text, or None.
        labels: The labels that are explained.
        explanation: The explanation.
    """

    row: int
    text: str
    pair: str | None
    labels: tuple[str, ...]
    explanation: Explanation

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Give it as one JSON object, with the words.

        Args:
            names: Label names in logit order.

        Returns:
            `row`, `label`, `probabilities`, `truncated`, and `pieces`: each `text`, `start` and `end` (characters),
            whether it is of the `second` text, and by explained label `effect` (log-odds) and `without` (the
            probability then).
        """
        found, columns = self.explanation, {name: names.index(name) for name in self.labels}
        return {
            "row": self.row,
            "label": found.label,
            "probabilities": dict(zip(names, _rounded(found.probabilities), strict=True)),
            "truncated": found.truncated,
            "pieces": [
                {
                    "text": (self.pair or "" if piece.second else self.text)[piece.start : piece.end],
                    "start": piece.start,
                    "end": piece.end,
                    "second": piece.second,
                    "effect": {name: round(float(found.effects[i, j]), DECIMALS) for name, j in columns.items()},
                    "without": {name: round(float(found.without[i, j]), DECIMALS) for name, j in columns.items()},
                }
                for i, piece in enumerate(found.pieces)
            ],
        }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), DECIMALS) for value in values]


def explain_text(
    classifier: Classifier, text: str, *, labels: tuple[str, ...] = (), max_pieces: int = MAX_PIECES
) -> ExplainedText:
    """Explain one text that is in no table.

    Args:
        classifier: The model.
        text: The text.
        labels: As in `ExplainOptions`.
        max_pieces: Most pieces.

    Returns:
        The text with its explanation, as row 1.

    Raises:
        DataError: The text cannot be classified.
        OptionError: A label is not one of the model's.
    """
    _check_labels(labels, classifier.labels)
    fault = text_fault(text)
    if fault:
        raise DataError(f"the text {fault}.")
    (found,) = explain_all(classifier, [(text, None)], max_pieces=max_pieces)
    return ExplainedText(1, text, None, labels or _default_labels(classifier.labels, found), found)


def explain_rows(
    classifier: Classifier, options: ExplainOptions, *, progress: Progress | None = None
) -> Iterator[ExplainedText]:
    """Explain rows of a table.

    Args:
        classifier: The model.
        options: Which, and how.
        progress: Called with the number of rows that are done.

    Yields:
        The texts with their explanations, in the order of the table.

    Raises:
        DataError: The table cannot be read, a row is not there or cannot be classified.
        OptionError: A label is not one of the model's.
    """
    _check_labels(options.labels, classifier.labels)
    rows = list(_rows(classifier, options))
    found = explain_all(classifier, ((text, pair) for _, text, pair in rows), max_pieces=options.max_pieces)
    for done, ((row, text, pair), one) in enumerate(zip(rows, found, strict=True), start=1):
        yield ExplainedText(row, text, pair, options.labels or _default_labels(classifier.labels, one), one)
        if progress:
            progress(done)


def _check_labels(wanted: Sequence[str], labels: Labels) -> None:
    unknown = [name for name in wanted if name not in labels.names]
    if unknown:
        raise OptionError(f"the bundle has no label {', '.join(unknown)}; it has {', '.join(labels.names)}.")


def _default_labels(labels: Labels, found: Explanation) -> tuple[str, ...]:
    given = names_of(found.label) if found.label is not None else ()
    return given or (labels.names[int(found.probabilities.argmax())],)


def _rows(classifier: Classifier, options: ExplainOptions) -> Iterator[tuple[int, str, str | None]]:
    trained, wanted = classifier.manifest.columns, set(options.rows)
    columns = TextColumns(options.text or trained.text, options.pair or trained.pair)
    with Table(options.source, encoding=options.encoding) as table:
        table.check_columns((*columns.text, *columns.pair))
        chosen = (row for row in table if row.number in wanted) if wanted else islice(table, options.n_rows)
        for row in chosen:
            wanted.discard(row.number)
            text, fault = join_text(row, columns.text)
            pair, pair_fault = join_text(row, columns.pair) if columns.pair else (None, None)
            if text is None or pair_fault:
                where = columns.text if text is None else columns.pair
                raise DataError(
                    f"{table.path}, row {row.number}, column {'+'.join(where)!r}: {fault or pair_fault}. "
                    "Correct the row."
                )
            yield row.number, text, pair
    if wanted:
        raise DataError(f"{options.source} has no row {', '.join(map(str, sorted(wanted)))}; rows are counted from 1.")
