"""What the runtime loads: it must start where torch is not, and start fast."""

import subprocess
import sys
from pathlib import Path

import medclf
from medclf import runtime

HEAVY = {"torch", "transformers", "onnx", "pandas", "sklearn", "scipy", "matplotlib", "pyarrow", "ray", "pyspark"}
SCRIPT = """
import sys
import medclf.runtime, medclf.runtime.verify, medclf.runtime.predict_file
if len(sys.argv) > 1:
    with medclf.runtime.Classifier.load(sys.argv[1]) as classifier:
        classifier.predict(["baba"])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def loaded_by(*arguments: str) -> set[str]:
    root = Path(medclf.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_a_prediction_loads_nothing_heavy(tiny_bundle: Path) -> None:
    names = loaded_by(str(tiny_bundle))
    assert "onnxruntime" in names
    assert not names & HEAVY


def test_an_import_does_not_load_onnxruntime() -> None:
    assert "onnxruntime" not in loaded_by()


def test_the_command_loads_ray_only_for_it() -> None:
    script = "import sys, medclf.cli.predict, medclf.cluster.ray.engine; print(*sys.modules)"
    root = Path(medclf.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert not {"ray", "pyarrow", "onnxruntime", "torch"} & set(done.stdout.split())


def test_the_public_names() -> None:
    assert runtime.__all__ == sorted(runtime.__all__)
    assert set(runtime.__all__) == {"Classifier", "Predictions", "Truncation"}
