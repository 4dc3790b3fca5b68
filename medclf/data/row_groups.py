"""Parquet as row groups: of one file, or of a folder of files; read one after the other in any order."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from medclf.bundle import FileRecord
from medclf.data.parquet import ParquetReader
from medclf.data.ranges import RowRange
from medclf.data.readers import Row, names_text
from medclf.data.tables import check_source
from medclf.errors import DataError


@dataclass(frozen=True)
class RowGroup:
    """A row group.

    Attributes:
        file: Where it is.
        index: Its place in the file.
        n_rows: How many rows it has.
        first: Number of its first row; of a folder, rows count on from file to file, in the order of the names.
    """

    file: Path
    index: int
    n_rows: int
    first: int


@dataclass(frozen=True)
class RowGroups:
    """A table of Parquet, of which the metadata were read.

    Attributes:
        path: The file or folder.
        columns: Names of its columns.
        groups: Its row groups that have rows, in order.
    """

    path: Path
    columns: tuple[str, ...]
    groups: tuple[RowGroup, ...]

    @classmethod
    def of(cls, path: Path) -> "RowGroups":
        """Read the metadata.

        Args:
            path: A file, or a folder of files that end in `.parquet`.

        Returns:
            The row groups.

        Raises:
            DataError: There is no Parquet, a file is damaged or has other columns than the first, or there is no row.
        """
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{path}: no file of the folder ends in .parquet. Streaming reads Parquet alone.")
        columns: tuple[str, ...] = ()
        groups: list[RowGroup] = []
        first = 1
        for file in files:
            if check_source(file).name != "parquet":
                raise DataError(
                    f"{file}: streaming reads Parquet alone. Save the table as Parquet, or do not stream it."
                )
            reader = ParquetReader(file)
            reader.close()
            columns = columns or reader.columns
            if set(reader.columns) != set(columns):
                raise DataError(
                    f"{file} has the columns {names_text(reader.columns)}, but {files[0].name} has "
                    f"{names_text(columns)}. All files of a folder must have the same."
                )
            for index, n in enumerate(reader.group_rows):
                if n:
                    groups.append(RowGroup(file, index, n, first))
                first += n
        if not groups:
            raise DataError(f"{path} has columns and no rows: at least one row was expected.")
        return cls(path, columns, tuple(groups))

    @property
    def n_rows(self) -> int:
        """Rows of the table, by its metadata."""
        return sum(group.n_rows for group in self.groups)

    @property
    def sha256(self) -> str:
        """Hash of the bytes of the file; of a folder, of the names and hashes of its files."""
        if self.path.is_file():
            return FileRecord.of_file(self.path).sha256
        files = dict.fromkeys(group.file for group in self.groups)
        lines = "".join(f"{file.name} {FileRecord.of_file(file).sha256}\n" for file in files)
        return sha256(lines.encode()).hexdigest()

    def rows(self, group: RowGroup, columns: Collection[str]) -> Iterator[Row]:
        """Read a row group, some rows at a time.

        Args:
            group: One of `groups`.
            columns: Columns to read.

        Yields:
            Its rows in order.

        Raises:
            DataError: The file is damaged.
        """
        reader = ParquetReader(group.file, RowRange(first_row=group.first, groups=(group.index,)))
        try:
            yield from reader.rows(columns)
        finally:
            reader.close()
