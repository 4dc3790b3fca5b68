"""What leaving words out says, against the same texts classified one by one."""

import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.errors import InputError, OptionError
from medclf.labels import Labels
from medclf.runtime import Classifier
from medclf.runtime import windows as windows_module
from medclf.runtime.occlusion import Piece, explain, explain_all, log_odds, pieces_of

CANARY = "CANARY-7f3a"


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Path) -> Iterator[Classifier]:
    with Classifier.load(tiny_bundle, precision="fp32", threads=1) as opened:
        yield opened


def test_an_effect_is_the_answer_with_a_word_less_the_one_without(classifier: Classifier) -> None:
    text = "chest pain and seizures"
    found = explain(classifier, text)
    assert [text[piece.start : piece.end] for piece in found.pieces] == text.split()
    probabilities = classifier.predict_proba([text, "chest  and seizures"]).astype(float)
    odds = np.log(probabilities / (1 - probabilities))
    assert found.effects[1] == pytest.approx(odds[0] - odds[1], abs=1e-3)
    assert found.without[1] == pytest.approx(probabilities[1], abs=1e-5)
    assert found.probabilities == pytest.approx(probabilities[0], abs=1e-5)
    assert found.label == classifier.predict([text])[0]
    assert not found.truncated


def test_both_texts_of_a_pair_are_explained(classifier: Classifier) -> None:
    found = explain(classifier, "chest pain", "seizures")
    assert found.pieces == (Piece(0, 5), Piece(6, 10), Piece(0, 8, second=True))
    assert found.without[1] == pytest.approx(classifier.predict_proba(["chest "], ["seizures"])[0], abs=1e-5)
    assert found.without[2] == pytest.approx(classifier.predict_proba(["chest pain"], ["."])[0], abs=1e-5)


def test_a_stream_is_explained_as_each_text_is(
    classifier: Classifier, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 7)  # the pieces of a text lie in several windows
    chosen = texts[:5]
    for text, found in zip(chosen, explain_all(classifier, ((text, None) for text in chosen)), strict=True):
        alone = explain(classifier, text)
        assert found.pieces == alone.pieces
        assert np.abs(found.effects - alone.effects).max() < 1e-3
    assert list(explain_all(classifier, [])) == []


def test_what_the_model_did_not_read_has_no_effect(classifier: Classifier) -> None:
    text = "fever " * 80 + "seizures"
    found = explain(classifier, text)
    assert found.truncated
    assert np.abs(found.effects[-1]).max() < 1e-4


@given(
    text=st.text(max_size=80),
    pair=st.none() | st.text(max_size=40),
    max_pieces=st.integers(2, 20),
)
def test_pieces_hold_every_character_but_white_space_once(text: str, pair: str | None, max_pieces: int) -> None:
    pieces = pieces_of(text, pair, max_pieces=max_pieces)
    assert len(pieces) <= max_pieces
    for whole, second in ((text, False), (pair or "", True)):
        own = [piece for piece in pieces if piece.second is second]
        assert all(a.end <= b.start for a, b in pairwise(own))
        outside = whole
        for piece in reversed(own):
            assert whole[piece.start : piece.end].strip()
            outside = outside[: piece.start] + outside[piece.end :]
        assert not outside.strip()


def test_a_chinese_character_is_a_word() -> None:
    assert [(piece.start, piece.end) for piece in pieces_of("肺炎 severe")] == [(0, 1), (1, 2), (3, 9)]


def test_log_odds_of_a_sure_answer_are_finite() -> None:
    logits = np.array([[40.0, -40.0, 0.0]], dtype=np.float32)
    assert log_odds(Labels(("a", "b", "c")), logits)[0] == pytest.approx([40.0, -80.0, -40.0], abs=1e-4)
    several = Labels(("a", "b", "c"), "multi_label_classification")
    assert log_odds(several, logits).tolist() == logits.tolist()


def test_faults(classifier: Classifier, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="cannot be explained: it is empty"):
        explain(classifier, " ")
    with pytest.raises(InputError, match="cannot be explained: it has a second text that is empty"):
        explain(classifier, CANARY, "")
    with pytest.raises(OptionError, match="max_pieces is 0, expected at least 1"):
        explain(classifier, "a", max_pieces=0)
    with caplog.at_level(logging.DEBUG):
        explain(classifier, CANARY * 200)
    assert CANARY not in caplog.text
