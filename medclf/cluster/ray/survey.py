"""Where the partitions of a table begin: by the footer of Parquet, by one pass over CSV and JSON lines.

A partition is a range of row groups or bytes that reads as the whole table would: rows keep their numbers, and faults
are found where they lie. What cannot be cut safely (a compressed stream, an encoding whose line ends are not one byte,
bare carriage returns, a quote that is left open) is one partition. No fault of a row is told here: the partition does.
"""

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any

from medclf.cluster.ray.storage import Storage
from medclf.data.formats import TableFormat, table_format
from medclf.data.ranges import Joined, RowRange
from medclf.data.readers import MAX_CELL, delimiter_of
from medclf.data.tables import Table
from medclf.errors import DataError
from medclf.extras import require

GROUP_CUTS = 16  # of one row group, at most: what is read of it is read from its beginning
# in these a line feed is one byte, and no other character holds that byte
CUTTABLE = re.compile(r"utf-8(-sig)?|ascii|iso8859-\d+|cp125\d|cp437|cp850|mac-roman|koi8-[ru]")


@dataclass(frozen=True)
class Partition:
    """Some consecutive rows of a table, and where they are.

    Attributes:
        name: Of its part in the output.
        file: Name of the table.
        size_bytes: Its share of the table's.
        first_row: Number of its first row, from 1.
        n_rows: How many; None where only reading them tells.
        groups: Row groups of Parquet.
        n_before: Rows of these groups that stand before it.
        head: Bytes that the beginning of a text has; 0 where the partition is the beginning.
        start: Its first byte, and with `stop` the byte after its last.
        stop: None for the whole file.
    """

    name: str
    file: str
    size_bytes: int
    first_row: int = 1
    n_rows: int | None = None
    groups: tuple[int, ...] | None = None
    n_before: int = 0
    head: int = 0
    start: int = 0
    stop: int | None = None

    def __str__(self) -> str:
        rows = f", rows {self.first_row:,} to {self.first_row + self.n_rows - 1:,}" if self.n_rows else ""
        return f"{self.name} ({self.file}{rows})"

    def open(self, storage: Storage) -> RowRange:
        """Open its rows.

        Args:
            storage: The folder of the table.

        Returns:
            The rows, in a file that whoever reads them closes.

        Raises:
            DataError: The table cannot be opened.
        """
        file = storage.open(self.file)
        if self.groups is None and self.stop is not None:
            file = io.BufferedReader(Joined(file, self.head, self.start, self.stop), 2**20)
        return RowRange(file, self.first_row, self.n_rows, self.groups, self.n_before)


@dataclass(frozen=True)
class Survey:
    """What is known of a table before it is classified.

    Attributes:
        partitions: All of its rows; none where it has no row.
        types: Column that is needed -> its type, where the format has types.
        kinds: Kept column of JSON lines -> the kinds of values that it holds.
    """

    partitions: list[Partition]
    types: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What a survey looks for.

    Attributes:
        read: Columns that are needed.
        kept: Those that are carried over.
        named: Format of the tables; empty for that of the suffix of each.
        encoding: Of text.
        partition_rows: Rows of a partition, at most.
    """

    read: tuple[str, ...]
    kept: tuple[str, ...]
    named: str
    encoding: str
    partition_rows: int


def survey(storage: Storage, file: str, size_bytes: int, prefix: str, wanted: Wanted) -> Survey:
    """Look at a table.

    Args:
        storage: Its folder.
        file: Its name.
        size_bytes: Its length.
        prefix: With which the names of its parts begin.
        wanted: What is needed of it.

    Returns:
        Its partitions and types.

    Raises:
        DataError: It cannot be read, or has not the columns.
    """
    form = table_format(Path(file), wanted.named)
    if not size_bytes or form is None:
        storage.open(file).close()  # a link that leads nowhere has no size either
        return Survey([])

    def opened() -> Table:
        path, rows = Path(storage.at(file)), RowRange(storage.open(file))
        return Table(path, encoding=wanted.encoding, named=wanted.named, only=rows)

    with opened() as table:
        table.check_columns(wanted.read)
        types = {name: _type(table.types[name], name in wanted.kept) for name in wanted.read if name in table.types}
        sizes = table.group_rows
    cuts = _lines(storage, file, form, wanted) if sizes is None else _row_groups(sizes, wanted.partition_rows)
    n_rows = sum(cut.get("n_rows", 0) for cut in cuts)
    partitions = [
        Partition(name=f"{prefix}-{i:05d}", file=file, size_bytes=_share(cut, n_rows, size_bytes), **cut)
        for i, cut in enumerate(cuts)
    ]
    return Survey(partitions, types, _kinds(opened, wanted.kept) if form.name == "jsonl" else {})


Cut = dict[str, Any]  # the fields of a Partition that say where it is


def _share(cut: Cut, n_rows: int, size_bytes: int) -> int:
    return size_bytes * int(cut["n_rows"]) // n_rows if n_rows else size_bytes


def _type(of: Any, kept: bool) -> str:
    types = require("pyarrow", extra="ray").types
    value = of.value_type if types.is_dictionary(of) else of
    text = any(known(value) for known in (types.is_string, types.is_large_string, types.is_string_view))
    return "string" if text and not kept else str(of)


def _row_groups(sizes: list[int], partition_rows: int) -> list[Cut]:
    cuts: list[Cut] = []
    first_row = 1
    groups: list[int] = []
    for group, n_rows in enumerate(sizes):
        n_waiting = sum(sizes[one] for one in groups)
        if groups and n_waiting + n_rows > partition_rows:
            cuts += _cut_groups(tuple(groups), n_waiting, first_row, partition_rows)
            first_row, groups = first_row + n_waiting, []
        groups.append(group)
    return cuts + _cut_groups(tuple(groups), sum(sizes[one] for one in groups), first_row, partition_rows)


def _cut_groups(groups: tuple[int, ...], n_rows: int, first_row: int, partition_rows: int) -> list[Cut]:
    step = max(partition_rows, -(-n_rows // GROUP_CUTS))
    return [
        {"groups": groups, "n_before": start, "first_row": first_row + start, "n_rows": min(step, n_rows - start)}
        for start in range(0, n_rows, step)
    ]


def _lines(storage: Storage, file: str, form: TableFormat, wanted: Wanted) -> list[Cut]:
    """Cut a text; what cannot be cut, or not safely, is one partition."""
    if form.compression or not CUTTABLE.fullmatch(codecs.lookup(wanted.encoding).name):
        return [{}]
    with contextlib.closing(storage.open(file)) as opened:
        try:
            lines = io.BufferedReader(opened, 2**20)  # type: ignore[type-var]
            head, ends = _jsonl_ends(lines) if form.name == "jsonl" else _csv_ends(lines, form, wanted.encoding)
            return _cuts(head, ends, wanted.partition_rows)
        except (_UncuttableError, csv.Error):
            return [{}]


class _UncuttableError(Exception):
    """The lines of bytes are not the lines that a reader finds."""


def _cuts(head: int, ends: Iterable[int], step: int) -> list[Cut]:
    """Cut after every so many rows.

    Args:
        head: Bytes that each partition needs before its rows.
        ends: The byte after each row.
        step: Rows of a partition.

    Returns:
        The cuts.
    """
    cuts: list[Cut] = []
    start = n_rows = stop = 0
    for n_rows, stop in enumerate(ends, 1):  # the last ones are the rest
        if n_rows % step == 0:
            cuts.append(_cut(head, start, stop, n_rows - step + 1, step))
            start = stop
    rest = n_rows % step
    return [*cuts, _cut(head, start, stop, n_rows - rest + 1, rest)] if rest else cuts


def _cut(head: int, start: int, stop: int, first_row: int, n_rows: int) -> Cut:
    # the first partition begins with the beginning, which is not read twice
    return {"first_row": first_row, "n_rows": n_rows, "head": head if start else 0, "start": start, "stop": stop}


def _byte_lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(MAX_CELL):
        if len(line) == MAX_CELL or line.count(b"\r") != line.endswith(b"\r\n"):
            raise _UncuttableError
        yield line


def _jsonl_ends(file: IO[bytes]) -> tuple[int, Iterator[int]]:
    def ends() -> Iterator[int]:
        at = 0
        for line in _byte_lines(file):
            at += len(line)
            if line.strip():
                yield at

    following = ends()
    head = next(following)
    return head, chain([head], following)  # the first row is what names the columns


def _csv_ends(file: IO[bytes], form: TableFormat, encoding: str) -> tuple[int, Iterator[int]]:
    at = 0

    def lines() -> Iterator[str]:
        nonlocal at
        for line in _byte_lines(file):
            at += len(line)
            yield line.decode(encoding, "replace")

    following = lines()
    header = next(following).removeprefix("\ufeff")
    delimiter = "\t" if form.name == "tsv" else delimiter_of(header)
    # the csv module takes a line when it needs one: after each record, `at` is the byte after it
    records = filter(None, csv.reader(chain([header], following), delimiter=delimiter, strict=True))
    next(records)
    return at, (at for _ in records)


def _kinds(opened: Callable[[], Table], kept: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {name: set() for name in kept}
    with opened() as table, contextlib.suppress(DataError):  # the partition tells of it
        for row in table.rows() if kept else ():
            for name, kinds in found.items():
                kinds.add(_kind(row.values.get(name)))
    return {name: sorted(kinds - {""}) for name, kinds in found.items()}


def _kind(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | float | str):
        return type(value).__name__
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        return "json"
    return "int" if abs(value) <= 2**53 else "long"


def common_type(kinds: Collection[str]) -> str:
    """Name the type in Arrow of a column of JSON lines, as `ParquetLayout` finds it in one file.

    Args:
        kinds: Of its values, in all tables.

    Returns:
        `int64`, `double`, `bool` or `string`.
    """
    found = set(kinds)
    if found and found <= {"int", "long"}:
        return "int64"
    if found and found <= {"int", "float"}:
        return "double"
    return "bool" if found == {"bool"} else "string"
