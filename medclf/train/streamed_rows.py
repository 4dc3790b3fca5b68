"""Rows of training out of Parquet: with text and label, or told as rows that cannot be used."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from medclf.data.keys import fold
from medclf.data.label_cells import parse_indicators, parse_labels
from medclf.data.readers import SHOWN, Row
from medclf.data.row_groups import RowGroup, RowGroups
from medclf.data.tables import join_text
from medclf.errors import DataError
from medclf.labels import Label
from medclf.train.options import TrainOptions

READ_ROWS = 1_024  # whose label cells are read together


@dataclass(frozen=True)
class StreamedRow:
    """A row of training, before it is encoded.

    Attributes:
        number: Of the row in the table.
        text: Its text.
        pair: Its second text; empty where there is none.
        label: Its label.
        group: What it belongs to; empty where nothing was named.
    """

    number: int
    text: str
    pair: str
    label: Label
    group: str

    @property
    def key(self) -> str:
        """What makes two rows the same text, as `medclf.data.keys.text_keys` has it."""
        return f"{fold(self.text)}\0{fold(self.pair)}" if self.pair else fold(self.text)


@dataclass
class Faults:
    """Rows that cannot be used: column -> how many, and the first of them."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=dict)

    def add(self, column: str, number: int, reason: str) -> None:
        """Note a row."""
        self.counts[column] += 1
        if self.counts[column] <= SHOWN:
            self.first.setdefault(column, []).append(f"row {number:,} {reason}")

    def check(self, table: RowGroups) -> None:
        """Raise a DataError, if there is one."""
        if self.counts:
            raise DataError(
                " ".join(
                    f"{table.path}, column {column!r}: {n:,} row{'s' if n > 1 else ''} cannot be used: "
                    f"{'; '.join(self.first[column])}{'; ...' if n > SHOWN else ''}. Correct or remove them."
                    for column, n in self.counts.items()
                )
            )


def read_rows(
    table: RowGroups, group: RowGroup, options: TrainOptions, multi_label: bool, faults: Faults
) -> Iterator[StreamedRow]:
    """Read a row group.

    Args:
        table: The table.
        group: One of its row groups.
        options: Of the run: which columns are what.
        multi_label: Whether a text may have several labels.
        faults: Told of the rows that cannot be used.

    Yields:
        The other rows, in order.
    """
    rows = table.rows(group, needed(options))
    while some := list(islice(rows, READ_ROWS)):
        bad: set[int] = set()
        labels = _labels(some, options, multi_label, faults, bad)
        for i, row in enumerate(some):
            made = _row(row, labels[i], options, faults)
            if made is not None and i not in bad:
                yield made


def needed(options: TrainOptions) -> tuple[str, ...]:
    """Name the columns that are read."""
    return (
        *options.text_column, *options.text_pair_column, *options.label_column, *filter(None, [options.group_column])
    )  # fmt: skip


def _labels(
    rows: Sequence[Row], options: TrainOptions, multi_label: bool, faults: Faults, bad: set[int]
) -> list[Label | None]:
    """The label of each row; None, with its place in `bad`, where the cell has a fault."""
    cells: dict[str, list[object]] = {name: [row.values.get(name) for row in rows] for name in options.label_column}
    if len(cells) > 1:
        labels, wrong = parse_indicators(cells)
        found: list[Label | None] = list(labels)
    else:
        ((name, only),) = cells.items()
        labels, faulty = parse_labels(only, multi_label=multi_label)
        wrong, good, places = {name: faulty}, iter(labels), {place for place, _ in faulty}
        found = [None if place in places else next(good) for place in range(len(only))]
    for column, faulty in wrong.items():
        for place, reason in faulty:
            if not rows[place].fault:
                faults.add(column, rows[place].number, reason)
            bad.add(place)
    return found


def _row(row: Row, label: Label | None, options: TrainOptions, faults: Faults) -> StreamedRow | None:
    if row.fault:
        faults.add(row.fault.column, row.number, row.fault.reason)
        return None
    texts = []
    for names in filter(None, (options.text_column, options.text_pair_column)):
        text, reason = join_text(row, names)
        if reason:
            faults.add("+".join(names), row.number, reason)
        texts.append(text)
    group = "" if options.group_column is None else str(row.values.get(options.group_column) or "").strip()
    if options.group_column and not group:
        faults.add(options.group_column, row.number, "has no group")
        return None
    if label is None or None in texts:
        return None
    return StreamedRow(row.number, str(texts[0]), str(texts[1]) if len(texts) > 1 else "", label, group)


def several_labels(table: RowGroups, options: TrainOptions) -> bool:
    """Say whether a text may have several labels: as asked for, or as the first label cell that is there has it."""
    if options.multi_label or len(options.label_column) > 1:
        return True
    column = options.label_column[0]
    cells = (row.values.get(column) for group in table.groups for row in table.rows(group, options.label_column))
    return isinstance(next((cell for cell in cells if cell is not None), None), list)
