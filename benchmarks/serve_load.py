"""A bounded load over HTTP/1.1 on loopback: closed (so many callers, each with one request) or open (requests leave at
their times, whatever the answers do). Counts what came back when; knows nothing of who answers.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class Target:
    """Where requests go: `path`, and the `field` of the JSON body that takes the text."""

    port: int
    path: str
    field: str


@dataclass(frozen=True)
class Reply:
    """One answer: its status (0: none), seconds from the time it was due, and tokens of its text."""

    status: int
    seconds: float
    n_tokens: int


Texts = Sequence[tuple[str, int]]  # a text, and its tokens


class Connections:
    """Connections that are kept alive, made when all are in use."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: bytes) -> int:
        reader, writer = await self._connection()
        writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                     % (path.encode(), len(body), body))  # fmt: skip
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        self._free.append((reader, writer))
        return int(head[9:12])

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._free:
            reader, writer = self._free.pop()
            if not reader.at_eof():  # the server closes those that were idle for long
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


async def _ask(connections: Connections, target: Target, text: tuple[str, int], due: float) -> Reply:
    try:
        status = await asyncio.wait_for(
            connections.post(target.path, json.dumps({target.field: text[0]}).encode()), timeout=60
        )
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
        status = 0
    return Reply(status, time.perf_counter() - due, text[1])


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
