"""One HTTP request on its way through the server."""

import asyncio
import math
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from medclf.errors import RequestError
from medclf.serve.admission import check_size
from medclf.serve.bundles import Model
from medclf.serve.requests import Receive, parse, read_body
from medclf.serve.service import Answer, Patience, Question, Timings
from medclf.serve.state import State

Body = TypeVar("Body", bound=BaseModel)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
LARGE_BODY_BYTES = 32_768  # from here on parsing is not for the thread of the event loop


@dataclass(eq=False)
class Call:
    """A request, and what is known of it so far.

    Attributes:
        state: The server's parts.
        receive: Gives the pieces of its body.
        headers: Its headers, names in lower case.
        request_id: Names it in answers and logs: its own `X-Request-Id` if that can stand there, or a new one.
        timings: When it reached which stage.
        key: Name of the API key that it showed, or "".
        model: Name of the bundle that it is for, or "".
        asks: Whether it is for a model, and goes into the audit log.
        held_bytes: Bytes of its body.
    """

    state: State
    receive: Receive
    headers: Mapping[str, str]
    request_id: str = ""
    timings: Timings = field(default_factory=Timings)
    key: str = ""
    model: str = ""
    asks: bool = False
    held_bytes: int = 0

    def __post_init__(self) -> None:
        given = self.headers.get("x-request-id", "")
        self.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)

    async def bytes(self) -> bytes:
        """Read the body of a request for a model, if there is room for it.

        Returns:
            The bytes.

        Raises:
            RequestError: 429 or 503 no room, 415 not JSON, 413 too large, 408 too slow.
        """
        service, limits = self.state.service, self.state.service.limits
        self.asks = True
        service.check_room(n_behind=self.state.n_to_begin)
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if "content-encoding" in self.headers or kind not in ("application/json", "application/octet-stream"):
            # also what keeps other web pages from asking in the name of a user: they cannot send this type unasked
            raise RequestError("the body has to be JSON without an encoding: Content-Type: application/json.",
                               status=415)  # fmt: skip
        announced = self.headers.get("content-length", "")
        check_size(limits, int(announced) if announced.isdecimal() else 0)

        def hold(n_bytes: int) -> None:
            self.held_bytes += n_bytes
            service.held_bytes += n_bytes

        body = await read_body(
            self.receive, check=lambda n: check_size(limits, n), hold=hold, timeout_s=self.state.times.body_s
        )
        self.timings.read_s = time.monotonic()
        return body

    async def read(self, kind: type[Body]) -> Body:
        """Read and check a JSON body.

        Args:
            kind: What it should be.

        Returns:
            What it is.

        Raises:
            RequestError: As `bytes`, and 422 for a body of another form.
        """
        body = await self.bytes()
        if len(body) < LARGE_BODY_BYTES:
            return parse(kind, body)
        return await self.state.service.in_thread(parse, kind, body)

    async def classify(self, model: Model, question: Question) -> Answer:
        """Answer with a model.

        Args:
            model: The model.
            question: The texts.

        Returns:
            The answer.

        Raises:
            RequestError: As `Service.answer`, and 413 for too many texts, 422 for a wrong `X-Request-Timeout`.
        """
        self.model = model.name
        limit = self.state.service.limits.max_texts
        if len(question.texts) > limit:
            raise RequestError(f"{len(question.texts)} texts in one request, at most {limit} are taken.", status=413)
        gone = asyncio.ensure_future(self._gone())
        try:
            return await self.state.service.answer(
                model, question, Patience(self.timings.arrived_s + self._seconds(), gone), self.timings
            )
        finally:
            gone.cancel()

    def end(self) -> None:
        """Let go of what the request held."""
        self.state.service.held_bytes -= self.held_bytes
        self.held_bytes = 0

    async def _gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def _seconds(self) -> float:
        times = self.state.times
        given = self.headers.get("x-request-timeout")
        try:
            seconds = times.request_s if given is None else float(given)
        except ValueError:
            seconds = math.nan
        if not seconds > 0:
            raise RequestError("X-Request-Timeout: expected seconds, more than 0.", status=422)
        return min(seconds, times.max_request_s)

    def record(self, route: str, status: int) -> dict[str, Any]:
        """Give what the audit log keeps.

        Args:
            route: The route's own form.
            status: The HTTP status.

        Returns:
            Who asked how many rows of what, when; no text.
        """
        return {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "request_id": self.request_id,
            "key": self.key,
            "route": route,
            "model": self.model,
            "status": status,
            "n_texts": self.timings.n_texts,
            "n_tokens": self.timings.n_tokens,
            "seconds": round(time.monotonic() - self.timings.arrived_s, 4),
        }
