"""The three parts of the data, and the labels that the training part fixes."""

import logging
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from medclf.data.contradictions import contradictions
from medclf.data.leakage import leaks_text
from medclf.data.readers import SHOWN, rows_text
from medclf.data.splits import split
from medclf.data.tables import LabelledTexts, read_labelled
from medclf.errors import DataError
from medclf.labels import SEPARATOR, Labels, names_of
from medclf.train.options import VALIDATION_SIZE, TrainOptions
from medclf.train.streaming import Stream, open_stream, survey

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """The three parts of the data.

    Attributes:
        train: For training; of a stream, a sample of it.
        validation: To choose and to calibrate by.
        test: To score.
        stream: The training table, where it is not in memory.
    """

    train: LabelledTexts
    validation: LabelledTexts
    test: LabelledTexts
    stream: Stream | None = None

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

    def read(path: Path, *, multi_label: bool | None) -> LabelledTexts:
        return read_labelled(
            path, columns=options.columns, label_column=options.label_column,
            multi_label=multi_label, encoding=options.encoding, group_column=options.group_column,
        )  # fmt: skip

    if options.streaming:
        table, multi_label = open_stream(options)
        validation, test = (
            read(path, multi_label=multi_label) for path in (options.eval_data, options.test_data) if path
        )
        stream, shared = survey(table, options, multi_label, (validation, test))
        _check_leaks(Parts(shared, validation, test), allow=options.allow_leakage)
        return Parts(stream.sample, validation, test, stream)
    data = read(options.data, multi_label=options.multi_label or None)
    given = {
        name: None if path is None else read(path, multi_label=data.multi_label)
        for name, path in (("validation", options.eval_data), ("test", options.test_data))
    }
    check_contradictions(data)
    divided = split(
        data,
        validation_size=0 if given["validation"] else VALIDATION_SIZE,
        test_size=0 if given["test"] else options.test_size,
        seed=options.seed,
    )
    parts = Parts(
        data.select(divided.train),
        given["validation"] or data.select(divided.validation),
        given["test"] or data.select(divided.test),
    )
    _check_columns(parts.train, options)
    _check_leaks(parts, allow=options.allow_leakage)
    return parts


def check_contradictions(data: LabelledTexts) -> None:
    """Tell which texts occur under more than one label; refuse a table in which all do.

    Args:
        data: The table.

    Raises:
        DataError: Every text contradicts itself.
    """
    found = contradictions(data)
    if found.n_texts == found.n_all_texts:
        raise DataError(
            f"{data.file}: every one of its {found.n_all_texts:,} different texts occurs under more than one label, so "
            "there is nothing to learn from. If a text may have several labels, give them in one row (a list, 'a;b' "
            "with --multi-label, or columns of 0 and 1)."
        )
    if found.n_texts:
        log.warning(
            "%s: %d texts occur under more than one label (%s): no classifier of texts can pass %s %.3f on the table",
            data.file, found.n_texts, rows_text(found.rows),
            "exact match" if data.multi_label else "accuracy", found.ceiling,
        )  # fmt: skip


def _check_leaks(parts: Parts, *, allow: bool) -> None:
    """Refuse tables of their own that share a text or a group with another part; a split of one table never does."""
    for (name, first), (other, second) in combinations(parts.named().items(), 2):
        shared = leaks_text(first, second)
        if shared and allow:
            log.warning("%s and %s share %s; scores on them are too good (--allow-leakage)", name, other, shared)
        elif shared:
            raise DataError(
                f"{name} and {other} must not share anything, but share {shared}. Scores on them would be too good. "
                "Remove these rows from one of the two, or pass --allow-leakage."
            )


def _check_columns(train_part: LabelledTexts, options: TrainOptions) -> None:
    """Refuse a column of 0 and 1 that has no 1 to learn from: the model would not know its label."""
    if len(options.label_column) > 1:
        found = {name for label in train_part.labels for name in names_of(label)}
        empty = [column for column in options.label_column if column not in found]
        if empty:
            raise DataError(
                f"{train_part.file}: no training row has a 1 in {', '.join(map(repr, empty))}. "
                "Add such rows, or do not name this --label-column."
            )


def fix_labels(parts: Parts) -> Labels:
    """Fix the label contract: the names in the training part, sorted, and the task.

    Args:
        parts: Of the run.

    Returns:
        The labels in logit order.

    Raises:
        DataError: Another part has a label that the training part has not.
    """
    labels = parts.stream.labels if parts.stream else labels_of(parts.train)
    for part in (parts.validation, parts.test):
        _check_seen(part, labels)
    if not labels.multi_label:
        _warn_of_absent(parts, labels)
    return labels


def labels_of(data: LabelledTexts) -> Labels:
    """Make a label contract of the labels of a table.

    Args:
        data: The table.

    Returns:
        Their names, sorted, and the task.
    """
    names = sorted({name for label in data.labels for name in names_of(label)})
    n_joined = sum(SEPARATOR in name for name in names)
    if n_joined and not data.multi_label:
        log.warning(
            "%s: %d of %d labels hold %r and are taken as they are. If it stands between several labels of a text, "
            "pass --multi-label", data.file, n_joined, len(names), SEPARATOR,
        )  # fmt: skip
    return Labels(tuple(names), "multi_label_classification" if data.multi_label else "single_label_classification")


def _warn_of_absent(parts: Parts, labels: Labels) -> None:
    for name, part in (("validation", parts.validation), ("test", parts.test)):
        absent = sorted(set(labels.names) - set(map(str, part.labels)))
        if absent:
            shown = ", ".join(map(repr, absent[:SHOWN])) + (", ..." if len(absent) > SHOWN else "")
            log.warning(
                "no %s row has %d of %d classes (%s): scores on that part say nothing of them",
                name, len(absent), len(labels), shown,
            )  # fmt: skip


def _check_seen(part: LabelledTexts, labels: Labels) -> None:
    unseen = [
        (row, name)
        for row, label in zip(part.rows, part.labels, strict=True)
        for name in names_of(label)
        if name not in labels.names
    ]
    if unseen:
        names = ", ".join(sorted({repr(name) for _, name in unseen}))
        rows = sorted({row for row, _ in unseen})
        raise DataError(
            f"{part.file}: {rows_text(rows)} with a label that training never saw: {names}. "
            "Correct the label, remove these rows, or add such rows to the training table."
        )
