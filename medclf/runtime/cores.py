"""What this process may compute with: its cores by affinity and cgroup, not what the host has; and what they can do."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
CPUINFO = Path("/proc/cpuinfo")
# Instructions that decide how ONNX Runtime multiplies matrices
FEATURES = ("avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")


def usable_cores() -> int:
    """Count the cores that this process may use.

    Returns:
        The lesser of its CPU affinity and its cgroups' quotas, rounded down, at least 1.
    """
    return max(1, int(min([_affinity(), *_quotas(_read(OWN_CGROUP))])))


def cpu_name() -> str:
    """Give the name of the CPU, or what is known of it."""
    return next(iter(_cpuinfo("model name")), platform.processor() or platform.machine())


def cpu_features() -> list[str]:
    """Give those of `FEATURES` that the CPU has; empty where the system does not tell."""
    flags = " ".join([*_cpuinfo("flags"), *_cpuinfo("Features")]).split()
    return [feature for feature in FEATURES if feature in flags]


def _cpuinfo(key: str) -> list[str]:
    """The values of a key, one a core."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == key]


def cgroup_quota(quota_and_period: str) -> float:
    """Read a cgroup's limit of CPU time.

    Args:
        quota_and_period: Microseconds of CPU time in a period of so many microseconds, such as `150000 100000`: the
            contents of `cpu.max` (version 2), or of `cpu.cfs_quota_us` and `cpu.cfs_period_us` (version 1).

    Returns:
        Cores, such as 1.5; infinity for no limit (`max`, -1), and for what cannot be read.
    """
    with contextlib.suppress(ValueError, ZeroDivisionError):
        quota, period = (int(number) for number in quota_and_period.split())
        if quota > 0 and period > 0:
            return quota / period
    return float("inf")


def cgroup_paths(own: str) -> list[PurePosixPath]:
    """List the cgroups that bound a process.

    Args:
        own: Contents of `/proc/self/cgroup`.

    Returns:
        Its cgroup of the CPU and those above it, relative to the root of the hierarchy, which comes last.
    """
    for line in own.splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if not controllers or "cpu" in controllers.split(","):
            relative = PurePosixPath(path.lstrip("/"))
            if ".." not in relative.parts and relative.parts:
                return [relative, *relative.parents]
    return [PurePosixPath()]


def _quotas(own: str) -> Iterator[float]:
    for path in cgroup_paths(own):
        yield cgroup_quota(_read(CGROUPS / path / "cpu.max"))
        version_1 = CGROUPS / "cpu" / path
        yield cgroup_quota(f"{_read(version_1 / 'cpu.cfs_quota_us')} {_read(version_1 / 'cpu.cfs_period_us')}")


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS has no affinity


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
