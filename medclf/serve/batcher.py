"""Which waiting texts run next, and together: pure decisions, without clocks, threads and sessions.

Every text has a time at which it is due: that at which it would be done if its request had half of the server to itself
from its arrival on. The text that is due first leads the next batch, and the texts nearest to it in length join it.
So a text waits for those that are due before it and for nothing else: a later request cannot overtake it for long,
however short its texts, and a request of a thousand texts does not stand before one of a single text.

Nothing waits for company: a caller that is free takes what is there, and batches grow by themselves when all callers
are busy. So a request alone waits for nothing.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from medclf.runtime.schedule import MAX_BATCH_TOKENS

MAX_PADDING = 1.25  # padded over real tokens of a batch; padding reaches attention alone
# Of the server, promised to one request: with all of it, a large request would fall behind as soon as others come, and
# those after them would wait for what it is owed.
SHARE = 0.5
MIN_SHARE_TOKENS = 64  # a batch of fewer tokens is not parted between idle callers: products need 32 to 64 rows


@dataclass(frozen=True, eq=False)
class Waiting:
    """A text that waits for its run.

    Attributes:
        model: What runs it; only texts of one model run together.
        n_tokens: Its length, special tokens included.
        due_s: When it is due; see `due_times`.
        payload: What the caller needs to deliver the answer.
    """

    model: Any
    n_tokens: int
    due_s: float
    payload: Any = None


def due_times(arrived_s: float, lengths: Sequence[int], *, tokens_per_s: float) -> list[float]:
    """Say when each text of a request is due.

    Args:
        arrived_s: When the request came.
        lengths: Tokens of each of its texts.
        tokens_per_s: What the server is able to do, above 0.

    Returns:
        The arrival, plus the time that the text and those before it in its request take on half of the server: of
        texts that came together, short ones are due first, and the hundredth text of a large request lets later
        requests pass.
    """
    due, total = [], 0
    for length in lengths:
        total += length
        due.append(arrived_s + total / (SHARE * tokens_per_s))
    return due


class Queue:
    """The texts that wait; knows no time. Not safe to share between threads: guard it with a lock.

    Attributes:
        n_tokens: Tokens of all texts that wait.
        n_texts: How many texts wait.
    """

    n_tokens: int
    n_texts: int

    def __init__(self, *, max_batch_tokens: int = MAX_BATCH_TOKENS, max_padding: float = MAX_PADDING) -> None:
        """Make an empty queue.

        Args:
            max_batch_tokens: Most real tokens of a batch; a longer text runs alone.
            max_padding: Most padded tokens of a batch, over its real ones.
        """
        self.n_tokens = self.n_texts = 0
        self._max_batch_tokens = max_batch_tokens
        self._max_padding = max_padding
        self._by_due: list[tuple[float, int, Waiting]] = []  # a heap; texts that have left stay until they come up
        self._by_length: dict[Any, list[tuple[int, float, int, Waiting]]] = {}
        self._serials: dict[Waiting, int] = {}  # of those that wait; a serial makes every key different
        self._next_serial = 0

    def add(self, texts: Iterable[Waiting]) -> None:
        """Let texts wait.

        Args:
            texts: Texts that do not wait yet.
        """
        for text in texts:
            serial, self._next_serial = self._next_serial, self._next_serial + 1
            self._serials[text] = serial
            heapq.heappush(self._by_due, (text.due_s, serial, text))
            insort(self._by_length.setdefault(text.model, []), (text.n_tokens, text.due_s, serial, text))
            self.n_tokens += text.n_tokens
            self.n_texts += 1

    def discard(self, texts: Iterable[Waiting]) -> int:
        """Take texts out without running them.

        Args:
            texts: Texts; those that do not wait any more are passed over.

        Returns:
            How many were taken out.
        """
        waiting = [text for text in texts if text in self._serials]
        for text in waiting:
            self._remove(text)
        return len(waiting)

    def take(self, *, n_idle: int = 1) -> list[Waiting]:
        """Take the next batch.

        Args:
            n_idle: How many callers are free, the one that asks included: each leaves the others their share.

        Returns:
            Texts of one model that run together, led by the one that is due first; empty if none waits.
        """
        leader = self._first_due()
        if leader is None:
            return []
        row = self._by_length[leader.model]
        share = max(MIN_SHARE_TOKENS, -(-sum(key[0] for key in row) // n_idle)) if n_idle > 1 else self.n_tokens
        batch = self._neighbours(row, leader, min(share, self._max_batch_tokens))
        for text in batch:
            self._remove(text)
        return batch

    def _first_due(self) -> Waiting | None:
        while self._by_due:
            _, serial, text = self._by_due[0]
            if self._serials.get(text) == serial:
                return text
            heapq.heappop(self._by_due)
        return None

    def _neighbours(self, row: list[tuple[int, float, int, Waiting]], leader: Waiting, budget: int) -> list[Waiting]:
        """The leader and those nearest to it in length, as far as the budget and the padding allow."""
        low = high = bisect_left(row, self._key(leader))
        batch, total = [leader], leader.n_tokens
        shorter = longer = True  # whether texts on that side may still join
        while shorter or longer:
            shorter, longer = shorter and low > 0, longer and high + 1 < len(row)
            up = longer and (not shorter or row[high + 1][0] - leader.n_tokens <= leader.n_tokens - row[low - 1][0])
            if not (up or shorter):
                break
            n_tokens, _, _, text = row[high + 1 if up else low - 1]
            longest = max(row[high][0], n_tokens)
            fits = total + n_tokens <= budget
            if fits and longest * (len(batch) + 1) <= self._max_padding * (total + n_tokens):
                batch.append(text)
                total += n_tokens
                low, high = (low, high + 1) if up else (low - 1, high)
            elif up:
                longer = False
            else:
                shorter = False
        return batch

    def _key(self, text: Waiting) -> tuple[int, float, int]:
        return text.n_tokens, text.due_s, self._serials[text]

    def _remove(self, text: Waiting) -> None:
        row = self._by_length[text.model]
        del row[bisect_left(row, self._key(text))]
        if not row:
            del self._by_length[text.model]
        del self._serials[text]
        self.n_tokens -= text.n_tokens
        self.n_texts -= 1
