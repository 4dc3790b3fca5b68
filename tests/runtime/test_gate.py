import itertools
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.runtime.gate import Gate


def wait_until(condition: "callable") -> None:  # type: ignore[valid-type]
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 10 s"
        time.sleep(0.001)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.lists(st.integers(1, 4), min_size=1, max_size=12))
def test_no_more_slots_are_held_than_there_are(n_slots: int, wanted: list[int]) -> None:
    gate, held, most, lock = Gate(n_slots), 0, 0, threading.Lock()

    def caller(n: int) -> None:
        nonlocal held, most
        with gate.slots(n):
            with lock:
                held += n
                most = max(most, held)
            time.sleep(0.0005)
            with lock:
                held -= n

    threads = [threading.Thread(target=caller, args=(min(n, n_slots),)) for n in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert (held, most <= n_slots) == (0, True)


def test_first_come_first_served() -> None:
    gate, order, threads = Gate(1), [], []  # type: ignore[var-annotated]

    def caller(i: int) -> None:
        with gate.slots():
            order.append(i)

    with gate.slots():
        for i in range(20):
            threads.append(threading.Thread(target=caller, args=(i,)))
            threads[-1].start()
            wait_until(lambda n=i + 1: len(gate._waiting) == n)
    for thread in threads:
        thread.join(10)
    assert order == list(range(20))


def test_one_that_leaves_does_not_overtake_those_that_wait() -> None:
    gate, turns = Gate(1), []  # type: ignore[var-annotated]

    def client(name: str) -> None:
        for _ in range(20):
            with gate.slots():
                turns.append(name)
                time.sleep(0.001)

    threads = [threading.Thread(target=client, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    longest = max(len(list(run)) for _, run in itertools.groupby(turns[2:-2]))
    assert longest <= 3


def test_an_error_gives_the_slots_back() -> None:
    gate = Gate(2)
    with pytest.raises(ValueError, match="inside"), gate.slots(2):
        raise ValueError("inside")
    with gate.slots(2):
        pass


def test_who_stops_waiting_leaves_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(1)

    class Interrupted:
        """A turn whose wait is interrupted, as by Ctrl-C."""

        def __init__(self) -> None:
            self.n_acquired = 0

        def acquire(self) -> None:
            self.n_acquired += 1
            if self.n_acquired == 2:
                raise KeyboardInterrupt

        def release(self) -> None: ...

    with gate.slots():
        monkeypatch.setattr("medclf.runtime.gate.threading.Lock", Interrupted)
        with pytest.raises(KeyboardInterrupt), gate.slots():
            pass
        monkeypatch.undo()
    with gate.slots():
        pass
