"""Seeded, stratified splits in which the same text never stands on both sides."""

import logging
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split

from medclf.data.readers import SHOWN
from medclf.data.tables import LabelledTexts
from medclf.errors import DataError

Indices = npt.NDArray[np.int64]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Positions of the rows of each part, ascending; an empty array for a part that was not asked for."""

    train: Indices
    validation: Indices
    test: Indices


def split(data: LabelledTexts, *, validation_size: float, test_size: float, seed: int) -> Split:
    """Divide a table so that each part has about the same share of each class.

    Texts that are equal but for case and spaces are kept together: a copy in the test part would be a question whose
    answer was seen.

    Args:
        data: The table.
        validation_size: Share of the texts, 0 for no validation part.
        test_size: Share of the texts, 0 for no test part.
        seed: The same seed and table give the same parts.

    Returns:
        The parts.

    Raises:
        DataError: There is one class only, or a class with too few different texts for one in each part.
    """
    keys = text_keys(data)
    first: dict[str, int] = {}
    group_of = np.array([first.setdefault(key, len(first)) for key in keys], dtype=np.int64)
    labels = np.empty(len(first), dtype=object)
    for group, label in zip(group_of[::-1], reversed(data.labels), strict=True):
        labels[group] = label  # the label of a group is that of its first row
    _check_classes(data, labels, n_parts=1 + (validation_size > 0) + (test_size > 0))
    if len(first) < len(keys):
        log.info(
            "%s: %d of %d rows repeat the text of another; repeats stay in one part",
            data.file, len(keys) - len(first), len(keys),
        )  # fmt: skip
    rest, test = _take(np.arange(len(first)), labels, round(test_size * len(first)), seed)
    train, validation = _take(rest, labels, round(validation_size * len(first)), seed)
    return Split(*(np.flatnonzero(np.isin(group_of, part)) for part in (train, validation, test)))


def text_keys(data: LabelledTexts) -> list[str]:
    """Give what makes two rows the same text: the words, whatever their case and spacing.

    Args:
        data: Texts, or pairs.

    Returns:
        One key a row.
    """
    pairs = data.pairs if data.pairs is not None else [""] * len(data)
    return ["\0".join(" ".join(part.casefold().split()) for part in row) for row in zip(data.texts, pairs, strict=True)]


def _take(groups: Indices, labels: npt.NDArray[np.object_], n: int, seed: int) -> tuple[Indices, Indices]:
    if n == 0:
        return groups, groups[:0]
    strata = labels[groups].astype(str)
    n = max(n, len(set(strata)))  # one of each class, where the table is tiny
    rest, taken = train_test_split(groups, test_size=n, stratify=strata, random_state=seed)
    return rest, taken


def _check_classes(data: LabelledTexts, labels: npt.NDArray[np.object_], *, n_parts: int) -> None:
    rows = Counter(data.labels)
    if len(rows) == 1:
        raise DataError(
            f"{data.file}: all {len(data):,} rows have the label {next(iter(rows))!r}. "
            "A classifier needs at least 2 different labels: is this the right --label-column?"
        )
    texts = Counter(labels)
    few = sorted(label for label in rows if texts[label] < n_parts)
    if few:
        shown = ", ".join(f"{label!r} ({texts[label]})" for label in few[:SHOWN])
        raise DataError(
            f"{data.file}: {len(few)} of {len(rows)} classes have too few different texts for a split into {n_parts} "
            f"parts: {shown}{', ...' if len(few) > SHOWN else ''}; at least {n_parts} each are needed. "
            "Add rows, merge or remove these classes, or give --eval-data and --test-data."
        )
