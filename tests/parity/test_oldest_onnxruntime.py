"""Old versions of ONNX Runtime, one whose attention ignores a mask among them, give our answers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medclf.runtime import Classifier

PROGRAM = """
import sys, numpy as np, onnxruntime
feed = dict(np.load(sys.argv[2]))
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
np.save(sys.argv[3], session.run(["logits"], feed)[0])
print(onnxruntime.__version__)
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.19.2", "1.20.1"])
def test_an_old_onnxruntime_gives_the_same_logits(
    version: str, tiny_bundle: Path, texts: list[str], tmp_path: Path
) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "old")]
    done = subprocess.run([*install, f"onnxruntime=={version}"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"onnxruntime {version} cannot be installed here")
    with Classifier.load(tiny_bundle, precision="fp32") as classifier:
        batch = classifier._encoder.pad(classifier._encoder.encode(texts[:16]))  # of mixed lengths
        expected = classifier.logits(texts[:16])
    np.savez(tmp_path / "feed.npz", **batch.feed())
    files = [str(tiny_bundle / "onnx" / "model.onnx"), str(tmp_path / "feed.npz"), str(tmp_path / "logits.npy")]
    environment = {"PYTHONPATH": str(tmp_path / "old"), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", PROGRAM, *files], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == version
    assert np.load(files[2]) == pytest.approx(expected, abs=1e-4)
