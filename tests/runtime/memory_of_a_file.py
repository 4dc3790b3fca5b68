"""A program: classifies a file and prints by how much the resident memory of its process grew, in MB.

    python memory_of_a_file.py INPUT OUTPUT [--whole]

`--whole` takes the file as one window: what would happen without windows.
"""

import sys
from pathlib import Path

from stub import StubClassifier

from medclf.runtime import windows
from medclf.runtime.predict_file import predict_file
from medclf.runtime.predict_options import PredictOptions


def peak_mb() -> float:
    # not getrusage: its peak is handed down from the process that started this one
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main(source: str, target: str, *options: str) -> None:
    if options == ("--whole",):
        windows.WINDOW_TEXTS = windows.WINDOW_CHARACTERS = sys.maxsize
    if "parquet" in source + target:
        import pyarrow.parquet

        pyarrow.array([""])  # neither its code is measured nor that of pandas, which it loads here where it finds it
    before = peak_mb()
    counts = predict_file(StubClassifier(), PredictOptions(Path(source), Path(target), keep=("text",)))
    sys.stdout.write(f"{counts.n_rows} {peak_mb() - before:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
