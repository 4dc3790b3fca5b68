"""Splits: sizes, classes in every part, no text on two sides, and what cannot be split."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medclf.data.keys import text_keys
from medclf.data.splits import Split, folds, split
from medclf.data.tables import LabelledTexts
from medclf.errors import DataError, OptionError
from medclf.labels import Label


def data(labels: Sequence[Label], texts: list[str] | None = None, groups: list[str] | None = None) -> LabelledTexts:
    texts = texts or [f"text {i}" for i in range(len(labels))]
    return LabelledTexts(Path("notes.csv"), "", texts, None, list(labels), list(range(1, len(labels) + 1)), groups)


def parts(table: LabelledTexts, *, seed: int = 0) -> Split:
    return split(table, validation_size=0.1, test_size=0.2, seed=seed)


def test_sizes_and_shares_of_the_classes() -> None:
    table = data(["a"] * 700 + ["b"] * 300)
    made = parts(table)
    assert [len(part) for part in (made.train, made.validation, made.test)] == [700, 100, 200]
    for part in (made.train, made.validation, made.test):
        assert Counter(table.select(part).labels)["b"] == pytest.approx(0.3 * len(part), abs=1)


def test_same_seed_same_split() -> None:
    table = data(["a", "b"] * 50)
    assert np.array_equal(parts(table, seed=1).test, parts(table, seed=1).test)
    assert not np.array_equal(parts(table, seed=1).test, parts(table, seed=2).test)


@settings(deadline=None, max_examples=60)
@given(counts=st.lists(st.integers(3, 40), min_size=2, max_size=12), seed=st.integers(0, 99))
def test_every_class_is_in_training_and_every_row_in_one_part(counts: list[int], seed: int) -> None:
    table = data([f"class {i}" for i, n in enumerate(counts) for _ in range(n)])
    made = parts(table, seed=seed)
    assert set(table.select(made.train).labels) == set(table.labels)
    assert sorted(np.concatenate([made.train, made.validation, made.test])) == list(range(len(table)))


def test_equal_texts_stay_in_one_part(caplog: pytest.LogCaptureFixture) -> None:
    texts = [f"Text  {i // 4}" if i % 2 else f"text {i // 4} " for i in range(400)]
    table = data(["a", "a", "a", "a", "b", "b", "b", "b"] * 50, texts)
    with caplog.at_level(logging.INFO):
        made = parts(table)
    keys = [set(text_keys(table.select(part))) for part in (made.train, made.validation, made.test)]
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]
    assert "300 of 400 rows repeat the text of another" in caplog.text


def test_part_that_is_not_asked_for_is_empty() -> None:
    made = split(data(["a", "b"] * 20), validation_size=0.1, test_size=0, seed=0)
    assert (len(made.train), len(made.validation), len(made.test)) == (36, 4, 0)


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"notes\.csv: all 20 rows have the label 'a'.*--label-column"):
        parts(data(["a"] * 20))


@pytest.mark.parametrize("n", [1, 2])
def test_class_with_too_few_rows_is_refused(n: int) -> None:
    with pytest.raises(DataError, match=rf"1 of 3 classes .* 3 parts: 'rare' \({n}\); at least 3 each.*--eval-data"):
        parts(data(["a"] * 20 + ["b"] * 20 + ["rare"] * n))


def test_class_whose_rows_all_repeat_one_text_is_refused() -> None:
    with pytest.raises(DataError, match=r"'b' \(1\)"):
        parts(data(["a"] * 20 + ["b"] * 5, [f"text {i}" for i in range(20)] + ["same"] * 5))


def test_no_split_needs_no_second_row() -> None:
    made = split(data(["a", "b"]), validation_size=0, test_size=0, seed=0)
    assert made.train.tolist() == [0, 1]


# Several labels a text


def shares(table: LabelledTexts, made: Split) -> dict[str, list[float]]:
    """Label -> its share of the rows in training, validation and test; "" for no label."""
    counts = [
        Counter(name for label in table.select(part).labels for name in label or ("",))
        for part in (made.train, made.validation, made.test)
    ]
    return {name: [count[name] / sum(c[name] for c in counts) for count in counts] for name in sum(counts, Counter())}


def test_every_label_and_no_label_at_all_keep_their_shares() -> None:
    chance = np.random.default_rng(0)
    often = (0.5, 0.3, 0.1, 0.05)
    table = data([tuple(n for n, p in zip("abcd", often, strict=True) if chance.random() < p) for _ in range(2_000)])
    made = parts(table)
    assert [len(part) for part in (made.train, made.validation, made.test)] == pytest.approx([1400, 200, 400], abs=40)
    for name, found in shares(table, made).items():
        assert found == pytest.approx([0.7, 0.1, 0.2], abs=0.02), name


def test_sets_are_split_the_same_with_the_same_seed() -> None:
    table = data([("a",), ("b",), ("a", "b"), ()] * 30)
    assert np.array_equal(parts(table, seed=1).test, parts(table, seed=1).test)
    assert not np.array_equal(parts(table, seed=1).test, parts(table, seed=2).test)


SETS = st.lists(
    st.frozensets(st.sampled_from("abcdef")).map(lambda names: tuple(sorted(names))), min_size=8, max_size=60
)


@settings(deadline=None, max_examples=80)
@given(labels=SETS, seed=st.integers(0, 99), repeats=st.integers(1, 3))
def test_every_label_is_in_training_and_no_text_on_two_sides(labels: list[Label], seed: int, repeats: int) -> None:
    groups = [frozenset().union(*labels[i : i + repeats]) for i in range(0, len(labels), repeats)]
    assume(len(set(groups)) > 1)
    table = data(labels, [f"text {i // repeats}" for i in range(len(labels))])
    try:
        made = parts(table, seed=seed)
    except DataError as error:
        if "too few for a split" in str(error) and len(set(groups)) < 10:
            return  # a few texts, each with labels of its own
        raise
    assert sorted(np.concatenate([made.train, made.validation, made.test])) == list(range(len(table)))
    everything = {name for label in labels for name in label}
    assert {name for label in table.select(made.train).labels for name in label} == everything
    keys = [{table.texts[i] for i in part} for part in (made.train, made.validation, made.test)]
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]


def test_a_small_table_has_a_row_in_every_part() -> None:
    made = parts(data([("a",), ("b",), ("a", "b"), ()] * 3))  # the tenth for validation is one row
    assert [len(part) for part in (made.train, made.validation, made.test)] == [9, 1, 2]


def test_sets_that_teach_nothing_are_refused() -> None:
    with pytest.raises(DataError, match=r"notes\.csv: none of the 20 rows has a label\..*--label-column"):
        parts(data([()] * 20))
    with pytest.raises(DataError, match="all 20 rows have the same labels: 'a', 'b'"):
        parts(data([("a", "b")] * 20))
    with pytest.raises(DataError, match="2 different texts with 2 labels are too few for a split"):
        parts(data([("a",), ("b",)] * 5, ["one text", "another text"] * 5))


# Groups


def of_patients(n: int, *, seed: int = 0) -> LabelledTexts:
    """Notes of n patients, 1 to 30 each, whose classes differ from patient to patient."""
    chance = np.random.default_rng(seed)
    labels: list[Label] = []
    groups: list[str] = []
    for patient in range(n):
        often = chance.dirichlet((4, 2, 1))
        n_notes = int(chance.integers(1, 31))
        labels += chance.choice(["a", "b", "c"], size=n_notes, p=often).tolist()
        groups += [f"patient {patient}"] * n_notes
    return data(labels, groups=groups)


def test_groups_are_whole_and_classes_keep_their_shares() -> None:
    table = of_patients(300)
    made = parts(table)
    sides = [{table.groups[i] for i in part} for part in (made.train, made.validation, made.test)]  # type: ignore[index]
    assert sum(map(len, sides)) == 300
    n = len(table)
    assert [len(part) / n for part in (made.train, made.validation, made.test)] == pytest.approx(
        [0.7, 0.1, 0.2], abs=0.01
    )
    for name, found in shares(table, made).items():
        assert found == pytest.approx([0.7, 0.1, 0.2], abs=0.02), name


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 7), st.integers(0, 30)), min_size=1, max_size=60),
    seed=st.integers(0, 9),
)
def test_no_group_and_no_text_on_two_sides(rows: list[tuple[str, int, int]], seed: int) -> None:
    table = data([row[0] for row in rows], [f"text {row[2]}" for row in rows], [str(row[1]) for row in rows])
    for divide in (lambda: [*vars(parts(table, seed=seed)).values()], lambda: folds(table, 3, seed=seed)):
        try:
            made = divide()
        except DataError:
            continue  # too few groups, or a class in too few of them
        assert sorted(np.concatenate(made)) == list(range(len(table)))
        for what in (table.texts, table.groups or []):
            sides = [{what[i] for i in part} for part in made]
            assert sum(map(len, sides)) == len(set(what))


def test_one_group_is_refused() -> None:
    with pytest.raises(DataError, match=r"of 1 group\(s\), 1 if groups.*right --group-column") as caught:
        parts(data(["a", "b"] * 20, groups=["CANARY-7f3a"] * 40))
    assert "CANARY" not in str(caught.value)
    with pytest.raises(DataError, match=r"of 20 group\(s\), 1 if groups that share a text count as one: 3 parts need"):
        parts(data(["a", "b"] * 20, ["one text"] * 40, [str(i // 2) for i in range(40)]))


def test_class_of_one_patient_is_refused() -> None:
    with pytest.raises(DataError, match=r"1 of 3 classes have too few groups .*: 'c' \(1\); at least 3 each"):
        parts(data(["a", "b"] * 20 + ["c"] * 9, groups=[str(i // 4) for i in range(40)] + ["99"] * 9))


# Folds


def test_folds_are_stratified_and_cover_every_row_once() -> None:
    table = data(["a"] * 70 + ["b"] * 25 + ["c"] * 5)
    made = folds(table, 5, seed=1)
    assert sorted(np.concatenate(made)) == list(range(100))
    assert [Counter(table.select(part).labels) for part in made] == [Counter(a=14, b=5, c=1)] * 5
    assert not all(np.array_equal(*pair) for pair in zip(made, folds(table, 5, seed=2), strict=True))


def test_folds_of_sets() -> None:
    table = data([("a",), ("b",), ("a", "b"), ()] * 30)
    counts = [Counter(table.select(part).labels) for part in folds(table, 4, seed=0)]
    assert all(sum(count.values()) == pytest.approx(30, abs=3) for count in counts)
    assert sum(counts, Counter()) == Counter(table.labels)


@pytest.mark.parametrize(
    ("table", "n", "message"),
    [
        (data(["a", "b"] * 20), 1, "folds is 1, expected 2 or more"),
        (data(["a", "b"] * 4), 20, "8 different texts are too few for 20 folds"),
        (data(["a", "b"] * 9 + ["c"] * 2), 3, r"different texts for a split into 3 parts: 'c' \(2\)"),
        (data(["a"] * 9), 3, "all 9 rows have the label 'a'"),
        (data(["a", "b"] * 9, groups=["x"] * 18), 3, r"of 1 group\(s\)"),
    ],
)
def test_folds_that_cannot_be(table: LabelledTexts, n: int, message: str) -> None:
    with pytest.raises((DataError, OptionError), match=message):
        folds(table, n, seed=0)
