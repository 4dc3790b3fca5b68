"""uvicorn's HTTP protocol with limits on time and size: a connection that sends slowly, or never ends its headers, is
closed, and holds nothing but a socket until then. An answer leaves in one piece, head and body together.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 65_536
HEAD_S = 10.0  # from the connection, or from the first byte of a request, to the end of its headers
BODY_S = 30.0  # to the end of its body; `Times.body_s` is shorter and gives an answer


class _Joined:
    """A transport that writes an answer at once: a client wakes up once."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._pieces:  # what is not the end of an answer, such as 100 Continue
            self._loop.call_soon(self.flush)
        self._pieces.append(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))


class Protocol(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None
    _n_head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client a time to begin."""
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type]
        self._expect_within(HEAD_S)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless there are too many before the headers end."""
        self._n_head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._n_head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._expect_within(None)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._expect_within(HEAD_S)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its headers are there."""
        self._in_head, self._n_head_bytes = False, 0
        self._expect_within(BODY_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there; from here on the server is the one that takes its time."""
        self._in_head, self._n_head_bytes = True, 0
        self._expect_within(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Its answer is whole."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        app.state.n_to_begin += 1
        super()._start_asgi_task(cycle, app)

    def _expect_within(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


def protocol_class() -> Any:
    """Give what `uvicorn.Config(http=...)` takes."""
    return Protocol
