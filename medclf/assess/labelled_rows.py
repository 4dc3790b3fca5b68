"""The rows that a bundle is evaluated on: texts, labels, and the columns that group and part them."""

from dataclasses import dataclass
from pathlib import Path

from medclf.bundle import Manifest, TextColumns
from medclf.data.known_labels import check_labels
from medclf.data.tables import LabelledTexts, Table, read_labelled
from medclf.errors import OptionError
from medclf.evaluate.slices import check_values

LABEL_COLUMNS = ("label", "labels")  # what is looked for where the user names none


@dataclass(frozen=True)
class TableOptions:
    """How a table is read.

    Attributes:
        text: Columns that make the text; empty for those that the model was trained on.
        pair: Columns that make the second text; empty for those that the model was trained on.
        label: Columns of the label; empty for `label` or `labels`, whichever is there.
        group: Column of what rows belong together by, such as a patient; None for none.
        slices: Columns whose values part the rows.
        encoding: Character encoding.
    """

    text: tuple[str, ...] = ()
    pair: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    group: str | None = None
    slices: tuple[str, ...] = ()
    encoding: str = "utf-8"


def read_rows(path: Path, options: TableOptions, manifest: Manifest) -> LabelledTexts:
    """Read the texts and labels of a table.

    Args:
        path: The table.
        options: How it is read.
        manifest: Of the bundle, which says what a text is made of and which labels there are.

    Returns:
        Every row.

    Raises:
        DataError: The table cannot be used, or has labels that the bundle does not know.
        OptionError: A column is named as two things, or there is one group.
    """
    columns = TextColumns(options.text or manifest.columns.text, options.pair or manifest.columns.pair)
    data = read_labelled(
        path, columns=columns, label_column=options.label or _label_column(path, options.encoding),
        multi_label=manifest.labels.multi_label, encoding=options.encoding, group_column=options.group,
    )  # fmt: skip
    check_labels(data, manifest.labels)
    if data.groups is not None and len(set(data.groups)) == 1:
        raise OptionError(f"group column {options.group!r} has one value: rows of one group say nothing of others.")
    return data


def _label_column(path: Path, encoding: str) -> tuple[str, ...]:
    with Table(path, encoding=encoding) as table:
        found = [name for name in LABEL_COLUMNS if name in table.columns]
        if len(found) != 1:
            table.check_columns([LABEL_COLUMNS[0]])  # raises where neither is there
            raise OptionError(f"{path} has the columns {' and '.join(found)}. Name one with --label-column.")
    return tuple(found)


def read_slices(path: Path, options: TableOptions) -> dict[str, list[str]]:
    """Read the columns that part the rows.

    Args:
        path: The table.
        options: Which they are.

    Returns:
        Column -> its values as strings, one a row; empty where a row has none.

    Raises:
        DataError: A column is not there.
        OptionError: A column has too many values, or texts.
    """
    values: dict[str, list[str]] = {name: [] for name in options.slices}
    if not values:
        return values
    with Table(path, encoding=options.encoding) as table:
        table.check_columns(options.slices)
        for row in table:
            for name, column in values.items():
                value = row.values.get(name)
                column.append("" if value is None else str(value).strip())
    for name, column in values.items():
        check_values(name, column)
    return values
