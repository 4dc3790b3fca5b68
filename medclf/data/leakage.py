"""What two tables share that they must not: texts, and groups such as patients."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from medclf.data.keys import text_keys
from medclf.data.readers import rows_text
from medclf.data.tables import LabelledTexts


@dataclass(frozen=True)
class Overlap:
    """Rows of two tables with something in common.

    Attributes:
        n: How many different texts, or groups, are in both.
        first_rows: Their row numbers in the first table.
        second_rows: Their row numbers in the second table.
    """

    n: int
    first_rows: tuple[int, ...]
    second_rows: tuple[int, ...]


def shared_texts(first: LabelledTexts, second: LabelledTexts) -> Overlap:
    """Find the texts that are in both tables, equal but for case, spaces and punctuation.

    Args:
        first: A table.
        second: Another.

    Returns:
        Their rows.
    """
    return _overlap(first, text_keys(first), second, text_keys(second))


def shared_groups(first: LabelledTexts, second: LabelledTexts) -> Overlap:
    """Find the groups that are in both tables.

    Args:
        first: A table.
        second: Another.

    Returns:
        Their rows; none where a table has no groups.
    """
    return _overlap(first, first.groups or [], second, second.groups or [])


def _overlap(
    first: LabelledTexts, keys: Sequence[Hashable], second: LabelledTexts, others: Sequence[Hashable]
) -> Overlap:
    both = set(keys) & set(others)
    return Overlap(
        len(both),
        tuple(row for row, key in zip(first.rows, keys, strict=False) if key in both),
        tuple(row for row, key in zip(second.rows, others, strict=False) if key in both),
    )


def leaks_text(first: LabelledTexts, second: LabelledTexts) -> str | None:
    """Say what two parts of a split share, for a message.

    Args:
        first: One part, such as that of training.
        second: Another.

    Returns:
        Such as `3 texts: rows 1, 2, 3 of a.csv, row 7 of b.csv`; None where they share nothing.
    """
    found = [
        f"{overlap.n:,} {what}{'s' if overlap.n > 1 else ''}: "
        f"{rows_text(overlap.first_rows)} of {first.file}, {rows_text(overlap.second_rows)} of {second.file}"
        for what, overlap in (("text", shared_texts(first, second)), ("group", shared_groups(first, second)))
        if overlap.n
    ]
    return "; ".join(found) or None
