"""Spans for OpenTelemetry: a request and its stages, with counts and times, never a text.

Needs the extra `otel`; where spans go is told by the usual variables, such as OTEL_EXPORTER_OTLP_ENDPOINT.
"""

import time
from collections.abc import Mapping
from typing import Any

from medclf.extras import require


class Tracing:
    """Makes spans of requests that have ended."""

    def __init__(self, provider: Any) -> None:
        """Take a tracer.

        Args:
            provider: A TracerProvider of opentelemetry.sdk.

        Raises:
            ExtraError: opentelemetry is not installed.
        """
        self._trace = require("opentelemetry.trace", extra="otel")
        self._propagate = require("opentelemetry.propagate", extra="otel")
        self._provider = provider
        self._tracer = provider.get_tracer("medclf.serve")

    @classmethod
    def to_collector(cls) -> "Tracing":
        """Send spans by OTLP over HTTP, in a thread of their own.

        Returns:
            The tracing.

        Raises:
            ExtraError: opentelemetry is not installed.
        """
        sdk = require("opentelemetry.sdk.trace", extra="otel")
        export = require("opentelemetry.sdk.trace.export", extra="otel")
        otlp = require("opentelemetry.exporter.otlp.proto.http.trace_exporter", extra="otel")
        resources = require("opentelemetry.sdk.resources", extra="otel")
        resource = resources.Resource.create({"service.name": "medclf-serve"})
        provider = sdk.TracerProvider(resource=resource)
        provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
        return cls(provider)

    def record(
        self,
        name: str,
        *,
        began_s: float,
        stages: Mapping[str, float],
        attributes: Mapping[str, str | int],
        parent: Mapping[str, str],
    ) -> None:
        """Make the span of a request that has just ended, and one below it for each stage.

        Args:
            name: Method and route, such as `POST /v1/predict`.
            began_s: When it came, as `time.monotonic` counts.
            stages: Stage -> seconds, one after the other from `began_s` on.
            attributes: Counts and statuses.
            parent: The headers `traceparent` and `tracestate` of the request, where it has them.
        """
        now = time.monotonic()
        offset = time.time_ns() - int(now * 1e9)

        def at(seconds: float) -> int:
            return int(seconds * 1e9) + offset

        context = self._propagate.extract(dict(parent))
        kind = self._trace.SpanKind.SERVER
        span = self._tracer.start_span(name, context=context, kind=kind, start_time=at(began_s), attributes=attributes)
        inside = self._trace.set_span_in_context(span)
        begin = began_s
        for stage, seconds in stages.items():
            self._tracer.start_span(stage, context=inside, start_time=at(begin)).end(at(begin + seconds))
            begin += seconds
        if int(attributes.get("http.response.status_code", 0)) >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(at(now))

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
