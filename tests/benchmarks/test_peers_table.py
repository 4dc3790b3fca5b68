"""The program that times peers: its tables by hand, and the whole of it on a tiny model."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import labelled_rows, write_csv

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_whole_program(tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path):
    job = tmp_path / "tiny"
    shutil.copytree(tiny_checkpoint, job / "checkpoint")
    shutil.copytree(tiny_bundle, job / "bundle")
    file, output = write_csv(tmp_path / "rows.csv", labelled_rows(60)), tmp_path / "out.json"
    program = [sys.executable, ROOT / "benchmarks" / "peers_table.py"]
    options = ["--texts", f"notes={file}:32", f"words={file}:5", "--tokens", "100", "--rounds", "1", "--latency"]
    absent = ["--python", f"openvino_nncf={tmp_path / 'none'}", "--only", "INT8"]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'export'}"}
    command = [*program, "--jobs", job, *options, *absent, "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert "OpenVINO, NNCF INT8 is left out: its Python cannot be run" in done.stderr
    notes, words = json.loads(output.read_text())["results"]
    assert (notes["texts"], notes["max_length"]) == ("notes", 32)
    assert words["mean_tokens"] == 5 < notes["mean_tokens"]
    assert words["n_texts"] == 20 > notes["n_texts"]
    for one in (notes, words):
        assert {"medclf INT8", "ONNX Runtime INT8, per tensor"} <= one["ways"].keys()
        for way in one["ways"].values():
            fastest = min(seconds[0] for seconds in way["seconds"].values())
            assert way["documents_per_s"] == pytest.approx(one["n_texts"] / fastest)
            assert 0 < way["latency"]["p50_ms"] <= way["latency"]["p99_ms"]
    printed = subprocess.run([*program, "--table", output], capture_output=True, text=True, env=env, check=True).stdout
    assert printed == done.stdout
    assert "| tiny: documents/s | notes (" in printed
    assert printed.count("**") == 2 * 2 * 5  # the best of each column of each table
