"""Memory is bounded by a window, whatever the size of the file."""

import csv
import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import medclf

N_ROWS = 60_000
N_CHARACTERS = 2_000  # of a text: 120 MB in all
LIMIT_MB = 120.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to tell the peak of a process"),
]


def texts() -> Iterator[str]:
    chance = random.Random(0)
    pieces = ["".join(chance.choices("abcdefghij klmnop", k=500)) for _ in range(500)]
    for _ in range(N_ROWS):
        yield " ".join(chance.choices(pieces, k=N_CHARACTERS // 500))


def write(path: Path) -> Path:
    if path.suffix == ".parquet":
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table({"text": list(texts())}), path, row_group_size=N_ROWS, use_dictionary=False)
    elif path.suffix == ".gz":
        with gzip.open(path, "wt", compresslevel=1) as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts())
    else:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("text",), *((text,) for text in texts())])
    return path


def growth_mb(source: Path, target: Path, *options: str) -> float:
    root = Path(medclf.__file__).parents[1]
    program = Path(__file__).with_name("memory_of_a_file.py")
    done = subprocess.run(
        [sys.executable, program, source, target, *options],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True, timeout=500,
    )  # fmt: skip
    n_rows, growth = done.stdout.split()
    assert int(n_rows) == N_ROWS
    return float(growth)


@pytest.mark.parametrize(
    ("source", "target"), [("in.csv", "out.csv"), ("in.jsonl.gz", "out.jsonl.gz"), ("in.parquet", "out.parquet")]
)
def test_memory_does_not_grow_with_the_file(tmp_path: Path, source: str, target: str) -> None:
    assert growth_mb(write(tmp_path / source), tmp_path / target) < LIMIT_MB
    assert (tmp_path / target).stat().st_size > 10_000_000  # the texts were kept


def test_a_file_in_one_window_goes_over_the_limit(tmp_path: Path) -> None:
    assert growth_mb(write(tmp_path / "in.csv"), tmp_path / "out.csv", "--whole") > 2 * LIMIT_MB
