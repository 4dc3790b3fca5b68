from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.runtime import costs
from medclf.runtime.costs import AllCores, Cost, measure_costs
from medclf.runtime.session import Session
from medclf.tokenizer import Batch

SECONDS = st.floats(0, 10)


@given(st.floats(0, 1), st.floats(0, 0.1))
def test_a_line_is_found_again(start_s: float, token_s: float) -> None:
    line = Cost(start_s, token_s)
    found = Cost.fit({64: line.seconds(64), 8: line.seconds(8)})
    assert found.seconds(200) == pytest.approx(line.seconds(200), rel=1e-6, abs=1e-9)


@given(SECONDS, SECONDS)
def test_a_cost_is_never_negative(short_s: float, long_s: float) -> None:
    found = Cost.fit({8: short_s, 64: long_s})
    assert found.start_s >= 0
    assert found.token_s >= 0


def all_cores(n_cores: int, speedup: float) -> AllCores:
    return AllCores(None, Cost(0, 1 / speedup), Cost(0, 1), n_cores)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n_cores", "speedup", "n_own", "n_others", "expected"),
    [
        (2, 1.8, 1, 0, True),
        (2, 0.9, 1, 0, False),  # short texts: the threads wait for each other
        (2, 1.8, 2, 0, False),
        (2, 1.8, 3, 0, True),  # on a core each, one core would wait for the third
        (2, 1.8, 1, 2, False),  # with callers that come again, it would not
        (2, 1.8, 1, 1, False),
        (2, 1.8, 27, 0, False),
        (16, 8.0, 1, 0, True),
        (16, 8.0, 1, 3, True),  # one after the other takes half as long as each on a core of its own
        (16, 8.0, 1, 15, False),
    ],
)
def test_when_all_cores_pay(n_cores: int, speedup: float, n_own: int, n_others: int, expected: bool) -> None:
    assert all_cores(n_cores, speedup).pays(100, n_own=n_own, n_others=n_others) is expected


@given(st.integers(2, 64), st.floats(0.1, 0.99), st.integers(0, 200))
def test_callers_that_fill_the_cores_run_on_a_core_each(n_cores: int, efficiency: float, more: int) -> None:
    assert not all_cores(n_cores, efficiency * n_cores).pays(100, n_own=1, n_others=n_cores + more - 1)


def suited(every: AllCores, n_runs: int, one_s: float, all_s: float) -> list[bool]:
    """Where so many batches ran that were alone, where they took so long; the first of a place takes twice as long."""
    places: list[bool] = []
    for _ in range(n_runs):
        on_all = every.suits(100)
        seconds = all_s if on_all else one_s
        every.learn(100, seconds if places[-1:] == [on_all] else 2 * seconds, on_all=on_all)
        places.append(on_all)
    return places


@pytest.mark.parametrize(("one_s", "all_s", "expected"), [(100, 60, True), (100, 140, False)])
@pytest.mark.parametrize("speedup", [0.8, 1.0, 1.25])
def test_what_was_measured_wrong_at_load_is_learned(one_s: float, all_s: float, expected: bool, speedup: float) -> None:
    places = suited(all_cores(2, speedup), 1000, one_s, all_s)
    assert places[300:].count(expected) >= 0.98 * 700  # the rest is for trying the other place


@pytest.mark.parametrize(("speedup", "expected"), [(3.0, True), (0.5, False)])
def test_a_place_that_is_far_behind_is_never_tried(speedup: float, expected: bool) -> None:
    places = suited(all_cores(2, speedup), 1000, 100, 100 / speedup)
    assert places == [expected] * 1000


def test_a_model_that_takes_no_time() -> None:
    every = AllCores(None, Cost(0, 0), Cost(0, 0), 2)  # type: ignore[arg-type]
    every.cost.learn(0, 0.1)
    assert every.cost.seconds(10) == 0


class Clocked:
    """A session that takes the time that it is told, by a clock of its own."""

    now = 0.0

    def __init__(self, cost: Cost) -> None:
        self.cost = cost
        self.lengths: list[int] = []

    def run(self, batch: Batch) -> None:
        self.lengths.append(batch.input_ids.size)
        Clocked.now += self.cost.seconds(batch.input_ids.size)


@pytest.mark.parametrize("slow", [1, 30])
def test_costs_are_measured_in_bounded_time(monkeypatch: pytest.MonkeyPatch, slow: int) -> None:
    monkeypatch.setattr(costs.time, "perf_counter", lambda: Clocked.now)
    started = Clocked.now
    one, every = Clocked(Cost(0.001 * slow, 0.0001 * slow)), Clocked(Cost(0.002 * slow, 0.00006 * slow))
    found = measure_costs(one, every, max_length=512)  # type: ignore[arg-type]
    assert [cost.seconds(100) for cost in found] == pytest.approx([one.cost.seconds(100), every.cost.seconds(100)])
    spent, once = Clocked.now - started, sum(cost.seconds(8) * 2 + cost.seconds(64) for cost in (one.cost, every.cost))
    assert spent <= max(costs.CALIBRATION_S, once) + 1e-9
    assert set(one.lengths) == {8, 64}


@pytest.mark.parametrize("max_length", [2, 5, 16])
def test_short_models_are_measured_too(graph: Callable[..., bytes], max_length: int) -> None:
    session = Session(graph())
    one, every = measure_costs(session, session, max_length=max_length)
    assert one.seconds(max_length) > 0
    assert every.seconds(max_length) > 0
