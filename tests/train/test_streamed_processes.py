"""Two processes of torchrun on one stream, with gloo on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import labelled_rows, write_csv


@pytest.mark.slow
def test_two_processes_train_one_model_on_a_stream_and_go_on(tiny_encoder: Path, tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pylist(labelled_rows(112)), tmp_path / "train.parquet", row_group_size=10)
    held_out = [str(write_csv(tmp_path / f"{seed}.csv", labelled_rows(30, seed=seed))) for seed in (7, 8)]
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "medclf.cli.train"]
    arguments = [
        "--streaming", "--shuffle-buffer", "40", "--data", str(tmp_path / "train.parquet"), "--eval-data", held_out[0],
        "--test-data", held_out[1], "--model", str(tiny_encoder), "--output", str(tmp_path / "checkpoint"),
        "--epochs", "2", "--batch-size", "8", "--max-length", "32", "--learning-rate", "4e-3", "--device", "cpu",
    ]  # fmt: skip

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [*program, *arguments, *words], capture_output=True, text=True, env=environment, timeout=300, check=False
        )

    whole = run("--json")
    assert whole.returncode == 0, whole.stderr
    assert json.loads(whole.stdout)["run"]["steps"] == 14  # half of one process's 28
    model = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()
    stopped = run("--overwrite", "--stop-after", "5")
    assert stopped.returncode == 0, stopped.stderr
    resumed = run("--overwrite", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == model
