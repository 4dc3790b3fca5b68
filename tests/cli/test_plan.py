import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from medclf.bench import row_costs, sizing
from medclf.bench.measure import Measured
from medclf.bench.worker import Memory, PathSpec, Turn, load_bundle, run_turn
from medclf.bench.workloads import Workload
from medclf.cli.plan import main


def measure_here(specs: Sequence[PathSpec], workloads: Sequence[Workload], *, repeats: int) -> list[list[Measured]]:
    """The bench's measurement without its processes, each of which takes a second to start."""
    (workload,) = workloads
    turns = [[Turn(batches, workload.concurrency) for batches in workload.turns] for _ in range(repeats)]
    return [
        [
            Measured(
                spec, [[run_turn(loaded, turn) for turn in of_round] for of_round in turns], Memory(None, None, None)
            )
            for spec, loaded in ((spec, load_bundle(spec)) for spec in specs)
        ]
    ]


@pytest.fixture
def plan(run_command: Callable[..., Any], tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(row_costs, "measure", measure_here)
    monkeypatch.setattr(sizing, "started_s", lambda spec: 1.5)
    few = ("--bundle", tiny_bundle, "--seconds", 0.05, "--threads", 2)
    return lambda *arguments: run_command(main, *few, *arguments)


def test_a_plan_for_each_precision_and_a_student(plan: Callable[..., Any], tiny_bundle: Path, tmp_path: Path) -> None:
    student = Path(shutil.copytree(tiny_bundle, tmp_path / "student"))
    done = plan("--rows", "37e6", "--tokens", 20, "--compare", student, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    names = ["medclf fp32", "medclf int8"]
    assert [path["path"] for path in report["paths"]] == [*names, *(f"{name} of {student}" for name in names)]
    assert report["rows"] == 37_000_000
    assert report["texts"]["tokens_mean"] == pytest.approx(20, abs=0.5)
    for path in report["paths"]:
        assert path["cores"] >= 1
        assert path["hours"] <= 24
        assert path["core_hours"] * 0.04 == pytest.approx(path["cost"])
        seconds = 37e6 / path["rows_per_s"] + path["start_s"]
        assert path["hours_here"] == pytest.approx(seconds / 3600, rel=1e-3)
        assert path["rows_per_s_range"][0] <= path["rows_per_s"] <= path["rows_per_s_range"][1]


def test_own_texts_and_the_assumptions(plan: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text('{"title": "baba", "note": "CANARY-7f3a cece difo"}\n' * 40)
    columns = ("--text-column", "title", "--text-column", "note")
    done = plan("--rows", 5000, "--data", path, *columns, "--target-hours", 1, "--price-per-core-hour", 0.5)
    assert done.code == 0, done.err
    assert "5,000 rows in 1 h" in done.out
    assert "40 of the first 40 rows of notes.jsonl" in done.out
    assert "Price: 0.5 for an hour of a core" in done.out
    assert "hyper-threads" in done.out
    assert "1.5 s" in done.out
    assert "CANARY" not in done.out + done.err


def test_texts_that_are_longer_than_the_model_sees(plan: Callable[..., Any]) -> None:
    done = plan("--rows", 1000, "--tokens", 200)
    assert done.code == 0, done.err
    assert "are longer than the model sees (max_length 64" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", 0, "--tokens", 20), "rows is 0, expected a whole number"),
        (("--rows", 10), "give --tokens or --data"),
        (("--rows", 10, "--tokens", 20, "--price-per-core-hour", -1), "price_per_core_hour is -1"),
        (("--rows", 10, "--tokens", 20, "--bundle", "nowhere"), "nowhere"),
        (("--rows", 10, "--tokens", 20, "--compare", "nowhere"), "nowhere"),
        (("--rows", 10, "--data", "nowhere.csv"), r"nowhere\.csv does not exist"),
        (("--rows", 10, "--tokens", 20, "--target-hours", 0.0004), "takes 1.5 s to start here"),
    ],
)
def test_what_is_refused(plan: Callable[..., Any], arguments: tuple[object, ...], message: str) -> None:
    done = plan(*arguments)
    assert (done.code, done.out) == (1, "")
    assert re.search(message, done.err.replace("\n", " ")), done.err


def test_rows_that_are_no_number(plan: Callable[..., Any]) -> None:
    assert plan("--rows", "many").code == 2


@pytest.mark.slow  # processes of its own
def test_with_processes(run_command: Callable[..., Any], tiny_bundle: Path) -> None:
    done = run_command(main, "--bundle", tiny_bundle, "--rows", 1000, "--tokens", 20, "--seconds", 0.2, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert [path["path"] for path in report["paths"]] == ["medclf fp32", "medclf int8"]
    assert all(path["start_s"] > 0 and path["rows_per_s"] > 0 for path in report["paths"])
