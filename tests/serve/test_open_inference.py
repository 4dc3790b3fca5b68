"""The Open Inference Protocol: the requests of its specification, and Triton's binary tensors."""

import json
import struct

import numpy as np
import pytest
from conftest import LABELS
from serve.conftest import CANARY, Reply, Running

TEXTS = ["baba cece", "didi " * 100]


def infer(server: Running, body: object, **headers: str) -> Reply:
    return server.post("/v2/models/default/infer", body, **headers)


def tensor(data: object, **more: object) -> dict[str, object]:
    return {"name": "text", "shape": [2], "datatype": "BYTES", "data": data, **more}


def test_the_server_and_its_models(server: Running) -> None:
    assert server.get("/v2").json["extensions"] == ["binary_tensor_data"]
    assert server.get("/v2/health/live").status == 200
    assert server.get("/v2/health/ready").status == 200
    assert server.get("/v2/models/default/ready").json == {"name": "default", "ready": True}
    assert server.get(f"/v2/models/{CANARY}").status == 404
    model = server.get("/v2/models/default").json
    assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]} in model["outputs"]


def test_tensors_as_json(server: Running) -> None:
    reply = infer(server, {"id": "42", "inputs": [tensor(TEXTS)]})
    assert (reply.status, reply.json["id"], reply.json["model_name"]) == (200, "42", "default")
    outputs = {one["name"]: one for one in reply.json["outputs"]}
    ours = server.post("/v1/predict", {"texts": TEXTS}).json["results"]
    assert outputs["label"]["data"] == [one["label"] for one in ours]
    assert outputs["truncated"]["data"] == [False, True]
    assert outputs["n_tokens"] == {"name": "n_tokens", "datatype": "INT64", "shape": [2], "data": [4, 102]}
    served = np.array(outputs["probabilities"]["data"]).reshape(2, 3)
    expected = [[one["probabilities"][name] for name in LABELS] for one in ours]
    np.testing.assert_allclose(served, expected, atol=1e-3)
    column = infer(server, {"inputs": [tensor([[text] for text in TEXTS], shape=[2, 1])]})
    assert column.json["outputs"][0] == outputs["label"]
    chosen = infer(server, {"inputs": [tensor(TEXTS)], "outputs": [{"name": "logits"}]}).json["outputs"]
    assert [one["name"] for one in chosen] == ["logits"]


def test_binary_tensors(server: Running) -> None:
    blob = b"".join(struct.pack("<I", len(text)) + text.encode() for text in TEXTS)
    head = json.dumps(
        {
            "inputs": [
                {"name": "text", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}}
            ],
            "outputs": [
                {"name": "label", "parameters": {"binary_data": True}},
                {"name": "n_tokens"},
                {"name": "logits", "parameters": {"binary_data": True}},
            ],
        }
    ).encode()
    reply = infer(
        server, head + blob, content_type="application/octet-stream", inference_header_content_length=str(len(head))
    )
    assert reply.status == 200
    length = int(reply.headers["inference-header-content-length"])
    label, n_tokens, logits = json.loads(reply.body[:length])["outputs"]
    assert n_tokens["data"] == [4, 102]
    rest = reply.body[length:]
    assert len(rest) == label["parameters"]["binary_data_size"] + logits["parameters"]["binary_data_size"]
    (size,) = struct.unpack_from("<I", rest)
    assert rest[4 : 4 + size].decode() in LABELS
    assert np.frombuffer(rest[-24:], dtype=np.float32).shape == (6,)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"inputs": []}, "inputs"),
        ({"inputs": [tensor([CANARY])]}, "text: expected BYTES of shape"),
        ({"inputs": [tensor(TEXTS, shape=[1, 2])]}, "text: expected BYTES of shape"),
        ({"inputs": [tensor(TEXTS, shape=[-2])]}, "text: expected BYTES of shape"),
        ({"inputs": [tensor(TEXTS, datatype="FP32")]}, "text: expected BYTES of shape"),
        ({"inputs": [tensor(TEXTS, name=CANARY)]}, "one tensor called text"),
        ({"inputs": [tensor(TEXTS), tensor(TEXTS)]}, "one tensor called text"),
        ({"inputs": [tensor(TEXTS, name="pair")]}, "no tensor called text"),
        ({"inputs": [tensor(TEXTS), tensor([CANARY], name="pair", shape=[1])]}, "as many texts as text has"),
        ({"inputs": [tensor(TEXTS)], "outputs": [{"name": CANARY}]}, "1 of them are unknown"),
        ({"inputs": [tensor([CANARY, 5])]}, "inputs.0.data.1"),
        ({"inputs": [tensor(None, parameters={"binary_data_size": 10**9})]}, "text: expected BYTES of shape"),
    ],
)
def test_wrong_tensors(server: Running, body: object, what: str) -> None:
    reply = infer(server, body)
    assert reply.status == 422
    assert what in reply.json["error"]
    assert CANARY not in reply.body.decode()


@pytest.mark.parametrize(
    "blob", [b"\x05", b"\x05\0\0\0abc", b"\xff\xff\xff\xffabc", b"\x01\0\0\0\xff", b"\0\0\0\0" * 5000]
)
def test_wrong_binary_tensors(server: Running, blob: bytes) -> None:
    size = {"binary_data_size": len(blob)}
    head = json.dumps({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": size}]}).encode()
    reply = infer(server, head + blob, inference_header_content_length=str(len(head)))
    assert (reply.status, "text: the binary tensor" in reply.json["error"]) == (422, True)
    for length in ("-1", "many", str(10**9)):
        assert infer(server, head + blob, inference_header_content_length=length).status == 422
