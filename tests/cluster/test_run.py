"""The engine without Ray: the same rows as the local engine, once each, whatever dies; faults that name their part."""

import csv
import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cluster.conftest import CANARY, as_before, read_parts, some_rows, write_parquet
from runtime.stub import StubClassifier

from medclf.cluster.ray import dispatch, worker
from medclf.cluster.ray.dispatch import Call, Event
from medclf.cluster.ray.storage import Storage
from medclf.cluster.ray.worker import Outcome
from medclf.errors import BundleError, ClusterError, DataError, MedclfError, OptionError, OutputError
from medclf.runtime.predict_file import predict_file
from medclf.runtime.predict_options import PredictOptions

RunHere = Callable[..., Any]


def local_rows(source: Path, **options: Any) -> list[dict[str, Any]]:
    """What the local engine writes for one table."""
    target = source.with_name(f"local-{source.name}.parquet")
    predict_file(StubClassifier(), PredictOptions(source, target, overwrite=True, **options))
    return list(pq.ParquetFile(target).read().to_pylist())


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_rows_are_those_of_the_local_engine(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    result, pool = run_here(many, tmp_path / "out", keep=("id",), probabilities=True)
    expected = [row for one in sorted(many.iterdir()) for row in local_rows(one, keep=("id",), probabilities=True)]
    found = read_parts(tmp_path / "out")
    assert as_before(found) == expected
    assert [row["file"] for row in found] == ["a.parquet"] * 25 + ["b.parquet"] * 8 + ["c.parquet"] * 12
    assert (result.counts.n_rows, result.n_parts, result.n_workers, result.n_deaths) == (45, 6, 2, 0)
    assert pool.most_waiting <= 4  # two calls a worker: memory is bounded
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_bytes())
    assert manifest["counts"]["n_rows"] == sum(part["n_rows"] for part in manifest["parts"]) == 45
    assert CANARY not in json.dumps(manifest)
    assert not (tmp_path / "out" / "_work").exists()


@pytest.mark.parametrize("name", ["in.csv", "in.tsv", "in.jsonl", "in.csv.gz", "in.jsonl.gz", "in.parquet"])
def test_every_format(run_here: RunHere, tmp_path: Path, name: str) -> None:
    rows = some_rows(35)
    path, stem = tmp_path / name, name.removesuffix(".gz")
    if stem.endswith("jsonl"):
        text = "".join(json.dumps(row | {"id": row["id"] if i % 2 else 0.5}) + "\n" for i, row in enumerate(rows))
    else:
        comma = "\t" if stem.endswith("tsv") else ","
        text = "".join(comma.join(map(str, row.values())) + "\n" for row in ({"id": "id", "text": "text"}, *rows))
    if stem.endswith("parquet"):
        write_parquet(path, rows)
    else:
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    run_here(path, tmp_path / "out", keep=("id",))
    assert as_before(read_parts(tmp_path / "out")) == local_rows(path, keep=("id",))


def test_parts_of_json_lines_have_one_schema(run_here: RunHere, tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 0.5), ("c", None)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": "baba", "id": value}) + "\n")
    run_here(tmp_path / "*.jsonl", tmp_path / "out", keep=("id",))
    schemas = {str(pq.read_schema(path)) for path in (tmp_path / "out").glob("*.parquet")}
    assert len(schemas) == 1
    assert [row["id"] for row in read_parts(tmp_path / "out")] == [1.0, 0.5, None]


def test_rows_that_cannot_be_classified(run_here: RunHere, tmp_path: Path) -> None:
    rows = some_rows(25)
    rows[3]["text"] = rows[21]["text"] = ""
    source = write_parquet(tmp_path / "in.parquet", rows)
    match = r"part-00000-00002 \(in.parquet, rows 21 to 25\): .*in.parquet, row 22, column 'text': is empty. Correct"
    with pytest.raises(DataError, match=r"row 4, column 'text': is empty"):
        run_here(source, tmp_path / "first", workers=1)
    assert [one.name for one in (tmp_path / "first").glob("part*")] == ["part-00000-00001.parquet"]  # under way then
    rows[3]["text"] = "baba"
    with pytest.raises(DataError, match=match) as caught:
        run_here(write_parquet(source, rows), tmp_path / "out")
    assert "2 of 3 parts are committed in" in caught.value.__notes__[0]
    rows[3]["text"] = ""
    write_parquet(source, rows)
    run_here(source, tmp_path / "skip", on_error="skip")
    assert as_before(read_parts(tmp_path / "skip")) == local_rows(source, on_error="skip")
    result, _ = run_here(source, tmp_path / "left", on_error="quarantine")
    assert as_before(read_parts(tmp_path / "left")) == local_rows(source, on_error="quarantine")
    with (tmp_path / "left" / "_quarantine.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"file": "in.parquet", "row": row, "column": "text", "reason": "is empty", "length": "0"}
            for row in ("4", "22")
        ]
    assert result.counts.n_quarantined == 2


@pytest.mark.parametrize("cuts_off", [False, True])
def test_workers_that_die_lose_and_double_nothing(
    run_here: RunHere, many: Path, tmp_path: Path, cuts_off: bool
) -> None:
    run_here(many, tmp_path / "calm")
    result, pool = run_here(many, tmp_path / "out", deaths=(1, 5, 6, 9), cuts_off=cuts_off)
    assert result.n_deaths == 4
    assert result.counts.n_rows == 45
    assert pool.n_started == 2 + 4
    calm, stormy = files(tmp_path / "calm"), files(tmp_path / "out")
    assert calm.keys() == stormy.keys()
    assert all(calm[name] == stormy[name] for name in calm if name.endswith("parquet"))


def test_a_partition_that_kills_every_worker_is_named(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"part-\d+-\d+ \(\w.parquet, rows .*\): 4 workers died at it") as caught:
        run_here(many, tmp_path / "out", deaths=range(6, 100), workers=1)
    assert "2 of 6 parts are committed" in caught.value.__notes__[0]


def test_a_stopped_run_goes_on(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    run_here(many, tmp_path / "whole", keep=("id",), id_column="id")
    target = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt) as caught:
        run_here(many, target, interrupted_at=7, keep=("id",), id_column="id")
    assert f"3 of 6 parts are committed in {target}: go on with --resume." in caught.value.__notes__
    with pytest.raises(OutputError, match=r"holds a run that was stopped. Go on with --resume, or drop it"):
        run_here(many, target, keep=("id",), id_column="id")
    (target / "part-00000-00001.parquet").unlink()  # as a person may do: its record alone is no commit
    result, pool = run_here(many, target, resume=True, keep=("id",), id_column="id")
    assert pool.n_calls == 4  # no table is surveyed again
    assert (result.n_rows_before, result.counts.n_rows) == (15, 45)
    assert {name: data for name, data in files(target).items() if name.startswith("part")} == {
        name: data for name, data in files(tmp_path / "whole").items() if name.startswith("part")
    }
    with pytest.raises(OutputError, match=r"exists already. Remove it, name another output, or pass --overwrite"):
        run_here(many, target, resume=True)
    assert run_here(many, target, overwrite=True)[0].counts.n_rows == 45


def stopped(run_here: RunHere, many: Path, target: Path, n: int = 5, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_here(many, target, interrupted_at=n, **options)


def test_another_run_is_not_gone_on_with(
    run_here: RunHere, many: Path, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    stopped(run_here, many, target)
    before = files(target / "_work")
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    manifest = json.loads((other / "medclf.json").read_bytes())
    (other / "medclf.json").write_text(json.dumps(manifest | {"created": "2001-01-01T00:00:00Z"}))
    with pytest.raises(OutputError, match=r"cannot be resumed, as the run has changed: bundle was"):
        run_here(many, target, resume=True, bundle=str(other))
    with pytest.raises(OutputError, match=r"partition rows was 10, is 20"):
        run_here(many, target, resume=True, partition_rows=20)
    with pytest.raises(OutputError, match=r"kept columns was \[\], is \['id'\]"):
        run_here(many, target, resume=True, keep=("id",))
    monkeypatch.setattr(StubClassifier, "precision", "int8")
    with pytest.raises(OutputError, match=r"precision was 'fp32', is 'int8'"):
        run_here(many, target, resume=True)
    assert files(target / "_work") == before


def test_another_input_is_not_gone_on_with(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    stopped(run_here, many, target)
    write_parquet(many / "d.parquet", some_rows(3))
    with pytest.raises(OutputError, match=r"as tables came or went: d.parquet. Give the input back"):
        run_here(many, target, resume=True)
    (many / "d.parquet").unlink()
    os.utime(many / "a.parquet", ns=(1, 1))
    with pytest.raises(OutputError, match=r"as tables that have parts have changed: a.parquet. Give them back"):
        run_here(many, target, resume=True)
    for part in target.glob("part-00000-*.parquet"):
        part.unlink()
    write_parquet(many / "a.parquet", some_rows(4, seed=7))
    result, _ = run_here(many, target, resume=True)
    assert result.counts.n_rows == 4 + 8 + 12
    assert len(read_parts(target)) == 24


def test_the_quarantine_of_a_stopped_run_is_not_dropped(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    write_parquet(many / "a.parquet", [{"id": 1, "text": ""}, *some_rows(20)])
    stopped(run_here, many, tmp_path / "out", on_error="quarantine")
    with pytest.raises(OutputError, match="had --on-error quarantine, this one fail"):
        run_here(many, tmp_path / "out", resume=True)
    assert run_here(many, tmp_path / "out", resume=True, on_error="quarantine")[0].counts.n_quarantined == 1


def test_a_table_that_is_no_parquet_is_told_first(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    good = (many / "b.parquet").read_bytes()
    (many / "b.parquet").write_bytes(b"PAR1 cut off")
    (many / "c.parquet").write_bytes(b"")
    match = r"2 parts of the input cannot be used: .*(b|c).parquet .*(whole|rows).*(b|c).parquet"
    with pytest.raises(DataError, match=match):
        run_here(many, tmp_path / "out")
    assert not list((tmp_path / "out").glob("part*"))
    write_parquet(many / "c.parquet", some_rows(3))
    with pytest.raises(DataError, match=r"b.parquet is not a whole Parquet file") as caught:
        run_here(many, tmp_path / "out", on_error="skip")
    assert "4 of 4 parts are committed" in caught.value.__notes__[0]  # the other tables
    (many / "b.parquet").write_bytes(good)  # sent again: it has no part yet, so that the run may go on
    result, _ = run_here(many, tmp_path / "out", on_error="skip", resume=True)
    assert (result.n_rows_before, result.counts.n_rows) == (28, 36)


def test_a_page_that_is_damaged_is_told_by_its_part(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    at = pq.ParquetFile(many / "b.parquet").metadata.row_group(1).column(1).data_page_offset
    data = bytearray((many / "b.parquet").read_bytes())
    data[at : at + 30] = b"\xff" * 30
    (many / "b.parquet").write_bytes(data)
    with pytest.raises(DataError, match=r"part-00001-00000 \(b.parquet, rows 1 to 8\): .*damaged") as caught:
        run_here(many, tmp_path / "out", on_error="skip")
    assert "of 6 parts are committed" in caught.value.__notes__[0]
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([{"id": 1, "title": "baba"}], r"b.parquet has no column 'text'; it has 'id', 'title'"),
        ([{"id": "one", "text": "baba"}], r"b.parquet has other types than a.parquet: 'id' is string, there int64"),
        ([{"id": 1, "text": 5}], r"b.parquet has other types than a.parquet: 'text' is int64, there string"),
    ],
)
def test_a_table_with_another_schema(
    run_here: RunHere, many: Path, tmp_path: Path, rows: list[dict[str, object]], match: str
) -> None:
    write_parquet(many / "b.parquet", rows)
    with pytest.raises(DataError, match=match):
        run_here(many, tmp_path / "out", keep=("id",))


def test_strings_may_be_large_or_dictionaries(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    for name, of in (("b", pa.large_string()), ("c", pa.dictionary(pa.int32(), pa.string()))):
        types = pa.schema([("id", pa.int64()), ("text", of)])
        write_parquet(many / f"{name}.parquet", some_rows(5), types=types)
    assert run_here(many, tmp_path / "out", keep=("id",))[0].counts.n_rows == 35


def test_a_table_that_cannot_be_read(
    run_here: RunHere, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surveyed = worker.Worker.survey

    def gone(self: Any, *arguments: Any) -> Any:
        (many / "b.parquet").unlink(missing_ok=True)
        return surveyed(self, *arguments)

    monkeypatch.setattr(worker.Worker, "survey", gone)
    with pytest.raises(DataError, match=r"in/b.parquet cannot be read: .*o such file"):
        run_here(many, tmp_path / "out", on_error="skip")


def test_a_table_that_shrinks_meanwhile(run_here: RunHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in some_rows(15)))
    classify = worker.Worker.classify

    def shrunk(self: Any, *arguments: Any) -> Any:
        path.write_bytes(path.read_bytes()[:700])
        return classify(self, *arguments)

    monkeypatch.setattr(worker.Worker, "classify", shrunk)
    with pytest.raises(DataError, match=r"rows were read, 10 expected: the table has changed|not a JSON object"):
        run_here(path, tmp_path / "out")


def test_ids_that_repeat(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    rows = some_rows(25)
    rows[14]["id"] = rows[11]["id"]
    write_parquet(many / "a.parquet", rows)
    match = r"part-00000-00001 \(a.parquet, rows 11 to 20\): rows 12 and 15 of a.parquet have the same 'id'"
    with pytest.raises(DataError, match=match):
        run_here(many, tmp_path / "out", id_column="id")
    rows[14]["id"] = some_rows(8, seed=1)[6]["id"]
    write_parquet(many / "a.parquet", rows)
    with pytest.raises(
        DataError, match=r"part-00001-00000 .*: row 7 has the 'id' of row 15 of a.parquet \(part-00000-00001\)"
    ):
        run_here(many, tmp_path / "second", id_column="id", workers=1)
    rows[14]["id"] = None
    write_parquet(many / "a.parquet", rows)
    with pytest.raises(DataError, match=r"row 15, column 'id' has no id"):
        run_here(many, tmp_path / "out", id_column="id", overwrite=True)


def test_ids_of_a_stopped_run_count(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    write_parquet(many / "c.parquet", [{"id": 3, "text": "baba"}])  # the id of row 4 of a.parquet
    stopped(run_here, many, tmp_path / "out", id_column="id")
    with pytest.raises(DataError, match=r"part-00002-00000 .*: row 1 has the 'id' of row 4 of a.parquet"):
        run_here(many, tmp_path / "out", id_column="id", resume=True)


def test_a_bundle_that_a_worker_has_not(run_here: RunHere, many: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    match = r"the worker on .+ cannot be used: there is no bundle at /mnt/bundle. .*--ship-bundle"
    with pytest.raises(ClusterError, match=match):
        run_here(many, tmp_path / "out", its_bundle="/mnt/bundle")
    shipped = {"medclf.json": (tiny_bundle / "medclf.json").read_bytes()}
    assert run_here(many, tmp_path / "out", its_bundle="/mnt/bundle", shipped=shipped)[0].counts.n_rows == 45
    with pytest.raises(BundleError, match="nowhere"):
        run_here(many, tmp_path / "out", bundle="nowhere")


def test_another_bundle_on_a_worker(run_here: RunHere, many: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    manifest = json.loads((tiny_bundle / "medclf.json").read_bytes()) | {"created": "2001-01-01T00:00:00Z"}
    with pytest.raises(ClusterError, match=r"cannot be used: the bundle at .* is another one"):
        run_here(many, tmp_path / "out", shipped={"medclf.json": json.dumps(manifest).encode()})


def test_versions_that_differ(run_here: RunHere, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = worker.versions()
    monkeypatch.setattr("medclf.cluster.ray.run.versions", lambda: here | {"onnxruntime": "0.9", "python": "2.7"})
    match = (
        rf"runs other versions: python is {here['python']}, here 2.7; onnxruntime is {here['onnxruntime']}, here 0.9"
    )
    with pytest.raises(ClusterError, match=match):
        run_here(many, tmp_path / "out")
    assert list((tmp_path / "out").glob("*")) in ([], [tmp_path / "out" / "_work"])
    monkeypatch.undo()


def test_workers_that_took_different_models(
    run_here: RunHere, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = iter(["fp32", "int8"])
    monkeypatch.setattr(StubClassifier, "precision", property(lambda _: next(taken)))
    with pytest.raises(ClusterError, match=r"took int8 on cpu, another one fp32 on cpu. Name one with --precision"):
        run_here(many, tmp_path / "out")


def test_a_bug_in_a_worker_quotes_nothing(
    run_here: RunHere, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(StubClassifier, "classify_windows", fails)
    with pytest.raises(MedclfError, match=r"part-.*: internal error: RuntimeError at test_run.py:\d+") as caught:
        run_here(many, tmp_path / "out")
    assert CANARY not in str(caught.value)


def test_outputs_that_are_refused(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="lies in the input"):
        run_here(many, many / "out")
    with pytest.raises(OptionError, match="lies in the input"):
        run_here(many, many)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(OutputError, match=r"holds 1 files that medclf-predict did not write, such as thesis.txt"):
        run_here(many, tmp_path / "mine", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file"):
        run_here(many, tmp_path / "file")
    with pytest.raises(OptionError, match="partition_rows is 0, expected at least 1"):
        run_here(many, tmp_path / "out", partition_rows=0)
    with pytest.raises(OptionError, match="reads and writes files, which a pipe is not"):
        run_here("-", tmp_path / "out")


def test_nothing_is_left_where_nothing_was_done(run_here: RunHere, tmp_path: Path) -> None:
    rows = some_rows(3)
    rows[1]["text"] = ""
    with pytest.raises(DataError, match=r"row 2, column 'text': is empty"):
        run_here(write_parquet(tmp_path / "in.parquet", rows), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_cluster_that_is_full_is_told_of(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    events = iter([[], [], [Event(1, None, Outcome("here", "opened"))]])
    pool = SimpleNamespace(start=lambda _: 1, wait=lambda _: next(events))
    monkeypatch.setattr(dispatch, "PATIENCE_S", -1.0)
    workers = dispatch.Dispatcher(pool, [1], check=lambda _: None)
    workers.wait_for_one(lambda: None)
    assert workers.n_open == 1
    assert "no worker is ready yet: are the cores of the cluster taken by others?" in caplog.text


def test_a_resume_keeps_the_partitions(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    stopped(run_here, many, tmp_path / "out")
    result, _ = run_here(many, tmp_path / "out", resume=True, partition_rows=None)
    assert result.n_parts == 6
    result, _ = run_here(many, tmp_path / "new", partition_rows=None)
    assert result.n_parts == 3
    assert json.loads((tmp_path / "new" / "_manifest.json").read_bytes())["run"]["partition rows"] == 2_048


def test_the_last_partitions_are_for_whoever_is_free() -> None:
    given: list[tuple[int, str]] = []
    events = [Event(worker, None, Outcome("here", "opened")) for worker in (1, 2)]
    numbers = iter((1, 2))

    def wait(_: float) -> list[Event]:
        if events:
            return [events.pop()]
        worker, name = given[len(done)]
        return [Event(worker, Call("classify", (name,)), Outcome("here", name))]

    done: list[str] = []
    pool = SimpleNamespace(
        start=lambda _: next(numbers), wait=wait, submit=lambda worker, call: given.append((worker, str(call)))
    )
    workers = dispatch.Dispatcher(pool, [1, 1], check=lambda _: None)
    for _ in range(2):
        workers._opened(events.pop())
    most: list[int] = []

    def finished(call: Call, _: Outcome) -> bool:
        done.append(str(call))
        most.append(len(given) - len(done))
        return True

    workers.run([Call("classify", (name,)) for name in "abcdefg"], finished, lambda: None)
    assert done == list("abcdefg")
    assert most == [3, 3, 2, 1, 1, 1, 0]  # under way after each, the ones given out next not yet among them


def test_an_output_is_dropped_only_for_a_run_that_begins(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    run_here(many, tmp_path / "out")
    before = files(tmp_path / "out")
    with pytest.raises(ClusterError, match="there is no bundle at"):
        run_here(many, tmp_path / "out", overwrite=True, its_bundle="/mnt/bundle")
    assert files(tmp_path / "out") == before
    stopped(run_here, many, tmp_path / "half", n=6)
    with pytest.raises(ClusterError, match="there is no bundle at"):
        run_here(many, tmp_path / "half", overwrite=True, its_bundle="/mnt/bundle")
    assert run_here(many, tmp_path / "half", resume=True)[0].n_rows_before == 20


def test_a_kill_at_the_very_end_leaves_a_whole_output(
    run_here: RunHere, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Storage, "remove_folder", killed)
    with pytest.raises(KeyboardInterrupt):
        run_here(many, tmp_path / "out")
    assert (tmp_path / "out" / "_manifest.json").exists()
    with pytest.raises(OutputError, match="exists already"):
        run_here(many, tmp_path / "out", resume=True)
    assert len(read_parts(tmp_path / "out")) == 45
