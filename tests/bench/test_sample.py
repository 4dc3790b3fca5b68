import json
import random
from pathlib import Path

import numpy as np
import pytest
from conftest import WORDS, write_jsonl
from hypothesis import given
from hypothesis import strategies as st

from medclf.bench.sample import make_sample, read_sample, scaled, spread, window_of
from medclf.bench.texts import SHORTEST, TextBatch
from medclf.bundle import TextColumns, read_manifest
from medclf.errors import DataError, OptionError


@given(st.lists(st.integers(SHORTEST, 500), min_size=50, max_size=200), st.integers(10, 400))
def test_lengths_are_stretched_to_a_mean(lengths: list[int], mean: int) -> None:
    if max(lengths) == SHORTEST:
        return  # nothing to stretch
    found = scaled(lengths, mean)
    assert min(found) >= SHORTEST
    assert np.mean(found) == pytest.approx(mean, abs=0.5)


@given(st.integers(1, 300), st.integers(1, 300))
def test_batches_are_picked_once_each_and_from_end_to_end(n_batches: int, n: int) -> None:
    batches = [TextBatch([str(i)]) for i in range(n_batches)]
    chosen = sorted(int(batch.texts[0]) for batch in spread(batches, n))
    assert len(chosen) == len(set(chosen)) == min(n, n_batches)
    if n <= n_batches:  # the middle of each n-th part
        assert all(i * n_batches // n <= place < (i + 1) * n_batches / n for i, place in enumerate(chosen))


def test_random_words_have_the_mean_that_was_asked_for(tiny_bundle: Path) -> None:
    manifest = read_manifest(tiny_bundle)
    sample = make_sample(tiny_bundle, manifest, 20)
    window = window_of(sample, tiny_bundle, manifest)
    assert len(sample.texts) == sum(len(batch.texts) for batch in window.batches) == 2048
    assert window.n_tokens.mean() == pytest.approx(20, abs=0.5)
    assert window.row_tokens <= window.n_tokens.mean()
    assert sample.read_s > 0
    assert "20 tokens on average" in sample.source


def test_a_bundle_that_records_no_lengths_needs_some(tiny_bundle: Path) -> None:
    with pytest.raises(OptionError, match="give --tokens or --data"):
        make_sample(tiny_bundle, read_manifest(tiny_bundle), None)


def test_a_table_is_drawn_from_beyond_its_first_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medclf.bench.sample.WINDOW_TEXTS", 50)
    chance = random.Random(0)
    rows: list[dict[str, object]] = [{"text": " ".join(chance.choices(WORDS, k=1 + i // 10))} for i in range(500)]
    sample = read_sample(write_jsonl(tmp_path / "t.jsonl", rows), TextColumns())
    assert len(sample.texts) == 50
    assert np.mean([len(text.split()) for text in sample.texts]) == pytest.approx(25.5, rel=0.25)
    assert sample.source == "50 of the first 500 rows of t.jsonl"
    assert sample.n_bytes == pytest.approx(np.mean([len(text) for text in sample.texts]))


def test_a_row_without_a_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"text": "CANARY-7f3a"}) + "\n" + json.dumps({"text": None}) + "\n")
    with pytest.raises(DataError, match="row 2, column 'text': is empty") as caught:
        read_sample(path, TextColumns())
    assert "CANARY" not in str(caught.value)
