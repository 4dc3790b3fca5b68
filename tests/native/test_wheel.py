"""The wheel holds libmedclf where there is a compiler, and is pure Python, and says so, where there is none."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def build(target: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-v", "-w", target, ROOT]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def names(folder: Path) -> tuple[str, list[str]]:
    (wheel,) = folder.glob("*.whl")
    return wheel.name, zipfile.ZipFile(wheel).namelist()


@pytest.fixture(autouse=True)
def _needs(native_build: Path) -> None:
    """A compiler and CMake, or the whole folder is skipped; and the build backend."""
    pytest.importorskip("scikit_build_core")


def test_with_a_compiler(tmp_path: Path, tiny_bundle: Path) -> None:
    done = build(tmp_path, MEDCLF_REQUIRE_NATIVE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    name, files = names(tmp_path)
    assert "-py3-none-" in name
    assert not name.endswith("-any.whl")
    libraries = [file for file in files if file.startswith("medclf/_native/")]
    assert len(libraries) == 1
    assert not [file for file in files if file.endswith((".hpp", ".cpp", ".h", ".a", ".cmake"))]
    zipfile.ZipFile(next(tmp_path.glob("*.whl"))).extractall(tmp_path / "site")
    script = f"""
import sys
# An editable installation would be found before the wheel.
sys.meta_path[:] = [one for one in sys.meta_path if "ScikitBuild" not in type(one).__name__]
sys.path.insert(0, {str(tmp_path / "site")!r})
from medclf.native import NativeClassifier, library_path
assert {str(tmp_path)!r} in str(library_path())
print(NativeClassifier.load({str(tiny_bundle)!r}).predict(["baba"]))
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_without_a_compiler(tmp_path: Path) -> None:
    done = build(tmp_path, CXX="/bin/false")
    assert done.returncode == 0, done.stdout + done.stderr
    name, files = names(tmp_path)
    assert name.endswith("-py3-none-any.whl")
    assert not [file for file in files if "_native" in file]
    assert "medclf was built WITHOUT libmedclf" in done.stdout + done.stderr


def test_a_compiler_can_be_required(tmp_path: Path) -> None:
    assert build(tmp_path, CXX="/bin/false", MEDCLF_REQUIRE_NATIVE="1").returncode != 0
