import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.errors import BundleError, SessionError
from medclf.labels import Floats
from medclf.long_text import TRUNCATE
from medclf.runtime.costs import AllCores, Cost
from medclf.runtime.runner import PAUSE_S, Runner
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


class NamedSession:
    """Notes which session ran; the first run of all waits for a second caller, where there is to be one."""

    n_labels = 3

    def __init__(self, name: str, ran: list[str], together: threading.Barrier | None = None) -> None:
        self.name, self.ran, self.together = name, ran, together

    def check(self) -> None:
        pass

    def run(self, batch: Batch) -> Floats:
        self.ran.append(self.name)
        if self.together:
            self.together.wait(10)
        return np.zeros((len(batch.input_ids), 3), dtype=np.float32)


def of_two(speedup: float, ran: list[str], together: threading.Barrier | None = None) -> Runner:
    """A runner on two cores, whose session of all cores is so much faster."""
    every = AllCores(
        NamedSession("all", ran),  # type: ignore[arg-type]
        Cost(0, 1 / speedup),
        Cost(0, 1),
        2,
    )
    one = NamedSession("one", ran, together)
    return Runner(one, Padder(), multi_label=False, n_callers=2, all_cores=every, max_batch_tokens=5)  # type: ignore[arg-type]


def test_a_batch_alone_runs_on_all_cores_where_that_is_faster() -> None:
    ran: list[str] = []
    of_two(1.8, ran).logits(encoded_of([[1, 2]]))
    of_two(0.9, ran).logits(encoded_of([[1, 2]]))
    of_two(1.8, ran).run_batch(encoded_of([[1, 2]]))
    assert ran == ["all", "one", "all"]


def test_a_client_that_was_there_just_now_counts_as_there(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr("medclf.runtime.runner.time.monotonic", lambda: now[0])
    ran: list[str] = []
    runner = of_two(1.8, ran, threading.Barrier(2))
    with runner._asked(1), ThreadPoolExecutor(2) as pool:  # another client's batch is under way
        list(pool.map(runner.run_batch, [encoded_of([[1, 2]])] * 2))
    runner.session.together = None  # type: ignore[attr-defined]
    runner.run_batch(encoded_of([[1, 2]]))
    now[0] += PAUSE_S
    runner.run_batch(encoded_of([[1, 2]]))
    runner.run_batch(encoded_of([[1, 2]]))  # its own last call does not count
    assert ran == ["one", "one", "one", "all", "all"]


def test_many_batches_run_on_a_core_each() -> None:
    ran: list[str] = []
    of_two(1.8, ran).logits(encoded_of([[1] * 5] * 6))
    assert ran == ["one"] * 6


def test_two_callers_run_on_a_core_each() -> None:
    ran: list[str] = []
    together = threading.Barrier(2)  # each of the two runs waits for the other: they are on two cores at a time
    runner = of_two(1.8, ran, together)
    with runner._asked(1):  # another caller is under way
        threads = [threading.Thread(target=runner.run_batch, args=(encoded_of([[1]]),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert ran == ["one", "one"]
    assert runner._n_asked == 0
