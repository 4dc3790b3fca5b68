"""The properties without which a simulation of a cluster says nothing."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def simulation() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    import scale_simulation

    yield scale_simulation
    sys.path.remove(str(BENCHMARKS))


SERVICE = st.lists(st.floats(0.1, 50), min_size=1, max_size=60)
WORKERS = st.integers(1, 20)


@settings(deadline=None, max_examples=50)
@given(SERVICE, WORKERS, st.booleans(), st.integers(0, 9))
def test_every_partition_is_committed_once_whatever_happens(
    simulation: Any, service: list[float], workers: int, speculate: bool, seed: int
) -> None:
    cluster = simulation.Cluster(
        workers, 1.0, 0.5, 0.2, straggler_share=0.3, preempted_every_s=100.0, replaced_s=5.0, speculate=speculate,
        seed=seed,
    )  # fmt: skip
    found = simulation.Simulation(service, cluster).run()
    assert sorted(found.commits) == list(range(len(service)))
    assert found == simulation.Simulation(service, cluster).run()  # the seed is all


@given(SERVICE)
def test_one_worker_takes_the_sum_of_the_times(simulation: Any, service: list[float]) -> None:
    found = simulation.Simulation(service, simulation.Cluster(1, start_s=3.0, commit_s=0.05, read_s=0.02)).run()
    assert found.seconds == pytest.approx(
        3 + sum(service) + 0.02 * len(service) + 0.05
    )  # only the last commit is waited for
    assert (found.lost_s, found.useful_s) == (0, pytest.approx(found.seconds - 3.05))


@given(SERVICE, WORKERS)
def test_without_faults_work_is_neither_lost_nor_made(simulation: Any, service: list[float], workers: int) -> None:
    found = simulation.Simulation(service, simulation.Cluster(workers)).run()
    assert found.useful_s == pytest.approx(sum(service))
    assert found.lost_s == 0
    least = max(sum(service) / workers, max(service))
    assert least <= found.seconds * (1 + 1e-9)
    assert found.seconds <= sum(service) / workers + max(service) + 1e-9  # Graham's bound of list scheduling


@settings(deadline=None, max_examples=50)
@given(SERVICE, WORKERS, st.integers(0, 9))
def test_what_is_lost_is_counted(simulation: Any, service: list[float], workers: int, seed: int) -> None:
    faults = simulation.Cluster(workers, preempted_every_s=60.0, replaced_s=1.0, seed=seed)
    found = simulation.Simulation(service, faults).run()
    assert found.useful_s == pytest.approx(sum(service))  # each partition's own time, once
    assert found.lost_s <= found.n_preempted * max(service) + 1e-9
    assert found.seconds * workers >= found.useful_s + found.lost_s - 1e-6


@pytest.mark.parametrize("workers", [10, 1_000])
def test_a_serial_part_limits_as_amdahl_says(simulation: Any, workers: int) -> None:
    service = [10.0] * 2_000
    for serial in ({"commit_s": 0.1}, {"read_s": 0.1}):
        found = simulation.Simulation(service, simulation.Cluster(workers, **serial)).run()
        assert found.seconds >= 2_000 * 0.1
        assert found.seconds >= 20_000 / workers
    if workers == 1_000:
        assert found.seconds == pytest.approx(2_000 * 0.1 + 10, rel=0.01)  # the source is all that counts


def test_second_copies_shorten_the_tail_and_cost_work(simulation: Any) -> None:
    service = [10.0] * 400
    slow = simulation.Cluster(100, straggler_share=0.05, straggler_factor=5.0, seed=1)
    alone, copied = (simulation.Simulation(service, replace(slow, speculate=on)).run() for on in (False, True))
    assert copied.seconds < alone.seconds
    assert alone.lost_s == 0 < copied.lost_s


def test_partitions_of_a_sorted_table_differ_and_those_of_a_shuffled_one_hardly(simulation: Any) -> None:
    blocks = [{"seconds": float(i), "n_rows": 64} for i in range(1, 51)]
    sorted_, shuffled = (simulation.partitions(blocks, 10_000, skewed=skewed, seed=0) for skewed in (True, False))
    assert max(sorted_) == pytest.approx(50 * min(sorted_))
    assert max(shuffled) < 1.5 * min(shuffled)
    assert sum(sorted_) == pytest.approx(sum(shuffled), rel=0.02)
