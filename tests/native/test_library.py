"""What the shared library shows, and what it needs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def elf_library(library: Path) -> Path:
    if library.suffix != ".so" or not shutil.which("nm") or not shutil.which("readelf"):
        pytest.skip("not an ELF system with nm and readelf")
    return library


def output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_exports_what_the_header_declares_and_nothing_else(elf_library: Path) -> None:
    header = (ROOT / "native" / "include" / "medclf" / "medclf.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"^MEDCLF_API [\w* ]+?\*?(medclf_\w+)\(", header, re.M))
    exported = {line.split()[-1] for line in output("nm", "-D", "--defined-only", elf_library).splitlines()}
    assert {"medclf_open", "medclf_label", "medclf_abi_version"} <= declared
    assert exported == declared


def test_it_does_not_need_onnx_runtime_to_load(elf_library: Path) -> None:
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", elf_library))
    assert needed
    assert all(re.match(r"lib(stdc\+\+|m|gcc_s|c|dl|pthread)\.so|ld-linux", name) for name in needed), needed
