"""libmedclf beside the Python runtime: the same bundle, the same texts, in turns.

    make native
    python benchmarks/native.py --bundle FOLDER --data FILE --questions FILE [--texts 256] [--rounds 5] [--output FILE]

Timed, each as the median of the rounds with their extremes; one round more goes before, as warm-up:

- texts to labels, by `Classifier.classify` and `NativeClassifier.classify` in this process: the texts of DATA, and the
  first 10 words of those of QUESTIONS (about 15 tokens); many at a time, and one at a time in latency mode, there also
  by `medclf_classify` into memory that was made before, as a program in C has it ("native");
- texts to token ids on one thread: `encode_batch` and `encode_batch_fast` of `tokenizers`, without its threads, and
  `NativeClassifier.encode` text by text, and `medclf_encode` on all texts as one;
- a whole process, with its peak memory: from its start to the answer to one text, and to all of them, of Python with
  the runtime and of `medclf-run`. The system has the files in its cache after the warm-up.

Each in wall-clock seconds and in CPU seconds of the process, which other work on the machine hardly changes. Not timed:
reading the data. Labels are compared; the largest difference of a probability is in the result, and how much of the
Python runtime's time is tokenizing.
"""

import argparse
import ctypes
import functools
import json
import logging
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from medclf.bench.environment import environment
from medclf.data.tables import Table
from medclf.native import NativeClassifier, onnxruntime_path
from medclf.native.library import Results, Text, check
from medclf.runtime import Classifier
from medclf.runtime.cores import usable_cores
from medclf.tokenizer import TextEncoder

QUESTION_WORDS = 10
PROCESS = """
import json, sys
from medclf.runtime import Classifier
texts = [json.loads(line)["text"] for line in sys.stdin]
print(*Classifier.load(sys.argv[1], provider="cpu").predict(texts))
"""
LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""  # between us and the process: its peak memory would begin with ours

Way = Callable[[], Any]


@dataclass
class Times:
    """Seconds of each round, warm-up excluded."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        return {
            "seconds": statistics.median(self.wall),
            "min": min(self.wall),
            "max": max(self.wall),
            "cpu_seconds": statistics.median(self.cpu),
        }


def in_turns(ways: dict[str, Way], rounds: int) -> dict[str, Times]:
    """Time each way in each round; a way that returns CPU seconds spent them in another process."""
    times = {name: Times() for name in ways}
    for round_ in range(rounds + 1):
        for name, way in ways.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            spent = way()
            wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
            if round_:
                times[name].wall.append(wall)
                times[name].cpu.append(spent if isinstance(spent, float) else cpu)
    return times


def compared(ways: dict[str, Way], rounds: int, amount: float | None = None) -> dict[str, Any]:
    """Each way's times, its amount a second, and how many times faster the last way is."""
    found = {name: times.summary() for name, times in in_turns(ways, rounds).items()}
    last = found[list(ways)[-1]]
    for one in found.values():
        one["native_is_faster_by"] = one["seconds"] / last["seconds"]
        one["native_takes_less_cpu_by"] = one["cpu_seconds"] / last["cpu_seconds"]
        if amount:
            one["per_s"] = amount / one["seconds"]
    return found


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
        encoder = TextEncoder((bundle / "tokenizer.json").read_text(), max_length=python.manifest.max_length)
        ways: dict[str, Way] = {
            "python, tokenizing alone": lambda: encoder.encode(texts),
            "python": lambda: python.classify(texts),
            "native": lambda: native.classify(texts),
        }
        many = compared(ways, rounds, len(texts))
    some = texts[:32]
    python, native = classifiers(bundle, library, precision, "latency")
    with python, native:
        one = compared(
            {
                "python": lambda: [python.classify([t]) for t in some],
                "native, from Python": lambda: [native.classify([t]) for t in some],
                "native": through_c(native, some),
            },
            4 * rounds,
            len(some),
        )
    return {
        "mean_tokens": float(found.n_tokens.mean()),
        "labels_equal": found.labels == expected.labels,
        "largest_probability_difference": float(np.abs(found.probabilities - expected.probabilities).max()),
        "many_texts": many,
        "one_text": one,
    }


def through_c(native: NativeClassifier, texts: Sequence[str]) -> Way:
    """Ask one text at a time as a program in C does: UTF-8 that is there, answers into memory that is there."""
    library, handle, n_labels = native._library, native._open(), len(native.classes_)
    given = [Text(data, len(data)) for data in (text.encode() for text in texts)]
    arrays = np.empty(n_labels, np.float32), np.empty(n_labels, np.float32), np.empty(n_labels, np.uint8)
    counts = np.empty((3, 1), np.int64)
    tokens, cut, windows = (row.ctypes.data for row in counts)
    results = Results(ctypes.sizeof(Results), *(a.ctypes.data for a in arrays), tokens, None, None, cut, windows)

    def run() -> None:
        for text in given:
            check(library, library.medclf_classify(handle, ctypes.byref(text), None, 1, ctypes.byref(results)))
            assert arrays[2].any()  # a label was given
            assert counts[0, 0] > 2  # tokens

    return run


def to_ids(bundle: Path, library: Path, texts: Sequence[str], rounds: int) -> dict[str, Any]:
    """Megabytes of text a second, on one thread."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
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
        return compared(ways, rounds, n_megabytes)


def processes(bundle: Path, run: Path, texts: Sequence[str], rounds: int) -> dict[str, Any]:
    """Seconds from the start of a process to its end, and its peak memory."""
    commands = {"python": [sys.executable, "-c", PROCESS, str(bundle)], "medclf-run": [str(run), str(bundle)]}
    rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    peaks: dict[str, float] = {}

    def start(name: str) -> float:
        launcher = [sys.executable, "-S", "-c", LAUNCHER, *commands[name]]
        done = subprocess.run(launcher, input=rows, capture_output=True, text=True, check=True)
        cpu_seconds, peak_kb = done.stderr.split()[-2:]
        peaks[name] = int(peak_kb) / 1000
        return float(cpu_seconds)

    found = compared({name: functools.partial(start, name) for name in commands}, rounds)
    for name, one in found.items():
        one["peak_mb"] = peaks[name]
    return found


def short(argument: str) -> str:
    """An argument without the folders of this machine."""
    return "/".join(Path(argument).parts[-2:]) if argument.startswith("/") else argument


def read_texts(path: Path, n: int) -> list[str]:
    with Table(path) as table:
        return [str(row.values["text"]) for row, _ in zip(table, range(n), strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--build", type=Path, default=Path("build/native"))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # texts that were cut
    os.environ["MEDCLF_ORT_LIBRARY"] = str(onnxruntime_path())
    texts = read_texts(options.data, options.texts)
    questions = [" ".join(text.split()[:QUESTION_WORDS]) for text in read_texts(options.questions, options.texts)]
    work = {"texts": texts, "questions": questions}
    library, run = options.build / "native" / "libmedclf.so", options.build / "native" / "medclf-run"
    result = {
        "command": shlex.join(["python", "benchmarks/native.py", *map(short, sys.argv[1:])]),
        "n_texts": len(texts),
        "rounds": options.rounds,
        "cores": usable_cores(),
        "documents_to_labels": {
            f"{name}, {precision}": to_labels(options.bundle, library, precision, part, options.rounds)
            for name, part in work.items()
            for precision in ("fp32", "int8")
        },
        "start_to_first_answer": processes(options.bundle, run, ["Chest pain."], options.rounds),
        "start_to_all_answers": processes(options.bundle, run, texts, options.rounds),
        "megabytes_to_ids": to_ids(options.bundle, library, texts, options.rounds),  # last: it limits `tokenizers`
        "environment": environment(),
    }
    text = json.dumps(result, indent=2)
    if options.output:
        options.output.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
