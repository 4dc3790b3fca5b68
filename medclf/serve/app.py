"""The routes: predictions, what is served, health, metrics, the page."""

import json
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from medclf import __version__
from medclf.errors import RequestError
from medclf.serve.answers import (
    ErrorAnswer,
    ExplainAnswer,
    PredictAnswer,
    TeiPrediction,
    error_body,
    explained,
    results,
    tei_predictions,
)
from medclf.serve.bundles import Model
from medclf.serve.calls import Call
from medclf.serve.edge import Edge
from medclf.serve.open_inference import InferBody, add_open_inference
from medclf.serve.requests import ExplainBody, PredictBody, TeiBody, explain_question
from medclf.serve.state import State

PAGE = {"index.html": "text/html", "page.css": "text/css", "page.js": "text/javascript", "csv.js": "text/javascript"}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": why}
    for status, why in {
        401: "An API key is needed.",
        404: "There is no such model.",
        408: "The body did not come in time.",
        413: "Too many bytes, texts or tokens.",
        415: "Not JSON.",
        422: "A body or a text that cannot be used; tells where.",
        429: "Full; try again after Retry-After.",
        500: "The model failed, or medclf did.",
        503: "Not ready, or the deadline cannot be met.",
        504: "The deadline has passed.",
    }.items()
}


def create_app(state: State) -> Edge:
    """Join the routes.

    Args:
        state: The server's parts.

    Returns:
        An ASGI application.
    """
    app = FastAPI(title="medclf", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    _predictions(app, state)
    _about(app, state)
    _health(app, state)
    _page(app)
    add_open_inference(app, state, takes(InferBody), ERRORS)
    app.add_exception_handler(HTTPException, _not_routed)
    if state.origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(state.origins), allow_methods=["GET", "POST"],
                           allow_headers=["authorization", "content-type", "x-api-key"])  # fmt: skip
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return Edge(app, state, {} if state.origins else _direct(app))


def _direct(app: FastAPI) -> dict[str, APIRoute]:
    """The routes that are posted to, but for those with a part of the path to read."""
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    return {route.path: route for route in routes if route.methods == {"POST"} and not route.param_convertors}


def call_of(request: Request) -> Call:
    """Give what the edge knows of a request.

    Args:
        request: The request.

    Returns:
        The call.
    """
    call: Call = request.scope["medclf"]
    return call


def as_json(body: Any) -> Response:
    """Write an answer.

    Args:
        body: What `json` can write.

    Returns:
        The answer.
    """
    return Response(json.dumps(body, ensure_ascii=False, allow_nan=False), media_type="application/json")


def takes(body: type[BaseModel]) -> dict[str, Any]:
    """Describe a body for OpenAPI; it is read by `Call.read`, so that errors do not echo it.

    Args:
        body: What is taken.

    Returns:
        `openapi_extra` of a route.
    """
    schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _predictions(app: FastAPI, state: State) -> None:
    metrics, bundles = state.service.metrics, state.service.bundles

    @app.post(
        "/v1/predict",
        summary="Classify texts",
        responses=ERRORS | {200: {"model": PredictAnswer}},
        openapi_extra=takes(PredictBody),
    )
    async def predict(request: Request) -> Response:
        call = call_of(request)
        body = await call.read(PredictBody)
        model = bundles.get(body.model)
        answer = await call.classify(model, body.question())
        rows, given = results(model.classifier.labels, answer, top_k=body.top_k, probabilities=body.probabilities)
        metrics.predicted(model.name, given)
        return as_json({"model": model.name, "results": rows})

    @app.post(
        "/v1/explain",
        summary="Which words an answer rests on: each is left out in turn",
        responses=ERRORS | {200: {"model": ExplainAnswer}},
        openapi_extra=takes(ExplainBody),
    )
    async def explain(request: Request) -> Response:
        call = call_of(request)
        body = await call.read(ExplainBody)
        model = bundles.get(body.model)
        pieces, question = await state.service.in_thread(explain_question, body)
        answer = await call.classify(model, question)
        return as_json({"model": model.name, **explained(model.classifier.labels, answer, pieces, body.label)})

    @app.post(
        "/predict",
        summary="Classify texts, in the form of text-embeddings-inference",
        responses=ERRORS | {200: {"model": list[TeiPrediction] | list[list[TeiPrediction]]}},
        openapi_extra=takes(TeiBody),
    )
    async def tei_predict(request: Request) -> Response:
        call = call_of(request)
        body = await call.read(TeiBody)
        model = bundles.get(None)
        answer = await call.classify(model, body.question())
        if body.truncate is False and any(answer.truncated):
            rows = [row for row, cut in enumerate(answer.truncated) if cut]
            raise RequestError(
                f"inputs{rows[:5]} must have at most {model.classifier.manifest.most_tokens} tokens; "
                f"the longest has {max(answer.n_tokens)}.",
                status=413,
            )
        rows_given = tei_predictions(model.classifier.labels, answer, raw_scores=body.raw_scores)
        return as_json(rows_given if body.batch else rows_given[0])


def _about(app: FastAPI, state: State) -> None:
    service = state.service

    @app.get("/v1/info", summary="What is served, and the limits")
    async def info() -> Response:
        limits = service.limits
        return as_json(
            {
                "medclf": __version__,
                "default": service.bundles.default,
                "models": [_described(model) for model in service.bundles.models],
                "max_texts": limits.max_texts,
                "max_body_bytes": limits.max_body_bytes,
                "max_queue_tokens": limits.max_queue_tokens,
            }
        )

    @app.get("/info", summary="What is served, in the form of text-embeddings-inference")
    async def tei_info() -> Response:
        model = service.bundles.get(None)
        config = model.classifier.labels.config()
        return as_json(
            {
                "model_id": model.name,
                "model_sha": None,
                "model_dtype": model.classifier.precision,
                "model_type": {"classifier": {name: config[name] for name in ("id2label", "label2id")}},
                "max_input_length": model.classifier.manifest.most_tokens,
                "max_batch_tokens": service.limits.max_queue_tokens,
                "max_client_batch_size": service.limits.max_texts,
                "auto_truncate": True,
                "version": __version__,
            }
        )

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return as_json(app.openapi())

    @app.get("/metrics", summary="For Prometheus", response_class=Response)
    async def metrics() -> Response:
        service.metrics.serving(service.bundles.models)
        return Response(service.metrics.text(), media_type=service.metrics.content_type)


def _described(model: Model) -> dict[str, Any]:
    classifier, manifest = model.classifier, model.classifier.manifest
    record = manifest.models[classifier.precision]
    return {
        "name": model.name,
        "task": manifest.labels.task,
        "labels": list(manifest.labels.names),
        "labels_sha256": manifest.labels.sha256,
        "thresholds": manifest.labels.by_threshold or None,
        "takes_pairs": bool(manifest.columns.pair),
        "max_length": manifest.max_length,
        "max_tokens": manifest.most_tokens,
        "long_text": str(manifest.long_text),
        "temperature": manifest.temperature,
        "precision": classifier.precision,
        "provider": classifier.provider,
        "model_sha256": manifest.files[record.file].sha256,
        "created": manifest.created,
        "loaded_at": model.loaded_at,
    }


def _health(app: FastAPI, state: State) -> None:
    async def ready() -> Response:
        if why := state.why_not_ready():
            raise RequestError(why, status=503, error_type="Unhealthy", retry_after_s=2.0)
        return as_json({"status": "ready"})

    @app.get("/v2/health/live", summary="The same for the Open Inference Protocol")
    @app.get("/health/live", summary="Whether the process lives; needs no key")
    async def live() -> Response:
        return as_json({"status": "live"})

    not_ready: dict[int | str, dict[str, Any]] = {503: ERRORS[503]}
    app.get("/v2/health/ready", summary="The same for the Open Inference Protocol", responses=not_ready)(ready)
    app.get("/health/ready", summary="Whether requests are answered", responses=not_ready)(ready)
    app.get("/health", summary="The same, as text-embeddings-inference calls it", responses=not_ready)(ready)


def _page(app: FastAPI) -> None:
    folder = resources.files("medclf.serve") / "page"
    for name, kind in PAGE.items():
        content = (folder / name).read_bytes()

        app.get("/" if name == "index.html" else f"/{name}", include_in_schema=False)(_file(content, kind))


def _file(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def file() -> Response:
        return Response(content, media_type=kind)

    return file


async def _not_routed(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = {404: "there is nothing at this address.", 405: "this address does not take this method."}
    refused = RequestError(what.get(status, "the request cannot be answered."), status=status, error_type="NotFound")
    return Response(
        error_body(refused, call_of(request).request_id),
        status_code=status,
        headers=getattr(error, "headers", None),
        media_type="application/json",
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    """OpenAPI with the parts of the bodies where `$ref` looks for them."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes,
                             description="Medical text classification. Not a medical device.")  # fmt: skip
        for path in schema["paths"].values():
            for operation in path.values():
                for content in operation.get("requestBody", {}).get("content", {}).values():
                    schema["components"]["schemas"] |= content["schema"].pop("$defs", {})
        app.openapi_schema = schema
    return app.openapi_schema
