"""`medclf-predict --engine ray` as a command: what it asks for, what it prints, what it refuses."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medclf.cli.predict import main
from medclf.cluster.ray import engine
from medclf.cluster.ray.options import RayOptions
from medclf.cluster.ray.pool import worker_cores
from medclf.cluster.ray.progress import Result, State
from medclf.errors import OptionError
from medclf.runtime.counts import Counts

Command = Callable[..., Any]


@pytest.fixture
def command(run_command: Command, tiny_bundle: Path, tmp_path: Path) -> Command:
    def call(*arguments: object, engine: str = "ray") -> Any:
        given = ("--bundle", tiny_bundle, "--input", "notes/*.csv", "--output", tmp_path / "out", "--engine", engine)
        return run_command(main, *given, *arguments)

    return call


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RayOptions]:
    """What the command asks the engine for; the answer is made up."""
    found: list[RayOptions] = []

    def predict_ray(options: RayOptions, *, progress: Callable[[State], None]) -> Result:
        found.append(options)
        sys.stdout.write("(raylet) A worker died")  # as Ray does
        progress(State("classifying", 0.5, 2, 1, 40, 10.0))
        counts = Counts(n_rows=45, n_truncated=3, n_cut_tokens=9, n_quarantined=1)
        return Result(counts, 5, 6, 2, 1, start_s=7.0, seconds=4.0, precision="int8", provider="cpu")

    monkeypatch.setattr(engine, "predict_ray", predict_ray)
    return found


def test_what_is_asked_for(command: Command, asked: list[RayOptions], tmp_path: Path) -> None:
    given = "--keep id --workers 3 --threads 2 --address auto --partition-rows 99 --json --id-column id --ship-bundle"
    done = command(*given.split(), "--on-error", "quarantine", "--precision", "int8", "--resume")
    assert done.code == 0
    (options,) = asked
    assert (options.source, options.target) == ("notes/*.csv", str(tmp_path / "out"))
    assert (options.workers, options.threads, options.address, options.partition_rows) == (3, 2, "auto", 99)
    assert (options.keep, options.id_column, options.ship_bundle, options.resume) == (("id",), "id", True, True)
    assert (options.on_error, options.precision, options.overwrite) == ("quarantine", "int8", False)
    summary = json.loads(done.out)
    assert (summary["n_rows"], summary["n_rows_before"], summary["rows_per_s"], summary["n_parts"]) == (45, 5, 10.0, 6)
    assert "45 rows in 6 parts, 10.0 rows/s by 2 workers (int8, cpu), after 7 s to start" in done.err
    assert "1 quarantined; 1 workers died and were replaced." in done.err


def test_uris_stay_as_they_are(run_command: Command, asked: list[RayOptions], tiny_bundle: Path) -> None:
    run_command(main, "--bundle", tiny_bundle, "--input", "s3://b/in", "--output", "s3://b/out", "--engine", "ray")
    assert (asked[0].source, asked[0].target) == ("s3://b/in", "s3://b/out")


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("--address", "auto"), "local"),
        (("--id-column", "id"), "local"),
        (("--partition-rows", "5"), "local"),
        (("--output-format", "csv"), "ray"),
        (("--quarantine", "x.csv"), "ray"),
        (("--engine", "abacus"), "ray"),
    ],
)
def test_options_that_do_not_go_together(command: Command, arguments: tuple[str, ...], where: str) -> None:
    done = command(*arguments, engine=where)
    assert done.code == 2
    assert "Invalid value" in done.err


def test_without_ray(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = command()
    assert done.code == 1
    assert "ray is not installed. Install it with: pip install 'medclf[ray]'" in done.err.replace("\\", "")
    assert not (tmp_path / "out").exists()


def test_an_error_says_how_to_go_on(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        error = KeyboardInterrupt()
        error.__dict__["__notes__"] = ["2 of 6 parts are committed in out: go on with --resume."]
        raise error

    monkeypatch.setattr(engine, "predict_ray", stopped)
    done = command()
    assert (done.code, done.out) == (130, "")
    assert "2 of 6 parts are committed in out: go on with --resume." in done.err


@pytest.mark.parametrize(
    ("nodes", "workers", "threads", "expected"),
    [
        ((16, 16, 8), None, None, [16, 16, 8]),
        ((16, 8), None, 4, [4] * 6),
        ((16, 8), 3, None, [8, 8, 8]),
        ((16, 8), 2, None, [8, 8]),
        ((2,), 2, None, [1, 1]),
        ((16, 8), 5, 4, [4] * 5),
    ],
)
def test_the_cores_of_workers(
    nodes: tuple[int, ...], workers: int | None, threads: int | None, expected: list[int]
) -> None:
    assert worker_cores(nodes, workers, threads) == expected


@pytest.mark.parametrize(("nodes", "workers", "threads"), [((2,), 3, None), ((4, 4), None, 8), ((4, 4), 3, 4)])
def test_workers_that_do_not_fit(nodes: tuple[int, ...], workers: int | None, threads: int | None) -> None:
    with pytest.raises(OptionError, match=r"workers of \d cores do not fit: the cluster has \d nodes with"):
        worker_cores(nodes, workers, threads)
