import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medclf.cli.verify import main


def test_a_whole_bundle(run_command: Callable[..., Any], tiny_bundle: Path) -> None:
    done = run_command(main, "--bundle", tiny_bundle)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1].endswith("checks, all passed.")
    assert "FAILED" not in done.out


def test_a_damaged_bundle(run_command: Callable[..., Any], tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    (bundle / "tokenizer.json").unlink()
    done = run_command(main, "--bundle", bundle)
    assert done.code == 1
    assert "FAILED  tokenizer.json: " in done.out
    assert done.out.splitlines()[-1].endswith("checks, 1 failed.")


def test_json(run_command: Callable[..., Any], tiny_bundle: Path, tmp_path: Path) -> None:
    whole = run_command(main, "--bundle", tiny_bundle, "--json")
    document = json.loads(whole.out)
    assert (whole.code, document["passed"]) == (0, True)
    assert {"name", "passed", "detail"} == set(document["checks"][0])
    none = run_command(main, "--bundle", tmp_path / "absent", "--json")
    assert (none.code, json.loads(none.out)["passed"]) == (1, False)
