import os
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medclf.runtime import cuda
from medclf.runtime.session import OUTPUT, Session

ROOT = Path(__file__).resolve().parents[2]


def test_bound_input_and_output_give_the_same(graph: Callable[..., bytes]) -> None:
    session = Session(graph()).check()
    ids = np.array([[1, 2], [3, 4]], dtype=np.int64)
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    assert (cuda.run_bound(session, feed, OUTPUT, "cpu") == session.run([OUTPUT], feed)[0]).all()


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (("libcublasLt.so.13: cannot open shared object file: No such file",), "libcublasLt.so.13 cannot be loaded."),
        (("", "libcuda.so.1: cannot open shared object file"), "libcuda.so.1 cannot be loaded."),
        (("/a/libonnxruntime_providers_cuda.so: cannot open", "libcuda.so.1: no"), "libcuda.so.1 cannot be loaded."),
        (("", ""), "No library is missing: is a GPU visible to this process?"),
    ],
)
def test_what_is_missing(monkeypatch: pytest.MonkeyPatch, errors: tuple[str, ...], expected: str) -> None:
    left = iter(errors)

    def load(_: str) -> None:
        if error := next(left):
            raise OSError(error)

    monkeypatch.setattr(cuda.ctypes, "CDLL", load)
    assert cuda.missing(SimpleNamespace(__file__="/a/onnxruntime/__init__.py")) == expected


ASK = """
import sys
from medclf.errors import ProviderError
from medclf.runtime import Classifier

for bundle, graphs in ((sys.argv[1], False), (sys.argv[2], True)):
    try:
        Classifier.load(bundle, provider="cuda", precision="fp32", cuda_graphs=graphs)
    except ProviderError as error:
        print(error)
with Classifier.load(sys.argv[1], provider="auto", precision="fp32") as classifier:
    print(classifier.provider, *classifier.predict(["baba cece"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_the_gpu_build_on_a_machine_without_a_gpu(tiny_bundle: Path, tiny_traced_bundle: Path, tmp_path: Path) -> None:
    """The real wheel (256 MB), in an environment of its own: ONNX Runtime itself would run on the CPU in silence."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    packages = ["onnxruntime-gpu", "tokenizers", "typer", "rich"]
    install = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", *packages]
    if subprocess.run(install, capture_output=True, check=False, timeout=600).returncode:
        pytest.skip("onnxruntime-gpu cannot be had here")
    done = subprocess.run(
        [python, "-c", ASK, tiny_bundle, tiny_traced_bundle],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    *messages, answer = done.stdout.splitlines()
    assert len(messages) == 2
    for message in messages:
        assert "was built with it and could not start it. lib" in message
        assert " cannot be loaded. It needs the driver" in message
    assert answer.startswith("cpu ")
    assert "provider auto: provider cuda" in done.stderr
