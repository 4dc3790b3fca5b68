"""Workers in this process, which die when a test says so: the whole engine, without Ray and without a model."""

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS
from runtime.stub import StubClassifier

from medclf.cluster.ray.commits import open_output
from medclf.cluster.ray.dispatch import Call, Event
from medclf.cluster.ray.options import RayOptions
from medclf.cluster.ray.progress import Result
from medclf.cluster.ray.run import Run
from medclf.cluster.ray.worker import Setting, Worker

CANARY = "CANARY-7f3a"


class InProcessPool:
    """A `Pool` that does what it was asked for one call after the other."""

    def __init__(
        self, setting: Setting, deaths: Iterable[int], interrupted_at: int, bundle: dict[str, bytes], cuts_off: bool
    ) -> None:
        self.setting = setting
        self.deaths = set(deaths)  # numbers of the calls during which the worker dies
        self.interrupted_at = interrupted_at
        self.bundle = bundle
        self.cuts_off = cuts_off  # whether a worker that dies did its work and could not tell
        self.workers: dict[int, Worker] = {}
        self.calls: deque[tuple[int, Call | None]] = deque()
        self.n_calls = 0
        self.most_waiting = 0
        self.n_started = 0

    def start(self, cores: int) -> int:
        self.n_started += 1
        self.workers[self.n_started] = Worker()
        self.calls.append((self.n_started, None))
        return self.n_started

    def submit(self, worker: int, call: Call) -> None:
        self.calls.append((worker, call))
        self.most_waiting = max(self.most_waiting, len(self.calls))

    def wait(self, timeout_s: float) -> list[Event]:
        number, call = self.calls.popleft()
        worker = self.workers.get(number)
        if call is None or worker is None:
            return [Event(number, call, worker and worker.open(self.setting, self.bundle))]
        self.n_calls += 1
        if self.n_calls == self.interrupted_at:
            raise KeyboardInterrupt
        dies = self.n_calls in self.deaths
        outcome = None if dies and not self.cuts_off else getattr(worker, call.method)(*call.arguments)
        return [Event(number, call, None if dies else outcome)]

    def stop(self, worker: int) -> None:
        self.workers.pop(worker)


@pytest.fixture
def run_here(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Result, InProcessPool]]:
    """Run the engine in this process, with a classifier whose answer is a sum over the text."""
    monkeypatch.setattr(StubClassifier, "load", lambda *_, **__: StubClassifier(), raising=False)
    monkeypatch.setattr("medclf.cluster.ray.worker.Classifier", StubClassifier)

    def run(
        source: object, target: object, *, deaths: Iterable[int] = (), interrupted_at: int = 0, workers: int = 2,
        shipped: dict[str, bytes] | None = None, its_bundle: str = "", cuts_off: bool = False, **options: Any,
    ) -> tuple[Result, InProcessPool]:  # fmt: skip
        asked = RayOptions(str(source), str(target), **{"bundle": str(tiny_bundle), "partition_rows": 10, **options})
        states: list[Any] = []
        one = Run(asked, states.append)
        with open_output(one.output, resume=asked.resume, overwrite=asked.overwrite) as (output, goes_on):
            one.take(output, goes_on=goes_on)
            setting = replace(one.setting, options=replace(asked, bundle=its_bundle)) if its_bundle else one.setting
            pool = InProcessPool(setting, deaths, interrupted_at, shipped or {}, cuts_off)
            result = one.execute(pool, [1] * workers, begun=0.0)
        assert states
        assert states[-1].fraction <= 1.0
        return result, pool

    return run


def some_rows(n: int, *, seed: int = 0) -> list[dict[str, object]]:
    """Rows with an id and a text that a logger must never see."""
    chance = random.Random(seed)
    return [
        {"id": seed * 1000 + i, "text": " ".join([CANARY, *chance.choices(WORDS, k=chance.randint(1, 12))])}
        for i in range(n)
    ]


def write_parquet(path: Path, rows: list[dict[str, object]], *, group: int = 1_000, types: Any = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=types), path, row_group_size=group)
    return path


def read_parts(folder: Path) -> list[dict[str, Any]]:
    """All rows of an output, in the order of tables and rows."""
    parts = sorted(folder.glob("part-*.parquet"))
    return [row for part in parts for row in pq.ParquetFile(part).read().to_pylist()]


def as_before(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "file"} for row in rows]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of three Parquet tables with 25, 8 and 12 rows."""
    for i, n in enumerate((25, 8, 12)):
        write_parquet(tmp_path / "in" / f"{'abc'[i]}.parquet", some_rows(n, seed=i), group=5)
    return tmp_path / "in"
