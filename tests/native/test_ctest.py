"""The native tests, with the installed ONNX Runtime: none fails, and none is skipped."""

import os
import subprocess
from pathlib import Path


def test_ctest(native_build: Path, onnxruntime_library: Path) -> None:
    done = subprocess.run(
        ["ctest", "--test-dir", native_build, "--output-on-failure"],
        env={**os.environ, "MEDCLF_ORT_LIBRARY": str(onnxruntime_library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Skipped" not in done.stdout
    assert "classifier" in done.stdout
