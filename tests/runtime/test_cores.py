import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.runtime import cores
from medclf.runtime.cores import cgroup_paths, cgroup_quota, usable_cores


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("150000 100000\n", 1.5),
        ("50000 100000", 0.5),
        ("max 100000\n", float("inf")),
        ("-1 100000", float("inf")),  # version 1 for no limit
        ("0 100000", float("inf")),
        ("100000 0", float("inf")),
        ("", float("inf")),
        ("100000", float("inf")),
        ("1 2 3", float("inf")),
    ],
)
def test_quota(text: str, expected: float) -> None:
    assert cgroup_quota(text) == expected


@given(st.text())
def test_any_text_is_a_quota_or_none(text: str) -> None:
    assert cgroup_quota(text) > 0


def test_paths_go_up_to_the_root() -> None:
    assert cgroup_paths("0::/system.slice/a.service\n") == [
        PurePosixPath("system.slice/a.service"),
        PurePosixPath("system.slice"),
        PurePosixPath(),
    ]


def test_the_cpu_hierarchy_of_version_1_is_taken() -> None:
    assert cgroup_paths("5:memory:/m\n3:cpu,cpuacct:/docker/x\n")[0] == PurePosixPath("docker/x")


@pytest.mark.parametrize("own", ["", "nonsense", "0::/", "0::/../outside"])
def test_no_path_is_the_root(own: str) -> None:
    assert cgroup_paths(own) == [PurePosixPath()]


@pytest.mark.parametrize(("quota", "expected"), [("150000 100000", 1), ("40000 100000", 1), ("max 100000", 8)])
def test_the_lesser_of_affinity_and_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "cpu.max").write_text(quota)
    (tmp_path / "own").write_text("0::/job")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cores() == expected


def test_version_1_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN_CGROUP", tmp_path / "absent")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cores() == 3
