"""Processes with a classifier each, loaded after the fork: texts on stdin, one a line; labels on stdout, in order.

pip install 'medclf[cpu]'
python workers.py bundle < texts.txt

One process with threads is as fast and holds the model once (threads.py); processes are for programs that have them
already, such as a task queue or a web server with workers.
"""

import multiprocessing
import os
import sys
from itertools import islice

from medclf.runtime import Classifier

N_WORKERS = 2
CHUNK = 256  # texts of a task: enough for the schedule to sort by length


def load(bundle: str, threads: int) -> None:
    """Open the bundle in the worker: a classifier does not survive a fork, and cannot be sent."""
    global classifier
    classifier = Classifier.load(bundle, threads=threads)


def labels(texts: list[str]) -> list[str]:
    """Answer a chunk in the worker."""
    return [str(name) for name in classifier.predict(texts)]


if __name__ == "__main__":
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    lines = (line.strip() for line in sys.stdin)
    chunks = iter(lambda: list(islice(lines, CHUNK)), [])
    with multiprocessing.Pool(N_WORKERS, load, (sys.argv[1], max(1, cores // N_WORKERS))) as pool:
        for names in pool.imap(labels, chunks):
            print(*names, sep="\n")
