"""The modes of the classifier, with one text at a time from several clients, in turns in one process.

    python benchmarks/modes.py --bundle FOLDER [--precision int8] [--data FILE] [--rounds 7] [--output FILE]

Timed: from a string to its answer, as a thread of a service asks. Each client asks again as soon as it is answered. A
mode's rate is the median of the rounds; `auto_to_better` the median of the ratios, within a round, of auto to the
better one of the other two. `core_ms` is processor time of an answer: what a mode costs when others want the cores.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from medclf.bench.environment import environment
from medclf.bench.texts import synthetic_texts
from medclf.bundle import read_manifest, read_verified
from medclf.data.unlabelled import read_texts
from medclf.runtime import Classifier
from medclf.runtime.opening import TOKENIZER

MODES = ("throughput", "latency", "auto")
CLIENTS = (1, 2, 4, 16)
N_TEXTS = 64


def turn(classifier: Classifier, texts: Sequence[str], n_clients: int, seconds: float) -> dict[str, float]:
    """Let clients ask for some time."""
    latencies: list[float] = []
    asked, until = count(), time.perf_counter() + seconds

    def client() -> None:
        while (start := time.perf_counter()) < until:
            classifier.predict([texts[next(asked) % len(texts)]])
            latencies.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client) for _ in range(n_clients)]
    start, cores = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cores = time.perf_counter() - start, time.process_time() - cores
    p50, p95, p99 = (1000 * float(value) for value in np.percentile(latencies, [50, 95, 99]))
    rate = len(latencies) / wall
    return {"per_s": rate, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "core_ms": 1000 * cores / len(latencies)}


def measure(
    modes: dict[str, Classifier], texts: Sequence[str], n_clients: int, seconds: float, rounds: int
) -> dict[str, Any]:
    """Time the modes in turns; one round more goes before, as warm-up."""
    found = [
        {mode: turn(classifier, texts, n_clients, seconds) for mode, classifier in modes.items()}
        for _ in range(rounds + 1)
    ][1:]
    ratios = [one["auto"]["per_s"] / max(one["throughput"]["per_s"], one["latency"]["per_s"]) for one in found]
    medians = {
        mode: {name: statistics.median(one[mode][name] for one in found) for name in found[0][mode]} for mode in modes
    }
    return {
        "clients": n_clients,
        **medians,
        "auto_to_better": statistics.median(ratios),
        "auto_to_better_rounds": ratios,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--data", type=Path, help="table of texts; default: random words of the training lengths")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    manifest = read_manifest(options.bundle)
    if options.data:
        texts, _ = read_texts(options.data, manifest.columns, N_TEXTS)
    else:
        vocabulary = read_verified(options.bundle, manifest, TOKENIZER).decode("utf-8")
        texts = synthetic_texts(vocabulary, manifest, N_TEXTS, seed=0)
    modes = {mode: Classifier.load(options.bundle, precision=options.precision, mode=mode) for mode in MODES}
    lengths = modes["auto"].classify(texts)
    report = {
        "texts": str(options.data.name) if options.data else "random words, seed 0",
        "tokens_mean": float((lengths.n_tokens - lengths.n_cut).mean()),
        "precision": options.precision,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "environment_before": environment(),
    }
    report["found"] = [measure(modes, texts, n, options.seconds, options.rounds) for n in CLIENTS]
    report["environment_after"] = environment()
    document = json.dumps(report, indent=2)
    if options.output:
        options.output.write_text(document + "\n", encoding="utf-8")
    print(document)


if __name__ == "__main__":
    main()
