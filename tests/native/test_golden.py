"""The golden files that ctest reads are what Python answers now."""

import json

import numpy as np
import pytest
from golden_native import GOLDEN, answers, golden_texts, tokenizer_golden


def test_the_golden_ids_are_those_of_the_tokenizer() -> None:
    assert json.loads((GOLDEN / "tokenizer.json").read_text(encoding="utf-8")) == tokenizer_golden()


def test_the_golden_answers_are_those_of_the_runtime() -> None:
    document = json.loads((GOLDEN / "answers.json").read_text(encoding="utf-8"))
    assert document["texts"] == golden_texts()
    for kept, now in zip(document["answers"], answers(GOLDEN / "bundle"), strict=True):
        tolerance = 0.05 if now["precision"] == "int8" else 1e-4  # another CPU rounds otherwise
        assert kept["logits"] == pytest.approx(now["logits"], abs=tolerance)
        assert kept["n_tokens"] == now["n_tokens"]
        if now["precision"] == "fp32":
            assert kept["labels"] == now["labels"]


def test_the_golden_answers_differ() -> None:
    for kept in json.loads((GOLDEN / "answers.json").read_text(encoding="utf-8"))["answers"]:
        assert len(set(kept["labels"])) > 1
        assert np.std(kept["logits"]) > 0.5
