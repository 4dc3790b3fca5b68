"""A SIMULATION of 1 to 1,000 workers, from service times that were measured on one: what limits first.

    python benchmarks/scale_simulation.py --times FILE [--output FILE]

FILE is of `scale_times.py`. An event loop: a worker takes the next partition, reads it from a source that all share
(first come, first served), computes, and hands it to the one driver, which commits one partition after the other.
Times of partitions are sums of measured blocks. It knows nothing of networks but bytes a second, nor of memory.
"""

import argparse
import json
import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from math import inf
from pathlib import Path
from statistics import mean, pstdev
from typing import Any, NamedTuple

ROWS = 37_000_000
WORKERS = (1, 10, 100, 300, 1_000)
BLOCK_ROWS = 64


@dataclass(frozen=True)
class Cluster:
    """What the work runs on.

    Attributes:
        workers: How many; each takes one partition at a time.
        start_s: Of a worker, before its first partition.
        commit_s: Of the driver, for each partition.
        read_s: Of the shared source, for each partition.
        straggler_share: Of attempts, those that take `straggler_factor` times as long.
        straggler_factor: How much longer.
        preempted_every_s: Mean time until a worker is taken away; exponential. None for never.
        replaced_s: Until another one is in its place.
        speculate: Whether an idle worker starts a second copy of the oldest attempt; the first to be committed counts.
        seed: Of all that is drawn.
    """

    workers: int
    start_s: float = 0.0
    commit_s: float = 0.0
    read_s: float = 0.0
    straggler_share: float = 0.0
    straggler_factor: float = 3.0
    preempted_every_s: float | None = None
    replaced_s: float = 120.0
    speculate: bool = False
    seed: int = 0


@dataclass
class Outcome:
    """What became of a run; seconds of workers are those between taking a partition and being done with it."""

    seconds: float = 0.0
    commits: list[int] = field(default_factory=list)
    useful_s: float = 0.0
    lost_s: float = 0.0
    n_preempted: int = 0
    driver_s: float = 0.0
    source_s: float = 0.0


class Attempt(NamedTuple):
    partition: int
    begun: float


class Simulation:
    """An event loop over (time, number, what, worker, life); events of a life that has ended are passed over."""

    def __init__(self, service_s: Sequence[float], cluster: Cluster) -> None:
        self.service_s, self.cluster = service_s, cluster
        self.random = random.Random(cluster.seed)
        self.numbers = count()
        self.events: list[tuple[float, int, str, int, int]] = []
        self.waiting = deque(range(len(service_s)))
        self.running: dict[int, Attempt] = {}  # worker -> what it does
        self.idle: set[int] = set()
        self.lives = [0] * cluster.workers  # of each worker: one more after each preemption
        self.committing: set[int] = set()  # handed to the driver, which will come to them
        self.source_free = self.driver_free = 0.0
        self.outcome = Outcome()

    def run(self) -> Outcome:
        for worker in range(self.cluster.workers):
            self.at(self.cluster.start_s, "free", worker)
            self.at(self.lifetime(), "preempted", worker)
        while len(self.outcome.commits) < len(self.service_s):
            now, _, what, worker, life = heappop(self.events)
            if what == "committed":  # `life` is the partition
                self.commit(now, life)
            elif life == self.lives[worker]:
                getattr(self, what)(now, worker)
        return self.outcome

    def at(self, when: float, what: str, worker: int, life: int | None = None) -> None:
        if when < inf:
            heappush(
                self.events, (when, next(self.numbers), what, worker, self.lives[worker] if life is None else life)
            )

    def lifetime(self) -> float:
        every = self.cluster.preempted_every_s
        return inf if every is None else self.random.expovariate(1 / every)

    def free(self, now: float, worker: int) -> None:
        self.idle.discard(worker)
        partition = self.waiting.popleft() if self.waiting else self.copied()
        if partition is None:
            self.idle.add(worker)
            return
        cluster = self.cluster
        self.running[worker] = Attempt(partition, now)
        self.source_free = max(now, self.source_free) + cluster.read_s
        self.outcome.source_s += cluster.read_s
        slow = cluster.straggler_factor if self.random.random() < cluster.straggler_share else 1.0
        self.at(self.source_free + self.service_s[partition] * slow, "computed", worker)

    def copied(self) -> int | None:
        """The oldest attempt that has no second one."""
        if not self.cluster.speculate:
            return None
        copies = Counter(one.partition for one in self.running.values())
        alone = [one for one in self.running.values() if copies[one.partition] == 1]
        return min(alone, key=lambda one: (one.begun, one.partition)).partition if alone else None

    def computed(self, now: float, worker: int) -> None:
        attempt = self.running.pop(worker)
        if attempt.partition in self.committing:
            self.outcome.lost_s += now - attempt.begun
        else:
            self.committing.add(attempt.partition)
            self.outcome.useful_s += now - attempt.begun
            self.driver_free = max(now, self.driver_free) + self.cluster.commit_s
            self.outcome.driver_s += self.cluster.commit_s
            self.at(self.driver_free, "committed", worker, attempt.partition)
            if self.cluster.speculate:
                self.stop_copies(now, attempt.partition)
        self.free(now, worker)

    def stop_copies(self, now: float, partition: int) -> None:
        for worker in [worker for worker, one in self.running.items() if one.partition == partition]:
            self.outcome.lost_s += now - self.running.pop(worker).begun
            self.lives[worker] += 1
            self.at(now, "free", worker)
            self.at(now + self.lifetime(), "preempted", worker)

    def commit(self, now: float, partition: int) -> None:
        self.outcome.commits.append(partition)
        self.outcome.seconds = now

    def preempted(self, now: float, worker: int) -> None:
        self.outcome.n_preempted += 1
        self.lives[worker] += 1
        self.idle.discard(worker)
        attempt = self.running.pop(worker, None)
        if attempt is not None:
            self.outcome.lost_s += now - attempt.begun
            others = {one.partition for one in self.running.values()}
            if attempt.partition not in others | self.committing:
                self.waiting.appendleft(attempt.partition)
                if self.idle:
                    self.at(now, "free", self.idle.pop())
        back = now + self.cluster.replaced_s + self.cluster.start_s
        self.at(back, "free", worker)
        self.at(back + self.lifetime(), "preempted", worker)


def partitions(blocks: Sequence[dict[str, float]], n_rows: int, *, skewed: bool, seed: int) -> list[float]:
    """Seconds of each partition: a sum of blocks, drawn from all, or where skewed from a stretch of the sorted ones."""
    chance, n = random.Random(seed), ROWS // n_rows
    row_s = [block["seconds"] / block["n_rows"] for block in blocks]
    if skewed:  # a table sorted by length: partition i has the lengths of place i
        return [n_rows * row_s[min(len(row_s) - 1, i * len(row_s) // n)] for i in range(n)]
    k = max(1, n_rows // BLOCK_ROWS)
    if k > 100:  # the mean of so many draws is normal
        middle, spread = mean(row_s), pstdev(row_s) / k**0.5
        return [n_rows * max(0.0, chance.gauss(middle, spread)) for _ in range(n)]
    return [n_rows * sum(chance.choices(row_s, k=k)) / k for _ in range(n)]


def scenarios(times: dict[str, Any]) -> dict[str, tuple[int, bool, Cluster]]:
    """Name -> rows of a partition, whether the table is sorted by length, the cluster."""
    plain = Cluster(1, times["start_s"], times["commit_s"])
    read = times["row_bytes"] / 100e6  # a store of 100 MB/s
    slow = replace(plain, straggler_share=0.02)
    return {
        "10,000 rows a partition": (10_000, False, plain),
        "100,000 rows a partition": (100_000, False, plain),
        "500 rows a partition": (500, False, plain),
        "500 rows, a commit takes 50 ms": (500, False, replace(plain, commit_s=0.05)),
        "10,000 rows, from a source of 100 MB/s": (10_000, False, replace(plain, read_s=10_000 * read)),
        "10,000 rows, from a source of 25 MB/s": (10_000, False, replace(plain, read_s=40_000 * read)),
        "10,000 rows, the table sorted by length, shortest first": (10_000, True, plain),
        "10,000 rows, 2 % of attempts take 3 times as long": (10_000, False, slow),
        "10,000 rows, the same stragglers, with second copies": (10_000, False, replace(slow, speculate=True)),
        "10,000 rows, each worker taken away every 2 h": (10_000, False, replace(plain, preempted_every_s=7200.0)),
        "100,000 rows, stragglers, taken away every 2 h": (100_000, False, replace(slow, preempted_every_s=7200.0)),
    }


def figures(service_s: Sequence[float], cluster: Cluster) -> dict[str, float]:
    """Efficiency is the seconds that the partitions need, over those of all workers until the last commit."""
    found = Simulation(service_s, cluster).run()
    return {
        "workers": cluster.workers,
        "hours": found.seconds / 3600,
        "efficiency": sum(service_s) / (cluster.workers * found.seconds),
        "lost": found.lost_s / (found.lost_s + found.useful_s),
        "driver_busy": found.driver_s / found.seconds,
        "source_busy": found.source_s / found.seconds,
        "n_preempted": found.n_preempted,
    }


def table(scenarios: dict[str, Any]) -> str:
    heads = ["a SIMULATION", *(f"{n:,} worker{'s' * (n > 1)}" for n in WORKERS)]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for name, one in scenarios.items():
        cells = [f"{100 * found['efficiency']:.0f} %, {found['hours']:,.2f} h" for found in one["found"]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=Path, required=True)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    times = json.loads(options.times.read_bytes())
    report: dict[str, Any] = {"simulation": True, "times": options.times.name, "rows": ROWS, "scenarios": {}}
    for name, (n_rows, skewed, cluster) in scenarios(times).items():
        service_s = partitions(times["sorted" if skewed else "shuffled"], n_rows, skewed=skewed, seed=0)
        found = [figures(service_s, replace(cluster, workers=n)) for n in WORKERS]
        report["scenarios"][name] = {"cluster": asdict(cluster), "found": found}
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report["scenarios"]))


if __name__ == "__main__":
    main()
