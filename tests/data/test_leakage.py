"""Texts and groups on both sides."""

from pathlib import Path

from medclf.data.leakage import leaks_text, shared_groups, shared_texts
from medclf.data.tables import LabelledTexts


def data(name: str, texts: list[str], groups: list[str] | None = None) -> LabelledTexts:
    n = len(texts)
    return LabelledTexts(Path(name), "", texts, None, ["a"] * n, list(range(1, n + 1)), groups)


def test_rows_on_both_sides() -> None:
    first = data("a.csv", ["One", "two", "ONE."], ["p", "q", "r"])
    second = data("b.csv", ["three", "one"], ["q", "q"])
    texts, groups = shared_texts(first, second), shared_groups(first, second)
    assert (texts.n, texts.first_rows, texts.second_rows) == (1, (1, 3), (2,))
    assert (groups.n, groups.first_rows, groups.second_rows) == (1, (2,), (1, 2))
    assert leaks_text(first, second) == (
        "1 text: 2 rows (1, 3) of a.csv, row 2 of b.csv; 1 group: row 2 of a.csv, 2 rows (1, 2) of b.csv"
    )


def test_nothing_is_shared() -> None:
    assert leaks_text(data("a.csv", ["one"]), data("b.csv", ["two"], ["p"])) is None
