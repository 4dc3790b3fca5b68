import pickle

import numpy as np
import pytest

from medclf.errors import OptionError
from medclf.labels import Labels
from medclf.runtime.predictions import Predictions, Truncation, concatenate, decide


def made() -> Predictions:
    """Answers to four texts, the second of which has a fault."""
    labels = Labels(("a", "b", "c"))
    probabilities = np.array([[0.2, 0.5, 0.3], [np.nan] * 3, [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]], dtype=np.float32)
    n_tokens, n_cut = np.array([5, 0, 9, 12]), np.array([0, 0, 1, 4])
    return Predictions(
        np.log(probabilities),
        probabilities,
        decide(labels, probabilities),
        n_tokens,
        n_cut,
        np.array([1, 0, 1, 2]),
        {1: "is empty"},
        labels.names,
    )


def test_the_likeliest_labels() -> None:
    top = made().top(2)
    assert [[name for name, _ in row] for row in top] == [["b", "c"], [], ["c", "a"], ["a", "b"]]
    assert top[0][0][1] == pytest.approx(0.5)
    assert [len(row) for row in made().top(9)] == [3, 0, 3, 3]
    assert [row[0][0] for row in made().top(1) if row] == [label for label in made().labels if label]


def test_the_likeliest_none() -> None:
    with pytest.raises(OptionError, match="k is 0, expected at least 1"):
        made().top(0)


def test_a_part() -> None:
    part = made()[1:3]
    assert (part.labels, part.errors, part.n_tokens.tolist(), part.n_cut.tolist()) == (
        [None, "c"],
        {0: "is empty"},
        [0, 9],
        [0, 1],
    )
    assert part.logits.shape == part.probabilities.shape == (2, 3)
    assert len(made()[4:]) == 0


def test_parts_joined_are_the_whole() -> None:
    whole = made()
    joined = concatenate([whole[:2], whole[2:2], whole[2:]])
    assert joined.labels == whole.labels
    assert joined.errors == whole.errors
    assert joined.top(3) == whole.top(3)
    assert joined.truncation == whole.truncation


def test_what_was_not_seen() -> None:
    truncation = made().truncation
    assert truncation == Truncation(n_texts=4, n_truncated=2, n_tokens=26, n_tokens_cut=5)
    assert made().truncated.tolist() == [False, False, True, True]
    assert str(truncation) == "2 of 4 texts (50.0 %) were cut: 5 of 26 tokens (19.2 %) were not seen"
    assert truncation + Truncation(1, 0, 10, 0) == Truncation(5, 2, 36, 5)
    assert str(Truncation()) == "0 of 0 texts (0.0 %) were cut: 0 of 0 tokens (0.0 %) were not seen"


def test_answers_may_go_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(made())).labels == made().labels
