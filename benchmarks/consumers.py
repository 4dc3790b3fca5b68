"""How far other tools' scores are from medclf's, on the texts of a table.

    python benchmarks/consumers.py --bundle BUNDLE --data FILE --optimum-python PYTHON --transformers-js FOLDER

Runs the programs of `examples/` on fp32 and INT8. PYTHON has optimum-onnx; FOLDER is a copy of
`examples/transformers_js` after `npm install`. Texts that are cut at the limit of length are counted apart.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from medclf.data.tables import Table
from medclf.runtime import Classifier
from medclf.runtime.classifier import Predictions

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FILES = {"fp32": "model.onnx", "int8": "model_quantized.onnx"}


def commands(options: argparse.Namespace, precision: str) -> dict[str, list[object]]:
    dtype = {"fp32": "fp32", "int8": "q8"}[precision]
    plain = [sys.executable, EXAMPLES / "plain_onnxruntime.py", options.bundle, f"onnx/{FILES[precision]}"]
    optimum = [options.optimum_python, EXAMPLES / "optimum_pipeline.py", options.bundle, FILES[precision]]
    js = ["node", options.transformers_js / "classify.mjs", options.bundle, dtype]
    return {"onnxruntime": plain, "Optimum": optimum, "transformers.js": js}


def scores_of(command: list[object], texts: list[str], names: tuple[str, ...]) -> np.ndarray:
    given = "\n".join(texts) + "\n"
    done = subprocess.run([str(part) for part in command], input=given, stdout=subprocess.PIPE, text=True, check=True)
    return np.array([[json.loads(line)[name] for name in names] for line in done.stdout.splitlines()])


def compare(ours: Predictions, theirs: np.ndarray) -> dict[str, float]:
    difference = np.abs(ours.probabilities - theirs).max(axis=1)
    flips = ours.probabilities.argmax(axis=1) != theirs.argmax(axis=1)
    found: dict[str, float] = {}
    for name, rows in (("whole", ~ours.truncated), ("cut", ours.truncated)):
        found[f"{name}_texts"] = int(rows.sum())
        found[f"{name}_max_difference"] = float(difference[rows].max(initial=0))
        found[f"{name}_other_labels"] = int(flips[rows].sum())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--bundle", "--data", "--optimum-python", "--transformers-js"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--rows", type=int, default=150)
    options = parser.parse_args()
    with Table(options.data) as table:  # a line a text: line ends become spaces, which no tokenizer of BERT tells apart
        texts = [" ".join(str(row.values["text"]).split()) for row, _ in zip(table, range(options.rows), strict=False)]
    result = {}
    for precision in FILES:
        with Classifier.load(options.bundle, precision=precision) as classifier:
            ours, names = classifier.classify(texts), classifier.classes_
        for consumer, command in commands(options, precision).items():
            result[f"{consumer} {precision}"] = compare(ours, scores_of(command, texts, names))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
