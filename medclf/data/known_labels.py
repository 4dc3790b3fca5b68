"""Labels of a table held against those of a model."""

from medclf.data.tables import LabelledTexts
from medclf.errors import DataError
from medclf.labels import Labels, names_of


def check_labels(table: LabelledTexts, labels: Labels) -> None:
    """Refuse labels that a model does not have.

    Args:
        table: Labelled texts.
        labels: The label contract of the model.

    Raises:
        DataError: Rows have such labels; names them.
    """
    unknown = sorted({name for label in table.labels for name in names_of(label)} - set(labels.names))
    if unknown:
        rows = [row for row, label in zip(table.rows, table.labels, strict=True) if {*names_of(label)} & {*unknown}]
        raise DataError(
            f"{table.file}: {len(rows)} row(s) have {len(unknown)} label(s) that training never saw: "
            f"{', '.join(unknown[:5])} (rows {', '.join(map(str, rows[:5]))}{', ...' if len(rows) > 5 else ''}). "
            f"Remove them or train with them; the model knows {', '.join(labels.names)}."
        )
