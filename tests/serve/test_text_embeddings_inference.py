"""`/predict` as clients of text-embeddings-inference speak it: the requests that its documentation shows."""

import pytest
from conftest import LABELS
from serve.conftest import CANARY, Running


def is_prediction(given: object) -> bool:
    scores = [one["score"] for one in given]  # type: ignore[attr-defined]
    return sorted(one["label"] for one in given) == sorted(LABELS) and scores == sorted(scores, reverse=True)  # type: ignore[attr-defined]


def test_a_text(server: Running) -> None:
    reply = server.post("/predict", {"inputs": "I like you."})
    assert reply.status == 200
    assert is_prediction(reply.json)
    assert sum(one["score"] for one in reply.json) == pytest.approx(1)


def test_a_pair(server: Running) -> None:
    pair, single = (server.post("/predict", {"inputs": one}).json for one in (["baba", "cece"], "baba cece"))
    assert is_prediction(pair)
    assert pair != single


def test_a_batch(server: Running) -> None:
    reply = server.post("/predict", {"inputs": [["I like you."], ["I hate pineapples"]], "truncate": True})
    assert len(reply.json) == 2
    assert all(is_prediction(one) for one in reply.json)
    assert server.post("/predict", {"inputs": [["baba", "cece"]]}).json == [
        server.post("/predict", {"inputs": ["baba", "cece"]}).json
    ]


def test_raw_scores_are_logits(server: Running) -> None:
    raw = server.post("/predict", {"inputs": "baba", "raw_scores": True, "truncation_direction": "Right"}).json
    assert sum(one["score"] for one in raw) != pytest.approx(1)
    assert [one["label"] for one in raw] == [one["label"] for one in server.post("/predict", {"inputs": "baba"}).json]


def test_a_text_that_is_too_long_is_cut_unless_that_is_refused(server: Running) -> None:
    assert server.post("/predict", {"inputs": "baba " * 100}).status == 200
    refused = server.post("/predict", {"inputs": "baba " * 100, "truncate": False})
    assert (refused.status, refused.json["error_type"]) == (413, "Validation")
    assert "at most 64 tokens; the longest has 102" in refused.json["error"]


@pytest.mark.parametrize("inputs", [[], [[]], ["a", "b", "c"], [["a", "b", "c"]], [["a"], ["b", "c"]], 5, None, [[5]]])
def test_wrong_inputs(server: Running, inputs: object) -> None:
    reply = server.post("/predict", {"inputs": inputs, CANARY: CANARY})
    assert (reply.status, reply.json["error_type"]) == (422, "Validation")
    assert CANARY not in reply.body.decode()


def test_info_and_health(server: Running) -> None:
    info = server.get("/info").json
    assert info["model_type"]["classifier"]["id2label"] == {str(i): name for i, name in enumerate(LABELS)}
    assert info["max_input_length"] == 64
    assert server.get("/health").status == 200
