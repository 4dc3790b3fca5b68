"""The Open Inference Protocol, version 2, over HTTP, as clients of KServe and Triton speak it.

A model takes the tensor `text` (BYTES [n], UTF-8) and may take `pair`; it gives `label` (BYTES [n]; several joined with
`;`), `probabilities` and `logits` (FP32 [n, labels], columns as the labels in `/v1/info`), `n_tokens` (INT64 [n]) and
`truncated` (BOOL [n]). Tensors may be binary, as Triton's extension of the protocol says.
"""

import json
import struct
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from medclf import __version__
from medclf.errors import RequestError
from medclf.labels import SEPARATOR, names_of
from medclf.runtime.predictions import decide
from medclf.serve.answers import ErrorAnswer, given
from medclf.serve.bundles import Model
from medclf.serve.calls import Call
from medclf.serve.requests import EXAMPLE, MAX_TEXTS, FirstFault, parse
from medclf.serve.service import Answer, Question
from medclf.serve.state import State

HEADER = "inference-header-content-length"
OUTPUTS = ("label", "probabilities", "logits", "n_tokens", "truncated", "abstained")
DEFAULT_OUTPUTS = ("label", "probabilities", "n_tokens", "truncated")
DATATYPES = {"float32": "FP32", "int64": "INT64", "bool": "BOOL", "object": "BYTES"}

Arrays = dict[str, npt.NDArray[Any]]


class InferInput(BaseModel):
    """A tensor of texts."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description="`text` or `pair`.")
    shape: list[int] = Field(min_length=1, max_length=2, description="`[n]` or `[n, 1]`.")
    datatype: str = Field(description="`BYTES`.")
    parameters: dict[str, Any] = Field({}, description="`binary_data_size` of a binary tensor.")
    data: Annotated[list[str | list[str]], FirstFault(), Field(max_length=MAX_TEXTS)] | None = None


class InferOutput(BaseModel):
    """A tensor that is asked for."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description=", ".join(OUTPUTS))
    parameters: dict[str, Any] = Field({}, description="`binary_data`: whether to give it in binary.")


class InferBody(BaseModel):
    """What is asked of a model."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [EXAMPLE]}]}]
        },
    )

    id: str | None = Field(None, max_length=128, description="Given back.")
    parameters: dict[str, Any] = Field({}, description="`binary_data_output`: whether to give all tensors in binary.")
    inputs: list[InferInput] = Field(min_length=1, max_length=2)
    outputs: list[InferOutput] = Field([], max_length=len(OUTPUTS))


class InferTensor(BaseModel):
    """A tensor that is given."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class InferAnswer(BaseModel):
    """What a model gives."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferTensor]


def add_open_inference(app: FastAPI, state: State, takes: dict[str, Any], errors: dict[int | str, Any]) -> None:
    """Add the routes.

    Args:
        app: Gets them.
        state: The server's parts.
        takes: `openapi_extra` that describes an `InferBody`.
        errors: The answers that an error may have.
    """
    bundles = state.service.bundles
    missing: dict[int | str, Any] = {404: {"model": ErrorAnswer, "description": "There is no such model."}}

    @app.get("/v2", summary="The server")
    async def server() -> Response:
        return _json({"name": "medclf", "version": __version__, "extensions": ["binary_tensor_data"]})

    @app.get("/v2/models/{name}", summary="What a model takes and gives", responses=missing)
    async def metadata(name: str) -> Response:
        return _json(_metadata(bundles.get(name)))

    @app.get("/v2/models/{name}/ready", summary="Whether a model answers", responses=missing)
    async def ready(name: str) -> Response:
        model = bundles.get(name)
        if why := state.why_not_ready():
            raise RequestError(why, status=503, error_type="Unhealthy", retry_after_s=2.0)
        return _json({"name": model.name, "ready": True})

    @app.post(
        "/v2/models/{name}/infer",
        summary="Classify texts",
        responses=errors | {200: {"model": InferAnswer}},
        openapi_extra=takes,
    )
    async def infer(request: Request, name: str) -> Response:
        call: Call = request.scope["medclf"]
        body, binary = _split(await call.bytes(), call.headers.get(HEADER))
        asked = parse(InferBody, body)
        model = bundles.get(name)
        answer = await call.classify(model, _question(asked, binary))
        arrays, given_labels = _arrays(model, answer)
        state.service.metrics.predicted(model.name, given_labels)
        return _answer(asked, model, arrays)


def _json(body: object) -> Response:
    return Response(json.dumps(body), media_type="application/json")


def _metadata(model: Model) -> dict[str, Any]:
    n_labels = len(model.classifier.labels)
    inputs = ["text", *(["pair"] if model.classifier.manifest.columns.pair else [])]
    shapes = {"label": [-1], "probabilities": [-1, n_labels], "logits": [-1, n_labels], "n_tokens": [-1],
              "truncated": [-1], "abstained": [-1]}  # fmt: skip
    datatypes = {"label": "BYTES", "n_tokens": "INT64", "truncated": "BOOL", "abstained": "BOOL"}
    return {
        "name": model.name,
        "versions": ["1"],
        "platform": f"medclf_{model.classifier.precision}_{model.classifier.provider}",
        "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in inputs],
        "outputs": [
            {"name": name, "datatype": datatypes.get(name, "FP32"), "shape": shape} for name, shape in shapes.items()
        ],
    }


def _split(body: bytes, header: str | None) -> tuple[bytes, memoryview]:
    """The JSON of a request, and the binary tensors behind it."""
    if header is None:
        return body, memoryview(b"")
    if not header.isdecimal() or int(header) > len(body):
        raise RequestError("Inference-Header-Content-Length: expected the length of the JSON before the tensors.",
                           status=422)  # fmt: skip
    return body[: int(header)], memoryview(body)[int(header) :]


def _question(asked: InferBody, binary: memoryview) -> Question:
    texts: dict[str, list[str]] = {}
    for one in asked.inputs:
        if one.name not in ("text", "pair") or one.name in texts:
            raise RequestError("inputs: expected one tensor called text, and at most one called pair.", status=422)
        size = one.parameters.get("binary_data_size")
        if isinstance(size, int) and 0 <= size <= len(binary):
            values, binary = _read_bytes(binary[:size], one.name), binary[size:]
        else:
            values = [value for row in one.data or [] for value in ([row] if isinstance(row, str) else row)]
        if one.datatype != "BYTES" or one.shape[0] != len(values) or one.shape[1:] not in ([], [1]) or not values:
            raise RequestError(f"{one.name}: expected BYTES of shape [n] or [n, 1], and n texts in data.", status=422)
        texts[one.name] = values
    if "text" not in texts:
        raise RequestError("inputs: there is no tensor called text.", status=422)
    if "pair" in texts and len(texts["pair"]) != len(texts["text"]):
        raise RequestError("pair: expected as many texts as text has.", status=422)
    return Question(texts["text"], texts.get("pair"))


def _read_bytes(content: memoryview, name: str) -> list[str]:
    """Texts of a binary tensor: each after its length in 4 bytes, the lowest first."""
    values: list[str] = []
    at = 0
    try:
        while at < len(content):
            (size,) = struct.unpack_from("<I", content, at)
            at += 4 + size
            if at > len(content) or len(values) == MAX_TEXTS:
                raise ValueError
            values.append(bytes(content[at - size : at]).decode("utf-8"))
    except (struct.error, ValueError):  # of which UnicodeDecodeError is one
        raise RequestError(f"{name}: the binary tensor is cut off, too long, or not UTF-8.", status=422) from None
    return values


def _arrays(model: Model, answer: Answer) -> tuple[Arrays, list[str]]:
    labels = model.classifier.labels
    probabilities = labels.probabilities(answer.logits)
    decided = decide(labels, probabilities)
    names = [SEPARATOR.join(names_of(label)) if label is not None else "" for label in decided]
    return {
        "label": np.array(names, dtype=object),
        "probabilities": probabilities,
        "logits": answer.logits,
        "n_tokens": np.array(answer.n_tokens, dtype=np.int64),
        "truncated": np.array(answer.truncated, dtype=np.bool_),
        "abstained": np.array([label is None and i not in answer.errors for i, label in enumerate(decided)], np.bool_),
    }, given(decided)


def _answer(asked: InferBody, model: Model, arrays: Arrays) -> Response:
    wanted = {one.name: bool(one.parameters.get("binary_data")) for one in asked.outputs}
    if unknown := set(wanted) - set(OUTPUTS):
        raise RequestError(f"outputs: {len(unknown)} of them are unknown; there are {', '.join(OUTPUTS)}.", status=422)
    every = asked.parameters.get("binary_data_output") is True
    tensors: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, binary in (wanted or dict.fromkeys(DEFAULT_OUTPUTS, False)).items():
        array = arrays[name]
        tensor: dict[str, Any] = {"name": name, "datatype": DATATYPES[str(array.dtype)], "shape": list(array.shape)}
        if binary or every:
            blobs.append(_written(array))
            tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            tensor["data"] = array.ravel().tolist()
        tensors.append(tensor)
    body: dict[str, Any] = {"model_name": model.name, "model_version": "1", "outputs": tensors}
    head = json.dumps(body if asked.id is None else body | {"id": asked.id}).encode()
    if not blobs:
        return Response(head, media_type="application/json")
    return Response(head + b"".join(blobs), media_type="application/octet-stream", headers={HEADER: str(len(head))})


def _written(array: npt.NDArray[Any]) -> bytes:
    if array.dtype != object:
        return array.tobytes()
    texts: Sequence[bytes] = [text.encode() for text in array]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
