"""The command, stopped from outside: by Ctrl-C, by a scheduler, by the kernel."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import WORDS

import medclf
from medclf.runtime.work import work_folder

CANARY = "canary7f3a"
WINDOW = 64

Program = "subprocess.Popen[str]"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts enough for some seconds."""
    chance = random.Random(0)
    path = tmp_path_factory.mktemp("stopped") / "in.jsonl"
    rows = [
        {"id": i, "text": " ".join([CANARY, *chance.choices(WORDS, k=chance.randint(1, 60))])} for i in range(8_000)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def start(bundle: Path, source: Path, target: Path, *options: str) -> "subprocess.Popen[str]":
    root = Path(medclf.__file__).parents[1]
    program = f"from medclf.runtime import windows; windows.WINDOW_TEXTS = {WINDOW}\n"
    program += (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
    )
    program += "from medclf.cli.predict import main; main()"
    arguments = ["--bundle", bundle, "--input", source, "--output", target, "--keep", "id", *options]
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def n_commits(target: Path) -> int:
    return sum(path.name[:6].isdigit() for path in work_folder(target).glob("*.json"))


def wait_for_commits(running: Any, target: Path, n: int) -> None:
    until = time.monotonic() + 120
    while n_commits(target) < n:
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.005)


def finish(running: Any, code: int) -> str:
    out, err = running.communicate(timeout=200)
    assert (running.returncode, out) == (code, ""), err
    assert CANARY not in err
    return str(err)


@pytest.mark.parametrize(
    ("stopped_by", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_stop_says_how_to_go_on(
    tiny_bundle: Path, source: Path, tmp_path: Path, stopped_by: signal.Signals, code: int
) -> None:
    target = tmp_path / "out.csv"
    running = start(tiny_bundle, source, target)
    wait_for_commits(running, target, 2)
    running.send_signal(stopped_by)
    said = finish(running, code)
    n_rows = WINDOW * n_commits(target)
    assert f"{n_rows:,} rows are committed in {work_folder(target)}: go on with --resume." in said
    assert "Traceback" not in said
    assert not target.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.csv.gz", "out.parquet"])
def test_killed_again_and_again(tiny_bundle: Path, source: Path, tmp_path: Path, name: str) -> None:
    finish(start(tiny_bundle, source, tmp_path / "alone" / name), 0)
    target = tmp_path / name
    chance = random.Random(0)
    for n in (1, 20, 50, 80):
        running = start(tiny_bundle, source, target, "--resume")
        wait_for_commits(running, target, n)
        time.sleep(chance.uniform(0, 0.05))
        running.kill()
        assert running.wait() == -signal.SIGKILL
        running.communicate()
        assert not target.exists()
    assert "8,000 rows" in finish(start(tiny_bundle, source, target, "--resume"), 0)
    assert target.read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert not work_folder(target).exists()
