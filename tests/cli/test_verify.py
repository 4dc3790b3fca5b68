import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medclf.cli.verify import main
from medclf.runtime import session
from medclf.runtime import verify as module
from medclf.runtime.session import Operator


def test_a_whole_bundle(run_command: Callable[..., Any], tiny_bundle: Path) -> None:
    done = run_command(main, "--bundle", tiny_bundle)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1].endswith("checks, all passed.")
    assert "FAILED" not in done.out
    (line,) = [line for line in done.out.splitlines() if "int8 operators" in line]
    assert re.fullmatch(r"ok      int8 operators: int8 runs on cpu: (\d+ \w+, ){6}\.\.\. \(\d+ nodes\)", line)


def test_nodes_that_run_elsewhere(
    run_command: Callable[..., Any], tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = [Operator("Shape", "cuda", "int64"), Operator("MatMulIntegerToFloat", "cuda", "float")]
    monkeypatch.setattr(module, "operators", lambda *_, **__: Counter({where[0]: 5, where[1]: 3}))
    done = run_command(main, "--bundle", tiny_bundle)
    assert done.code == 1
    assert "FAILED  int8 operators: not on cpu: 3 MatMulIntegerToFloat (3 nodes)" in done.out


def test_a_provider_that_cannot_be_had(
    run_command: Callable[..., Any], tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "cuda_built_in", lambda: False)
    done = run_command(main, "--bundle", tiny_bundle, "--provider", "cuda")
    assert done.code == 1
    assert "FAILED  fp32 opens: provider cuda: the onnxruntime" in done.out
    assert "ok      int8 opens: on cpu" in done.out


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
    assert {"name", "passed", "detail", "operators"} == set(document["checks"][0])
    counts = {check["name"]: check["operators"] for check in document["checks"]}
    assert counts["manifest"] == []
    products = [one for one in counts["int8 operators"] if one["operator"].startswith("MatMulInteger")]
    assert sum(one["n"] for one in products) >= 8  # four linear layers in each of two
    assert {one["provider"] for one in counts["int8 operators"]} == {"cpu"}
    none = run_command(main, "--bundle", tmp_path / "absent", "--json")
    assert (none.code, json.loads(none.out)["passed"]) == (1, False)
