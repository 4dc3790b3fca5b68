"""A training table that does not fit in memory: Parquet, which one pass checks as a table in memory is checked.

The pass counts the labels, looks for texts and groups that the other parts have too, and draws a sample, which stands
for the table where all of its texts would be needed: the baseline, the lengths, a vocabulary from scratch.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medclf.data.readers import names_text
from medclf.data.row_groups import RowGroup, RowGroups
from medclf.data.tables import LabelledTexts
from medclf.errors import DataError
from medclf.labels import Labels, names_of
from medclf.train.options import TrainOptions
from medclf.train.streamed_rows import Faults, StreamedRow, needed, read_rows, several_labels

SAMPLE_ROWS = 20_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stream:
    """The training table.

    Attributes:
        table: Its row groups.
        options: Of the run.
        multi_label: Whether a text may have several labels.
        labels: Names in logit order.
        counts: Rows that have each of them.
        sample: Up to SAMPLE_ROWS rows that stand for it.
    """

    table: RowGroups
    options: TrainOptions
    multi_label: bool
    labels: Labels
    counts: tuple[int, ...]
    sample: LabelledTexts

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return self.table.n_rows

    def rows(self, groups: Iterable[RowGroup]) -> Iterator[StreamedRow]:
        """Read row groups, in the order given.

        Args:
            groups: Of the table.

        Yields:
            Every row.

        Raises:
            DataError: A row cannot be used, as the table has changed since it was checked.
        """
        faults = Faults()
        for group in groups:
            yield from read_rows(self.table, group, self.options, self.multi_label, faults)
            faults.check(self.table)


def open_stream(options: TrainOptions) -> tuple[RowGroups, bool]:
    """Read the metadata of the training table.

    Args:
        options: Of the run.

    Returns:
        Its row groups, and whether a text may have several labels.

    Raises:
        DataError: It is not Parquet, or lacks a column.
    """
    table = RowGroups.of(options.data)
    unknown = [name for name in needed(options) if name not in table.columns]
    if unknown:
        raise DataError(
            f"{options.data} has no column {names_text(unknown)}; it has {names_text(table.columns)}. "
            "Name its columns with --text-column and --label-column."
        )
    return table, several_labels(table, options)


def survey(
    table: RowGroups, options: TrainOptions, multi_label: bool, held_out: Sequence[LabelledTexts]
) -> tuple[Stream, LabelledTexts]:
    """Read the whole table once.

    Args:
        table: The training table.
        options: Of the run.
        multi_label: Whether a text may have several labels.
        held_out: The other parts.

    Returns:
        The stream, and the rows whose text or group is in another part too.

    Raises:
        DataError: A row cannot be used, or there are too few labels.
    """
    keys, groups = _held_out(held_out)
    chance, faults = np.random.default_rng(options.seed), Faults()
    sample: list[StreamedRow] = []
    shared: list[StreamedRow] = []
    names: Counter[str] = Counter()
    n_rows = 0
    for group in table.groups:
        for row in read_rows(table, group, options, multi_label, faults):
            names.update(names_of(row.label))
            n_rows += 1
            place = len(sample) if len(sample) < SAMPLE_ROWS else int(chance.integers(n_rows))
            if place < SAMPLE_ROWS:  # Vitter's algorithm R: each row is as likely to be in the sample
                sample[place : place + 1] = [row]
            if row.key in keys or (row.group and row.group in groups):
                shared.append(row)
    faults.check(table)
    labels = Labels(
        tuple(sorted(names)), "multi_label_classification" if multi_label else "single_label_classification"
    )
    digest, counts = table.sha256, tuple(names[name] for name in labels.names)
    sample.sort(key=lambda row: row.number)
    log.info(
        "streaming %d rows in %d row groups; TF-IDF, and the lengths that are told, are of a sample of %d",
        table.n_rows, len(table.groups), len(sample),
    )  # fmt: skip
    return (
        Stream(table, options, multi_label, labels, counts, _texts(table, digest, sample)),
        _texts(table, digest, shared),
    )


def _held_out(parts: Sequence[LabelledTexts]) -> tuple[set[str], set[str]]:
    rows = [
        StreamedRow(0, text, pair, (), "")
        for part in parts
        for text, pair in zip(part.texts, part.pairs or [""] * len(part), strict=True)
    ]
    return {row.key for row in rows}, {group for part in parts for group in part.groups or ()}


def _texts(table: RowGroups, digest: str, rows: Sequence[StreamedRow]) -> LabelledTexts:
    paired = any(row.pair for row in rows)
    return LabelledTexts(
        file=table.path,
        sha256=digest,
        texts=[row.text for row in rows],
        pairs=[row.pair for row in rows] if paired else None,
        labels=[row.label for row in rows],
        rows=[row.number for row in rows],
        groups=[row.group for row in rows] if any(row.group for row in rows) else None,
    )
