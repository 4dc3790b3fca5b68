"""Texts of a table whose labels, if it has any, are not read."""

from pathlib import Path

from medclf.bundle import TextColumns
from medclf.data.tables import Table, join_text
from medclf.errors import DataError


def read_texts(
    path: Path, columns: TextColumns, n_texts: int | None = None, *, encoding: str = "utf-8"
) -> tuple[list[str], list[str] | None]:
    """Read the first texts of a table.

    Args:
        path: The table.
        columns: Columns that make a text.
        n_texts: How many; fewer are given where the table is shorter. None for all.
        encoding: Character encoding of the table.

    Returns:
        The texts, and the second texts or None.

    Raises:
        DataError: The table cannot be read, or a row has no text.
    """
    texts: list[str] = []
    pairs: list[str] = []
    with Table(path, encoding=encoding) as table:
        table.check_columns((*columns.text, *columns.pair))
        for row in table:
            for part, names in ((texts, columns.text), (pairs, columns.pair)):
                text, fault = join_text(row, names) if names else ("", None)
                if text is None:
                    raise DataError(f"{path}, row {row.number}, column {'+'.join(names)!r}: {fault}. Correct the row.")
                part.append(text)
            if len(texts) == n_texts:
                break
    return texts, pairs if columns.pair else None
