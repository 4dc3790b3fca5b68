"""The rows that `medclf-predict` writes: their columns, what an answer is in them, and the rows that are left out."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from medclf.data.formats import TableFormat
from medclf.data.tables import Fault
from medclf.errors import OptionError
from medclf.extras import require
from medclf.labels import Labels
from medclf.runtime.predictions import Predictions

DECIMALS = 6  # of a probability

Quarantined = tuple[int, str, str, int | None]  # row, column, reason, length


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
    abstained = [] if labels.abstain_below is None else ["abstained"]
    return ["row", "label", "probability", *abstained, "truncated", *each, *(["error"] if errors else [])]


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


def column_types(
    form: TableFormat, labels: Labels, kept: Mapping[str, Any], *, texts: Sequence[str] = ()
) -> dict[str, Any]:
    """Give the types of the columns in Arrow, for a format that has types.

    Args:
        form: The format of the output.
        labels: The label contract.
        kept: Kept column, as it is named in the output -> its type in the input, where it has one.
        texts: Other columns, of strings.

    Returns:
        Column -> its type; empty for a format without types.
    """
    if form.name != "parquet":
        return {}
    arrow = require("pyarrow", extra="files")
    many = arrow.list_ if labels.multi_label else (lambda one: one)
    own = {"row": arrow.int64(), "label": many(arrow.string()), "probability": many(arrow.float64())}
    own |= {"abstained": arrow.bool_(), "truncated": arrow.bool_(), "error": arrow.string()}
    own |= dict.fromkeys(texts, arrow.string())
    return own | {probability_column(name): arrow.float64() for name in labels.names} | dict(kept)


def answer_row(labels: Labels, predictions: Predictions, index: int) -> dict[str, object]:
    """Give the answer to one row in the columns of `output_columns`, but for `row`.

    Args:
        labels: The label contract.
        predictions: The answers to a window.
        index: Which of them.

    Returns:
        Column -> value; None in each where there is no answer.
    """
    label = predictions.labels[index]
    every = dict(
        zip(labels.names, np.round(predictions.probabilities[index].astype(float), DECIMALS).tolist(), strict=True)
    )
    answered = index not in predictions.errors
    given = [every[name] for name in label] if isinstance(label, tuple) else every.get(label or "")
    return {
        "label": label,
        "probability": given if label is not None else None,
        "abstained": label is None if answered else None,
        "truncated": bool(predictions.truncated[index]) if answered else None,
        **{probability_column(name): value if answered else None for name, value in every.items()},
        "error": None,
    }


def fault_text(fault: Fault) -> str:
    """Say what is wrong with a row, for the column `error`.

    Args:
        fault: The fault.

    Returns:
        Such as `column 'text' is empty`.
    """
    return f"column {fault.column!r} {fault.reason}" if fault.column else fault.reason


def quarantine_lines(rows: Iterable[Sequence[object]], *, header: bool = False) -> str:
    """Write rows that were left out as CSV.

    Args:
        rows: The rows, as `Quarantined`.
        header: Whether the names of the columns stand first.

    Returns:
        The lines.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(("row", "column", "reason", "length"))
    writer.writerows(rows)
    return text.getvalue()
