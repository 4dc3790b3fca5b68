import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.bench.texts import SHORTEST, batches_of, one_token_words, synthetic_texts, token_lengths
from medclf.bundle import Manifest, TextColumns
from medclf.errors import OptionError
from medclf.labels import Labels
from medclf.tokenizer import TextEncoder

QUANTILES = {"p5": 10.0, "p25": 20.0, "p50": 40.0, "p75": 60.0, "p95": 90.0, "max": 200.0}


def manifest_of(**training: object) -> Manifest:
    return Manifest(Labels(("a", "b")), TextColumns(), 64, {}, {}, training=training)


@pytest.fixture(scope="module")
def tokenizer_json(tiny_encoder: Path) -> str:
    return (tiny_encoder / "tokenizer.json").read_text()


def test_a_synthetic_text_has_as_many_tokens_as_drawn(tokenizer_json: str) -> None:
    texts = synthetic_texts(tokenizer_json, manifest_of(token_lengths=QUANTILES), 300, seed=3)
    chance = random.Random(3)
    one_token_words(tokenizer_json, chance)
    drawn = token_lengths(QUANTILES, 300, max_length=64, chance=chance)
    encoded = TextEncoder(tokenizer_json, max_length=64).encode(texts)
    assert [one.n_tokens for one in encoded] == drawn


def test_lengths_are_those_of_training() -> None:
    lengths = token_lengths(QUANTILES, 4_000, max_length=64, chance=random.Random(0))
    found = np.percentile(lengths, [5, 25, 50, 75, 95])
    assert found.tolist() == pytest.approx([10, 20, 40, 60, 90], rel=0.15)
    assert max(lengths) > 150  # what is over max_length stays so, as in the data


def test_lengths_without_a_record_are_uniform() -> None:
    lengths = token_lengths({"mean": 5.0}, 4_000, max_length=64, chance=random.Random(0))
    assert (min(lengths), max(lengths)) == (8, 64)
    assert np.mean(lengths) == pytest.approx(36, abs=1)


@given(st.lists(st.floats(1, 1e4), min_size=6, max_size=6).map(sorted), st.integers(0, 9))
def test_any_quantiles_give_lengths_in_their_range(values: list[float], seed: int) -> None:
    quantiles = dict(zip(QUANTILES, values, strict=True))
    lengths = token_lengths(quantiles, 50, max_length=512, chance=random.Random(seed))
    assert all(SHORTEST <= length <= max(SHORTEST, round(values[-1])) for length in lengths)


def test_a_seed_gives_the_same_texts(tokenizer_json: str) -> None:
    first, again, other = (synthetic_texts(tokenizer_json, manifest_of(), 5, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_a_vocabulary_without_words() -> None:
    tokenizer = pytest.importorskip("tokenizers").Tokenizer(
        pytest.importorskip("tokenizers.models").WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]")
    )
    with pytest.raises(OptionError, match=r"has no whole words to make texts of\. Pass texts with --data"):
        one_token_words(tokenizer.to_str(), random.Random(0))


def test_batches_as_they_come() -> None:
    batches = batches_of(list("abcde"), list("vwxyz"), 2)
    assert [batch.texts for batch in batches] == [["a", "b"], ["c", "d"], ["e"]]
    assert [batch.pairs for batch in batches] == [["v", "w"], ["x", "y"], ["z"]]
    assert batches_of(["a"], None, 64)[0].pairs is None
