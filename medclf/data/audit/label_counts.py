"""How many rows and texts each label has, and whether that is enough to learn from and to split."""

from collections import Counter
from collections.abc import Iterator, Sequence

from medclf.data.audit.findings import N_ROWS, Finding, count_text
from medclf.data.keys import text_keys, units
from medclf.data.tables import LabelledTexts
from medclf.labels import names_of

PARTS = 3  # training, validation, test: a class needs a different text for each
FEW = 10  # rows of a label; fewer teach little and measure nothing
UNEQUAL = 20  # rows of the most frequent label for one of the rarest
FREQUENT = 0.5  # of the rows: an answer that is right so often without a look at the text
SHOWN = 5


def class_counts(data: LabelledTexts) -> dict[str, int]:
    """Count the rows of each label.

    Args:
        data: The table.

    Returns:
        Label -> rows, the most frequent first, then by name.
    """
    counts = Counter(name for label in data.labels for name in names_of(label))
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def rare_and_frequent(data: LabelledTexts, classes: dict[str, int], *, divided: bool) -> Iterator[Finding]:
    """Say which labels have too few rows, and whether one outweighs the others.

    Args:
        data: The table.
        classes: Of `class_counts`.
        divided: Whether the table will be divided into training, validation and test; a table of the test is not.

    Yields:
        Findings; their counts are of labels.
    """
    file = str(data.file)
    if len(classes) < (1 if data.multi_label else 2):
        yield Finding(
            "one_class", "error", file, len(classes),
            f"{count_text(len(classes), 'label')} in {count_text(len(data), 'row')}: there is nothing to tell apart.",
            "Check that this is the right --label-column.",
        )  # fmt: skip
        return
    unit_of = units(data) if data.groups is not None else text_keys(data)
    members = {(name, unit) for label, unit in zip(data.labels, unit_of, strict=True) for name in names_of(label)}
    n_units = Counter(name for name, _ in members)
    what = "different texts" if data.groups is None else "groups"
    tiny = [name for name in classes if divided and n_units[name] < PARTS]
    if tiny:
        yield Finding(
            "tiny_classes", "warning" if data.multi_label else "error", file, len(tiny),
            f"{len(tiny)} of {count_text(len(classes), 'label')} with fewer than {PARTS} {what}: "
            f"{_shown(tiny, n_units)}.",
            "They cannot be in training, validation and test alike: add rows, merge or remove these labels.",
        )  # fmt: skip
    few = [name for name, n in classes.items() if n < FEW and name not in tiny]
    if few:
        yield Finding(
            "small_classes", "warning", file, len(few),
            f"{len(few)} of {count_text(len(classes), 'label')} with fewer than {FEW} rows: {_shown(few, classes)}.",
            "Scores on them are chance: add rows, or merge them.",
        )  # fmt: skip
    yield from _balance(data, classes)


def _balance(data: LabelledTexts, classes: dict[str, int]) -> Iterator[Finding]:
    (most, n_most), (least, n_least) = next(iter(classes.items())), list(classes.items())[-1]
    if n_most >= UNEQUAL * n_least or n_most > FREQUENT * len(data):
        yield Finding(
            "imbalance", "note", str(data.file), len(classes),
            f"{most!r} is in {100 * n_most / len(data):.1f} % of the rows, {least!r} in "
            f"{100 * n_least / len(data):.1f} %.",
            "Judge by macro-F1 and each label's own F1: accuracy is high without any skill.",
        )  # fmt: skip
    n_empty = sum(label == () for label in data.labels)
    if n_empty:
        yield Finding(
            "unlabelled", "note", str(data.file), n_empty,
            f"{n_empty:,} of {len(data):,} rows ({100 * n_empty / len(data):.1f} %) have no label at all.",
            "Right, if none applies to them. If they were not looked at, remove them.",
            tuple(row for row, label in zip(data.rows, data.labels, strict=True) if label == ())[:N_ROWS],
        )  # fmt: skip


def _shown(names: Sequence[str], counts: dict[str, int]) -> str:
    return ", ".join(f"{name!r} ({counts[name]})" for name in names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
