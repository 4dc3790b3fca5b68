"""Files as they come: compressed, through pipes, as Parquet, broken; and what stands in the output."""

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import medclf
from medclf.cli.predict import main
from medclf.runtime import Classifier
from medclf.runtime import windows as windows_module

CANARY = "CANARY-7f3a"
TEXTS = ["baba cece didi", 'fofo, "gugu"', "lele\nmimi", "ruru " * 70]
ROWS = [{"id": f"é{i}", "text": text} for i, text in enumerate(TEXTS)]
Predict = Callable[..., Any]


@pytest.fixture
def predict(run_command: Callable[..., Any], tiny_bundle: Path) -> Predict:
    def call(source: object, target: object, *arguments: object) -> Any:
        return run_command(main, "--bundle", tiny_bundle, "--input", source, "--output", target, *arguments)

    return call


@pytest.fixture(scope="module")
def expected(tiny_bundle: Path) -> list[Any]:
    with Classifier.load(tiny_bundle) as classifier:
        return classifier.predict(TEXTS)


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def csv_text(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def compress(data: bytes, suffix: str) -> bytes:
    return gzip.compress(data) if suffix == ".gz" else pytest.importorskip("backports.zstd").compress(data)


def decompress(path: Path) -> str:
    data = path.read_bytes()
    return (
        gzip.decompress(data) if path.suffix == ".gz" else pytest.importorskip("backports.zstd").decompress(data)
    ).decode()


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Compression


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_in_and_out(predict: Predict, tmp_path: Path, expected: list[Any], suffix: str) -> None:
    source = tmp_path / f"in.jsonl{suffix}"
    source.write_bytes(
        compress(lines(ROWS[:2]), suffix) + compress(lines(ROWS[2:]), suffix)
    )  # two streams, as cat makes
    assert predict(source, tmp_path / f"out.csv{suffix}", "--keep", "id").code == 0
    rows = read_csv(decompress(tmp_path / f"out.csv{suffix}"))
    assert [row["label"] for row in rows] == expected
    assert [row["id"] for row in rows] == ["é0", "é1", "é2", "é3"]
    assert predict(source, tmp_path / f"again.csv{suffix}", "--keep", "id").code == 0
    assert (tmp_path / f"again.csv{suffix}").read_bytes() == (tmp_path / f"out.csv{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("damage", ["cut", "junk", "plain"])
def test_damaged_compression(predict: Predict, tmp_path: Path, suffix: str, damage: str) -> None:
    whole = compress(lines([{"text": f"{CANARY} {i * 7919 % 1000}"} for i in range(1_500)]), suffix)
    data = {"cut": whole[: len(whole) // 2], "junk": whole + CANARY.encode(), "plain": lines(ROWS)}[damage]
    (tmp_path / f"in.jsonl{suffix}").write_bytes(data)
    done = predict(tmp_path / f"in.jsonl{suffix}", tmp_path / "out.csv")
    assert done.code == 1
    name = {".gz": "gzip", ".zst": "zstd"}[suffix]
    assert f"in.jsonl{suffix}: the {name} stream is cut off or damaged" in done.err
    assert CANARY not in done.err
    assert not (tmp_path / "out.csv").exists()


# Pipes


def as_program(bundle: Path, *arguments: object, **options: Any) -> "subprocess.Popen[bytes]":
    root = Path(medclf.__file__).parents[1]
    program = (
        "from medclf.runtime import windows; windows.WINDOW_TEXTS = 64\nfrom medclf.cli.predict import main; main()"
    )
    command = [sys.executable, "-c", program, "--bundle", str(bundle), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_stdin_to_stdout(
    predict: Predict, expected: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    given = SimpleNamespace(buffer=io.BytesIO(csv_text(ROWS)))
    monkeypatch.setattr(sys, "stdin", given)
    done = predict("-", "-", "--input-format", "csv", "--output-format", "jsonl")
    assert done.code == 0
    assert [json.loads(line)["label"] for line in done.out.splitlines()] == expected
    assert done.err.startswith("4 rows, ")
    assert len(done.err.splitlines()) == 1  # no bar, as it is no terminal
    assert names(tmp_path) == []
    assert not given.buffer.closed


def test_stdin_to_a_file_leaves_no_work_folder(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 2)
    broken = gzip.compress(lines(ROWS))[:-5]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(broken)))
    done = predict("-", tmp_path / "out.csv", "--input-format", "jsonl.gz")
    assert (done.code, names(tmp_path)) == (1, [])
    assert "-: the gzip stream is cut off or damaged" in done.err
    assert "--resume" not in done.err


def test_a_named_pipe(predict: Predict, expected: list[Any], tmp_path: Path, tiny_bundle: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with as_program(tiny_bundle, "--input", tmp_path / "pipe.csv", "--output", tmp_path / "out.jsonl") as program:
        (tmp_path / "pipe.csv").write_bytes(csv_text(ROWS))
        assert program.wait() == 0
    assert [json.loads(line)["label"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == expected


def test_a_closed_pipe_ends_it_quietly(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines([{"text": "baba"}] * 20_000))
    with as_program(
        tiny_bundle, "--input", tmp_path / "in.jsonl", "--output", "-", "--output-format", "csv"
    ) as program:
        assert program.stdout
        assert program.stderr
        first = program.stdout.readline()
        program.stdout.close()
        errors = program.stderr.read()
    assert first == b"row,label,probability,truncated\n"
    assert (program.returncode, errors) == (1, b"")


def test_what_cannot_go_through_a_pipe(predict: Predict, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(csv_text(ROWS))
    pytest.importorskip("pyarrow")
    for arguments, code, message in [
        (("-", tmp_path / "out.csv"), 1, "-: the format (no suffix) is not read. Save it as"),
        (
            ("-", tmp_path / "out.csv", "--input-format", "parquet"),
            1,
            "Parquet is read from its end, which a pipe has not",
        ),
        ((source, "-"), 1, "Where there is none, name the format, as in --output-format csv"),
        ((source, "-", "--output-format", "parquet"), 1, "Parquet is written to files"),
        ((source, "-", "--output-format", "csv", "--resume"), 1, "--resume goes on in files"),
        ((source, "-", "--output-format", "csv", "--json"), 2, "--json prints on stdout"),
        ((source, "-", "--output-format", "csv", "--on-error", "quarantine"), 1, "- takes the rows: name a file"),
    ]:
        done = predict(*arguments)
        assert (done.code, done.out) == (code, "")
        assert message in done.err.replace("\n", " ")
    assert names(tmp_path) == ["in.csv"]


# Parquet


def test_types_survive_from_parquet_to_parquet(predict: Predict, tmp_path: Path, expected: list[Any]) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    instant = 1_700_000_000_123_456_789
    kept = {
        "small": arrow.array([1, None, 3, 4], arrow.int16()),
        "float": arrow.array([1.5, None, 2.5, 3.5], arrow.float32()),
        "time": arrow.array([instant, None, 0, -1], arrow.timestamp("ns", tz="Europe/Paris")),
        "clock": arrow.array([5, None, 0, 1], arrow.time64("ns")),
        "early": arrow.array([-(10**17), None, 0, 1], arrow.timestamp("us")),
        "day": arrow.array([1, None, 3, 4], arrow.date32()),
        "money": arrow.array([Decimal("1.20"), None, Decimal("0.03"), Decimal("4.00")], arrow.decimal128(9, 2)),
        "class": arrow.array(["a", None, "b", "a"]).dictionary_encode(),
        "codes": arrow.array([["I21"], None, [], ["a", "b"]], arrow.list_(arrow.large_string())),
        "pairs": arrow.array([[("a", 1)], None, [], [("b", None)]], arrow.map_(arrow.string(), arrow.int32())),
        "bytes": arrow.array([b"\xff", None, b"", b"a"], arrow.binary()),
        "flag": arrow.array([True, None, False, True]),
        "none": arrow.nulls(4),
    }
    source = arrow.table({"text": TEXTS, "unused": arrow.array([1] * 4, arrow.duration("ns")), **kept})
    parquet.write_table(source, tmp_path / "in.parquet")
    options = [part for name in kept for part in ("--keep", name)]
    done = predict(tmp_path / "in.parquet", tmp_path / "out.parquet", *options, "--probabilities")
    assert done.code == 0, done.err
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column("label").to_pylist() == expected
    assert [table.schema.field(name).type for name in ("row", "label", "probability", "truncated")] == [
        arrow.int64(), arrow.string(), arrow.float64(), arrow.bool_(),
    ]  # fmt: skip
    read = parquet.read_table(tmp_path / "in.parquet")
    for name in kept:
        assert table.schema.field(name).type == read.schema.field(name).type
        assert table.column(name).combine_chunks().equals(read.column(name).combine_chunks()), name


def test_times_of_parquet_in_csv(predict: Predict, tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    when = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
    table = {
        "text": TEXTS[:1],
        "ns": arrow.array([1], arrow.timestamp("ns")),
        "s": arrow.array([when], arrow.timestamp("s", "UTC")),
    }
    parquet.write_table(arrow.table(table), tmp_path / "in.parquet")
    predict(tmp_path / "in.parquet", tmp_path / "out.csv", "--keep", "ns", "--keep", "s")
    (row,) = read_csv((tmp_path / "out.csv").read_text())
    assert (row["ns"], row["s"]) == ("1970-01-01 00:00:00.000000001", "2024-02-29 12:00:00.000Z")


def test_a_time_is_no_text(predict: Predict, tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"text": arrow.array([0], arrow.timestamp("s"))}), tmp_path / "in.parquet")
    assert "column 'text': is datetime, not a string" in predict(tmp_path / "in.parquet", tmp_path / "out.csv").err


def test_json_lines_to_parquet(predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 2)
    values = [
        {
            "id": 1,
            "mean": 1,
            "mixed": 1,
            "code": None,
            "all": {"a": [1]},
            "big": 2**70,
            "none": None,
            "large": 2**60 + 1,
        },
        {"id": 2, "mean": 2, "mixed": True, "code": "I21", "all": None, "big": 1, "large": 1},
        {"id": 3, "mean": 2.5, "mixed": "x", "code": "\ud800", "all": [1], "big": 2, "none": None, "large": 0.5},
    ]
    (tmp_path / "in.jsonl").write_bytes(lines([{"text": "baba", **row} for row in values]))
    keep = [part for name in values[0] for part in ("--keep", name)]
    done = predict(tmp_path / "in.jsonl", tmp_path / "out.parquet", *keep)
    assert done.code == 0, done.err
    table = parquet.read_table(tmp_path / "out.parquet")
    found = {name: (str(table.schema.field(name).type), table.column(name).to_pylist()) for name in values[0]}
    assert found == {
        "id": ("int64", [1, 2, 3]),
        "mean": ("double", [1.0, 2.0, 2.5]),
        "mixed": ("string", ["1", "true", "x"]),
        "code": ("string", [None, "I21", r"\ud800"]),
        "all": ("string", ['{"a": [1]}', None, "[1]"]),
        "big": ("string", [str(2**70), "1", "2"]),
        "none": ("string", [None] * 3),
        "large": ("string", [str(2**60 + 1), "1", "0.5"]),
    }


def test_half_of_a_surrogate_pair_is_kept_readable(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines([{"text": "baba", "id": "a\ud800"}]))
    predict(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--keep", "id")
    assert json.loads((tmp_path / "out.jsonl").read_text())["id"] == "a\ud800"


# Rows that fail alone

BROKEN_JSONL = (
    lines(ROWS[:1]) + f"{CANARY} {{\n".encode() + b'{"text": "\xff' + CANARY.encode() + b'"}\n\n' + lines(ROWS[3:])
)
BROKEN_CSV = (
    f"id,text\na,baba cece didi\nb,{CANARY},{CANARY}\nc,".encode() + b"\xff\n\nd," + ("ruru " * 70).encode() + b"\n"
)


@pytest.mark.parametrize(("name", "data"), [("in.jsonl", BROKEN_JSONL), ("in.csv", BROKEN_CSV)])
def test_a_broken_line_fails_alone(
    predict: Predict, tmp_path: Path, expected: list[Any], name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    done = predict(tmp_path / name, tmp_path / "out.csv", "--on-error", "skip", "--keep", "id")
    assert done.code == 0
    rows = read_csv((tmp_path / "out.csv").read_text())
    assert [row["row"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["label"] for row in rows] == [expected[0], "", "", expected[3]]
    assert rows[2]["error"].startswith("cannot be decoded as utf-8")
    assert "2 skipped" in done.err
    assert CANARY not in (tmp_path / "out.csv").read_text() + done.err


@pytest.mark.parametrize(("name", "data"), [("in.jsonl", BROKEN_JSONL), ("in.csv", BROKEN_CSV)])
def test_a_broken_line_stops_everything_by_default(predict: Predict, tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    done = predict(tmp_path / name, tmp_path / "out.csv")
    assert done.code == 1
    reason = {"in.jsonl": "is not a JSON object on a line of its own", "in.csv": "has 3 cells, 2 expected"}[name]
    assert f"{name}, row 2 {reason}" in done.err
    assert "pass --on-error skip or quarantine" in done.err
    assert names(tmp_path) == [name]


def test_quarantine(predict: Predict, tmp_path: Path, expected: list[Any]) -> None:
    data = lines([{"text": f"{CANARY}\0"}, {"text": 5}, {"id": CANARY}]) + BROKEN_JSONL
    (tmp_path / "in.jsonl").write_bytes(data)
    done = predict(tmp_path / "in.jsonl", tmp_path / "out.jsonl.gz", "--on-error", "quarantine", "--json")
    rows = [json.loads(line) for line in decompress(tmp_path / "out.jsonl.gz").splitlines()]
    assert [(row["row"], row["label"]) for row in rows] == [(4, expected[0]), (7, expected[3])]
    assert "error" not in rows[0]
    left_out = (tmp_path / "out.quarantine.csv").read_text()
    assert read_csv(left_out) == [
        {"row": "1", "column": "text", "reason": "holds a NUL character (at character 12)", "length": "12"},
        {"row": "2", "column": "text", "reason": "is int, not a string", "length": "0"},
        {"row": "3", "column": "text", "reason": "is empty", "length": "0"},
        {"row": "5", "column": "", "reason": "is not a JSON object on a line of its own", "length": "13"},
        {"row": "6", "column": "", "reason": "cannot be decoded as utf-8 (--encoding names another)", "length": "24"},
    ]
    assert CANARY not in left_out + done.err
    summary = json.loads(done.out)
    assert (summary["n_rows"], summary["n_quarantined"], summary["n_skipped"]) == (7, 5, 0)
    assert summary["quarantine"] == str(tmp_path / "out.quarantine.csv")
    assert summary["rows_per_s"] > 0
    assert "0 skipped, 5 quarantined" in done.err


def test_a_quarantine_of_stdout_and_of_good_rows(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(BROKEN_JSONL)
    options = ("--on-error", "quarantine", "--quarantine", tmp_path / "bad.csv")
    done = predict(tmp_path / "in.jsonl", "-", "--output-format", "tsv", *options)
    assert [line.split("\t")[0] for line in done.out.splitlines()] == ["row", "1", "4"]
    assert [row["row"] for row in read_csv((tmp_path / "bad.csv").read_text())] == ["2", "3"]
    (tmp_path / "good.jsonl").write_bytes(lines(ROWS))
    assert predict(tmp_path / "good.jsonl", tmp_path / "out.csv", "--on-error", "quarantine").code == 0
    assert (tmp_path / "out.quarantine.csv").read_text() == "row,column,reason,length\n"


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_no_row_is_left(predict: Predict, tmp_path: Path, target: str) -> None:
    if target.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / "in.jsonl").write_bytes(lines([{"text": "", "id": 1}]))
    assert predict(tmp_path / "in.jsonl", tmp_path / target, "--on-error", "quarantine", "--keep", "id").code == 0
    assert (tmp_path / target).stat().st_size > 20


# Files that are refused whole


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("in.csv", f'text\nbaba\n"{CANARY}\nbaba\n'.encode(), "in.csv, row 2: a double quote is opened"),
        ("in.csv", f'text\n"{CANARY}" {CANARY}\n'.encode(), "in.csv, row 1: a double quote stands inside"),
        ("in.csv", f"text,id,text\n{CANARY},1,2\n".encode(), "in.csv: the header names 'text' more than once"),
        ("in.csv", b"", "in.csv is empty"),
        ("in.csv", b"text\n", "in.csv has columns and no rows"),
        ("in.jsonl", f"{CANARY}\n".encode(), "in.jsonl: row 1 is not a JSON object"),
        ("in.csv", b"\xff\xfet\0e\0x\0t\0\n\0a\0", "the header cannot be decoded as utf-8. Save the file"),
        ("in.parquet", b"PAR1" + CANARY.encode(), "in.parquet is not a whole Parquet file"),
        ("in.csv.bz2", b"BZ", "in.csv.bz2: the format .bz2 is not read"),
        ("in.parquet.gz", b"", "in.parquet.gz: the format .gz is not read"),
        ("in", b"text\n", "in: the format (no suffix) is not read"),
    ],
)  # fmt: skip
def test_refused_in_one_line(predict: Predict, tmp_path: Path, name: str, data: bytes, message: str) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(data)
    done = predict(tmp_path / name, tmp_path / "out.csv", "--on-error", "skip")
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert message in done.err
    assert CANARY not in done.err
    assert names(tmp_path) == [name]


def test_a_parquet_file_that_is_damaged_inside(predict: Predict, tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"text": [f"{CANARY} {i}" for i in range(999)]}), tmp_path / "in.parquet")
    data = bytearray((tmp_path / "in.parquet").read_bytes())
    data[100:400] = bytes(300)
    (tmp_path / "in.parquet").write_bytes(data)
    done = predict(tmp_path / "in.parquet", tmp_path / "out.csv")
    assert (done.code, names(tmp_path)) == (1, ["in.parquet"])
    assert "in.parquet: the file is damaged after row 0" in done.err
    assert CANARY not in done.err


def test_folders_as_files(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(csv_text(ROWS))
    (tmp_path / "out.csv").mkdir()
    assert "is a folder, a table was expected" in predict(tmp_path, tmp_path / "a.csv").err
    assert (
        "out.csv is a folder, a file was expected"
        in predict(tmp_path / "in.csv", tmp_path / "out.csv", "--overwrite").err
    )
    assert predict(tmp_path / "in.csv", tmp_path / "new" / "folder" / "out.csv").code == 0
    assert predict(tmp_path / "in.csv", tmp_path / "in.csv" / "out.csv").code == 1


def test_a_text_of_five_megabytes(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(csv_text([{"text": CANARY * 500_000}, {"text": "baba"}]))
    predict(tmp_path / "in.csv", tmp_path / "out.csv", "--on-error", "quarantine")
    (row,) = read_csv((tmp_path / "out.quarantine.csv").read_text())
    assert (row["row"], row["length"]) == ("1", "5500000")
    assert row["reason"].startswith("has 5,500,000 characters")


def test_quarantine_over_the_input(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(csv_text(ROWS))
    options = ("--on-error", "quarantine", "--overwrite", "--quarantine")
    for path in ("in.csv", "out.csv"):
        done = predict(tmp_path / "in.csv", tmp_path / "out.csv", *options, tmp_path / path)
        assert f"{path} is the input or the output" in done.err
    assert "--quarantine names a file for --on-error quarantine" in predict(
        tmp_path / "in.csv", tmp_path / "out.csv", "--quarantine", tmp_path / "bad.csv"
    ).err  # fmt: skip
    assert names(tmp_path) == ["in.csv"]
