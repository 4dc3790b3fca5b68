"""libmedclf beside the Python runtime: the same bundle, the same texts, in turns.

    make native
    python benchmarks/native.py --bundle FOLDER --data FILE [--texts 256] [--rounds 5] [--build build/native]

Timed, each as the median of the rounds with their extremes; one round more goes before, as warm-up:

- texts to labels, by `Classifier.classify` and `NativeClassifier.classify` in this process: the texts as they are, and
  their first 10 words (a question of about 15 tokens); many at a time, and one at a time in latency mode;
- texts to token ids on one thread: `encode_batch` and `encode_batch_fast` of `tokenizers`, without its threads, and
  `NativeClassifier.encode` text by text, and `medclf_encode` on all texts as one;
- start to first answer: a Python process with the runtime, and `medclf-run`, each with its peak memory. The system has
  the files in its cache after the warm-up.

Not timed: reading the data. Labels are compared; the largest difference of a probability is in the result.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from medclf.bench.environment import environment
from medclf.data.tables import Table
from medclf.native import NativeClassifier, onnxruntime_path
from medclf.runtime import Classifier
from medclf.runtime.cores import usable_cores

QUESTION_WORDS = 10
START = """
import sys
from medclf.runtime import Classifier
Classifier.load(sys.argv[1], provider="cpu").predict(["Chest pain."])
"""
LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""  # between us and the process: its peak memory would begin with ours

Way = Callable[[], Any]


def in_turns(ways: dict[str, Way], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way and round, warm-up excluded."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if round_:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def rates(ways: dict[str, Way], amount: float, rounds: int) -> dict[str, Any]:
    """Amount a second of each way, and how many times faster the last way is than each."""
    seconds = in_turns(ways, rounds)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    last = median[list(ways)[-1]]
    return {
        name: {
            "per_s": amount / median[name],
            "min": amount / max(values),
            "max": amount / min(values),
            "native_is_faster_by": median[name] / last,
        }
        for name, values in seconds.items()
    }


def classifiers(bundle: Path, library: Path, precision: str, mode: str) -> tuple[Classifier, NativeClassifier]:
    return (
        Classifier.load(bundle, provider="cpu", precision=precision, mode=mode),
        NativeClassifier.load(bundle, precision=precision, mode=mode, library=library),
    )


def to_labels(bundle: Path, library: Path, precision: str, texts: Sequence[str], rounds: int) -> dict[str, Any]:
    """Documents a second of both, many texts at a time and one at a time."""
    python, native = classifiers(bundle, library, precision, "throughput")
    with python, native:
        expected, found = python.classify(texts), native.classify(texts)
        many = rates(
            {"python": lambda: python.classify(texts), "native": lambda: native.classify(texts)}, len(texts), rounds
        )
    some = texts[:32]
    python, native = classifiers(bundle, library, precision, "latency")
    with python, native:
        one = rates(
            {
                "python": lambda: [python.classify([t]) for t in some],
                "native": lambda: [native.classify([t]) for t in some],
            },
            len(some),
            rounds,
        )
    return {
        "mean_tokens": float(found.n_tokens.mean()),
        "labels_equal": found.labels == expected.labels,
        "largest_probability_difference": float(np.abs(found.probabilities - expected.probabilities).max()),
        "many_texts": many,
        "one_text": one,
    }


def to_ids(bundle: Path, library: Path, texts: Sequence[str], rounds: int) -> dict[str, Any]:
    """Megabytes of text a second, on one thread."""
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    n_megabytes = sum(len(text.encode()) for text in texts) / 1e6
    with NativeClassifier.load(bundle, library=library, threads=1) as native:
        joined = "\n".join(texts)  # one call for all: without what ctypes costs a call
        ways: dict[str, Way] = {
            "encode_batch": lambda: tokenizer.encode_batch(list(texts)),
            "encode_batch_fast": lambda: tokenizer.encode_batch_fast(list(texts)),
            "NativeClassifier.encode": lambda: [native.encode(text) for text in texts],
            "medclf_encode": lambda: native.encode(joined),
        }
        return rates(ways, n_megabytes, rounds)


def to_first_answer(bundle: Path, run: Path, rounds: int) -> dict[str, Any]:
    """Seconds from the start of a process to its first answer, and its peak memory."""
    commands = {"python": [sys.executable, "-c", START, str(bundle)], "medclf-run": [str(run), str(bundle)]}
    peaks: dict[str, float] = {}

    def start(name: str) -> None:
        launcher = [sys.executable, "-S", "-c", LAUNCHER, *commands[name]]
        done = subprocess.run(launcher, input='{"text": "Chest pain."}\n', capture_output=True, text=True, check=True)
        peaks[name] = int(done.stderr.split()[-1]) / 1000

    seconds = in_turns({name: lambda name=name: start(name) for name in commands}, rounds)  # type: ignore[misc]
    found = {name: {"seconds": statistics.median(values), "peak_mb": peaks[name]} for name, values in seconds.items()}
    return found | {"share": found["medclf-run"]["seconds"] / found["python"]["seconds"]}


def read_texts(path: Path, n: int) -> list[str]:
    with Table(path) as table:
        return [str(row.values["text"]) for row, _ in zip(table, range(n), strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--build", type=Path, default=Path("build/native"))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # texts that were cut
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["MEDCLF_ORT_LIBRARY"] = str(onnxruntime_path())
    texts = read_texts(options.data, options.texts)
    work = {"texts": texts, "questions": [" ".join(text.split()[:QUESTION_WORDS]) for text in texts]}
    library, run = options.build / "native" / "libmedclf.so", options.build / "native" / "medclf-run"
    result = {
        "n_texts": len(texts),
        "rounds": options.rounds,
        "cores": usable_cores(),
        "documents_to_labels": {
            f"{name}, {precision}": to_labels(options.bundle, library, precision, part, options.rounds)
            for name, part in work.items()
            for precision in ("fp32", "int8")
        },
        "megabytes_to_ids": to_ids(options.bundle, library, texts, options.rounds),
        "start_to_first_answer": to_first_answer(options.bundle, run, options.rounds),
        "environment": environment(),
    }
    text = json.dumps(result, indent=2)
    if options.output:
        options.output.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
