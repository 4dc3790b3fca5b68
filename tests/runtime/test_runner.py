import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.errors import BundleError, SessionError
from medclf.labels import Floats
from medclf.long_text import TRUNCATE
from medclf.runtime.runner import Runner
from medclf.runtime.session import Session
from medclf.tokenizer import Batch, Encoded


class Padder:
    """The part of a TextEncoder that a runner uses."""

    long_text = TRUNCATE

    def pad(self, encoded: list[Encoded]) -> Batch:
        ids = np.zeros((len(encoded), max(map(len, encoded))), dtype=np.int64)
        for row, one in enumerate(encoded):
            ids[row, : len(one)] = one.input_ids
        return Batch(ids, np.ones_like(ids), np.zeros_like(ids))


def encoded_of(rows: list[list[int]]) -> list[Encoded]:
    return [Encoded(np.array(ids, dtype=np.int64), np.zeros(len(ids), dtype=np.int64), len(ids)) for ids in rows]


class FailingSession:
    """Fails on its first batch and counts the batches that it was given."""

    n_labels = 3

    def __init__(self) -> None:
        self.n_runs = 0
        self._lock = threading.Lock()

    def check(self) -> None:
        pass

    def run(self, batch: Batch) -> Floats:
        with self._lock:
            self.n_runs += 1
            first = self.n_runs == 1
        if first:
            raise BundleError("first batch")
        time.sleep(0.01)
        return np.zeros((len(batch.input_ids), 3), dtype=np.float32)


@pytest.fixture(scope="module")
def session(graph: Callable[..., bytes]) -> Session:
    return Session(graph())


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=20), max_size=30),
    st.integers(1, 60),
    st.sampled_from([1, 2, 5]),
)
def test_each_text_gets_its_own_answer(session: Session, rows: list[list[int]], budget: int, n_callers: int) -> None:
    runner = Runner(session, Padder(), multi_label=False, n_callers=n_callers, max_batch_tokens=budget)  # type: ignore[arg-type]
    logits = runner.logits(encoded_of(rows))
    runner.close()
    assert logits.shape == (len(rows), 3)
    assert logits[:, 0].tolist() == [float(sum(ids)) for ids in rows]


@pytest.mark.parametrize("n_callers", [1, 2])
def test_an_error_comes_out_and_the_rest_is_dropped(n_callers: int) -> None:
    session = FailingSession()
    runner = Runner(session, Padder(), multi_label=False, n_callers=n_callers, max_batch_tokens=1)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="first batch"):
        runner.logits(encoded_of([[1]] * 200))
    runner.close()
    assert session.n_runs < 100


def test_one_caller_runs_in_its_own_thread(session: Session) -> None:
    before = threading.active_count()
    Runner(session, Padder(), multi_label=False).logits(encoded_of([[1]] * 5))  # type: ignore[arg-type]
    assert threading.active_count() == before


def test_a_closed_session_is_told_before_the_threads_are_asked(graph: Callable[..., bytes]) -> None:
    session = Session(graph())
    runner = Runner(session, Padder(), multi_label=False, n_callers=2)  # type: ignore[arg-type]
    session.close()
    runner.close()
    with pytest.raises(SessionError, match="was closed"):
        runner.logits(encoded_of([[1]]))
