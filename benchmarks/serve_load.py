"""A bounded load over HTTP/1.1 on loopback: closed (so many callers, each with one request) or open (requests leave at
their times, whatever the answers do). Counts what came back when; knows nothing of who answers.
"""

import asyncio
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

RUN = re.compile(rb"run;dur=([0-9.]+)")  # of Server-Timing


@dataclass(frozen=True)
class Target:
    """Where requests go: `path`, and the `field` of the JSON body that takes the text."""

    port: int
    path: str
    field: str


@dataclass(frozen=True)
class Reply:
    """One answer: its status (0: none), seconds since it was due, tokens of its text, and seconds that it ran."""

    status: int
    seconds: float
    n_tokens: int
    run_s: float = 0.0


Texts = Sequence[tuple[str, int]]  # a text, and its tokens


class Connection(asyncio.Protocol):
    """One connection that is kept alive; a request at a time. No streams: they cost more than all else here."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[tuple[int, float]] = asyncio.get_running_loop().create_future()
        self._read = b""
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.open = transport, True

    def post(self, request: bytes) -> "asyncio.Future[tuple[int, float]]":
        """Ask; gives status and seconds of the run, as the server says."""
        if not self.open:
            raise ConnectionResetError
        self._answer, self._read = asyncio.get_running_loop().create_future(), b""
        self._transport.write(request)  # type: ignore[attr-defined]
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._read += data
        end = self._read.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._read[:end].lower()
        at = head.index(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self._read) >= end + 4 + length and not self._answer.done():
            run_ms = RUN.search(head)
            self._answer.set_result((int(head[9:12]), float(run_ms[1]) / 1000 if run_ms else 0.0))

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if not self._answer.done():
            self._answer.set_exception(ConnectionResetError())

    def close(self) -> None:
        self._transport.close()


class Connections:
    """Connections that are kept alive, made when all are in use."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[Connection] = []

    async def post(self, path: str, body: bytes) -> tuple[int, float]:
        request = b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
            path.encode(),
            len(body),
            body,
        )
        while self._free:
            connection = self._free.pop()
            if connection.open:  # the server closes those that were idle for long
                try:
                    return await self._ask(connection, request)
                except ConnectionResetError:  # just now: as every client does, on another one
                    pass
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        return await self._ask(connection, request)

    async def _ask(self, connection: Connection, request: bytes) -> tuple[int, float]:
        try:
            said = await connection.post(request)
        except BaseException:  # given up: the server is to know
            connection.close()
            raise
        self._free.append(connection)
        return said

    def close(self) -> None:
        for connection in self._free:
            connection.close()


async def _ask(connections: Connections, target: Target, text: tuple[str, int], due: float) -> Reply:
    run_s = 0.0
    try:
        status, run_s = await asyncio.wait_for(
            connections.post(target.path, json.dumps({target.field: text[0]}).encode()), timeout=60
        )
    except (OSError, asyncio.TimeoutError):
        status = 0
    return Reply(status, time.perf_counter() - due, text[1], run_s)


async def closed(target: Target, texts: Texts, *, n_callers: int, seconds: float) -> tuple[list[Reply], float]:
    """As many requests as fit: each caller sends its next one when the last was answered."""
    connections, replies, began = Connections(target.port), [], time.perf_counter()
    order: Iterator[int] = iter(range(10**9))

    async def caller() -> None:
        while time.perf_counter() - began < seconds:
            text = texts[next(order) % len(texts)]
            replies.append(await _ask(connections, target, text, time.perf_counter()))

    await asyncio.gather(*(caller() for _ in range(n_callers)))
    connections.close()
    return replies, time.perf_counter() - began


def arrivals(texts: Texts, *, per_s: float, seconds: float, seed: int = 0) -> Iterator[tuple[float, tuple[str, int]]]:
    """Texts one after the other, each with the time at which it is due: a Poisson process."""
    chance, due = random.Random(seed), 0.0
    for number in count():
        due += chance.expovariate(per_s)
        if due >= seconds:
            return
        yield due, texts[number % len(texts)]


async def opened(target: Target, texts: Texts, *, per_s: float, seconds: float) -> tuple[list[Reply], float]:
    """Requests at their times; latency counts from the time that a request was due."""
    connections, began, tasks = Connections(target.port), time.perf_counter(), []
    for due, text in arrivals(texts, per_s=per_s, seconds=seconds):
        await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
        tasks.append(asyncio.ensure_future(_ask(connections, target, text, began + due)))
    replies = await asyncio.gather(*tasks)
    connections.close()
    return list(replies), time.perf_counter() - began


def ideal(texts: Texts, *, per_s: float, seconds: float, tokens_per_s: float) -> tuple[list[Reply], float]:
    """What the same requests would get of a queue without a cost of its own, first come, first served at that rate.

    For service times with a light tail no other order has a lighter one (Wierman and Zwart 2012).
    """
    replies, free = [], 0.0
    for due, text in arrivals(texts, per_s=per_s, seconds=seconds):
        free = max(free, due) + text[1] / tokens_per_s
        replies.append(Reply(200, free - due, text[1]))
    return replies, max(free, seconds)


def quantile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds; of nothing, 0."""
    ordered = sorted(seconds)
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else 0.0


def summary(replies: Sequence[Reply], seconds: float) -> dict[str, float | int]:
    """Rates and latencies of a load that took so many seconds until its last answer."""
    good = [one for one in replies if one.status == 200]
    refused = [one for one in replies if one.status in (429, 503)]
    return {
        "n_requests": len(replies),
        "n_answered": len(good),
        "n_refused": len(refused),
        "n_failed": len(replies) - len(good) - len(refused),
        "texts_per_s": round(len(good) / seconds, 2),
        "tokens_per_s": round(sum(one.n_tokens for one in good) / seconds, 1),
        "p50_ms": quantile([one.seconds for one in good], 0.5),
        "p99_ms": quantile([one.seconds for one in good], 0.99),
        "refused_p50_ms": quantile([one.seconds for one in refused], 0.5),
        "refused_p99_ms": quantile([one.seconds for one in refused], 0.99),
    }
