"""The outermost layer: keys, request ids, security headers, errors without content, counts, the audit log.

Plain ASGI around the FastAPI application, past which it asks the routes of predictions. It holds an answer back until
it is recorded, so that nothing is answered that the audit log does not know; answers are small and come in one piece.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request

from medclf.errors import MedclfError, OutputError, RequestError, place_of
from medclf.serve.answers import error_body, error_headers
from medclf.serve.calls import Call
from medclf.serve.state import State

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[..., Awaitable[None]]

OPEN = ("/health/live", "/v2/health/live")  # what needs no key
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

logger = logging.getLogger(__name__)


@dataclass
class _Held:
    """An answer that was not sent yet."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    @classmethod
    def error(cls, error: RequestError, request_id: str) -> "_Held":
        body = error_body(error, request_id)
        headers = {"content-type": "application/json", "content-length": str(len(body)), **error_headers(error)}
        if error.status == 408:  # 413 stays open: a client that is still sending would meet a reset, and no answer
            headers["connection"] = "close"
        return cls(error.status, _encoded(headers), body)


class Edge:
    """An ASGI application around another one.

    Attributes:
        state: The server's parts; who starts a call counts it in `n_to_begin`.
    """

    state: State

    def __init__(self, app: Application, state: State, direct: Mapping[str, APIRoute]) -> None:
        """Wrap an application.

        Args:
            app: The routes.
            state: The server's parts.
            direct: By path, routes that are asked without the layers of the application, which take a good part of the
                time of a short request; their endpoints take a request that is posted, and give a whole response.
        """
        self._app, self.state, self._direct = app, state, direct
        self._headers = _encoded(HEADERS | ({"strict-transport-security": "max-age=31536000"} if state.tls else {}))

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        """Answer one request.

        Args:
            scope: What ASGI says of it.
            receive: Gives its body.
            send: Takes the answer.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.state.n_to_begin -= 1
        call = scope["medclf"] = Call(self.state, receive, headers)
        try:
            held = await self._answer(scope, call)
            route = getattr(scope.get("route"), "path", "-")
            held = await self._recorded(call, route, held)
            call.end()
            extra = _encoded({"x-request-id": call.request_id, **_timing(call)})
            await send({"type": "http.response.start", "status": held.status,
                        "headers": [*held.headers, *self._headers, *extra]})  # fmt: skip
            await send({"type": "http.response.body", "body": held.body})
        finally:
            call.end()
        self._count(scope["method"], route, call, held.status)

    async def _answer(self, scope: Message, call: Call) -> _Held:
        held = _Held()
        try:
            self._authorize(scope, call)
            route = self._direct.get(scope["path"]) if scope["method"] == "POST" else None
            if route is None:
                await self._app(scope, call.receive, held.take)
            else:
                scope["route"] = route  # the body is read by the call
                response = await route.endpoint(Request(scope))
                held = _Held(response.status_code, response.raw_headers, response.body)
        except RequestError as error:
            return self._refused(error, call)
        except MedclfError as error:  # of the runtime, such as a closed session: our words, for the log alone
            logger.error("request %s: %s", call.request_id, error)
        except Exception as error:  # a bug: where it is, and never what it says, as that could quote a text
            logger.error("request %s: internal error: %s", call.request_id, place_of(error))
        else:
            return held
        return self._refused(RequestError("internal error.", status=500, error_type="Backend"), call)

    def _authorize(self, scope: Message, call: Call) -> None:
        preflight = scope["method"] == "OPTIONS" and self.state.origins
        if self.state.keys is not None and scope["path"] not in OPEN and not preflight:
            call.key = self.state.keys.name(call.headers.get("authorization"), call.headers.get("x-api-key"))

    def _refused(self, error: RequestError, call: Call) -> _Held:
        self.state.service.metrics.refused(error.error_type)
        return _Held.error(error, call.request_id)

    async def _recorded(self, call: Call, route: str, held: _Held) -> _Held:
        """The answer, or 503 if the audit log does not take it."""
        log = self.state.audit_log
        if log is None or not call.asks:
            return held
        try:
            await self.state.service.in_thread(log.append, call.record(route, held.status))
            self.state.audit_failed = False
        except OutputError as error:
            if not self.state.audit_failed:  # once, not for every request
                logger.error("%s", error)
            self.state.audit_failed = True
            why = RequestError("the audit log cannot be written, so nothing is answered.", status=503,
                               error_type="Unhealthy", retry_after_s=5.0)  # fmt: skip
            return self._refused(why, call)
        return held

    def _count(self, method: str, route: str, call: Call, status: int) -> None:
        seconds = time.monotonic() - call.timings.arrived_s
        self.state.service.metrics.request(route, status, seconds)
        if self.state.access_log:
            logger.info("%s %s %d %d texts %d tokens %.1f ms id %s", method, route, status, call.timings.n_texts,
                        call.timings.n_tokens, 1000 * seconds, call.request_id)  # fmt: skip
        if self.state.tracing is not None and call.asks:
            self.state.tracing.record(
                f"{method} {route}",
                began_s=call.timings.arrived_s,
                stages=call.timings.stages(),
                attributes={
                    "http.response.status_code": status,
                    "medclf.request_id": call.request_id,
                    "medclf.model": call.model,
                    "medclf.n_texts": call.timings.n_texts,
                    "medclf.n_tokens": call.timings.n_tokens,
                },
                parent={name: call.headers[name] for name in ("traceparent", "tracestate") if name in call.headers},
            )


def _timing(call: Call) -> dict[str, str]:
    stages = call.timings.stages()
    return {"server-timing": ", ".join(f"{name};dur={1000 * s:.1f}" for name, s in stages.items())} if stages else {}


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
