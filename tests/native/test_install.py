"""`cmake --install`, and programs of others that use what was installed."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
NOTES = "baba ce\nCANARY-7f3a\0\n\nzozo mimi\n"


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def installed(native_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed") / "first"
    run("cmake", "--install", native_build, "--prefix", folder)
    moved = folder.with_name("moved")  # what is installed can be moved
    folder.rename(moved)
    return moved


@pytest.fixture
def environment(installed: Path, onnxruntime_library: Path) -> dict[str, str]:
    return {
        **os.environ,
        "LD_LIBRARY_PATH": str(installed / "lib"),
        "MEDCLF_ORT_LIBRARY": str(onnxruntime_library),
        "PKG_CONFIG_PATH": str(installed / "lib" / "pkgconfig"),
    }


def build_with_cmake(name: str, installed: Path, target: Path, *options: str) -> Path:
    prefix = f"-DCMAKE_PREFIX_PATH={installed}"
    run("cmake", "-S", EXAMPLES / name, "-B", target, prefix, "-DCMAKE_BUILD_TYPE=Release", *options)
    run("cmake", "--build", target)
    return target


def answers_of(program: Path, bundle: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [program, bundle], input=NOTES, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row for row, _, _ in rows] == ["1", "2", "4"]  # fgets ends a C string at the NUL: row 2 is its beginning
    assert {label for _, label, _ in rows} <= {"cardiology", "neurology", "oncology"}
    assert "row 3: 1 of 1 texts cannot be classified: texts[0] is empty" in done.stderr
    assert "CANARY" not in done.stdout + done.stderr


def test_a_c_program_by_find_package(
    installed: Path, environment: dict[str, str], tiny_bundle: Path, tmp_path: Path
) -> None:
    answers_of(build_with_cmake("embed-c", installed, tmp_path) / "classify", tiny_bundle, environment)


def test_a_c_program_by_pkg_config(environment: dict[str, str], tiny_bundle: Path, tmp_path: Path) -> None:
    if not shutil.which("pkg-config") or not shutil.which("cc"):
        pytest.skip("pkg-config or cc is missing")
    flags = run("pkg-config", "--cflags", "--libs", "medclf", env=environment).split()
    source = EXAMPLES / "embed-c" / "classify.c"
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", source, *flags, "-o", tmp_path / "classify")
    answers_of(tmp_path / "classify", tiny_bundle, environment)


def test_a_rust_program(installed: Path, environment: dict[str, str], tiny_bundle: Path, tmp_path: Path) -> None:
    if not shutil.which("rustc") or subprocess.run(["rustc", "--version"], capture_output=True).returncode:
        pytest.skip("rustc is missing")  # rustup's rustc is there and fails where no toolchain was chosen
    source = EXAMPLES / "embed-rust" / "classify.rs"
    options = ["--edition", "2021", "-O", "-D", "warnings", "-L", str(installed / "lib")]
    run("rustc", *options, source, "-o", tmp_path / "classify")
    done = subprocess.run(
        [tmp_path / "classify", tiny_bundle],
        input=NOTES,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["1", "4"]
    assert "row 2: 1 of 1 texts cannot be classified: texts[0] holds a NUL character" in done.stderr
    assert "CANARY" not in done.stdout + done.stderr


def test_the_installed_command_finds_its_library(installed: Path, tiny_bundle: Path, onnxruntime_library: Path) -> None:
    environment = {"MEDCLF_ORT_LIBRARY": str(onnxruntime_library)}
    command = [installed / "bin" / "medclf-run", tiny_bundle]
    assert '"row": 1' in run(*command, input='{"text": "baba"}\n', env=environment)


def httplib() -> list[str]:
    """How CMake finds cpp-httplib: by pkg-config, or by the folder of the header in HTTPLIB_INCLUDE_DIR."""
    if folder := os.environ.get("HTTPLIB_INCLUDE_DIR"):
        return [f"-DHTTPLIB_INCLUDE_DIR={folder}"]
    if shutil.which("pkg-config") and subprocess.run(["pkg-config", "--exists", "cpp-httplib"], check=False).returncode:
        pytest.skip("cpp-httplib is not here: libcpp-httplib-dev, or HTTPLIB_INCLUDE_DIR")
    return []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(url: str, body: bytes) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
def test_a_service_in_cpp(installed: Path, environment: dict[str, str], tiny_bundle: Path, tmp_path: Path) -> None:
    folder = build_with_cmake("embed-cpp", installed, tmp_path, *httplib())
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [folder / "service", tiny_bundle, str(port)], env=environment, stderr=subprocess.DEVNULL
    ) as service:
        try:
            wait_for(f"{url}/health")
            status, table = post(f"{url}/classify", b"baba ce di")
            assert status == 200
            rows = [line.split("\t") for line in table.splitlines()]
            assert [row[0] for row in rows] == ["cardiology", "neurology", "oncology"]
            assert sum(float(row[1]) for row in rows) == pytest.approx(1, abs=1e-4)
            assert sorted(row[2] for row in rows) == ["0", "0", "1"]
            assert post(f"{url}/classify", b" ") == (422, "the text is empty\n")
            assert post(f"{url}/classify", b"CANARY-7f3a\xff") == (422, "the text is not UTF-8\n")
        finally:
            service.terminate()


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the service did not start")
