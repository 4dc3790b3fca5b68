"""Texts that repeat: in one table, from one group to another, from one table to the next, nearly or wholly."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from medclf.data.audit.findings import Finding, count_text, finding
from medclf.data.audit.near import NearPair, near_duplicates
from medclf.data.contradictions import Contradictions
from medclf.data.keys import numbered, text_keys, units
from medclf.data.leakage import shared_groups, shared_texts
from medclf.data.tables import LabelledTexts
from medclf.labels import names_of

LARGE_GROUP = 0.2  # of the rows


def repeats(data: LabelledTexts, found: Contradictions) -> Iterator[Finding]:
    """Say which texts occur more than once, and which of them under different labels.

    Args:
        data: The table.
        found: Its contradictions.

    Yields:
        Findings about rows.
    """
    text_of = numbered(text_keys(data))
    n_rows = Counter(text_of.tolist())
    rows = [row for row, text in zip(data.rows, text_of, strict=True) if n_rows[text] > 1]
    if rows:
        n_texts = sum(n > 1 for n in n_rows.values())
        yield finding(
            "duplicates", "note", data.file,
            f"{count_text(n_texts, 'text')} more than once, in {len(rows):,} of {len(data):,} rows (case, spaces and "
            "punctuation do not count).",
            do="medclf-train keeps them in one part; splits made elsewhere may not.", rows=rows,
        )  # fmt: skip
    if found.n_texts:
        share = 100 * len(found.rows) / len(data)
        score = "exact match" if data.multi_label else "accuracy"
        whole = " Every text does: there is nothing to learn." if found.n_texts == found.n_all_texts else ""
        yield finding(
            "contradictions", "error", data.file,
            f"{count_text(found.n_texts, 'text')} under different labels, in {len(found.rows):,} rows ({share:.1f} "
            "%). No "
            f"classifier of the text can pass {score} {found.ceiling:.3f} on this table.{whole}",
            do="If a text may have several labels, give them in one row, as a list; else correct the labels or remove "
            "these rows.", rows=found.rows,
        )  # fmt: skip


def groups(data: LabelledTexts) -> Iterator[Finding]:
    """Look at the group column.

    Args:
        data: A table; without groups there is nothing to say.

    Yields:
        Findings about rows or groups.
    """
    if data.groups is None:
        return
    file, sizes = str(data.file), Counter(data.groups)
    if len(sizes) == 1:
        what = "all rows are of one group, so that no split can keep it whole."
        yield Finding("one_group", "error", file, 1, what, "Check that this is the right --group-column.")
    elif len(sizes) == len(data):
        what = "every row has a group of its own: the column keeps nothing together."
        yield Finding("groups_of_one", "note", file, len(sizes), what, "Check that this is the right --group-column.")
    elif max(sizes.values()) > LARGE_GROUP * len(data):
        yield Finding(
            "large_group", "warning", file, max(sizes.values()),
            f"one of {len(sizes):,} groups has {100 * max(sizes.values()) / len(data):.1f} % of the rows.",
            "Splits by group will miss their sizes.",
        )  # fmt: skip
    pairs = dict.fromkeys(zip(text_keys(data), data.groups, strict=True))
    n_groups = Counter(text for text, _ in pairs)
    rows = [row for row, text in zip(data.rows, text_keys(data), strict=True) if n_groups[text] > 1]
    if rows:
        yield finding(
            "texts_across_groups", "warning", data.file,
            f"{count_text(sum(n > 1 for n in n_groups.values()), 'text')} in more than one group, in {len(rows):,} "
            "rows; "
            f"bound together by them, {len(sizes):,} groups are {int(units(data).max()) + 1:,}.",
            do="medclf-train keeps such groups in one part. If these texts are templates, remove them.", rows=rows,
        )  # fmt: skip


def leaks(train: LabelledTexts, test: LabelledTexts) -> Iterator[Finding]:
    """Say what a test table repeats of the table of training.

    Args:
        train: The table of training.
        test: The table of the test.

    Yields:
        Findings about rows of the test table.
    """
    texts, groups_ = shared_texts(train, test), shared_groups(train, test)
    if texts.n:
        seen: dict[str, set[frozenset[str]]] = {}
        for key, label in zip(text_keys(train), train.labels, strict=True):
            seen.setdefault(key, set()).add(frozenset(names_of(label)))
        keys = zip(text_keys(test), test.labels, strict=True)
        n_other = sum(key in seen and frozenset(names_of(label)) not in seen[key] for key, label in keys)
        yield finding(
            "leaked_texts", "error", test.file,
            f"{count_text(texts.n, 'text')} of {train.file} too, in {len(texts.second_rows):,} of {len(test):,} rows "
            "here; "
            f"{n_other:,} of these under a label that the text never has there.",
            do="Remove them from one of the tables: medclf-train refuses both together.", rows=texts.second_rows,
        )  # fmt: skip
    if groups_.n:
        yield finding(
            "leaked_groups", "error", test.file,
            f"{count_text(groups_.n, 'group')} of {train.file} too, with {len(groups_.second_rows):,} of "
            f"{len(test):,} rows "
            "here.",
            do="Divide by group: medclf-train --group-column.", rows=groups_.second_rows,
        )  # fmt: skip


def near_repeats(
    tables: Sequence[LabelledTexts], threshold: float, progress: Callable[[float], None]
) -> Iterator[Finding]:
    """Look for texts that nearly repeat another, in one table and from the first to the second.

    Args:
        tables: One table or two.
        threshold: Least similarity.
        progress: Is told the share of the work that is done.

    Yields:
        Findings about rows.
    """
    first_row: dict[str, tuple[int, int]] = {}  # key -> table and position, of its first row
    for number, data in enumerate(tables):
        for position, key in enumerate(text_keys(data)):
            first_row.setdefault(key, (number, position))
    places = list(first_row.values())
    pairs = near_duplicates(list(first_row), threshold, progress=progress)
    for number, data in enumerate(tables):
        own = [(places[one.first], places[one.second], one) for one in pairs if places[one.second][0] == number]
        within = [(a, b, one) for a, b, one in own if a[0] == number]
        across = [(a, b, one) for a, b, one in own if a[0] != number]
        if within:
            yield _near(data, within, threshold)
        if across:
            rows = [data.rows[b[1]] for _, b, _ in across]
            yield finding(
                "nearly_leaked_texts", "warning", data.file,
                f"{count_text(len(set(rows)), 'text')} like one of {tables[0].file} ({100 * threshold:.0f} % of the "
                "pairs "
                "of neighbouring words).",
                do="Scores on them say little about new texts: remove them, or report without them too.", rows=rows,
            )  # fmt: skip


def _near(
    data: LabelledTexts, pairs: Sequence[tuple[tuple[int, int], tuple[int, int], NearPair]], threshold: float
) -> Finding:
    rows = [data.rows[place[1]] for a, b, _ in pairs for place in (a, b)]
    n_other = sum(data.labels[a[1]] != data.labels[b[1]] for a, b, _ in pairs)
    return finding(
        "near_duplicates", "warning", data.file,
        f"{count_text(len(set(rows)), 'text')} like another ({100 * threshold:.0f} % of the pairs of neighbouring "
        "words); "
        f"of {count_text(len(pairs), 'such pair')} {n_other:,} with different labels.",
        do="They may stand on both sides of a split: group them, or keep one of each.", rows=rows,
    )  # fmt: skip
