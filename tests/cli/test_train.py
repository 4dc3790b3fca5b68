"""The command: one option a field, data on stdout, talk on stderr, exit codes."""

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import MISSING, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import multi_label_rows, write_csv

from medclf.cli.train import command, main, trials_table
from medclf.train.options import TrainOptions

CANARY = "CANARY-7f3a"


@pytest.fixture
def arguments(table: Path, tiny_encoder: Path, tmp_path: Path) -> list[str]:
    given = {
        "data": table, "model": tiny_encoder, "output": tmp_path / "checkpoint", "epochs": 2, "batch-size": 8,
        "max-length": 32, "learning-rate": 0.004, "device": "cpu",
    }  # fmt: skip
    return [word for name, value in given.items() for word in (f"--{name}", str(value))]


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> SimpleNamespace:
    monkeypatch.setattr(sys, "argv", ["medclf-train", *words])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as caught:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    output = capsys.readouterr()
    return SimpleNamespace(code=caught.value.code, out=output.out, err=" ".join(output.err.split()))


def test_one_option_a_field_with_the_same_default() -> None:
    options = {name: p.default for name, p in inspect.signature(command).parameters.items() if name != "json_"}
    assert list(options) == [field.name for field in fields(TrainOptions)]
    for field in fields(TrainOptions):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        assert options[field.name] == default, field.name


def test_run_prints_both_scores_and_json(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = call(monkeypatch, capsys, *arguments, "--json")
    assert done.code == 0
    document = json.loads(done.out)
    assert document == json.loads((tmp_path / "checkpoint" / "metrics.json").read_bytes())
    for word in ("validation", "test", "TF-IDF", "BERT", f"{document['test']['baseline']['accuracy']:.3f}", "wrote"):
        assert word in done.err


def test_several_labels_a_text(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = tmp_path / "notes.csv"
    rows = multi_label_rows(60)
    write_csv(data, [{"text": str(row["text"]), "topics": "; ".join(row["label"])} for row in rows])  # type: ignore[arg-type]
    words = ("--data", str(data), "--label-column", "topics", "--multi-label", "--epochs", "1", "--json")
    done = call(monkeypatch, capsys, *arguments, *words)
    assert done.code == 0
    document = json.loads(done.out)
    for name in ("exact_match", "micro_f1", "macro_f1", "samples_f1"):
        assert f"{document['test']['model'][name]:.3f}" in done.err
    assert f"temperature {document['calibration']['temperature']:.2f}: calibration error on the test part" in done.err


def test_a_student_with_two_seeds(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path
) -> None:
    place = arguments.index("--model")
    words = ("--teacher", str(tiny_checkpoint), "--layers", "1", "--seeds", "2", "--epochs", "1", "--json")
    done = call(monkeypatch, capsys, *arguments[:place], *arguments[place + 2 :], *words)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    spread = document["seeds"]["test"]["macro_f1"]
    assert f"macro-F1 over 2 seeds: validation {document['seeds']['validation']['macro_f1']['mean']:.3f}" in done.err
    assert f"test {spread['mean']:.3f} \u00b1 {spread['sd']:.3f}" in done.err
    assert f"the checkpoint is that of seed {document['seeds']['best']}" in done.err
    assert "teacher" in done.err


def test_trials_are_shown_best_first() -> None:
    drawn = {"learning_rate": 0.00012345, "epochs": 2, "batch_size": 8, "layer_decay": 0.9, "loss": "focal"}
    trials = [
        {"number": 0, "state": "complete", "macro_f1": 0.5, **drawn},
        {"number": 1, "state": "pruned", "macro_f1": None, **drawn},
        {"number": 2, "state": "complete", "macro_f1": 0.75, **drawn},
    ]
    table = trials_table({"best": 2, "trials": trials})
    cells = [list(column.cells) for column in table.columns]
    assert cells[:3] == [["2", "0", "1"], ["0.750", "0.500", "pruned"], ["0.000123"] * 3]


def test_stop_and_resume(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stopped = call(monkeypatch, capsys, *arguments, "--stop-after", "5")
    assert (stopped.code, stopped.out) == (0, "")
    assert "saved at step 5 of 28" in stopped.err
    assert "same command with --resume" in stopped.err
    assert call(monkeypatch, capsys, *arguments).code == 1
    assert call(monkeypatch, capsys, *arguments, "--resume").code == 0
    assert (tmp_path / "checkpoint" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "Missing option '--data'"),
        (("--data", "a.csv", "--epochs", "many"), 2, "Invalid value for '--epochs'"),
        (("--data", "none.csv"), 1, "error: none.csv does not exist"),
        (("--data", "none.csv", "--epochs", "0"), 1, "error: epochs is 0, expected 1 to 10,000"),
        (("--data", "none.csv", "--resume"), 1, "nothing to resume"),
    ],
)
def test_wrong_usage_and_errors(
    words: tuple[str, ...], code: int, message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    failed = call(monkeypatch, capsys, *words)
    assert (failed.code, failed.out) == (code, "")
    assert message in failed.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("text,label\n", "columns and no rows"),
        (f"note,label\n{CANARY},x\n", "no column 'text'; it has 'note', 'label'"),
        (f"text,label\n{CANARY},x\n,y\n", "column 'text': 1 row cannot be used: row 2 is empty"),
        ("text,label\n" + "".join(f"{CANARY} {i},x\n" for i in range(20)), "all 20 rows have the label 'x'"),
        ("text,label\n" + "".join(f"{CANARY} {i},{i % 2}\n" for i in range(20)) + "b,c\n", "'c' (1); at least 3"),
        (f"text,label\n{CANARY} \0,x\n", "NUL character"),
        (b"text,label\nCANARY-7f3a \xe9,x\n", "row 1 cannot be decoded as utf-8"),
        ("text,label\n" + "a" * 5_000_000 + ",x\n", "row 1 has 5,000,000 characters"),
    ],
    ids=["empty", "header", "column", "text", "one-class", "one-row", "nul", "bytes", "5MB"],
)
def test_bad_tables_of_the_issue(
    content: str | bytes, message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    failed = call(monkeypatch, capsys, "--data", "bad.csv")
    assert (failed.code, failed.out) == (1, "")
    assert "bad.csv" in failed.err
    assert message in failed.err
    assert CANARY not in failed.err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def start(arguments: list[str], *words: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("RANK", None)
    program = [sys.executable, "-m", "medclf.cli.train", *arguments, *words]
    return subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment, **options)


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(arguments: list[str], tmp_path: Path) -> None:
    process = start(arguments, "--epochs", "2000", "--patience", "0")
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("checkpoint.work/checkpoint-*/trainer_state.json")):  # training has begun
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Run the same command with --resume" in " ".join(talk.split())
    assert not (tmp_path / "checkpoint").exists()


def test_a_process_of_torchrun_fails_with_the_exit_code_of_the_command(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "medclf.cli.train", "--data", str(tmp_path / "none.csv")]
    done = subprocess.run(
        program, capture_output=True, text=True, env={**os.environ, "WORLD_SIZE": "2"}, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "none.csv" in done.stderr


@pytest.mark.slow
def test_two_processes_of_torchrun_train_one_model(arguments: list[str], tmp_path: Path) -> None:
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "medclf.cli.train"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, *arguments, *words], capture_output=True, text=True, env=environment, timeout=300, check=False
        )

    whole = run("--json")
    assert whole.returncode == 0, whole.stderr
    document = json.loads(whole.stdout)
    assert document["run"]["steps"] == 14  # half of one process: each step takes 8 texts from both
    assert document["test"]["model"]["n"] == 30
    model = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()

    stopped = run("--overwrite", "--stop-after", "5")
    assert stopped.returncode == 0, stopped.stderr
    assert stopped.stderr.count("saved at step 5 of 14") == 1
    resumed = run("--overwrite", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == model
