"""One audit: a table, and perhaps a second one for the test, through every check."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from medclf.bundle import TextColumns
from medclf.data.audit.damage import damage
from medclf.data.audit.findings import Audit, Finding, Lengths, TableCounts, count_text, finding
from medclf.data.audit.label_counts import class_counts, rare_and_frequent
from medclf.data.audit.label_names import suspicious_names
from medclf.data.audit.lengths import Ruler, measure
from medclf.data.audit.repeats import groups, leaks, near_repeats, repeats
from medclf.data.contradictions import Contradictions, contradictions
from medclf.data.tables import Faults, LabelledTexts, read_usable
from medclf.errors import DataError, OptionError

ORDER = ("error", "warning", "note")
CHECKS = (
    "empty_texts", "unusable_rows", "one_class", "tiny_classes", "small_classes", "imbalance", "unlabelled",
    "label_synonyms", "label_look_alikes", "label_placeholders", "label_numbers", "label_separators",
    "duplicates", "contradictions", "near_duplicates",
    "replacement_characters", "mojibake", "control_characters", "html", "odd_spaces",
    "truncation", "no_tokenizer", "unknown_tokens",
)  # fmt: skip
GROUP_CHECKS = ("one_group", "groups_of_one", "large_group", "texts_across_groups")
TEST_CHECKS = ("leaked_texts", "leaked_groups", "nearly_leaked_texts", "unseen_labels", "missing_labels")
Progress = Callable[[str, float], None]  # what is being done, and the share of it that is done


@dataclass(frozen=True)
class AuditOptions:
    """What is audited, and against what.

    Attributes:
        file: Table of labelled texts.
        test: Table that is to test what is trained on the first; None for none.
        columns: Columns that make a text.
        label_column: Column of the labels; several are columns of 0 and 1.
        multi_label: Split label strings at `;`.
        group_column: Column of what a text belongs to, such as its patient.
        encoding: Character encoding of the tables.
        max_length: Most tokens of a text.
        near: Similarity from which a text nearly repeats another, 0.3 to 0.99; 0 does not look.
    """

    file: Path
    test: Path | None = None
    columns: TextColumns = TextColumns()  # noqa: RUF009  # frozen too
    label_column: tuple[str, ...] = ("label",)
    multi_label: bool = False
    group_column: str | None = None
    encoding: str = "utf-8"
    max_length: int = 256
    near: float = 0.8

    def __post_init__(self) -> None:
        if self.near and not 0.3 <= self.near <= 0.99:
            raise OptionError(f"near is {self.near}, expected 0.3 to 0.99, or 0 not to look for near-duplicates.")
        if self.max_length < 8:
            raise OptionError(f"max_length is {self.max_length}, expected 8 or more.")


def audit(options: AuditOptions, ruler: Ruler, *, progress: Progress = lambda what, share: None) -> Audit:
    """Look at a table of labelled texts for what would make a model, or its scores, wrong.

    Args:
        options: What is audited.
        ruler: What counts tokens.
        progress: Is told what is being done.

    Returns:
        The findings, and the counts that they rest on.

    Raises:
        DataError: A table cannot be read, or no row of it can be used.
        OptionError: A column is named as two things, or the encoding is not known.
        ExtraError: Near-duplicates are asked for and datasketch is not installed.
    """
    files = [options.file, *([options.test] if options.test else [])]
    tables: list[LabelledTexts] = []
    counts: list[TableCounts] = []
    findings: list[Finding] = []
    for file in files:
        progress(f"reading {file.name}", 0.0)
        data, faults = _read(file, options, multi_label=tables[0].multi_label if tables else None)
        progress(f"looking at {file.name}", 0.0)
        own, found = _look(data, ruler, options, divided=not tables)
        n_rows = len(data) + len({row for rows in faults.values() for row, _ in rows})
        tables.append(data)
        counts.append(replace(own, n_rows=n_rows))
        findings += [*_unusable(file, faults, n_rows), *found]
    if ruler.tokenizer is None:
        what = "no tokenizer was at hand, so words were counted; a word is a token or more."
        do = "Name the model that you will train with --model; a tokenizer.json is enough."
        findings.append(Finding("no_tokenizer", "note", str(options.file), 0, what, do))
    if options.test:
        findings += [*leaks(tables[0], tables[1]), *_labels_of_test(tables[0], tables[1])]
    if options.near:
        what = "looking for near-duplicates"
        findings += near_repeats(tables, options.near, lambda share: progress(what, share))
    return Audit(
        tuple(counts),
        tuple(sorted(findings, key=lambda one: ORDER.index(one.severity))),
        _passed(options, ruler, findings),
    )


def _passed(options: AuditOptions, ruler: Ruler, findings: list[Finding]) -> tuple[str, ...]:
    checks = [*CHECKS, *(GROUP_CHECKS if options.group_column else ()), *(TEST_CHECKS if options.test else ())]
    not_made = {
        *({one.check for one in findings}),
        *(() if options.near else ("near_duplicates", "nearly_leaked_texts")),
        *(() if options.group_column else ("leaked_groups",)),
        *(() if ruler.tokenizer else ("unknown_tokens", "truncation")),
    }
    return tuple(check for check in checks if check not in not_made)


def _read(file: Path, options: AuditOptions, *, multi_label: bool | None) -> tuple[LabelledTexts, Faults]:
    data, faults = read_usable(
        file, columns=options.columns, label_column=options.label_column,
        multi_label=(options.multi_label or None) if multi_label is None else multi_label,
        encoding=options.encoding, group_column=options.group_column,
    )  # fmt: skip
    if not len(data):
        first = "; ".join(f"column {column!r}: row {rows[0][0]} {rows[0][1]}" for column, rows in faults.items())
        raise DataError(f"{file}: no row can be used ({first}). Are these the right columns?")
    return data, faults


def _unusable(file: Path, faults: Faults, n_rows: int) -> Iterator[Finding]:
    for column, rows in faults.items():
        empty = [row for row, fault in rows if fault == "is empty"]
        others = [(row, fault) for row, fault in rows if fault != "is empty"]
        do = "Remove or complete them: medclf-train refuses the table with them."
        if empty:
            what = f"column {column!r} is empty in {len(empty):,} of {n_rows:,} rows."
            yield finding("empty_texts", "error", file, what, do=do, rows=empty)
        if others:
            row, fault = others[0]
            what = f"column {column!r} of {len(others):,} of {n_rows:,} rows cannot be used: row {row} {fault}"
            what += "; ..." if len(others) > 1 else "."
            yield finding("unusable_rows", "error", file, what, do=do, rows=[row for row, _ in others])


def _look(
    data: LabelledTexts, ruler: Ruler, options: AuditOptions, *, divided: bool
) -> tuple[TableCounts, list[Finding]]:
    classes, found = class_counts(data), contradictions(data)
    lengths, about_lengths = measure(data, ruler, options.max_length)
    findings = [
        *rare_and_frequent(data, classes, divided=divided),
        *suspicious_names(data.file, sorted(classes), several=data.multi_label),
        *repeats(data, found),
        *groups(data),
        *damage(data),
        *about_lengths,
    ]
    return _counts(data, classes, found, lengths), findings


def _counts(data: LabelledTexts, classes: dict[str, int], found: Contradictions, lengths: Lengths) -> TableCounts:
    return TableCounts(
        file=str(data.file),
        sha256=data.sha256,
        n_rows=len(data),
        n_usable=len(data),
        n_texts=found.n_all_texts,
        n_groups=None if data.groups is None else len(set(data.groups)),
        n_contradicting_texts=found.n_texts,
        n_contradicting_rows=len(found.rows),
        ceiling=found.ceiling,
        label_ceiling=found.label_ceiling,
        classes=classes,
        n_unlabelled=sum(label == () for label in data.labels),
        lengths=lengths,
    )


def _labels_of_test(train: LabelledTexts, test: LabelledTexts) -> Iterator[Finding]:
    of_train, of_test = class_counts(train), class_counts(test)
    for check, severity, names, what, do in (
        ("unseen_labels", "error", [name for name in of_test if name not in of_train],
         "unknown to the table of training", "medclf-train refuses them: correct them, or add rows there."),
        ("missing_labels", "warning", [name for name in of_train if name not in of_test],
         "of the table of training without a row here", "Scores on this table say nothing of them."),
    ):  # fmt: skip
        if names:
            shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
            file = str(test.file)
            yield Finding(check, severity, file, len(names), f"{count_text(len(names), 'label')} {what}: {shown}.", do)  # type: ignore[arg-type]
