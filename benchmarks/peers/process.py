"""The side of `export_table.py` and `peers_table.py`: the ways that they compare, and the process of each of them."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Way:
    """A line of the table.

    Attributes:
        name: As the table has it.
        module: In `peers/`.
        precision: Of medclf's models.
    """

    name: str
    module: str
    precision: str = ""


WAYS = (
    Way("PyTorch fp32", "pytorch"),
    Way("medclf fp32", "ours", "fp32"),
    Way("medclf INT8", "ours", "int8"),
    Way("ONNX Runtime INT8, per tensor", "stock"),
    Way("Optimum, avx2 preset", "optimum_avx2"),
    Way("OpenVINO, NNCF INT8", "openvino_nncf"),
    Way("CTranslate2 INT8", "ctranslate2_int8"),
)


TUTORIAL = Way("PyTorch fp32, padded to 512, 16 at a time", "pytorch_padded")


class WayError(Exception):
    """A way failed; the message is the last line of what its process printed."""


class Worker:
    """A way's process.

    Attributes:
        folder: What it reads and writes.
        ready: What it said when its model was made: `size_bytes`, `threading`, `versions`.
    """

    def __init__(self, way: Way, folder: Path, python: str) -> None:
        self.folder = folder
        env = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
        path = (BENCHMARKS, BENCHMARKS.parent, BENCHMARKS.parent / "export")
        env |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "HF_HUB_OFFLINE": "1"}
        command = [python, "-W", "ignore", "-m", f"peers.{way.module}", str(folder)]
        log = (folder / "log.txt").open("w")
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True, env=env)
        except OSError as error:
            raise WayError(f"its Python cannot be run ({error.strerror})") from error
        finally:
            log.close()
        self.ready: dict[str, Any] = self._answer()

    def turn(self, texts: str, threading: str, output: Path | None = None) -> float:
        """Run a set of texts; give the seconds, and write the logits to `output`."""
        request = {"texts": texts, "threading": threading} | ({"output": str(output)} if output else {})
        return float(self._ask(request)["seconds"])

    def classify(self, strings: str, threading: str) -> float:
        """Classify a set of strings; give the seconds."""
        return float(self._ask({"strings": strings, "threading": threading})["seconds"])

    def latencies(self, strings: str, threading: str) -> list[float]:
        """Classify a set of strings one by one; give the seconds of each."""
        return list(self._ask({"strings": strings, "threading": threading, "alone": True})["latencies"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return dict(json.loads(line))
        self._process.wait()
        printed = (self.folder / "log.txt").read_text(errors="replace").strip().splitlines()
        raise WayError(printed[-1] if printed else "it printed nothing")
