"""The ladder of students: which figure of which command stands in which row."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def ladder(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    specification = importlib.util.spec_from_file_location("ladder", FOLDER / "ladder.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "ladder", module)
    specification.loader.exec_module(module)
    return module


def speed(name: str, tokens_per_s: float) -> dict[str, Any]:
    spread = {"documents_per_s": 10.0, "documents_per_s_min": 9.0, "documents_per_s_max": 11.0}
    return {"path": name, "tokens_per_s": tokens_per_s, **spread}


def test_rungs_are_put_together_by_name(ladder: ModuleType, tmp_path: Path) -> None:
    folders = {"teacher": tmp_path / "bundle", "layers2": tmp_path / "layers2"}
    for folder, files in (("bundle", ("model.onnx", "model_quantized.onnx")), ("layers2", ("model.onnx",))):
        (tmp_path / folder / "onnx").mkdir(parents=True)
        for number, file in enumerate(files, start=1):
            (tmp_path / folder / "onnx" / file).write_bytes(b"x" * 1_000_000 * number)
    scored = {name: {"scores": {"macro_f1": f1}, "intervals": {"macro_f1": [f1 - 0.1, f1 + 0.1]}}
              for name, f1 in (("int8", 0.81), ("fp32", 0.8), ("layers2 fp32", 0.79))}  # fmt: skip
    drops = [{"reference": name, "f1_drop": drop, "f1_drop_interval": [drop - 2, drop + 2]}
             for name, drop in (("fp32", -1.0), ("layers2 fp32", -2.0))]  # fmt: skip
    paths = [speed("medclf fp32", 100), speed("medclf int8", 200), speed("medclf fp32 of layers2", 400)]
    measured = {"evaluate": {"models": scored, "comparisons": drops}, "bench": {"workloads": [{"paths": paths}]}}
    found = ladder.rungs(measured, folders)
    assert [(one["model"], one["macro_f1"], one["points"], one["tokens_per_s"]) for one in found] == [
        ("teacher fp32", 0.8, -1.0, 100),
        ("teacher int8", 0.81, None, 200),
        ("layers2 fp32", 0.79, -2.0, 400),  # its INT8 did not pass
    ]
    assert found[0]["range"] == pytest.approx([90, 110])
    lines = ladder.table({"rungs": found}).splitlines()
    assert lines[-1] == (
        "| layers2 fp32 | 0.790 (0.690 to 0.890) | -2.00 (-4.00 to +0.00) | 400 | 360 to 440 | 2.00 | 1.0 |"
    )
