"""The bodies that are given, from logits."""

import numpy as np

from medclf.labels import Labels
from medclf.serve.answers import results
from medclf.serve.service import Answer


def test_a_text_that_is_left_to_a_person() -> None:
    labels = Labels(("a", "b"), abstain_below=0.8)
    logits = np.array([[2.0, 0.0], [0.5, 0.0], [np.nan, np.nan]], dtype=np.float32)
    answer = Answer(logits, [3, 3, 0], [False, False, False], {2: "is empty"})
    rows, given = results(labels, answer, top_k=None, probabilities=True)
    assert given == ["a"]
    assert (rows[0]["label"], "abstained" in rows[0]) == ("a", False)
    assert (rows[1]["label"], rows[1]["abstained"]) == (None, True)
    assert rows[1]["probabilities"]["a"] < 0.8
    assert (rows[2]["label"], rows[2]["error"]) == (None, "is empty")
