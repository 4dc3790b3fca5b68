"""Rows of a table on their way to the model: each with its text or with what is wrong with it, and then its answer."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from medclf.bundle import TextColumns
from medclf.data.tables import Fault, Row, join_text
from medclf.runtime.classifier import Classifier
from medclf.runtime.predictions import Predictions
from medclf.runtime.texts import Texts
from medclf.runtime.windows import windows


@dataclass(frozen=True)
class Line:
    """A row of the input with its text, or with what is wrong with it.

    Attributes:
        row: The row.
        text: Its text; empty where it has a fault.
        pair: Its second text; empty where there is none.
        fault: Why it cannot be classified.
    """

    row: Row
    text: str
    pair: str
    fault: Fault | None

    @classmethod
    def of(cls, row: Row, columns: TextColumns) -> "Line":
        """Take the text out of a row.

        Args:
            row: Of a table.
            columns: That make the text, and the second text if there is one.

        Returns:
            The line; a fault names column and length, and holds no piece of the text.
        """
        if row.fault:
            return cls(row, "", "", row.fault)
        found = []
        for names in filter(None, (columns.text, columns.pair)):
            text, reason = join_text(row, names)
            if reason:
                lengths = [len(cell) for cell in map(row.values.get, names) if isinstance(cell, str)]
                return cls(row, "", "", Fault("+".join(names), reason, sum(lengths)))
            found.append(text or "")
        return cls(row, found[0], found[1] if columns.pair else "", None)


def answer_lines(
    classifier: Classifier, lines: Iterable[Line], *, paired: bool
) -> Iterator[tuple[list[Line], Predictions]]:
    """Classify a stream of lines, window by window, in bounded memory; the next one is read while one runs.

    Args:
        classifier: The model.
        lines: Read two windows ahead at most.
        paired: Whether a line has a second text.

    Yields:
        The lines of each window with their answers, in order; a line with a fault has none.
    """
    waiting: deque[list[Line]] = deque()  # windows that were read and are not answered yet: two at most

    def texts() -> Iterator[Texts]:
        for window in windows(lines, lambda line: len(line.text) + len(line.pair)):
            waiting.append(window)
            yield [line.text for line in window], [line.pair for line in window] if paired else None

    for predictions in classifier.classify_windows(texts()):
        yield waiting.popleft(), predictions
