"""Seeded, stratified splits in which neither the same text nor the same group ever stands on both sides.

With several labels a text: the iterative stratification of Sechidis, Tsoumakas and Vlahavas (2011), On the
stratification of multi-label data. With groups: the largest first, each to the part that it suits best.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split

from medclf.data.keys import Indices, units
from medclf.data.readers import SHOWN
from medclf.data.tables import LabelledTexts
from medclf.errors import DataError, OptionError
from medclf.labels import names_of

Bools = npt.NDArray[np.bool_]
PARTS = 3  # training, validation and what is held out
MIN_FOLDS = 2
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Positions of the rows of each part, ascending; an empty array for a part that was not asked for."""

    train: Indices
    validation: Indices
    test: Indices


def split(data: LabelledTexts, *, validation_size: float, test_size: float, seed: int) -> Split:
    """Divide a table so that each part has about the same share of each label.

    Texts that are equal but for case, spaces and punctuation are kept together, and so are the rows of a group: a copy
    in the test part would be a question whose answer was seen.

    Args:
        data: The table.
        validation_size: Share of the texts, or with groups of the rows; 0 for no validation part.
        test_size: Likewise; 0 for no test part.
        seed: The same seed and table give the same parts.

    Returns:
        The parts.

    Raises:
        DataError: There is one class, set of labels or group only, or a class with too few different texts (groups) for
            one in each part; with several labels a text, a rare one is in training and may lack in the other parts.
    """
    unit_of = units(data)
    n_units = int(unit_of.max()) + 1
    shares = (validation_size, test_size)
    if data.multi_label or data.groups is not None:
        sizes = [max(1, round(share * len(data))) if share else 0 for share in shares]
        parts = _take_iteratively(data, unit_of, sizes, seed)
    else:
        sizes = [max(1, round(share * n_units)) if share else 0 for share in shares]
        parts = _take_stratified(data, unit_of, sizes, seed)
    if n_units < len(data):
        what = "repeat the text of another" if data.groups is None else "share a text or a group with another"
        log.info("%s: %d of %d rows %s; they stay in one part", data.file, len(data) - n_units, len(data), what)
    return Split(*(np.flatnonzero(np.isin(unit_of, part)) for part in parts))


def folds(data: LabelledTexts, n_folds: int, *, seed: int) -> list[Indices]:
    """Divide a table into parts of about equal size, each with about the same share of each label.

    Args:
        data: The table.
        n_folds: How many, at least 2.
        seed: The same seed and table give the same folds.

    Returns:
        Positions of the rows of each fold, ascending; every row once. Texts and groups stay whole, as in `split`.

    Raises:
        DataError: As of `split`; or there are fewer different texts or groups than folds.
        OptionError: `n_folds` is under 2.
    """
    if n_folds < MIN_FOLDS:
        raise OptionError(f"folds is {n_folds}, expected {MIN_FOLDS} or more.")
    unit_of = units(data)
    members = _members(data, unit_of)
    _check_units(data, members, n_parts=PARTS)
    if len(members) < n_folds:
        raise DataError(
            f"{data.file}: {len(members):,} {_what(data)} are too few for {n_folds} folds. Lower --folds or add rows."
        )
    fold_of = _deal(data, members, np.bincount(unit_of), [len(data) / n_folds] * n_folds, seed)[unit_of]
    found = [np.flatnonzero(fold_of == fold) for fold in range(n_folds)]
    if not all(len(rows) for rows in found):
        raise DataError(
            f"{data.file}: {len(members):,} {_what(data)} are too unequal for {n_folds} folds: one would be empty. "
            "Lower --folds."
        )
    return found


def _what(data: LabelledTexts) -> str:
    return "different texts" if data.groups is None else "groups (with the rows that share a text with them)"


def _take_stratified(data: LabelledTexts, unit_of: Indices, sizes: Sequence[int], seed: int) -> list[Indices]:
    """Give the units of training, validation and test."""
    n_units = int(unit_of.max()) + 1
    labels = np.empty(n_units, dtype=object)
    for unit, label in zip(unit_of[::-1], reversed(data.labels), strict=True):
        labels[unit] = label  # the label of a text is that of its first row
    _check_classes(data, Counter(labels), n_parts=1 + sum(size > 0 for size in sizes))
    rest, test = _take(np.arange(n_units), labels, sizes[1], seed)
    train, validation = _take(rest, labels, sizes[0], seed)
    return [train, validation, test]


def _take(candidates: Indices, labels: npt.NDArray[np.object_], n: int, seed: int) -> tuple[Indices, Indices]:
    if n == 0:
        return candidates, candidates[:0]
    strata = labels[candidates].astype(str)
    n = max(n, len(set(strata)))  # one of each class, where the table is tiny
    rest, taken = train_test_split(candidates, test_size=n, stratify=strata, random_state=seed)
    return rest, taken


def _take_iteratively(data: LabelledTexts, unit_of: Indices, sizes: Sequence[int], seed: int) -> list[Indices]:
    """Give the units of training, validation and test; every label is in training."""
    members = _members(data, unit_of)
    _check_units(data, members, n_parts=1 + sum(size > 0 for size in sizes))
    part_of = _deal(data, members, np.bincount(unit_of), [len(data) - sum(sizes), *sizes], seed)
    for absent in np.flatnonzero(~members[part_of == 0].any(axis=0)):
        part_of[np.argmax(members[:, absent] > 0)] = 0
    for part, size in enumerate(sizes, start=1):
        if size and not (part_of == part).any():
            _fill(part, part_of, members)
    parts = [np.flatnonzero(part_of == part) for part in range(PARTS)]
    if any(size > 0 and not len(part) for size, part in zip((1, *sizes), parts, strict=True)):
        raise DataError(
            f"{data.file}: {len(members):,} {_what(data)} with {members.shape[1] - 1} labels are too few for a "
            "split in which training has every label. Add rows, or give --eval-data and --test-data."
        )
    return parts


def _fill(part: int, part_of: Indices, members: Indices) -> None:
    """Give an empty part the smallest unit of training that is not the last one there of a label, if there is one."""
    training = np.flatnonzero(part_of == 0)
    labels = members[:, :-1] > 0  # but having none
    spare = training[~(labels[training] & (labels[training].sum(axis=0) == 1)).any(axis=1)]
    if len(spare) and len(training) > 1:
        part_of[spare[np.argmin(members[spare].sum(axis=1))]] = part


def _members(data: LabelledTexts, unit_of: Indices) -> Indices:
    """Count the rows of each label in each unit, int64 [units, labels + 1]; the last column is of rows without any."""
    column = {name: i for i, name in enumerate(sorted({name for label in data.labels for name in names_of(label)}))}
    members = np.zeros((int(unit_of.max()) + 1, len(column) + 1), dtype=np.int64)
    for unit, label in zip(unit_of, data.labels, strict=True):
        members[unit, [column[name] for name in names_of(label)] or [-1]] += 1
    return members


def _deal(data: LabelledTexts, members: Indices, n_rows: Indices, sizes: Sequence[float], seed: int) -> Indices:
    """Give the part of each unit; `members` is [units, labels], `n_rows` [units], `sizes` the rows of each part."""
    deal = _iterative_stratification if data.groups is None else _largest_first
    return deal(members, n_rows, sizes, np.random.default_rng(seed))


def _iterative_stratification(
    members: Indices, n_rows: Indices, sizes: Sequence[float], random: np.random.Generator
) -> Indices:
    """Deal out the rarest label first, each time to the part that lacks it most."""
    left = np.ones(len(members), dtype=np.bool_)
    parts = np.flatnonzero(sizes)
    lacking = np.array(sizes, dtype=float)[parts]
    lacking_label = np.outer(lacking / lacking.sum(), members.sum(axis=0))
    part_of = np.zeros(len(members), dtype=np.int64)
    while left.any():
        counts = members[left].sum(axis=0)
        label = int(np.argmin(np.where(counts > 0, counts, members.sum() + 1)))
        for unit in random.permutation(np.flatnonzero(left & (members[:, label] > 0))):
            part = np.lexsort((random.random(len(parts)), lacking, lacking_label[:, label]))[-1]
            part_of[unit] = parts[part]
            lacking[part] -= n_rows[unit]
            lacking_label[part] -= members[unit]
            left[unit] = False
    return part_of


def _largest_first(members: Indices, n_rows: Indices, sizes: Sequence[float], random: np.random.Generator) -> Indices:
    """Deal out the largest group first, each time to the part that comes nearest to what it should have.

    A group has rows of many labels, so that dealing by one of them misses the sizes. Nearest is by least squares over
    the shares of every label and of all rows; the squares of the group itself are the same for each part, which leaves
    the product below.
    """
    counts = np.column_stack([members, n_rows]).astype(float)
    weights = counts / np.maximum(counts.sum(axis=0), 1)
    parts = np.flatnonzero(sizes)
    shares = np.array(sizes, dtype=float)[parts]
    lacking = np.outer(shares / shares.sum(), counts.sum(axis=0))
    part_of = np.zeros(len(members), dtype=np.int64)
    order = random.permutation(len(members))
    for unit in order[np.argsort(-n_rows[order], kind="stable")]:
        part = np.lexsort((random.random(len(parts)), lacking @ weights[unit]))[-1]
        part_of[unit] = parts[part]
        lacking[part] -= counts[unit]
    return part_of


def _check_units(data: LabelledTexts, members: Indices, *, n_parts: int) -> None:
    """Refuse units that cannot be divided so that there is something to learn."""
    if data.groups is not None and len(members) < n_parts:
        raise DataError(
            f"{data.file}: its rows are of {len(set(data.groups)):,} group(s), {len(members):,} if groups that share a "
            f"text count as one: {n_parts} parts need at least {n_parts}. Is this the right --group-column?"
        )
    if data.multi_label:
        _check_sets(data)
        return
    names = sorted({str(label) for label in data.labels})
    _check_classes(data, Counter(dict(zip(names, (members[:, :-1] > 0).sum(axis=0).tolist(), strict=True))), n_parts)


def _check_sets(data: LabelledTexts) -> None:
    if not any(data.labels):
        raise DataError(f"{data.file}: none of the {len(data):,} rows has a label. Is this the right --label-column?")
    sets = {frozenset(label) for label in data.labels}
    if len(sets) == 1:
        raise DataError(
            f"{data.file}: all {len(data):,} rows have the same labels: {', '.join(map(repr, sorted(sets.pop())))}. "
            "A classifier needs rows that differ: is this the right --label-column?"
        )


def _check_classes(data: LabelledTexts, n_units: Counter[str], n_parts: int) -> None:
    """Refuse a single class, and classes with fewer units than parts."""
    rows = Counter(map(str, data.labels))
    if len(rows) == 1:
        raise DataError(
            f"{data.file}: all {len(data):,} rows have the label {next(iter(rows))!r}. "
            "A classifier needs at least 2 different labels: is this the right --label-column?"
        )
    few = sorted(label for label in rows if n_units[label] < n_parts)
    if few:
        shown = ", ".join(f"{label!r} ({n_units[label]})" for label in few[:SHOWN])
        raise DataError(
            f"{data.file}: {len(few)} of {len(rows)} classes have too few {_what(data)} for a split into {n_parts} "
            f"parts: {shown}{', ...' if len(few) > SHOWN else ''}; at least {n_parts} each are needed. "
            "Add rows, merge or remove these classes, or give --eval-data and --test-data."
        )
