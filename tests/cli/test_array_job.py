"""The array job of docs/scale.md, as a scheduler runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import labelled_rows

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow  # programs of their own
def test_each_job_makes_its_part_and_a_finished_one_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    section = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8").split("## Cloud batch")[1]
    (script,) = re.findall(r"```\n(.*?)```", section.split("\n## ")[0], re.S)
    (tmp_path / "bundle").symlink_to(tiny_bundle)
    (tmp_path / "notes").mkdir()
    for part in (3, 4):
        parquet.write_table(arrow.Table.from_pylist(labelled_rows(20)), tmp_path / "notes" / f"part-{part:05}.parquet")
    command = tmp_path / "bin" / "medclf-predict"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from medclf.cli.predict import main; main()' \"$@\"\n")
    command.chmod(0o755)

    def job(index: int) -> subprocess.CompletedProcess[str]:
        path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "SLURM_ARRAY_TASK_ID": str(index)}
        return subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)

    for index in (3, 4):
        done = job(index)
        assert done.returncode == 0, done.stderr
    labels = parquet.read_table(tmp_path / "labels" / "part-00003.parquet")
    assert labels.column("id").to_pylist() == [str(i) for i in range(20)]
    written = (tmp_path / "labels" / "part-00003.parquet").stat().st_mtime_ns
    assert job(3).returncode == 0
    assert (tmp_path / "labels" / "part-00003.parquet").stat().st_mtime_ns == written
