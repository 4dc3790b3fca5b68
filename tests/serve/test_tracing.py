"""Spans: a request and its stages, below the caller's span, with counts and no text."""

from pathlib import Path

import pytest
from serve.conftest import CANARY, running

from medclf.serve.options import ServeOptions
from medclf.serve.state import State
from medclf.serve.tracing import Tracing


def test_spans_of_a_request(tiny_bundle: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def trace(state: State) -> None:
        state.tracing = Tracing(provider)

    with running(ServeOptions((str(tiny_bundle),)), trace) as server:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        server.post(f"/v1/predict?text={CANARY}", {"texts": [CANARY, "baba"]}, traceparent=parent)
        server.post("/v1/predict", {"texts": CANARY, CANARY: 1})
        server.get("/health/ready")
    spans = exporter.get_finished_spans()
    first, second = (one for one in spans if one.name == "POST /v1/predict")
    assert first.context.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert first.attributes["medclf.n_texts"] == 2
    assert first.attributes["http.response.status_code"] == 200
    assert second.attributes["http.response.status_code"] == 422
    stages = [one for one in spans if one.parent and one.parent.span_id == first.context.span_id]
    assert [one.name for one in stages] == ["read", "tokenize", "queue", "run"]
    assert all(first.start_time <= one.start_time <= one.end_time <= first.end_time for one in stages)
    assert not any(CANARY in one.to_json() for one in spans)
