"""The workers as actors of Ray. No other file of the engine loads ray.

Ray restarts and retries nothing by itself: what a death costs is decided in `dispatch.py`, which knows the partitions.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medclf.bundle import MANIFEST, read_manifest, read_verified
from medclf.cluster.ray.dispatch import DEPTH, Call, Event
from medclf.cluster.ray.options import RayOptions
from medclf.cluster.ray.worker import Setting, Worker
from medclf.errors import ClusterError, OptionError
from medclf.extras import require
from medclf.runtime.cores import usable_cores

REACH_S = 10.0
STORE_BYTES = (
    200 * 2**20
)  # of the object store on this machine: hashes and counts pass through it, and a shipped bundle


class RayPool:
    """Workers of one run, on the nodes of a cluster."""

    def __init__(self, ray: Any, setting: Setting) -> None:
        """Get ready; nothing is started.

        Args:
            ray: The module, connected.
            setting: Of the run.
        """
        self._ray = ray
        self._setting = setting
        options = setting.options
        self._bundle = ray.put(_files_of(Path(options.bundle)) if options.ship_bundle else {})
        self._workers: dict[int, Any] = {}
        self._calls: dict[Any, tuple[int, Call | None]] = {}
        self._n_started = 0

    def start(self, cores: int) -> int:
        """Begin a worker.

        Args:
            cores: That it keeps busy.

        Returns:
            Its number.
        """
        actor = self._ray.remote(Worker).options(
            num_cpus=cores, max_concurrency=DEPTH, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        worker, self._n_started = self._n_started, self._n_started + 1
        self._workers[worker] = actor.remote()
        opening = self._workers[worker].open.remote(replace(self._setting, threads=cores), self._bundle)
        self._calls[opening] = (worker, None)
        return worker

    def submit(self, worker: int, call: Call) -> None:
        """Give a worker something to do.

        Args:
            worker: Its number.
            call: What to do.
        """
        answer = getattr(self._workers[worker], call.method).remote(*call.arguments)
        self._calls[answer] = (worker, call)

    def wait(self, timeout_s: float) -> list[Event]:
        """Wait for events.

        Args:
            timeout_s: Seconds, at most.

        Returns:
            What ended meanwhile.
        """
        if not self._calls:
            return []
        ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=timeout_s)
        return [self._event(answer) for answer in ready]

    def stop(self, worker: int) -> None:
        """End a worker.

        Args:
            worker: Its number.
        """
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._workers.pop(worker))

    def close(self) -> None:
        """End all workers."""
        for worker in list(self._workers):
            self.stop(worker)

    def _event(self, answer: Any) -> Event:
        worker, call = self._calls.pop(answer)
        try:
            return Event(worker, call, self._ray.get(answer))
        except self._ray.exceptions.RayError:  # its words may hold those of another error: they are not shown
            return Event(worker, call, None)


@contextlib.contextmanager
def connected(options: RayOptions) -> Iterator[Any]:
    """Join a cluster, or start Ray on this machine.

    Args:
        options: Of the run.

    Yields:
        The module `ray`; what was started ends with the block.

    Raises:
        ClusterError: The cluster cannot be reached, or has another version.
        ExtraError: Ray is not installed.
    """
    ray = require("ray", extra="ray")
    if ray.is_initialized():  # by the program that calls this
        yield ray
        return
    _check_reachable(options.address or "")
    handler = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # what is started here reports to nobody
    here: dict[str, Any] = {}
    if not options.address:
        shipped = sum(map(len, _files_of(Path(options.bundle)).values())) if options.ship_bundle else 0
        cores = options.threads * (options.workers or 1) if options.threads else usable_cores()
        here = {"num_cpus": max(cores, usable_cores()), "object_store_memory": STORE_BYTES + 2 * shipped}
        here |= {"include_dashboard": False}
    try:
        ray.init(options.address or "local", log_to_driver=False, logging_level="error", **here)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ClusterError(f"{options.address or 'Ray on this machine'}: {_first_line(error)}") from error
    try:
        with contextlib.suppress(ValueError):  # in another thread than the main one there is nothing to set
            signal.signal(signal.SIGTERM, handler)  # Ray has its own, with another exit code
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ask the port first: Ray itself tries for minutes, and then ends the process."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():  # such as auto
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ClusterError(
            f"the cluster at {address} cannot be reached: {why}. Is it up, and the port open?"
        ) from error


def node_cores(ray: Any) -> list[int]:
    """Give the cores of each node that has some.

    Args:
        ray: The module, connected.

    Returns:
        Cores, the most first.
    """
    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return sorted(filter(None, cores), reverse=True)


def worker_cores(nodes: Sequence[int], workers: int | None, threads: int | None) -> list[int]:
    """Say how many cores each worker gets.

    Args:
        nodes: Cores of each node.
        workers: How many are wanted; None for one a node, or as many as fit where `threads` is given.
        threads: Cores of each; None for all of its node, or for the most with which `workers` fit.

    Returns:
        One entry a worker.

    Raises:
        OptionError: So many do not fit.
    """
    if workers is None and threads is None:
        return list(nodes)
    if threads is None:
        wanted = range(max(nodes, default=0), 0, -1)
        threads = next((n for n in wanted if sum(cores // n for cores in nodes) >= (workers or 1)), 1)
    n_fit = sum(cores // threads for cores in nodes)
    workers = n_fit if workers is None else workers
    if not workers or workers > n_fit:
        raise OptionError(
            f"{workers or 1} workers of {threads} cores do not fit: the cluster has {len(nodes)} nodes with "
            f"{', '.join(map(str, nodes))} cores. Pass fewer --workers or --threads."
        )
    return [threads] * workers


def _files_of(bundle: Path) -> Mapping[str, bytes]:
    manifest = read_manifest(bundle)
    files = {name: read_verified(bundle, manifest, name) for name in manifest.files}
    return {MANIFEST: (bundle / MANIFEST).read_bytes(), **files}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
