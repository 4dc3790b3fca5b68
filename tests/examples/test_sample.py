"""The offline sample: reproducible, balanced, varied, and not solved by one word."""

import csv
import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (EXAMPLES / "abstracts.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_generator_writes_the_committed_bytes():
    spec = importlib.util.spec_from_file_location("make_sample", EXAMPLES / "make_sample.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.to_csv(module.rows()).encode("utf-8") == (EXAMPLES / "abstracts.csv").read_bytes()


def test_eight_balanced_classes_of_unique_rows(rows):
    assert set(rows[0]) == {"id", "text", "label"}
    assert sorted(Counter(row["label"] for row in rows).values()) == [80] * 8
    assert len({row["id"] for row in rows}) == len({row["text"] for row in rows}) == len(rows) == 640
    assert all(40 <= len(row["text"].split()) <= 110 for row in rows)


def test_no_pattern_was_left_unfilled(rows):
    assert not [row["id"] for row in rows if re.search(r"[\[\]{}|]|  ", row["text"])]


def test_no_single_word_gives_a_class_away(rows):
    texts_of_word: Counter[str] = Counter()
    texts_of_class: Counter[str] = Counter(row["label"] for row in rows)
    both: Counter[tuple[str, str]] = Counter()
    for row in rows:
        words = set(re.findall(r"[a-z0-9-]+", row["text"].lower()))
        texts_of_word.update(words)
        both.update((word, row["label"]) for word in words)
    f1 = {pair: 2 * n / (texts_of_word[pair[0]] + texts_of_class[pair[1]]) for pair, n in both.items()}
    assert max(f1.values()) < 0.5  # a word of recall 0.6 at precision 0.9 would have 0.72


def test_no_two_rows_are_near_copies(rows):
    shingles = [_shingles(row["text"]) for row in rows]
    alike = [
        (i, k)
        for i, one in enumerate(shingles)
        for k, other in enumerate(shingles[:i])
        if len(one & other) > 0.25 * min(len(one), len(other))
    ]
    assert alike == []


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return set(zip(*(words[i:] for i in range(5)), strict=False))
