"""Service times for `scale_simulation.py`: the real classifier on blocks of a table, and the commit of a small file.

    python benchmarks/scale_times.py --run BUNDLE=TABLE:ROWS --output FILE

Blocks of 64 rows, from strings to labels on all cores: once in a random order, once sorted by length. Seconds are
processor time over cores, which other programs hardly change. The result holds counts and seconds, no text.
"""

import argparse
import json
import logging
import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from medclf.atomic import atomic_file
from medclf.bench.environment import environment
from medclf.bundle import read_manifest
from medclf.data.unlabelled import read_texts
from medclf.runtime import Classifier

BLOCK_ROWS = 64


def blocks(classifier: Classifier, texts: list[str]) -> list[dict[str, float]]:
    found = []
    for first in range(0, len(texts) // BLOCK_ROWS * BLOCK_ROWS, BLOCK_ROWS):
        begun = time.process_time()
        answers = classifier.classify(texts[first : first + BLOCK_ROWS])
        seconds = (time.process_time() - begun) / classifier.n_callers
        n_tokens = int((answers.n_tokens - answers.n_cut).sum())
        found.append({"seconds": round(seconds, 4), "n_rows": len(answers), "n_tokens": n_tokens})
    return found


def commit_s() -> float:
    """Seconds of one record of a finished partition, written and renamed: the median of 100."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(100):
            begun = time.perf_counter()
            with atomic_file(Path(folder) / f"{i}.json", overwrite=True) as partial:
                partial.write_text(json.dumps({"partition": i, "n_rows": 1, "sha256": "0" * 64}))
            found.append(time.perf_counter() - begun)
    return median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, metavar="BUNDLE=TABLE:ROWS")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    bundle, source = (Path(part) for part in options.run.split("=", 1))
    table, rows = str(source).rsplit(":", 1)
    texts, _ = read_texts(Path(table), read_manifest(bundle).columns, int(rows))
    random.Random(0).shuffle(texts)
    report: dict[str, Any] = {"bundle": bundle.parent.name, "table": Path(table).name, "environment": environment()}
    logging.disable(logging.WARNING)  # that texts were cut would be told once a block
    begun = time.perf_counter()
    with Classifier.load(bundle) as classifier:
        report |= {"start_s": time.perf_counter() - begun, "precision": classifier.precision}
        classifier.predict(texts[:BLOCK_ROWS])  # the first run allocates
        report |= {"shuffled": blocks(classifier, texts), "sorted": blocks(classifier, sorted(texts, key=len))}
    report |= {"commit_s": commit_s(), "row_bytes": sum(len(text.encode()) for text in texts) / len(texts)}
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
