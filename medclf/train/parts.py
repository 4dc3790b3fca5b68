"""The three parts of the data, and the labels that the training part fixes."""

import logging
from dataclasses import dataclass
from pathlib import Path

from medclf.data.readers import rows_text
from medclf.data.splits import split, text_keys
from medclf.data.tables import LabelledTexts, read_labelled
from medclf.errors import DataError
from medclf.labels import Labels
from medclf.train.options import VALIDATION_SIZE, TrainOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """The three parts of the data."""

    train: LabelledTexts
    validation: LabelledTexts
    test: LabelledTexts

    def named(self) -> dict[str, LabelledTexts]:
        """Give the parts by their names in `training.json`."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def read_parts(options: TrainOptions) -> Parts:
    """Read the tables and divide them.

    Args:
        options: Of the run.

    Returns:
        The parts for training, validation and test.

    Raises:
        DataError: A table cannot be used.
    """

    def read(path: Path) -> LabelledTexts:
        return read_labelled(
            path, columns=options.columns, label_column=options.label_column, encoding=options.encoding
        )

    data = read(options.data)
    given = {
        "validation": None if options.eval_data is None else read(options.eval_data),
        "test": None if options.test_data is None else read(options.test_data),
    }
    divided = split(
        data,
        validation_size=0 if given["validation"] else VALIDATION_SIZE,
        test_size=0 if given["test"] else options.test_size,
        seed=options.seed,
    )
    train_part = data.select(divided.train)
    for part in filter(None, given.values()):
        n_seen = len(set(text_keys(train_part)) & set(text_keys(part)))
        if n_seen:
            log.info("%s: %d texts occur in the training part too; scores on them are too good", part.file, n_seen)
    return Parts(
        train_part,
        given["validation"] or data.select(divided.validation),
        given["test"] or data.select(divided.test),
    )


def fix_labels(parts: Parts) -> Labels:
    """Fix the label contract: the names in the training part, sorted.

    Args:
        parts: Of the run.

    Returns:
        The labels in logit order.

    Raises:
        DataError: Another part has a label that the training part has not.
    """
    labels = Labels(tuple(sorted(set(parts.train.labels))))
    for part in (parts.validation, parts.test):
        unseen = [(row, label) for row, label in zip(part.rows, part.labels, strict=True) if label not in labels.names]
        if unseen:
            names = ", ".join(sorted({repr(label) for _, label in unseen}))
            raise DataError(
                f"{part.file}: {rows_text([row for row, _ in unseen])} with a label that training never saw: {names}. "
                "Correct the label, remove these rows, or add such rows to the training table."
            )
    return labels
