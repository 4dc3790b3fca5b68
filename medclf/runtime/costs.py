"""Whether a batch should run on one core or on all: a cost model of two lines, fitted when a model is loaded."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from medclf.runtime.session import Session
from medclf.tokenizer import Batch

CALIBRATION_S = 0.3  # no run begins later; each length is run once in any case
WORTH = 0.9  # share of the time that all cores must not need more than: they cost twice the processor, and others wait
TRIED = 1.5  # a place that is estimated to take so much longer than the other is not tried
STEP = 1.03  # by which a run that took longer, or less long, than was estimated moves the estimate
SHORT, LONG = 8, 64  # tokens: the fixed cost of the nodes shows in the first, the products in the second


@dataclass(frozen=True)
class Cost:
    """What a run takes: seconds are close to a straight line of the tokens.

    Attributes:
        start_s: Seconds of a run without tokens.
        token_s: Seconds of each token.
    """

    start_s: float
    token_s: float

    def seconds(self, n_tokens: float) -> float:
        """Estimate a run.

        Args:
            n_tokens: Real tokens of the batch.

        Returns:
            Seconds.
        """
        return self.start_s + self.token_s * n_tokens

    @classmethod
    def fit(cls, seconds: Mapping[int, float]) -> "Cost":
        """Draw the line through two measurements.

        Args:
            seconds: Tokens -> seconds, of two lengths.

        Returns:
            The line; level, where the longer run took no longer.
        """
        (short, short_s), (long, long_s) = sorted(seconds.items())
        token_s = max(0.0, (long_s - short_s) / (long - short))
        return cls(max(0.0, short_s - token_s * short), token_s)


class Estimate:
    """A line, and how much longer runs take than it says: the machine at load is not the machine later."""

    def __init__(self, line: Cost) -> None:
        """Begin with the line.

        Args:
            line: As measured at load.
        """
        self.line = line
        self._factor = 1.0

    def seconds(self, n_tokens: float) -> float:
        """Estimate a run.

        Args:
            n_tokens: Real tokens of the batch.

        Returns:
            Seconds.
        """
        return self._factor * self.line.seconds(n_tokens)

    def learn(self, n_tokens: float, seconds: float) -> None:
        """Take a run into account: the estimate tends to the median, so that a run that was disturbed counts no more.

        Args:
            n_tokens: Real tokens of its batch.
            seconds: That it took.
        """
        self._factor *= STEP if seconds > self.seconds(n_tokens) else 1 / STEP


class AllCores:
    """A second session of the same model, for batches that should run on all cores.

    Attributes:
        session: Runs a batch on all cores.
        cost: What it takes there.
        cost_of_one: What it takes on one core.
        n_cores: How many there are.
    """

    session: Session
    cost: Estimate
    cost_of_one: Estimate
    n_cores: int

    def __init__(self, session: Session, cost: Cost, cost_of_one: Cost, n_cores: int) -> None:
        """Describe it.

        Args:
            session: Runs a batch on all cores.
            cost: What it takes there.
            cost_of_one: What it takes on one core.
            n_cores: How many there are.
        """
        self.session = session
        self.cost = Estimate(cost)
        self.cost_of_one = Estimate(cost_of_one)
        self.n_cores = n_cores
        self._n_alone = 0
        self._last_on_all: bool | None = None

    def suits(self, n_tokens: float) -> bool:
        """Say whether a batch that is alone runs on all cores; where it is close, the other place is tried at times.

        Args:
            n_tokens: Real tokens of the batch.

        Returns:
            True for all cores.
        """
        self._n_alone += 1
        every, one = self.cost.seconds(n_tokens), WORTH * self.cost_of_one.seconds(n_tokens)
        tried = _is_turn(self._n_alone) and max(every, one) < TRIED * min(every, one)
        return (every < one) is not tried

    def learn(self, n_tokens: float, seconds: float, *, on_all: bool) -> None:
        """Take a run into account that was alone; not the first of a place, for which its threads had to wake.

        Args:
            n_tokens: Real tokens of its batch.
            seconds: That it took.
            on_all: Whether it ran on all cores.
        """
        if on_all is self._last_on_all:
            (self.cost if on_all else self.cost_of_one).learn(n_tokens, seconds)
        self._last_on_all = on_all

    def pays(self, n_tokens: float, *, n_own: int, n_others: int) -> bool:
        """Say whether batches are done sooner, by a tenth, one after the other on all cores than each on its own core.

        Args:
            n_tokens: Real tokens of one batch.
            n_own: Batches of the call.
            n_others: Batches of other callers that are under way. Where there are any, more will come: a core that has
                nothing to do after the last of the call's own batches counts only if there are none.

        Returns:
            True for all cores.
        """
        n_batches = n_own + n_others
        rounds = max(1.0, n_batches / self.n_cores) if n_others else ceil(n_batches / self.n_cores)
        return n_batches * self.cost.seconds(n_tokens) < WORTH * rounds * self.cost_of_one.seconds(n_tokens)


def _is_turn(n: int) -> bool:
    """Four runs in a row: often at first, then 8 of a thousand."""
    start = n & ~3
    return start >= 8 and (start & (start - 1) == 0 or start % 512 == 0)


def measure_costs(one_core: Session, all_cores: Session, *, max_length: int) -> tuple[Cost, Cost]:
    """Time two sessions of a model in turns, for about CALIBRATION_S; the quickest run of each length counts.

    Args:
        one_core: Runs on one core.
        all_cores: Runs on all cores.
        max_length: Most tokens of a text, at least 2.

    Returns:
        The cost of each.
    """
    deadline = time.perf_counter() + CALIBRATION_S
    batches = [_batch(min(SHORT, max_length // 2)), _batch(min(LONG, max_length))]
    sessions = (one_core, all_cores)
    best = seconds = [_turn(session, batches) for session in sessions]
    while time.perf_counter() + sum(map(sum, seconds)) < deadline:
        seconds = [_turn(session, batches) for session in sessions]
        best = np.minimum(best, seconds).tolist()
    lengths = [batch.input_ids.size for batch in batches]
    one, every = (Cost.fit(dict(zip(lengths, own, strict=True))) for own in best)
    return one, every


def _batch(n_tokens: int) -> Batch:
    ids = np.zeros((1, n_tokens), dtype=np.int64)  # which token it is does not matter for the time
    return Batch(ids, np.ones_like(ids), ids)


def _turn(session: Session, batches: Sequence[Batch]) -> list[float]:
    """Seconds of each batch, after a run that wakes the session's threads, as one after the other would find them."""
    session.run(batches[0])
    return [_seconds(session, batch) for batch in batches]


def _seconds(session: Session, batch: Batch) -> float:
    start = time.perf_counter()
    session.run(batch)
    return time.perf_counter() - start
