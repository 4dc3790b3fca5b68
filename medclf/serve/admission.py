"""Whether a request is let in: decisions over what waits already and how fast it goes.

A request is taken whole or refused whole, before any of its texts wait.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from medclf.errors import RequestError

OVERLOADED = "Overloaded"
REOPENS = 15 / 16  # of the queue: a full server takes nothing until it has emptied to this share
CROWD = 8  # requests at once, beyond which they are refused unread if there is enough to do
SMOOTHING = 0.05  # weight of what is new in an estimate: some 20 batches, about a second


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


@dataclass
class Door:
    """Whether requests are read at all, decided from what the last ones met.

    A queue that is full to the last token would have each request read and tokenized to learn that it does not fit. So
    the first one that does not fit closes the door, and it opens when there is room for several. Requests that are
    being tokenized count with the tokens that they should have, or a crowd would come in through a door just opened. Of
    a crowd that comes at once, only the last few are read: if all were, everybody would wait, also those who then hear
    that there is no room.

    Attributes:
        limits: What the server takes on.
        closed: Whether nothing is read.
        arriving_chars: Characters that are being tokenized.
        chars_per_token: The estimate, from the requests that were; what is cut off counts among the characters.
    """

    limits: Limits
    closed: bool = False
    arriving_chars: int = 0
    chars_per_token: float = 4.0

    @contextmanager
    def arriving(self, n_chars: int) -> Iterator[None]:
        """Count a request while it is being tokenized.

        Args:
            n_chars: Characters of its texts.

        Yields:
            Nothing.
        """
        self.arriving_chars += n_chars
        try:
            yield
        finally:
            self.arriving_chars -= n_chars

    def arrived(self, n_chars: int, n_tokens: int) -> None:
        """Learn from a request that was tokenized.

        Args:
            n_chars: Characters of its texts.
            n_tokens: Their tokens.
        """
        seen = (n_chars + 1) / (n_tokens + 1)
        self.chars_per_token += SMOOTHING * (seen - self.chars_per_token)

    def check(self, *, queued_tokens: int, held_bytes: int, speed: Speed, n_behind: int = 0) -> None:
        """Refuse a request before it is read, if there is no room for any.

        Args:
            queued_tokens: Tokens that wait.
            held_bytes: Bytes of the requests that are inside.
            speed: How fast it goes.
            n_behind: Requests that came with it, and wait for it to be read.

        Raises:
            RequestError: 429, with the time after which there should be room.
        """
        most = self.limits.max_queue_tokens
        expected = queued_tokens + self.arriving_chars / self.chars_per_token
        self.closed = expected >= (most * REOPENS if self.closed else most)
        crowded = n_behind >= CROWD and expected >= most / 4
        if self.closed or crowded or held_bytes >= self.limits.max_held_bytes:
            raise _overloaded(most / 4 / speed.tokens_per_s)

    def check_tokens(self, *, n_tokens: int, queued_tokens: int, speed: Speed, seconds_left: float = math.inf) -> None:
        """Refuse a request whose texts have no room, or could not be answered in time.

        Args:
            n_tokens: Tokens of all texts of the request.
            queued_tokens: Tokens that wait.
            speed: How fast it goes.
            seconds_left: Until the request's deadline.

        Raises:
            RequestError: 413 for a request that never has room, 429 for one that has none now, 503 for one whose
                deadline would pass first.
        """
        most = self.limits.max_queue_tokens
        if n_tokens > most:
            raise RequestError(
                f"the request has {n_tokens:,} tokens, at most {most:,} are taken. Send fewer texts a request.",
                status=413,
            )
        excess = queued_tokens + n_tokens - most
        if excess > 0:
            self.closed = queued_tokens >= most * REOPENS  # a large request that does not fit keeps no small one out
            raise _overloaded(excess / speed.tokens_per_s)
        wait = queued_tokens / speed.tokens_per_s
        if wait > seconds_left:
            raise RequestError(
                f"about {wait:.1f} s of work wait already, and the request asks for an answer within "
                f"{seconds_left:.1f} s.",
                status=503,
                error_type=OVERLOADED,
                retry_after_s=wait - seconds_left,
            )


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


def _overloaded(retry_after_s: float) -> RequestError:
    return RequestError(
        "the server is full. Try again after the time in Retry-After.",
        status=429,
        error_type=OVERLOADED,
        retry_after_s=retry_after_s,
    )
