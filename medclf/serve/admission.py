"""Whether a request is let in: pure decisions over what waits already and how fast it goes.

A request is taken whole or refused whole, before any of its texts wait.
"""

import math
from dataclasses import dataclass

from medclf.errors import RequestError

OVERLOADED = "Overloaded"
SMOOTHING = 0.05  # weight of a new batch in the speed: some 20 batches, about a second


@dataclass(frozen=True)
class Limits:
    """What a server takes on.

    Attributes:
        max_queue_tokens: Most tokens that wait, of all requests together.
        max_body_bytes: Most bytes of one request.
        max_held_bytes: Most bytes of all requests that are inside together.
        max_texts: Most texts of one request.
    """

    max_queue_tokens: int = 65_536
    max_body_bytes: int = 4 * 1024 * 1024
    max_held_bytes: int = 64 * 1024 * 1024
    max_texts: int = 512


@dataclass
class Speed:
    """How many tokens a second the server does, from the batches that it ran.

    Attributes:
        n_callers: How many batches run at a time.
        tokens_per_s: The estimate, of all callers together; begins with a low one.
    """

    n_callers: int
    tokens_per_s: float = 5_000.0

    def ran(self, n_tokens: int, seconds: float) -> None:
        """Learn from a batch.

        Args:
            n_tokens: Its real tokens.
            seconds: How long it ran.
        """
        seen = self.n_callers * n_tokens / max(seconds, 1e-6)
        # of the time per token, not of its inverse: a few short batches must not promise what long ones cannot hold
        self.tokens_per_s = 1 / ((1 - SMOOTHING) / self.tokens_per_s + SMOOTHING / max(seen, 1.0))


def check_size(limits: Limits, n_bytes: int) -> None:
    """Refuse a body that is too large.

    Args:
        limits: The server's limits.
        n_bytes: Bytes that were announced, or have come so far.

    Raises:
        RequestError: 413.
    """
    if n_bytes > limits.max_body_bytes:
        raise RequestError(
            f"the body has {n_bytes:,} bytes or more, at most {limits.max_body_bytes:,} are taken. "
            "Send fewer texts a request.",
            status=413,
        )


def check_room(limits: Limits, *, queued_tokens: int, held_bytes: int, speed: Speed) -> None:
    """Refuse a request before it is read, if there is no room for any.

    Args:
        limits: The server's limits.
        queued_tokens: Tokens that wait.
        held_bytes: Bytes of the requests that are inside.
        speed: How fast it goes.

    Raises:
        RequestError: 429, with the time after which there should be room.
    """
    if queued_tokens >= limits.max_queue_tokens or held_bytes >= limits.max_held_bytes:
        raise _overloaded(limits.max_queue_tokens / 4 / speed.tokens_per_s)


def check_tokens(
    limits: Limits, *, n_tokens: int, queued_tokens: int, speed: Speed, seconds_left: float = math.inf
) -> None:
    """Refuse a request whose texts have no room, or could not be answered in time.

    Args:
        limits: The server's limits.
        n_tokens: Tokens of all texts of the request.
        queued_tokens: Tokens that wait.
        speed: How fast it goes.
        seconds_left: Until the request's deadline.

    Raises:
        RequestError: 413 for a request that never has room, 429 for one that has none now, 503 for one whose deadline
            would pass first.
    """
    if n_tokens > limits.max_queue_tokens:
        raise RequestError(
            f"the request has {n_tokens:,} tokens, at most {limits.max_queue_tokens:,} are taken. "
            "Send fewer texts a request.",
            status=413,
        )
    excess = queued_tokens + n_tokens - limits.max_queue_tokens
    if excess > 0:
        raise _overloaded(excess / speed.tokens_per_s)
    wait = queued_tokens / speed.tokens_per_s
    if wait > seconds_left:
        raise RequestError(
            f"about {wait:.1f} s of work wait already, and the request asks for an answer within {seconds_left:.1f} s.",
            status=503,
            error_type=OVERLOADED,
            retry_after_s=wait - seconds_left,
        )


def _overloaded(retry_after_s: float) -> RequestError:
    return RequestError(
        "the server is full. Try again after the time in Retry-After.",
        status=429,
        error_type=OVERLOADED,
        retry_after_s=retry_after_s,
    )
