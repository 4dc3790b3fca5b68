import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.bench.measure import Measured
from medclf.bench.row_costs import core_seconds, taken_by_others, written_s
from medclf.bench.sizing import SizingOptions, path_report
from medclf.bench.speed import Speed
from medclf.bench.worker import Memory, PathSpec, Timing
from medclf.errors import OptionError
from medclf.labels import Labels

SPEED = Speed("medclf int8", (0.020, 0.016, 0.030, 0.020), read_s=0.002, write_s=0.001, start_s=10.0, n_cores=2)


def test_the_time_of_a_table() -> None:
    assert SPEED.row_s(0.020) == pytest.approx(0.022 / 2 + 0.001)
    assert SPEED.seconds_of(1000) == pytest.approx((22.0, 20.0, 27.0))  # the median, the quickest, the slowest round


@given(st.integers(1, 10**9), st.floats(20, 10**6))
def test_so_many_cores_are_enough_and_one_fewer_is_not(rows: int, seconds: float) -> None:
    cores = SPEED.cores_for(rows, seconds)
    row_core_s = SPEED.row_s(0.020) * 2
    assert rows * row_core_s / cores + SPEED.start_s <= seconds * (1 + 1e-9)
    assert cores == 1 or rows * row_core_s / (cores - 1) + SPEED.start_s > seconds


def test_a_time_shorter_than_the_start_is_refused() -> None:
    with pytest.raises(OptionError, match=r"target_hours is 0.002.*medclf int8 takes 10.0 s to start"):
        SPEED.cores_for(1, 7.2)


def test_the_report_of_a_path() -> None:
    report = path_report(SPEED, SizingOptions(3_600_000, target_hours=2.0, price_per_core_hour=0.1))
    assert report["hours_here"] == pytest.approx(12.0 + 10 / 3600)
    assert report["cores"] == 13  # 24 core-hours in 2 hours, and the start
    assert report["core_hours"] == pytest.approx(24 + 13 * 10 / 3600)
    assert report["hours"] == pytest.approx(report["core_hours"] / 13)
    assert report["hours"] <= 2.0
    assert report["cost"] == pytest.approx(0.1 * report["core_hours"])
    assert report["cost_range"][0] < report["cost"] < report["cost_range"][1]
    assert report["rows_per_s_range"][0] < report["rows_per_s"] < report["rows_per_s_range"][1]


def test_time_without_a_core_does_not_count() -> None:
    turn = Timing(9.0, latencies=(1.0, 2.0, 5.0), n_texts=6, n_tokens=60, n_padded=80, cpu_s=6.0)
    measured = Measured(PathSpec("x", "bundle", 2, precision="fp32"), [[turn], [turn, turn]], Memory(None, None, None))  # type: ignore[arg-type]
    assert core_seconds(measured, 20.0) == pytest.approx((2.0, 2.0))  # 6 s of cores for 60 tokens, 20 a text
    assert taken_by_others([measured]) == pytest.approx(0.25)


def test_writing_is_timed_for_both_tasks() -> None:
    names = ("a", "b", "c")
    assert written_s(Labels(names)) > 0
    assert written_s(Labels(names, "multi_label_classification")) > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rows": 0}, "rows is 0, expected a whole number from 1 on"),
        ({"rows": 1.5}, "rows is 1.5, expected a whole number"),
        ({"rows": float("nan")}, "rows is nan"),
        ({"rows": float("inf")}, "rows is inf"),
        ({"tokens": 2}, "tokens is 2, expected at least 3"),
        ({"tokens": 20, "data": "notes.csv"}, "tokens makes texts of a length, and data names texts of their own"),
        ({"target_hours": 0}, "target_hours is 0, expected more than 0"),
        ({"seconds": -1}, "seconds is -1, expected more than 0"),
        ({"price_per_core_hour": -0.01}, "price_per_core_hour is -0.01, expected 0 or more"),
        ({"threads": 0}, "threads is 0, expected at least 1"),
    ],
)
def test_wrong_options(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SizingOptions(**{"rows": 10, **wrong})  # type: ignore[arg-type]
