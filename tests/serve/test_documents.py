"""The requests that docs/serving.md shows, run as they stand there."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from serve.conftest import Running

SERVING = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_lines_with_curl(server: Running) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    lines = re.findall(r"^curl (?:.*\\\n)*.*$", SERVING, re.M)
    assert len(lines) >= 4
    for line in lines:
        arguments = shlex.split(line.replace("\\\n", " ").replace("localhost:8000", f"127.0.0.1:{server.port}"))
        done = subprocess.run([*arguments, "--fail"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout[:1] in ("{", "[")) == (0, True), line


def test_the_lines_in_python(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", SERVING, re.S)
    exec(compile(block.replace(":8000", f":{server.port}"), "serving.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 2
