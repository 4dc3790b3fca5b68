"""A run that is killed, interrupted or refused, and what the next one makes of it."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runtime.stub import StubClassifier

import medclf
from medclf.errors import DataError, OutputError
from medclf.runtime import windows
from medclf.runtime.counts import Counts
from medclf.runtime.predict_file import predict_file
from medclf.runtime.predict_options import PredictOptions
from medclf.runtime.work import open_work, work_folder

CANARY = "CANARY-7f3a"


def write_rows(path: Path, n: int, *, empty: tuple[int, ...] = ()) -> Path:
    rows = [{"id": i, "text": "" if i in empty else f"{CANARY} baba {i}"} for i in range(1, n + 1)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WINDOW_TEXTS", 7)


@pytest.fixture
def options(tmp_path: Path) -> PredictOptions:
    return PredictOptions(write_rows(tmp_path / "in.jsonl", 30), tmp_path / "out.csv", keep=("id",))


class Stopped(StubClassifier):
    """A classifier that is stopped after some windows."""

    def __init__(self, n_windows: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        super().__init__()
        self._n_windows = n_windows
        self._error = error

    def classify_windows(self, stream: Any) -> Iterator[Any]:
        for index, predictions in enumerate(super().classify_windows(stream)):
            if index == self._n_windows:
                raise self._error
            yield predictions


def stop(options: PredictOptions, n_windows: int, error: type[BaseException] = KeyboardInterrupt) -> list[str]:
    """Run until it is stopped, and give the notes of the error."""
    with pytest.raises(error) as caught:
        predict_file(Stopped(n_windows, error), options)
    return getattr(caught.value, "__notes__", [])


@pytest.mark.parametrize(
    ("target", "on_error"),
    [
        ("out.csv.gz", "quarantine"),
        pytest.param("out.jsonl", "skip", marks=pytest.mark.slow),
        pytest.param("out.parquet", "quarantine", marks=pytest.mark.slow),
    ],
)
def test_killed_at_every_step(tmp_path: Path, target: str, on_error: str) -> None:
    if target.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    source = write_rows(tmp_path / "in.jsonl", 10, empty=(3, 9))
    program = Path(__file__).with_name("kill_everywhere.py")
    root = Path(medclf.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, program, source, tmp_path / target, on_error],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["killed"] > seen["with_commits"] > 10


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_says_what_is_committed_and_a_resume_goes_on(
    options: PredictOptions, tmp_path: Path, error: type[BaseException]
) -> None:
    work = work_folder(options.target)
    assert stop(options, 2, error) == [f"14 rows are committed in {work}: go on with --resume."]
    assert not options.target.exists()
    seen: list[tuple[float | None, Counts]] = []
    counts = predict_file(StubClassifier(), replace(options, resume=True), progress=lambda *args: seen.append(args))
    assert [one.n_rows for _, one in seen] == [21, 28, 30]
    assert counts.n_rows == 30
    predict_file(StubClassifier(), replace(options, target=tmp_path / "alone.csv"))
    assert options.target.read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert not work.exists()


def test_nothing_is_left_where_nothing_was_committed(options: PredictOptions, tmp_path: Path) -> None:
    assert stop(options, 0) == []
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    assert predict_file(StubClassifier(), replace(options, resume=True)).n_rows == 30


def test_a_stopped_run_is_not_lost_by_running_again(options: PredictOptions) -> None:
    stop(options, 2)
    with pytest.raises(OutputError, match=r"out\.csv\.work holds a run that was stopped. Go on with --resume, or drop"):
        replace(options)
    again = replace(options, overwrite=True)
    assert stop(again, 1)[0].startswith("7 rows are committed")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"keep": ()}, r"kept columns was \['id'\], is \[\]; output columns was"),
        ({"probabilities": True}, "output columns was"),
        ({"on_error": "skip"}, "output columns was"),
        ({"encoding": "latin-1"}, "encoding was 'utf-8', is 'latin-1'"),
        ({"text": ("id",)}, r"text columns was \[\['text'\], \[\]\], is \[\['id'\], \[\]\]"),
    ],
)
def test_a_resume_with_other_options_is_refused(options: PredictOptions, change: dict[str, Any], match: str) -> None:
    stop(options, 2)
    with pytest.raises(OutputError, match=f"cannot be resumed, as the run has changed: {match}"):
        predict_file(StubClassifier(), replace(options, resume=True, **change))
    assert predict_file(StubClassifier(), replace(options, resume=True)).n_rows == 30  # it lost nothing


def test_a_resume_with_another_input_is_refused(options: PredictOptions) -> None:
    stop(options, 2)
    with options.source.open("a", encoding="utf-8") as file:
        file.write('{"text": "more"}\n')
    with pytest.raises(OutputError, match=r"has changed: input size was \d+, is \d+; input time was"):
        predict_file(StubClassifier(), replace(options, resume=True))


def test_a_resume_with_another_bundle_is_refused(options: PredictOptions) -> None:
    stop(options, 2)
    other = StubClassifier()
    other.manifest = replace(other.manifest, max_length=32)
    with pytest.raises(OutputError, match=r"has changed: bundle was '[0-9a-f]{64}', is '"):
        predict_file(other, replace(options, resume=True))


def test_a_bad_row_late_in_a_file_loses_nothing(options: PredictOptions, tmp_path: Path) -> None:
    write_rows(options.source, 30, empty=(24,))
    with pytest.raises(DataError, match="row 24, column 'text': is empty") as caught:
        predict_file(StubClassifier(), options)
    assert caught.value.__notes__ == [f"21 rows are committed in {work_folder(options.target)}: go on with --resume."]
    going_on = replace(options, resume=True, on_error="quarantine")
    assert predict_file(StubClassifier(), going_on).n_quarantined == 1
    alone = replace(options, target=tmp_path / "alone.csv", on_error="quarantine")
    predict_file(StubClassifier(), alone)
    for name in ("csv", "quarantine.csv"):
        assert (tmp_path / f"out.{name}").read_bytes() == (tmp_path / f"alone.{name}").read_bytes()


def test_rows_in_quarantine_are_not_forgotten(options: PredictOptions) -> None:
    write_rows(options.source, 30, empty=(3,))
    stop(replace(options, on_error="quarantine"), 2)
    with pytest.raises(OutputError, match="had --on-error quarantine, this one fail"):
        predict_file(StubClassifier(), replace(options, resume=True))


def test_two_runs_of_one_output(options: PredictOptions) -> None:
    with open_work(options.target, {}, resume=False), pytest.raises(OutputError, match="another process writes this"):
        predict_file(StubClassifier(), options)


@pytest.mark.parametrize("name", ["run.json", "000001.json"])
def test_damaged_work(options: PredictOptions, name: str) -> None:
    stop(options, 2)
    (work_folder(options.target) / name).write_text("{")
    with pytest.raises(OutputError, match=f"{name} is (missing or )?damaged. Begin again with --overwrite"):
        predict_file(StubClassifier(), replace(options, resume=True))


def test_no_text_is_in_a_work_folder(options: PredictOptions) -> None:
    write_rows(options.source, 30, empty=(3,))
    stop(replace(options, on_error="quarantine"), 2)
    files = list(work_folder(options.target).iterdir())
    assert len(files) == 6
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", folder], check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_a_full_disk(options: PredictOptions, small_disk: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    if target.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(windows, "WINDOW_TEXTS", 200)
    write_rows(options.source, 2_000)
    full = replace(options, target=small_disk / target, probabilities=True)
    with pytest.raises(OutputError, match="was not written: No space left on device") as caught:
        predict_file(StubClassifier(), full)
    assert f"rows are committed in {work_folder(full.target)}: go on with --resume" in caught.value.__notes__[0]
    assert not full.target.exists()
    subprocess.run(["mount", "-o", "remount,size=10m", small_disk], check=True)
    assert predict_file(StubClassifier(), replace(full, resume=True)).n_rows == 2_000
    assert [path.name for path in small_disk.iterdir()] == [target]


def test_a_disk_that_is_full_at_the_join(options: PredictOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfileobj", full)
        with pytest.raises(OutputError, match=r"joined\.0 was not written: No space left on device"):
            predict_file(StubClassifier(), options)
    assert predict_file(StubClassifier(), replace(options, resume=True)).n_rows == 30
