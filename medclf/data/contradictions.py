"""Texts that a table holds under more than one label, and how well a classifier can do at best for it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from medclf.data.keys import numbered, text_keys
from medclf.data.tables import LabelledTexts
from medclf.labels import names_of


@dataclass(frozen=True)
class Contradictions:
    """Texts under more than one label, or with several labels a text under more than one set of them.

    Attributes:
        n_texts: How many different texts they are.
        n_all_texts: Different texts of the table.
        rows: Row numbers of all of their rows.
        ceiling: Highest accuracy (exact match of the set) of any classifier that sees the text alone: it gives equal
            texts equal answers, so of the rows of a text it gets at most those of its most frequent label right. The
            sum of these over all texts, divided by all rows. Such as: 2 rows of one text, under a and b, and 2 other
            rows: 3/4.
        label_ceiling: With several labels a text: the highest share of right decisions, label by label; None otherwise.
    """

    n_texts: int
    n_all_texts: int
    rows: tuple[int, ...]
    ceiling: float
    label_ceiling: float | None


def contradictions(data: LabelledTexts) -> Contradictions:
    """Find the texts that contradict themselves, equal but for case, spaces and punctuation.

    Args:
        data: The table, of at least one row.

    Returns:
        What was found.
    """
    text_of = numbered(text_keys(data))
    labels = [frozenset(names_of(label)) for label in data.labels]
    counts: list[Counter[frozenset[str]]] = [Counter() for _ in range(int(text_of.max()) + 1)]
    for text, label in zip(text_of, labels, strict=True):
        counts[text][label] += 1
    wrong = np.array([len(of_text) > 1 for of_text in counts])
    return Contradictions(
        n_texts=int(wrong.sum()),
        n_all_texts=len(counts),
        rows=tuple(row for row, text in zip(data.rows, text_of, strict=True) if wrong[text]),
        ceiling=sum(max(of_text.values()) for of_text in counts) / len(data),
        label_ceiling=_label_ceiling(counts, len(data)) if data.multi_label else None,
    )


def _label_ceiling(counts: list[Counter[frozenset[str]]], n_rows: int) -> float:
    """Each label alone is a choice between yes and no; of the rows of a text at most the more frequent one is right."""
    n_labels = len({name for of_text in counts for label in of_text for name in label})
    lost = 0
    for of_text in counts:
        if len(of_text) > 1:
            n = of_text.total()
            given = Counter({name: 0 for label in of_text for name in label})
            for label, times in of_text.items():
                given.update(dict.fromkeys(label, times))
            lost += sum(min(times, n - times) for times in given.values())
    return 1 - lost / max(1, n_rows * n_labels)
