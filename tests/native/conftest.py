"""Builds libmedclf once, in `build/native` as `make native` does, so that a second run has little to build."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from native_run import Run

from medclf.native import onnxruntime_path

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def native_build() -> Path:
    """The folder of a build with tests; MEDCLF_NATIVE_BUILD names one that is there already."""
    if given := os.environ.get("MEDCLF_NATIVE_BUILD"):
        return Path(given)
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if not shutil.which("cmake") or not compiler:
        pytest.skip("libmedclf is not tested: cmake or a C++ compiler is missing")
    folder = ROOT / "build" / "native"
    run("cmake", "-S", ROOT, "-B", folder, "-DMEDCLF_BUILD_TESTS=ON", "-DMEDCLF_WERROR=ON")
    run("cmake", "--build", folder)
    return folder


def run(*command: str | Path, **options: object) -> str:
    """Run a program that must succeed, and give what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="session")
def library(native_build: Path) -> Path:
    """The shared library of the build."""
    return next(path for path in (native_build / "native").glob("libmedclf.*") if path.suffix in (".so", ".dylib"))


@pytest.fixture(scope="session")
def onnxruntime_library() -> Path:
    """The shared library of the installed onnxruntime."""
    path = onnxruntime_path()
    assert path is not None
    return path


@pytest.fixture(scope="session")
def medclf_run(native_build: Path, onnxruntime_library: Path) -> Run:
    """`medclf-run` on rows, or on the text of its input."""

    def call(rows: Sequence[dict[str, object]] | str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
        return subprocess.run(
            [native_build / "native" / "medclf-run", *arguments],
            input=text,
            capture_output=True,
            encoding="utf-8",
            check=False,
            env={**os.environ, "MEDCLF_ORT_LIBRARY": str(onnxruntime_library)},
        )

    return call


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may break."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
