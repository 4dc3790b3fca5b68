"""What it takes until a first answer, and how much memory: each mode of a bundle in fresh processes.

    python benchmarks/startup.py --bundle FOLDER [--repeats 5] [--output FILE]

Medians over the processes, in turns. `import_s` is `from medclf.runtime import Classifier`; onnxruntime is imported at
the first load and counted there; `load_s` checks every hash, opens the model and, for auto, times it; `first_ms` and
`warm_ms` answer one text of 200 words; `_core_s` is processor time, which other programs disturb less. Memory is
resident, in MB, after each step. The file cache is warm.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from medclf.bench.environment import environment
from medclf.bundle import read_manifest

MODES = ("throughput", "latency", "auto")
CHILD = """
import json, sys, time

def resident_mb():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1000

def note(step, start, core_start):
    found[step + "_s"], found[step + "_core_s"] = time.perf_counter() - start, time.process_time() - core_start
    found[step + "_mb"] = resident_mb()

found = {"python_mb": resident_mb()}
clocks = time.perf_counter(), time.process_time()
from medclf.runtime import Classifier
note("import", *clocks)
clocks = time.perf_counter(), time.process_time()
classifier = Classifier.load(sys.argv[1], precision=sys.argv[2], mode=sys.argv[3])
note("load", *clocks)
for name in ("first_ms", *["warm_ms"] * 5):
    start = time.perf_counter()
    classifier.predict(["pain " * 200])
    found[name] = 1000 * (time.perf_counter() - start)
found["answered_mb"] = resident_mb()
print(json.dumps(found))
"""


def start(bundle: Path, precision: str, mode: str) -> dict[str, float]:
    """Measure one process."""
    command = [sys.executable, "-c", CHILD, str(bundle), precision, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    ways = [(p, mode) for p in read_manifest(options.bundle).models if p != "fp16" for mode in MODES]
    before = environment()
    rounds = [{way: start(options.bundle, *way) for way in ways} for _ in range(options.repeats + 1)][1:]
    found = [
        {"precision": way[0], "mode": way[1]}
        | {name: statistics.median(one[way][name] for one in rounds) for name in rounds[0][way]}
        for way in ways
    ]
    report = {"repeats": options.repeats, "found": found, "environment": before}
    document = json.dumps(report, indent=2)
    if options.output:
        options.output.write_text(document + "\n", encoding="utf-8")
    print(document)


if __name__ == "__main__":
    main()
