"""The rows that `medclf-predict` writes: their columns, and their form in CSV, TSV and JSON lines."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from medclf.errors import OptionError
from medclf.labels import SEPARATOR, Labels

OUTPUT_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")

WriteRow = Callable[[Mapping[str, object]], object]


def output_columns(labels: Labels, *, probabilities: bool, errors: bool) -> list[str]:
    """Name the columns that predictions have, kept columns aside.

    Args:
        labels: The label contract.
        probabilities: Whether each label has a column.
        errors: Whether rows without an answer say why.

    Returns:
        The names, in order.
    """
    each = [probability_column(name) for name in labels.names] if probabilities else []
    return ["row", "label", "probability", "truncated", *each, *(["error"] if errors else [])]


def probability_column(label: str) -> str:
    """Name the column of one label's probability.

    Args:
        label: The label.

    Returns:
        Such as `probability_oncology`.
    """
    return f"probability_{label}"


def kept_columns(keep: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    """Name the columns that are carried over from the input.

    Args:
        keep: Columns of the input.
        own: Columns that the predictions have.

    Returns:
        Column of the input -> column of the output: the same, or `input_label` for a `label` that would collide.

    Raises:
        OptionError: Two columns of the output would have one name.
    """
    names = {column: f"input_{column}" if column in own else column for column in keep}
    every = [*own, *names.values()]
    if len(set(every)) != len(every):
        raise OptionError("--keep: two columns of the output would have the same name. Rename one in the input.")
    return names


def row_writer(file: TextIO, suffix: str, columns: Sequence[str]) -> WriteRow:
    """Start a table.

    Args:
        file: Where it goes; open for text, with newline="" as the csv module wants it.
        suffix: One of OUTPUT_SUFFIXES.
        columns: Its columns, in order.

    Returns:
        A function that writes one row.
    """
    if suffix in (".jsonl", ".ndjson"):
        return lambda row: file.write(_json_line({name: row[name] for name in columns}))
    writer = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")
    writer.writerow(columns)
    return lambda row: writer.writerow([_cell(row[name]) for name in columns])


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return SEPARATOR.join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _json_line(row: Mapping[str, object]) -> str:
    # default=str: dates and decimals, which Parquet has and JSON has not
    return json.dumps(row, ensure_ascii=False, default=str) + "\n"
