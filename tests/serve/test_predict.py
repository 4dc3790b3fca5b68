"""Predictions over HTTP: the answers of the offline classifier, and clear errors that quote nothing."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import LABELS
from serve.conftest import CANARY, Running, running

from medclf.long_text import LongText
from medclf.runtime import Classifier
from medclf.runtime.occlusion import explain
from medclf.serve.app import create_app
from medclf.serve.options import ServeOptions


def test_answers_are_those_of_the_offline_classifier(server: Running, tiny_bundle: Path, texts: list[str]) -> None:
    reply = server.post("/v1/predict", {"texts": texts})
    assert reply.status == 200
    with Classifier.load(tiny_bundle) as classifier:
        offline = classifier.classify(texts)
    results = reply.json["results"]
    assert [one["label"] for one in results] == offline.labels
    assert [one["n_tokens"] for one in results] == offline.n_tokens.tolist()
    assert [one["truncated"] for one in results] == offline.truncated.tolist()
    served = np.array([[one["probabilities"][name] for name in LABELS] for one in results])
    np.testing.assert_allclose(served, offline.probabilities, atol=1e-3)  # INT8 alone and in a batch
    assert any(offline.truncated)


def test_routes_answer_alike_without_and_with_the_layers_of_fastapi(server: Running, tiny_bundle: Path) -> None:
    asked = {
        "/v1/predict": {"texts": ["baba cece", "dudu"]},
        "/predict": {"inputs": "baba cece"},
        "/v1/explain": {"text": "baba cece"},
    }
    with running(ServeOptions((str(tiny_bundle),), origins=("https://page.example",))) as layered:
        assert set(create_app(server.state)._direct) == set(asked)
        assert not create_app(layered.state)._direct
        for path, body in asked.items():
            direct, other = server.post(path, body), layered.post(path, body)
            assert direct.status == other.status == 200
            assert set(direct.headers) == set(other.headers) - {"vary"}  # of CORS
            assert direct.json == other.json
            assert f'requests_total{{route="{path}",status="200"}}' in server.get("/metrics").body.decode()


def test_an_answer_comes_in_one_piece(server: Running) -> None:
    body = b'{"texts": "baba"}'
    head = "POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    with server.connect() as sock:
        for _ in range(5):  # on one connection, one after the other
            sock.sendall((head % len(body)).encode() + body)
            head_, _, answer = sock.recv(65_536).partition(b"\r\n\r\n")
            assert head_.startswith(b"HTTP/1.1 200")
            assert json.loads(answer)["results"][0]["label"] in LABELS
        sock.sendall(2 * ((head % len(body)).encode() + body))  # and two before the first is answered
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 2 or not answers.endswith(b"}"):
            answers += sock.recv(65_536)
    assert server.state.n_to_begin == 0


def test_one_text_and_the_largest_probabilities(server: Running) -> None:
    one = server.post("/v1/predict", {"texts": "baba cece", "top_k": 2}).json["results"][0]
    assert list(one["probabilities"].values()) == sorted(one["probabilities"].values(), reverse=True)
    assert len(one["probabilities"]) == 2
    assert one["probability"] == one["probabilities"][one["label"]]
    none = server.post("/v1/predict", {"texts": "baba cece", "probabilities": False}).json["results"][0]
    assert "probabilities" not in none
    assert none["label"] == one["label"]


def test_pairs_are_answered_as_pairs(server: Running, tiny_bundle: Path) -> None:
    body = {"texts": ["baba", "cece"], "pairs": ["dudu kaka", "lele"]}
    results = server.post("/v1/predict", body).json["results"]
    with Classifier.load(tiny_bundle) as classifier:
        offline = classifier.classify(body["texts"], body["pairs"])
    assert [one["label"] for one in results] == offline.labels
    assert [one["n_tokens"] for one in results] == offline.n_tokens.tolist()


def test_a_poisoned_text_fails_alone_or_refuses_all(server: Running) -> None:
    body = {"texts": ["baba", "", "cece\0", "x" * 1_000_001, "dudu"]}
    refused = server.post("/v1/predict", body)
    assert refused.status == 422
    assert "3 of 5 texts" in refused.json["error"]
    assert "texts[1] is empty; texts[2] holds a NUL character" in refused.json["error"]
    results = server.post("/v1/predict", body | {"on_error": "skip"}).json["results"]
    assert [one["label"] is None for one in results] == [False, True, True, True, False]
    assert results[1] == {"label": None, "error": "is empty", "n_tokens": 0, "truncated": False}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({}, "texts: Field required"),
        ({"texts": 5}, "texts"),
        ({"texts": []}, "at least 1 item"),
        ({"texts": [CANARY, 7]}, "texts.1: Input should be a valid string"),
        ({"texts": {CANARY: 1}}, "texts"),
        ({"texts": CANARY, CANARY: CANARY}, "a field that this request has not"),
        ({"texts": CANARY, "top_k": 0}, "top_k: Input should be greater than or equal to 1"),
        ({"texts": CANARY, "top_k": CANARY}, "top_k: Input should be a valid integer"),
        ({"texts": CANARY, "on_error": CANARY}, "on_error: Input should be 'fail' or 'skip'"),
        ({"texts": [CANARY], "pairs": []}, "pairs"),
        ({"texts": [CANARY, CANARY], "pairs": [CANARY]}, "2 texts and 1 pairs"),
        (f'{{"texts": "{CANARY}'.encode(), "the body is not JSON"),
        (f"{CANARY}".encode(), "the body is not JSON"),
        (b'{"texts": "' + CANARY.encode() + b' \xff\xfe"}', "the body is not JSON"),
        (b'{"texts": "\\ud800 ' + CANARY.encode() + b'"}', "the body is not JSON"),
        (b"[" * 10_000, "the body is not JSON"),
        (b"[" * 1_000_000, "lists and objects"),
        (b'{"a":' * 10_000, "the body is not JSON"),
        (b'{"texts": [' + b"[]," * 200_000 + b"[]]}", "lists and objects"),
        (b'{"texts": [' + b'"",' * 100_000 + b'""]}', "texts"),
        (b"", "the body is not JSON"),
        (b"null", "body"),
        (b"NaN", "body"),
    ],
)
def test_a_wrong_body_is_told_where_and_never_what(server: Running, body: object, what: str) -> None:
    reply = server.post("/v1/predict", body)
    assert reply.status == 422
    assert what in reply.json["error"]
    assert CANARY not in reply.body.decode()
    assert len(reply.body) < 1_000
    assert set(reply.json) == {"error", "error_type", "request_id"}
    assert reply.json["error_type"] == "Validation"


def test_limits_of_a_request(server: Running) -> None:
    many = server.post("/v1/predict", {"texts": ["baba"] * 513})
    assert (many.status, many.json["error"]) == (413, "513 texts in one request, at most 512 are taken.")
    large = server.post("/v1/predict", {"texts": "ba " * 2_000_000})
    assert large.status == 413
    assert "at most 4,194,304 are taken" in large.json["error"]


@pytest.mark.parametrize(
    ("headers", "status", "what"),
    [
        ({"content-type": "text/plain"}, 415, "application/json"),
        ({"content-encoding": "gzip"}, 415, "without an encoding"),
        ({"x-request-timeout": "soon"}, 422, "X-Request-Timeout"),
        ({"x-request-timeout": "nan"}, 422, "X-Request-Timeout"),
        ({"x-request-timeout": "-1"}, 422, "X-Request-Timeout"),
        ({"x-request-timeout": "0.0000001"}, 504, "deadline"),
    ],
)
def test_headers(server: Running, headers: dict[str, str], status: int, what: str) -> None:
    reply = server.post("/v1/predict", {"texts": "baba"}, **headers)
    assert reply.status == status
    assert what in reply.json["error"]


def test_models_addresses_and_methods_that_are_not_there(server: Running) -> None:
    missing = server.post("/v1/predict", {"texts": "baba", "model": CANARY})
    assert (missing.status, missing.json["error"]) == (404, "there is no such model; there is default.")
    nowhere = server.get(f"/{CANARY}?text={CANARY}")
    assert (nowhere.status, nowhere.json["error_type"]) == (404, "NotFound")
    assert CANARY not in nowhere.body.decode()
    assert server.get("/v1/predict").status == 405
    assert server.get("/v1/predict").headers["allow"] == "POST"


def test_every_answer_has_an_id_and_the_headers_of_a_careful_server(server: Running) -> None:
    reply = server.get("/health/ready", x_request_id="abc-1.2_3")
    assert (reply.status, reply.json) == (200, {"status": "ready"})
    assert reply.headers["x-request-id"] == "abc-1.2_3"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "server" not in reply.headers
    assert "access-control-allow-origin" not in reply.headers
    made = server.get("/health/ready", x_request_id="a b\tc").headers["x-request-id"]
    assert len(made) == 16
    timing = server.post("/v1/predict", {"texts": "baba"}).headers["server-timing"]
    assert [part.partition(";")[0] for part in timing.split(", ")] == ["read", "tokenize", "queue", "run"]


def test_info_tells_what_is_served(server: Running, tiny_bundle: Path) -> None:
    info = server.get("/v1/info").json
    manifest = json.loads((tiny_bundle / "medclf.json").read_bytes())
    (model,) = info["models"]
    assert (info["default"], model["name"]) == ("default", "default")
    assert model["labels"] == list(LABELS)
    assert (model["precision"], model["provider"]) == ("int8", "cpu")
    assert model["model_sha256"] == manifest["files"]["onnx/model_quantized.onnx"]["sha256"]
    assert model["labels_sha256"] == manifest["labels_sha256"]


def test_metrics_count_what_was_answered(server: Running) -> None:
    server.post("/v1/predict", {"texts": ["baba", "cece"]})
    text = server.get("/metrics").body.decode()
    for name in ("queue_tokens", "batch_tokens_bucket", "batch_padded_ratio_bucket", "stage_seconds_bucket",
                 "refused_total", "model_info", "requests_total", "ready 1.0", "tokens_total"):  # fmt: skip
        assert f"medclf_{name}" in text
    assert 'medclf_texts_total{model="default"}' in text
    assert 'precision="int8",provider="cpu"' in text
    assert CANARY not in text


def test_openapi_describes_every_route(server: Running) -> None:
    schema = server.get("/openapi.json").json
    assert {"/v1/predict", "/predict", "/v1/info", "/health/live", "/health/ready", "/metrics"} <= set(schema["paths"])
    body = schema["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["examples"]
    assert server.post("/v1/predict", body["examples"][0]).status == 200


def test_brackets_in_a_text_are_text(server: Running) -> None:
    text = '[**Name**] said "[{" \\ "\\[" ' * 5_000
    assert server.post("/v1/predict", {"texts": text}).status == 200
    bomb = server.post("/v1/predict", b'{"texts": [' + b"[]," * 20_000 + b"[]]}")
    assert (bomb.status, bomb.json["error"]) == (422, "the body has more than 12,288 lists and objects.")


def test_words_that_an_answer_rests_on(server: Running, tiny_bundle: Path) -> None:
    text = "baba cece didi fofo gugu"
    reply = server.post("/v1/explain", {"text": text})
    with Classifier.load(tiny_bundle) as classifier:
        offline = explain(classifier, text)
        label = classifier.classes_.index(reply.json["label"])
    assert reply.json["label"] == offline.label
    assert [(one["start"], one["end"]) for one in reply.json["effects"]] == [(p.start, p.end) for p in offline.pieces]
    np.testing.assert_allclose([one["effect"] for one in reply.json["effects"]], offline.effects[:, label], atol=0.02)
    other = next(name for name in LABELS if name != offline.label)
    assert server.post("/v1/explain", {"text": text, "label": other}).json["label"] == other
    long = server.post("/v1/explain", {"text": "baba " * 500, "max_pieces": 10}).json
    assert (len(long["effects"]), long["truncated"]) == (10, True)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"text": " "}, "text is empty"),
        ({"text": "baba", "pair": ""}, "pair is empty"),
        ({"text": CANARY, "label": CANARY}, "no such label"),
        ({"text": [CANARY]}, "text: Input should be a valid string"),
    ],
)
def test_what_cannot_be_explained(server: Running, body: object, what: str) -> None:
    reply = server.post("/v1/explain", body)
    assert reply.status == 422
    assert what in reply.json["error"]
    assert CANARY not in reply.body.decode()


def test_windows_of_a_long_text_are_batched_one_by_one_and_pooled(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    manifest = json.loads((folder / "medclf.json").read_bytes())
    whole = LongText.of("windows", max_length=32, stride=20)
    manifest |= {"max_length": 32, "long_text": str(whole), "golden": {}}
    (folder / "medclf.json").write_text(json.dumps(manifest))
    texts = ["baba cece " * n for n in (1, 40, 100, 5)] + ["didi " * 5000]
    with Classifier.load(folder) as classifier, pytest.MonkeyPatch.context() as patch:
        offline = classifier.classify(texts)
        patch.setattr("medclf.serve.bundles.check_golden", lambda _classifier: "")
        with running(ServeOptions((str(folder),))) as server:
            results = server.post("/v1/predict", {"texts": texts}).json["results"]
            ran = re.findall(r'^medclf_batch_tokens_bucket{le="512.0"} (.*)|^medclf_batch_tokens_count (.*)',
                             server.get("/metrics").body.decode(), re.M)  # fmt: skip
            paired = server.post("/v1/predict", {"texts": ["baba"], "pairs": ["cece"]})
    assert ran[0][0] == ran[1][1] != "0.0"  # no batch is over 512 tokens
    assert [one["label"] for one in results] == offline.labels
    assert [one["truncated"] for one in results] == offline.truncated.tolist() == [False] * 4 + [True]
    served = np.array([[one["probabilities"][name] for name in LABELS] for one in results])
    np.testing.assert_allclose(served, offline.probabilities, atol=1e-3)
    assert (paired.status, "trained on single texts" in paired.json["error"]) == (422, True)
