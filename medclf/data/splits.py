"""Seeded, stratified splits in which the same text never stands on both sides.

With several labels a text: the iterative stratification of Sechidis, Tsoumakas and Vlahavas (2011), On the
stratification of multi-label data.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split

from medclf.data.readers import SHOWN
from medclf.data.tables import LabelledTexts
from medclf.errors import DataError
from medclf.labels import names_of

Indices = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Positions of the rows of each part, ascending; an empty array for a part that was not asked for."""

    train: Indices
    validation: Indices
    test: Indices


def split(data: LabelledTexts, *, validation_size: float, test_size: float, seed: int) -> Split:
    """Divide a table so that each part has about the same share of each label.

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
        DataError: There is one class or set of labels only, or a class with too few different texts for one in each
            part; with several labels a text, a rare one is in training and may lack in the other parts.
    """
    keys = text_keys(data)
    first: dict[str, int] = {}
    group_of = np.array([first.setdefault(key, len(first)) for key in keys], dtype=np.int64)
    sizes = [max(1, round(share * len(first))) if share else 0 for share in (validation_size, test_size)]
    take = _take_multi_label if data.multi_label else _take_single_label
    parts = take(data, group_of, sizes, seed)
    if len(first) < len(keys):
        log.info(
            "%s: %d of %d rows repeat the text of another; repeats stay in one part",
            data.file, len(keys) - len(first), len(keys),
        )  # fmt: skip
    return Split(*(np.flatnonzero(np.isin(group_of, part)) for part in parts))


def text_keys(data: LabelledTexts) -> list[str]:
    """Give what makes two rows the same text: the words, whatever their case and spacing.

    Args:
        data: Texts, or pairs.

    Returns:
        One key a row.
    """
    pairs = data.pairs if data.pairs is not None else [""] * len(data)
    return ["\0".join(" ".join(part.casefold().split()) for part in row) for row in zip(data.texts, pairs, strict=True)]


def _take_single_label(data: LabelledTexts, group_of: Indices, sizes: Sequence[int], seed: int) -> list[Indices]:
    """Give the groups of training, validation and test."""
    n_groups = int(group_of.max()) + 1
    labels = np.empty(n_groups, dtype=object)
    for group, label in zip(group_of[::-1], reversed(data.labels), strict=True):
        labels[group] = label  # the label of a group is that of its first row
    _check_classes(data, labels, n_parts=1 + sum(size > 0 for size in sizes))
    rest, test = _take(np.arange(n_groups), labels, sizes[1], seed)
    train, validation = _take(rest, labels, sizes[0], seed)
    return [train, validation, test]


def _take(groups: Indices, labels: npt.NDArray[np.object_], n: int, seed: int) -> tuple[Indices, Indices]:
    if n == 0:
        return groups, groups[:0]
    strata = labels[groups].astype(str)
    n = max(n, len(set(strata)))  # one of each class, where the table is tiny
    rest, taken = train_test_split(groups, test_size=n, stratify=strata, random_state=seed)
    return rest, taken


def _take_multi_label(data: LabelledTexts, group_of: Indices, sizes: Sequence[int], seed: int) -> list[Indices]:
    """Give the groups of training, validation and test; every label is in training."""
    column = {name: i for i, name in enumerate(sorted({name for label in data.labels for name in names_of(label)}))}
    given = np.zeros((int(group_of.max()) + 1, len(column)), dtype=np.bool_)
    for group, label in zip(group_of, data.labels, strict=True):
        given[group, [column[name] for name in names_of(label)]] = True  # a group has every label of its rows
    _check_sets(data, given, list(column))
    part_of = _iterative_stratification(given, [len(given) - sum(sizes), *sizes], seed)
    for absent in np.flatnonzero(~given[part_of == 0].any(axis=0)):
        part_of[np.argmax(given[:, absent])] = 0
    parts = [np.flatnonzero(part_of == part) for part in range(3)]
    if any(size > 0 and not len(part) for size, part in zip((1, *sizes), parts, strict=True)):
        raise DataError(
            f"{data.file}: {len(given):,} different texts with {len(column)} labels are too few for a split in which "
            "training has every label. Add rows, or give --eval-data and --test-data."
        )
    return parts


def _iterative_stratification(given: Bools, sizes: Sequence[int], seed: int) -> Indices:
    """Deal out the rarest label first, each time to the part that lacks it most; `given` is [groups, labels]."""
    random = np.random.default_rng(seed)
    left = np.column_stack([given, ~given.any(axis=1)])  # no label at all counts as one more label
    members = left.copy()
    parts = np.flatnonzero(sizes)
    lacking = np.array(sizes, dtype=float)[parts]
    lacking_label = np.outer(lacking / lacking.sum(), left.sum(axis=0))
    part_of = np.zeros(len(given), dtype=np.int64)
    while left.any():
        counts = left.sum(axis=0)
        label = int(np.argmin(np.where(counts > 0, counts, len(left) + 1)))
        for group in random.permutation(np.flatnonzero(left[:, label])):
            chosen = np.lexsort((random.random(len(parts)), lacking, lacking_label[:, label]))[-1]
            part_of[group] = parts[chosen]
            lacking[chosen] -= 1
            lacking_label[chosen] -= members[group]
            left[group] = False
    return part_of


def _check_sets(data: LabelledTexts, given: Bools, names: Sequence[str]) -> None:
    if not given.any():
        raise DataError(f"{data.file}: none of the {len(data):,} rows has a label. Is this the right --label-column?")
    if (given == given[0]).all():
        shown = ", ".join(repr(name) for name, has in zip(names, given[0], strict=True) if has)
        raise DataError(
            f"{data.file}: all {len(data):,} rows have the same labels: {shown}. "
            "A classifier needs rows that differ: is this the right --label-column?"
        )


def _check_classes(data: LabelledTexts, labels: npt.NDArray[np.object_], *, n_parts: int) -> None:
    rows = Counter(data.labels)
    if len(rows) == 1:
        raise DataError(
            f"{data.file}: all {len(data):,} rows have the label {next(iter(rows))!r}. "
            "A classifier needs at least 2 different labels: is this the right --label-column?"
        )
    texts = Counter(labels)
    few = sorted(str(label) for label in rows if texts[label] < n_parts)
    if few:
        shown = ", ".join(f"{label!r} ({texts[label]})" for label in few[:SHOWN])
        raise DataError(
            f"{data.file}: {len(few)} of {len(rows)} classes have too few different texts for a split into {n_parts} "
            f"parts: {shown}{', ...' if len(few) > SHOWN else ''}; at least {n_parts} each are needed. "
            "Add rows, merge or remove these classes, or give --eval-data and --test-data."
        )
