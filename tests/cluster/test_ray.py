"""The engine on Ray: several nodes on this machine, of which actors, a node and the driver are killed half-way."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from cluster.conftest import CANARY, as_before, read_parts, some_rows, write_parquet

import medclf
from medclf.errors import ClusterError, DataError
from medclf.runtime import Classifier
from medclf.runtime.predict_file import predict_file
from medclf.runtime.predict_options import PredictOptions

pytest.importorskip("ray", reason="ray is not installed: pip install 'medclf[ray]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # of sockets that Ray leaves open
]

N_ROWS = 600
SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """A folder for Ray, with a name that is short enough for sockets; processes that are left over are ended."""
    folder = Path(tempfile.mkdtemp(prefix="mr-"))
    yield folder
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            process.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def nodes(temporary: Path) -> Iterator[Any]:
    """A cluster of a head without cores and two nodes of one core, which this process has joined."""
    import ray
    from ray.cluster_utils import Cluster

    head = {**SMALL, "num_cpus": 0, "temp_dir": str(temporary), "_system_config": {"health_check_period_ms": 500}}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=1, **SMALL)
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parquet(tmp_path_factory.mktemp("ray") / "in.parquet", some_rows(N_ROWS), group=100)


@pytest.fixture(scope="module")
def expected(source: Path, tiny_bundle: Path) -> list[dict[str, Any]]:
    """What the local engine says of the same rows."""
    target = source.with_name("local.parquet")
    with Classifier.load(tiny_bundle, threads=1) as classifier:
        predict_file(classifier, PredictOptions(source, target, keep=("id",), probabilities=True))
    return list(pq.ParquetFile(target).read().to_pylist())


def predict(
    source: Path, target: Path, bundle: Path, progress: Callable[[Any], None] | None = None, **more: Any
) -> Any:
    from medclf.cluster.ray.engine import predict_ray
    from medclf.cluster.ray.options import RayOptions

    options = {"keep": ("id",), "probabilities": True, "partition_rows": 50, **more}
    return predict_ray(RayOptions(str(source), str(target), bundle=str(bundle), **options), progress=progress)


def same(folder: Path, expected: list[dict[str, Any]]) -> None:
    """Every row once, in its place, with the answers of the local engine."""
    found = as_before(read_parts(folder))
    assert [row["id"] for row in found] == [row["id"] for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        numbers = {name for name, value in wanted.items() if isinstance(value, float)}
        assert {name: row[name] for name in numbers} == pytest.approx({n: wanted[n] for n in numbers}, abs=1e-3)
        assert {n: v for n, v in row.items() if n not in numbers} == {
            n: v for n, v in wanted.items() if n not in numbers
        }


class Once:
    """Does something when the first rows are committed."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def __call__(self, state: Any) -> None:
        if state.n_rows and self.action:
            action, self.action = self.action, None
            action()


def test_an_actor_that_is_killed(
    nodes: Any, source: Path, expected: list[dict[str, Any]], tiny_bundle: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import ray

    from medclf.cluster.ray import engine

    pools: list[Any] = []

    class Pool(engine.RayPool):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            pools.append(self)

    monkeypatch.setattr(engine, "RayPool", Pool)
    kill = Once(lambda: ray.kill(next(iter(pools[0]._workers.values()))))
    result = predict(source, tmp_path / "out", tiny_bundle, kill)
    assert kill.action is None
    assert (result.counts.n_rows, result.n_parts, result.n_deaths) == (N_ROWS, 12, 1)
    same(tmp_path / "out", expected)
    predict(source, tmp_path / "calm", tiny_bundle)
    for part in sorted((tmp_path / "calm").glob("part-*")):
        assert part.read_bytes() == (tmp_path / "out" / part.name).read_bytes()


def kill_machine(nodes: Any, node: Any) -> None:
    """Kill a node with all its processes, as a machine that fails: its workers alone would outlive it for a while."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in [*raylet.children(recursive=True), raylet]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    nodes.remove_node(node, allow_graceful=False)


def test_a_node_that_is_killed(
    nodes: Any, source: Path, expected: list[dict[str, Any]], tiny_bundle: Path, tmp_path: Path
) -> None:
    node = nodes.add_node(num_cpus=1, **SMALL)
    kill = Once(lambda: kill_machine(nodes, node))

    def when_all_are_at_work(state: Any) -> None:
        if state.n_workers == 3 and kill.action:
            kill(state)
        elif not state.n_deaths:  # partitions must be left when it goes
            time.sleep(0.2)

    result = predict(source, tmp_path / "out", tiny_bundle, when_all_are_at_work, partition_rows=10)
    assert kill.action is None
    assert result.counts.n_rows == N_ROWS
    assert result.n_deaths >= 1
    same(tmp_path / "out", expected)


@pytest.mark.parametrize("shipped", [False, True])
def test_a_bundle_that_is_not_there(
    nodes: Any, source: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: bool
) -> None:
    from medclf.cluster.ray import engine

    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    start = engine.RayPool.start

    def without_it(self: Any, cores: int) -> int:
        shutil.rmtree(bundle, ignore_errors=True)
        return start(self, cores)

    monkeypatch.setattr(engine.RayPool, "start", without_it)
    if shipped:
        assert predict(source, tmp_path / "out", bundle, ship_bundle=True).counts.n_rows == N_ROWS
        return
    with pytest.raises(ClusterError, match=rf"the worker on \S+ cannot be used: there is no bundle at {bundle}"):
        predict(source, tmp_path / "out", bundle)


def test_versions_that_differ(
    nodes: Any, source: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medclf.cluster.ray import run

    here = run.versions()
    monkeypatch.setattr(run, "versions", lambda: here | {"onnxruntime": "0.9"})
    with pytest.raises(ClusterError, match=r"runs other versions: onnxruntime is .*, here 0.9. Install the same"):
        predict(source, tmp_path / "out", tiny_bundle)


def start(source: Path, target: Path, bundle: Path, temporary: Path, *options: str) -> Any:
    """The command, in a process of its own."""
    root = Path(medclf.__file__).parents[1]
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # as in a terminal
    program += "from medclf.cli.predict import main; main()"
    arguments = ["--bundle", bundle, "--input", source, "--output", target, "--engine", "ray", "--keep", "id"]
    arguments += ["--probabilities", "--partition-rows", "50", *options]
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(root), "RAY_TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def printed(running: Any, code: int) -> str:
    out, err = running.communicate(timeout=120)
    assert running.returncode == code, err
    assert CANARY not in out + err
    assert "Traceback" not in err
    return str(out + err)


def n_commits(target: Path) -> int:
    return len(list(target.glob("_work/part-*.json")))


def wait_for_commits(running: Any, target: Path, n: int) -> None:
    until = time.monotonic() + 120
    while n_commits(target) < n:
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.002)


def test_a_driver_that_is_killed_and_interrupted(
    source: Path, expected: list[dict[str, Any]], tiny_bundle: Path, tmp_path: Path, temporary: Path
) -> None:
    target, cut = tmp_path / "out", ("--threads", "1", "--partition-rows", "25")
    for n, by, code in ((1, signal.SIGKILL, -9), (5, signal.SIGINT, 130), (9, signal.SIGTERM, 143)):
        running = start(source, target, tiny_bundle, temporary, "--resume", *cut)
        wait_for_commits(running, target, n)
        running.send_signal(by)
        said = printed(running, code)
        assert not (target / "_manifest.json").exists()
        if by is not signal.SIGKILL:
            assert f"of 24 parts are committed in {target}: go on with --resume." in said
    done = n_commits(target)
    assert 9 <= done < 24
    said = printed(start(source, target, tiny_bundle, temporary, "--resume", *cut, "--json"), 0)
    summary = json.loads(said.splitlines()[0])
    assert (summary["n_rows"], summary["n_rows_before"], summary["n_parts"]) == (N_ROWS, 25 * done, 24)
    same(target, expected)


def test_nothing_that_is_printed_or_logged_holds_a_text(
    nodes: Any, source: Path, tiny_bundle: Path, tmp_path: Path, temporary: Path
) -> None:
    rows = some_rows(200)
    rows[120]["text"] = f"{CANARY}\x00"
    rows[130]["text"] = None
    bad = write_parquet(tmp_path / "in" / "bad.parquet", rows)
    data = bytearray(bad.read_bytes())
    at = pq.ParquetFile(bad).metadata.row_group(0).column(1).data_page_offset
    data[at : at + 20] = b"\xff" * 20
    (tmp_path / "in" / "damaged.parquet").write_bytes(data)
    join = ("--address", nodes.address)
    said = printed(start(bad, tmp_path / "fail", tiny_bundle, temporary, *join), 1)
    assert "row 121, column 'text': holds a NUL character" in said
    said = printed(start(tmp_path / "in", tmp_path / "skip", tiny_bundle, temporary, *join, "--on-error", "skip"), 1)
    assert "damaged.parquet: the file is damaged" in said
    assert "4 of 8 parts are committed" in said
    logs = [path for path in temporary.rglob("*") if path.is_file()]
    assert len(logs) > 20
    assert any(b"Worker" in path.read_bytes() for path in logs)
    assert [path for path in logs if CANARY.encode() in path.read_bytes()] == []


def test_a_cluster_that_is_not_there(source: Path, tiny_bundle: Path, tmp_path: Path, temporary: Path) -> None:
    said = printed(start(source, tmp_path / "out", tiny_bundle, temporary, "--address", "127.0.0.1:9"), 1)
    assert "error: the cluster at 127.0.0.1:9 cannot be reached: Connection refused." in said


def test_a_damaged_part_of_a_real_run(nodes: Any, source: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    rows = some_rows(60)
    rows[55]["text"] = ""
    write_parquet(tmp_path / "in.parquet", rows)
    with pytest.raises(DataError, match=r"part-00000-00001 \(in.parquet, rows 51 to 60\): .*row 56, column 'text'"):
        predict(tmp_path / "in.parquet", tmp_path / "out", tiny_bundle)
    assert [path.name for path in (tmp_path / "out").glob("*.parquet")] == ["part-00000-00000.parquet"]
